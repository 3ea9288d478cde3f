"""Labels: what each row is worth to a model, by its event."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING

from daedalus.base.errors import DaedalusError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def label_values(
    events: pa.ChunkedArray | pa.Array, gains: Mapping[str, float], where: str = "labels"
) -> tuple[np.ndarray, np.ndarray]:
    """The label of each row as FLOAT32, and whether the row has one: NaN and False where its event is not in `gains`.

    `where` is what errors name. Raises DaedalusError for gains as `check_gains` does, and for events that are not text.
    """
    import numpy as np
    import pyarrow as pa

    check_gains(gains, where)
    kind = events.type.value_type if pa.types.is_dictionary(events.type) else events.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise DaedalusError("labels of a column that is not text", where=where, found=kind, expected="names of events")

    def of_chunk(chunk: pa.Array) -> np.ndarray:
        numbered = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        of_number = [gains.get(event, np.nan) for event in numbered.dictionary.to_pylist()]
        numbers = numbered.indices
        if numbers.null_count:  # the number behind the last may be beyond their type
            numbers = numbers.cast(pa.int64()).fill_null(len(of_number))
        return np.array([*of_number, np.nan], np.float32)[numbers.to_numpy()]

    chunks = events.chunks if isinstance(events, pa.ChunkedArray) else [events]
    labels = np.concatenate([np.zeros(0, np.float32), *map(of_chunk, chunks)])
    return labels, ~np.isnan(labels)


def check_gains(gains: Mapping[str, float], where: str) -> None:
    """Raises DaedalusError unless it maps names of events, at least one, to finite numbers."""
    if not isinstance(gains, Mapping) or not gains:
        found = "an empty mapping" if isinstance(gains, Mapping) else type(gains).__name__
        expected = "events with their labels, such as {'reco_artwork_view': 0, 'like': 1}"
        raise DaedalusError("no labels", where=where, found=found, expected=expected)
    for event, gain in gains.items():
        if not isinstance(event, str):
            raise DaedalusError("an event that is not text", where=where, found=repr(event), expected="its name")
        if not isinstance(gain, Real) or not isfinite(gain):
            raise DaedalusError("a label that is not a number", where=f"{where}[{event!r}]", found=repr(gain),
                                expected="a finite number")  # fmt: skip
