"""What the columns of vectors of one enriched partition hold: nulls, length, norms, and the range of components.

All is read in one pass, a million components at a time; the other columns are the skeleton's, and are not read.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 1 << 20  # components


def vector_statistics(parts: Sequence[Path], names: Collection[str]) -> dict[str, Any]:
    """`rows`, and of each of the columns `name`, `type`, `kind` (vector), `nulls`, `length` (the longest), `norm` (the
    mean of the finite ones), `low` and `high` (the least and greatest finite component), and `odd`, the vectors with a
    component that is NaN or infinite. None where there is no such vector."""
    import pyarrow.parquet as pq

    found: dict[str, _Vectors] = {}
    rows = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            rows += file.metadata.num_rows
            for field in file.schema_arrow:
                if field.name not in names:
                    continue
                column = found.setdefault(field.name, _Vectors(field))
                for batch in file.iter_batches(_rows_at_once(file.metadata, field.name), columns=[field.name],
                                               use_threads=False):  # fmt: skip
                    column.add(batch.column(0))
    return {"rows": rows, "columns": [found[name].found() for name in names if name in found]}


def _rows_at_once(footer: Any, name: str) -> int:
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(footer.num_columns)]
    values = sum(chunk.num_values for chunk in chunks if chunk.path_in_schema.partition(".list.")[0] == name)
    return max(footer.num_rows * _AT_ONCE // max(values, 1), 1)


class _Vectors:
    """Adds up one column, batch by batch."""

    def __init__(self, field: pa.Field) -> None:
        self._field = field
        self._nulls = self._length = self._finite = self._odd = 0
        self._norms = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, array: pa.ListArray) -> None:
        import numpy as np
        import pyarrow.compute as pc

        self._nulls += array.null_count
        lists = array.drop_null()
        if not len(lists):
            return
        sizes = pc.list_value_length(lists).to_numpy()
        self._length = max(self._length, int(sizes.max()))
        values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        known = np.isfinite(values)
        if known.any():
            self._low, self._high = min(self._low, values[known].min()), max(self._high, values[known].max())
        ends = np.cumsum(sizes)
        total = np.concatenate([[0.0], np.cumsum(np.where(known, 0, 1))])
        odd = total[ends] > total[ends - sizes]
        squares = np.add.reduceat(np.append(values * values, 0.0), ends - sizes) * (sizes > 0)
        norms = np.sqrt(squares[~odd])
        self._odd, self._finite = self._odd + int(odd.sum()), self._finite + len(norms)
        self._norms += float(norms.sum())

    def found(self) -> dict[str, Any]:
        known = self._low <= self._high
        norm = self._norms / self._finite if self._finite else None
        return {
            "name": self._field.name, "type": str(self._field.type), "kind": "vector", "nulls": self._nulls,
            "length": self._length or None, "norm": norm if norm is not None and math.isfinite(norm) else None,
            "low": float(self._low) if known else None, "high": float(self._high) if known else None,
            "odd": self._odd,
        }  # fmt: skip
