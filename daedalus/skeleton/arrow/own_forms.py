"""Columns of a feed file in forms of its own: times that are whole numbers, and ids that are text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.sql.own_columns import UNITS
from daedalus.tables.sorting import numbered_text, numbers_of

if TYPE_CHECKING:
    import pyarrow as pa

_FAR = 1 << 62  # microseconds: what is beyond, the SQL may refuse


def times_of(column: pa.Array, unit: str) -> pa.Array | None:
    """Whole numbers as times, nanoseconds rounded down; None where some are too far."""
    import numpy as np
    import pyarrow as pa

    numbers, missing = numbers_of(column.cast(pa.int64()))
    size = UNITS.get(unit, 1)
    if len(numbers) and (int(numbers.max()) > _FAR // size or int(numbers.min()) < -(_FAR // size)):
        return None
    micros = numbers // 1000 if unit == "ns" else numbers * size
    return pa.array(micros.astype(np.int64), pa.int64(), mask=missing).view(pa.timestamp("us"))


def numbered_ids(ids: pa.Array) -> pa.DictionaryArray:
    """Ids as numbers of texts; a UUID is text in lower case."""
    import pyarrow as pa

    if not isinstance(ids, pa.ExtensionArray):
        return numbered_text(ids)
    coded = ids.storage.dictionary_encode()
    digits = (value.hex() for value in coded.dictionary.to_pylist())
    spelled = ["-".join((d[:8], d[8:12], d[12:16], d[16:20], d[20:])) for d in digits]
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(spelled, pa.string()))
