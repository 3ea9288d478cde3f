"""The stateful edge: partitions that appear whole, assembled from narrow artifacts that align by position.

A partition is replaced by exchanging two folders in one system call, so that a reader finds the
old one or the new one under its name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daedalus import digest
from daedalus.durable import swap_folder
from daedalus.skeleton.parquet import ROWS_PER_GROUP, write_parquet
from daedalus.skeleton.ports import Digests, Scratch
from daedalus.skeleton.sql import ROW, TARGET

NO_PARTITION = "no partition"  # the digest of a day without any row


@dataclass(frozen=True)
class OutputColumn:
    """Where a column of the partition comes from: `spine`, `attributes`, or an artifact aligned with `target`."""

    name: str
    source: str


class Partitions:
    """The `dt=` folders of one output root; a `Shelf` whose artifacts are whole partitions."""

    def __init__(
        self,
        root: Path,
        scratch: Scratch,
        digests: Digests,
        replacing: Callable[[str, Path, Path], None] = lambda day, old, new: None,
    ) -> None:
        """`replacing(day, old folder, new folder)` is called just before the new one takes the old one's place."""
        self.root, self._scratch, self._digests = root, scratch, digests
        self.replacing = replacing
        self.written: set[str] = set()

    def stage(self, name: str) -> Path:
        return self._scratch.path()

    def path(self, name: str, artifact: str = "") -> Path:
        return self.root / f"dt={name.rpartition('@')[2]}"

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        parts = sorted(staged.iterdir()) if staged.is_dir() else []
        digests = {part.name: digest.of_file(part) for part in parts}
        size = sum(part.stat().st_size for part in parts)
        found = digest.of_json(digests) if parts else NO_PARTITION
        if self.problem(name, found):
            self._replace(name, staged if parts else None)
            for part, content in digests.items():
                self._digests.note(self.path(name) / part, content)
            self.written.add(name.rpartition("@")[2])
        elif parts:
            shutil.rmtree(staged)
        return found, size

    def problem(self, name: str, artifact: str) -> str:
        folder = self.path(name)
        if not folder.is_dir():
            return "" if artifact == NO_PARTITION else "missing"
        try:
            parts = sorted(n for n in os.listdir(folder) if n.endswith(".parquet") and not n.startswith("."))
            found = digest.of_json({part: self._digests.of(folder / part)[0] for part in parts})
        except OSError as error:
            return f"unreadable ({error.strerror})"
        return "" if found == artifact else "altered"

    def remove(self, day: str) -> bool:
        """Takes away the partition of a day that has no rows any more."""
        name = f"chunk@{day}"
        if not self.path(name).exists():
            return False
        self._replace(name, None)
        return True

    def _replace(self, name: str, staged: Path | None) -> None:
        if staged is not None and self.path(name).is_dir():
            self.replacing(name.rpartition("@")[2], self.path(name), staged)
        swap_folder(staged, self.path(name), self._scratch.path())


class _Cursor:
    """Reads a parquet file forward, in spans of rows, holding one batch at a time."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        self._batches = file.iter_batches(batch_size=ROWS_PER_GROUP, columns=list(columns))
        self._rows = file.schema_arrow.empty_table().select(list(columns))
        self._table = pa.Table
        self.at = 0  # position of the first row held

    def upto(self, end: int) -> Any:
        """The rows from where the last call ended to `end`, exclusive; fewer at the end of the file."""
        import pyarrow as pa

        held = [self._rows]
        have = self._rows.num_rows
        while self.at + have < end and (batch := next(self._batches, None)) is not None:
            held.append(pa.Table.from_batches([batch]))
            have += batch.num_rows
        rows = pa.concat_tables(held)
        taken = rows.slice(0, end - self.at)
        self._rows = rows.slice(end - self.at)
        self.at += taken.num_rows
        return taken


def write_partition(
    folder: Path,
    columns: Sequence[OutputColumn],
    artifacts: Mapping[str, Path],
    chunk_rows: int,
) -> int:
    """Writes `part-N-0.parquet` files of `chunk_rows` rows each but the last; returns the rows written.

    `artifacts` has `spine`, `attributes`, those named by the columns, and `qids` (feed_session, qid)
    when a qid is to be added, last.
    """
    folder.mkdir()
    reader = _PartitionReader(columns, artifacts)
    part = written = 0
    while True:
        rows = _write_part(folder / f"part-{part}-0.parquet", reader, chunk_rows, first=part == 0)
        written += rows
        if rows < chunk_rows:
            return written
        part += 1


def _write_part(path: Path, reader: _PartitionReader, limit: int, *, first: bool) -> int:
    """Writes up to `limit` rows; an empty part only when it is the first."""
    rows = reader.take(min(limit, ROWS_PER_GROUP))
    if not rows.num_rows and not first:
        return 0
    return write_parquet(path, rows.schema, _rest(rows, reader, limit))


def _rest(rows: Any, reader: _PartitionReader, limit: int) -> Iterator[Any]:
    """These rows and those that follow, up to the limit."""
    while rows.num_rows:
        yield rows
        limit -= rows.num_rows
        rows = reader.take(min(limit, ROWS_PER_GROUP))


class _PartitionReader:
    """Puts the columns of a partition together, a span of rows at a time."""

    def __init__(self, columns: Sequence[OutputColumn], artifacts: Mapping[str, Path]) -> None:
        import pyarrow.parquet as pq

        self._columns = columns
        self._qids = pq.read_table(artifacts["qids"]) if "qids" in artifacts else None
        wanted: dict[str, list[str]] = {"attributes": [_bare(TARGET), _bare(ROW)], "spine": []}
        for column in columns:
            wanted.setdefault(column.source, []).append(column.name)
        if self._qids is not None and "feed_session" not in wanted["spine"]:
            wanted["spine"].append("feed_session")
        self._attributes = _Cursor(artifacts["attributes"], wanted.pop("attributes"))
        self._others = {source: _Cursor(artifacts[source], names) for source, names in wanted.items() if names}

    def take(self, count: int) -> Any:
        """The next `count` rows, or what is left."""
        import pyarrow as pa

        rows = self._attributes.upto(self._attributes.at + count)
        found = {"attributes": rows}
        for source, cursor in self._others.items():
            positions = rows[_bare(ROW if source == "spine" else TARGET)]
            found[source] = _align(cursor, positions)
        arrays = {column.name: found[column.source][column.name] for column in self._columns}
        if self._qids is not None:
            arrays["qid"] = self._qids["qid"].take(
                _positions(found["spine"]["feed_session"], self._qids["feed_session"])
            )
        return pa.table({name: array.combine_chunks() for name, array in arrays.items()})


def _align(cursor: _Cursor, positions: Any) -> Any:
    """The cursor's rows at ascending `positions`."""
    import pyarrow.compute as pc

    if not len(positions):
        return cursor.upto(cursor.at)
    base = cursor.at
    return cursor.upto(positions[-1].as_py() + 1).take(pc.subtract(positions, base))


def _positions(values: Any, among: Any) -> Any:
    """Where each value stands in `among`; NULL where it does not."""
    import pyarrow.compute as pc

    return pc.index_in(values, value_set=among.combine_chunks(), skip_nulls=True)


def _bare(quoted: str) -> str:
    return quoted.strip('"')
