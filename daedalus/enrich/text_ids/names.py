"""The file of a day's vectors of ids that are text: as vectors_file.py has it, by number, and the text of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.errors import DayError
from daedalus.enrich.unusable import _HINT, unequal
from daedalus.enrich.vectors_file import _GROUP_BYTES, _GROUP_ROWS, VectorsFile, _known, _Rest, usual_length
from daedalus.parquet.columns.fixed_values import fixed_values, form
from daedalus.parquet.footer import Assembled, in_memory, joined, texts
from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def write_named_vectors(
    path: Path, names: pa.Array, lengths: np.ndarray, dtype: str, blocks: Iterable[np.ndarray]
) -> None:  # fmt: skip
    """As `write_vectors`, of the ids `names`, which ascend; the column `name` comes last."""
    import numpy as np

    dim, kind = usual_length(lengths), np.dtype(dtype)
    width = max(dim * kind.itemsize, 1)
    rows = min(max(_GROUP_BYTES // width, 1), _GROUP_ROWS)
    numbers = np.arange(len(names))
    spans = [slice(begin, begin + rows) for begin in range(0, len(names), rows)]
    tables = [_known(numbers[span], lengths[span]).append_column("name", [names[span]]) for span in spans]
    schema = _known(numbers[:0], lengths[:0]).append_column("name", [names[:0]]).schema
    known, rest = in_memory(schema, tables), _Rest(blocks if dim else ())
    with path.open("wb") as out:
        columns = [("id", known), ("length", known), ("vector", form("vector", width)), ("name", known)]
        file = Assembled(out, joined(columns) | texts({"dim": str(dim), "dtype": kind.name}))
        for group, (span, table) in enumerate(zip(spans, tables, strict=True)):
            usable = lengths[span] == dim if dim else np.zeros(table.num_rows, np.bool_)
            vectors = fixed_values("vector", width, usable, rest.take(int(usable.sum())))
            before, (name,) = [*known.chunks(group, "id"), *known.chunks(group, "length")], known.chunks(group, "name")
            file.add([*before, vectors, name], table.num_rows)
        file.finish()


class Names:
    """The ids of a file of `write_named_vectors`, by number."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            self.texts: pa.Array = whole(file.read(["name"], use_threads=False)["name"])

    def numbers(self, ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """The number of each id, -1 for NULL and for one that is not there."""
        import pyarrow.compute as pc

        return pc.fill_null(pc.index_in(as_text(ids), value_set=self.texts), -1).to_numpy().astype("int64")

    def said(self, number: int) -> str:
        """An id in an error."""
        return repr(self.texts[number].as_py())

    def unusable(self, where: str, vectors: VectorsFile, number: int) -> DayError:
        """As `unusable` of unusable.py, of the vector of that number."""
        import numpy as np

        length = int(vectors.lengths[number])
        if length < 0:
            found = f"a NULL among the {-1 - length} components of id {self.said(number)}"
            return DayError("a vector with a NULL component", where=where, found=found,
                            expected="vectors of numbers alone", hint=_HINT)  # fmt: skip
        alike = np.flatnonzero(vectors.lengths == vectors.dim)[:1].tolist()
        ids = [(length, self.said(number)), *((vectors.dim, self.said(other)) for other in alike)]
        return unequal(where, ids)  # type: ignore[arg-type]


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of text as plain strings."""
    import pyarrow as pa

    return whole(column).cast(pa.string())
