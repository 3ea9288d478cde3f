"""The file of a means step: per row of the sessions its mean, and each mean once where rows that follow share it.

A column `value` has a mean's bytes in the row where it begins, and is NULL in those that have it too; `begins` is true
there and false here, and NULL where a row has no mean. `unusable` is the id of a vector that a row needs and that has
no place in a mean. Row groups are those of the sessions. Values are not compressed: means of floats have no bytes that
repeat, and a reader takes them as they lie in the file.

A mean begins where its bytes are not those of the last row before it that has one in the row group. So the bytes of the
file follow from the values of rows, however these were numbered.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.parquet.columns.fixed_values import FixedValues, fixed_values, form
from daedalus.parquet.footer import Assembled, in_memory, joined, texts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Means:
    """The means of a row group: `index` is by row the number of its mean in `values`, or -1 where it has none (int32);
    `values` are (means, components) of float32 or float16.

    `unusable` are by row the id of a vector that it needs and that is not usable, else NULL (int64 of Arrow); None for
    NULLs alone. Such a row has no mean.
    """

    index: np.ndarray
    values: np.ndarray
    unusable: pa.Array | None = None


def write_means(path: Path, groups: Iterable[Means], dim: int, dtype: str = "float32") -> int:
    """Writes means by row group; returns the number of rows. All values have `dim` components of type `dtype`."""
    import numpy as np
    import pyarrow as pa

    width = dim * np.dtype(dtype).itemsize
    schema = pa.schema([("begins", pa.bool_()), ("unusable", pa.int64())])
    none, values = in_memory(schema, []), form("value", max(width, 1))  # parquet has no values of 0 bytes
    with path.open("wb") as out:
        columns = [("begins", none), ("unusable", none), ("value", values)]
        file = Assembled(out, joined(columns) | texts({"dim": str(dim), "dtype": dtype}))
        for group in groups:
            begins, numbers = _begins(group)
            rows = pa.table([pa.array(begins, mask=group.index < 0), _unusable(group)], schema=schema)
            known = in_memory(schema, [rows])
            means = group.values if _is_whole(numbers, group) else group.values[numbers]
            chunk = fixed_values("value", max(width, 1), begins & bool(width), [means])
            file.add([*known.chunks(0, "begins"), *known.chunks(0, "unusable"), chunk], len(begins))
        return file.finish()


def _unusable(group: Means) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(len(group.index), pa.int64()) if group.unusable is None else group.unusable


def _is_whole(numbers: np.ndarray, group: Means) -> bool:
    import numpy as np

    return np.array_equal(numbers, np.arange(len(group.values)))


def _begins(group: Means) -> tuple[np.ndarray, np.ndarray]:
    """(by row whether a mean begins; the numbers of those that do)."""
    import numpy as np

    from daedalus.enrich.compiled_means import differing

    rows = np.flatnonzero(group.index >= 0)
    numbers = group.index[rows]
    bits = np.ascontiguousarray(group.values).view(f"u{group.values.itemsize}")
    new = differing(bits, numbers.astype(np.int64))
    begins = np.zeros(len(group.index), np.bool_)
    begins[rows[new]] = True
    return begins, numbers[new]


class MeansFile:
    """Reads a file of `write_means` by row group; it has `groups` of them and `rows` in all, of values of `dim`
    components of type `dtype`."""

    def __init__(self, path: Path) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        self._open = ExitStack()
        opened = self._open.enter_context(path.open("rb", buffering=0))
        self._parquet = self._open.enter_context(pq.ParquetFile(path))
        footer = self._parquet.metadata
        self.groups, self.rows = footer.num_row_groups, footer.num_rows
        self.dim, self.dtype = int(footer.metadata[b"dim"]), np.dtype(footer.metadata[b"dtype"].decode())
        self._values = FixedValues(opened, footer, 2, self.dim * self.dtype.itemsize)

    def group(self, group: int) -> Means:
        """The means of a row group."""
        import numpy as np
        import pyarrow.compute as pc

        table = self._parquet.read_row_group(group, columns=["begins", "unusable"], use_threads=False)
        begins = pc.fill_null(table["begins"], False).to_numpy()
        numbers = np.cumsum(begins, dtype=np.int32) - np.int32(1)
        index = np.where(pc.is_valid(table["begins"]).to_numpy(), numbers, np.int32(-1))
        values = np.empty((int(np.count_nonzero(begins)), self.dim), self.dtype)
        if values.size:
            self._values.read(values, self._values.begin(group, len(values)))
        unusable = table["unusable"].combine_chunks()
        return Means(index, values, None if unusable.null_count == len(unusable) else unusable)

    def __enter__(self) -> MeansFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
