"""Pools of vectors for a world: of any size, written a batch at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

TABLE, COLUMNS = "artwork_embedding", ("artwork_id", "vector")
UNUSED = -(10**9)  # from here on downwards there are ids that no row has
_BATCH = 1 << 22  # floats


class WorldPool:
    """The pool of a world's artworks; `root` is the world's."""

    def __init__(self, root: Path) -> None:
        self.folder, self._stamp = root / "data/embeddings", root / "data/pool.json"
        self._path = self.folder / f"{TABLE}.lance"

    def make(self, floats: int, rows: int | None = None) -> None:
        """Vectors of so many floats for the ids that the pool has, and, up to `rows`, for ids that no row has.

        Leaves a pool that is the same already.
        """
        import lance

        said = json.dumps([floats, rows])
        if self._stamp.exists() and self._stamp.read_text() == said:
            return
        ids = np.unique(lance.dataset(str(self._path)).to_table(["artwork_id"])["artwork_id"].to_numpy())
        ids = ids[ids > UNUSED]
        more = UNUSED - np.arange(max((rows or 0) - len(ids), 0))
        batches = _batches(np.concatenate([ids, more]), floats)
        shutil.rmtree(self._path)
        lance.write_dataset(batches, str(self._path), schema=_schema(floats))
        self._stamp.write_text(said)

    @contextmanager
    def grown(self, count: int) -> Iterator[None]:
        """Meanwhile the pool has more vectors, of ids that no row has."""
        import lance

        table, before = lance.dataset(str(self._path)), self._files()
        floats, first = table.schema.field("vector").type.list_size, UNUSED - table.count_rows()
        lance.write_dataset(_batches(first - np.arange(count), floats), str(self._path), schema=_schema(floats),
                            mode="append")  # fmt: skip
        yield
        for file in self._files() - before:
            file.unlink()

    def _files(self) -> set[Path]:
        """An append leaves the table's older ones as they are."""
        return {path for path in self._path.rglob("*") if path.is_file()}


def _schema(floats: int) -> pa.Schema:
    kinds = (pa.int64(), pa.list_(pa.float32(), floats))
    return pa.schema(list(zip(COLUMNS, kinds, strict=True)))


def _batches(ids: np.ndarray, floats: int) -> Iterator[pa.RecordBatch]:
    """Rows in random directions, of length 1 or so."""
    rng, rows = np.random.default_rng(11), max(_BATCH // floats, 1)
    for begin in range(0, len(ids), rows):
        some = ids[begin : begin + rows]
        values = rng.standard_normal(len(some) * floats, np.float32) / np.float32(floats**0.5)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), floats)
        yield pa.record_batch([pa.array(some), vectors], schema=_schema(floats))
