"""The step `fragment` of a pool whose ids are text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.enrich.lance_rows import OpenFragment
from daedalus.enrich.steps.fragment import _rows
from daedalus.enrich.text_ids.names import as_text
from daedalus.parquet.writer import write_parquet

if TYPE_CHECKING:
    import pyarrow as pa


def write_text_fragment(fragment: OpenFragment, columns: tuple[str, str], out: Path) -> int:
    """As `write_fragment`, with ids that are text."""
    import numpy as np
    import pyarrow as pa

    kinds = [("place", pa.int64()), ("length", pa.int32()), ("digest", pa.binary(16))]
    schema, numbered = (pa.schema([("id", kind), *kinds]) for kind in (pa.string(), pa.int64()))

    def tables() -> Iterator[pa.Table]:
        count = 0
        for batch in fragment.rows(columns):
            ids = as_text(batch.column(0))
            places = pa.array(np.arange(len(ids)), mask=np.asarray(ids.is_null()))
            rows = _rows(pa.record_batch([places, batch.column(1)], ["id", "vector"]), count, numbered)
            yield rows.set_column(0, schema.field(0), ids.take(rows["id"]))
            count += batch.num_rows

    return write_parquet(out, schema, tables())
