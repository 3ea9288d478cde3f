"""Reads columns of row groups, in the types of the last partition: lists as they lie in pages, the rest by Arrow."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daedalus.base.errors import DaedalusError
from daedalus.base.file_stat import Stat, stat_of
from daedalus.loading.published import Published, day_of, key_of
from daedalus.parquet.lists.column_lists import Chunk, ReadLists, read_lists
from daedalus.torch.lists import lists_of, only

_PLAIN_TYPES = {pa.int32(): "i4", pa.int64(): "i8", pa.float16(): "f2", pa.float32(): "f4", pa.float64(): "f8"}
_CODECS = {"UNCOMPRESSED": None, "ZSTD": "zstd", "SNAPPY": "snappy"}
_NEAR = 1 << 16  # bytes that are read for nothing rather than asked for by another call
_KEPT_OPEN = 128  # parts
_END = 8  # bytes of a file: how many its footer has, and "PAR1"


@dataclass(frozen=True)
class Columns:
    """Rows of some columns: lists of one row group or of several, one after the other, and all else as a table."""

    rows: int
    table: pa.Table
    lists: Mapping[str, Sequence[ReadLists]]

    @classmethod
    def joined(cls, several: Sequence[Columns]) -> Columns:
        """Rows that follow each other."""
        lists = {name: [one for some in several for one in some.lists[name]] for name in several[0].lists}
        return cls(sum(some.rows for some in several), pa.concat_tables([some.table for some in several]), lists)

    def filter(self, keep: np.ndarray) -> Columns:
        """Some of the rows, without memory that only others need."""
        lists = {name: _only(some, keep) for name, some in self.lists.items()}
        table = self.table.filter(pa.array(keep)) if self.table.num_columns else self.table
        return Columns(int(keep.sum()), table, lists)


def _only(several: Sequence[ReadLists], keep: np.ndarray) -> list[ReadLists]:
    ends = np.cumsum([len(some.lengths) for some in several])
    return [only(some, part) for some, part in zip(several, np.split(keep, ends[:-1]), strict=True)]


class _Open(NamedTuple):
    """An open part: as pyarrow reads it, its columns, and its bytes. To ask pyarrow for the columns takes a while."""

    file: pq.ParquetFile
    schema: pa.Schema
    source: pa.NativeFile


class _OpenParts:
    """Parts that were opened before, and that nobody reads: to open one takes as long as reading two of its columns."""

    def __init__(self) -> None:
        self._free: dict[str, tuple[int, Stat, _Open]] = {}  # by path: the process, and what `stat` said of the file
        self._lock = Lock()

    def __reduce__(self) -> tuple:
        return _OpenParts, ()

    @contextmanager
    def lent(self, path: str, opened: Callable[[], _Open]) -> Iterator[_Open]:
        """What lies there, and nobody else reads meanwhile; a process takes none that it has of the one it was forked
        from. `opened()` opens it."""
        now = os.getpid(), stat_of(path)
        with self._lock:
            *then, file = self._free.pop(path, (None,))
        if file is None or (*then,) != now:
            file = opened()
        yield file
        with self._lock:
            self._free[path] = *now, file
            if len(self._free) > _KEPT_OPEN:
                del self._free[next(iter(self._free))]


class PartReader:
    """Columns of published parts. A column that a part lacks is NULL there; one of another type is converted."""

    def __init__(self, published: Published, columns: Sequence[str], labelled: str | None = None) -> None:
        """`labelled` is the column of events, if there are labels: its text is read as a dictionary where it is one."""
        self._published, self._columns, self._threads = published, columns, True
        self._labelled, self._schema = labelled, published.schema
        self._leaves: dict[str, int] = {}  # where in a file columns were last
        self._open_parts = _OpenParts()

    def with_threads(self, threads: bool) -> PartReader:
        """The same, which reads with all of Arrow's threads or with that of its caller alone."""
        other = copy(self)
        other._threads, other._open_parts = threads, self._open_parts
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Without the client of an object store: another process opens its own, and its own parts."""
        return {**self.__dict__, "_published": replace(self._published)}

    def footer(self, part: int) -> Any:
        """What pyarrow reads of the end of a part file."""
        return self._open(part).file.metadata

    def width(self, footer: Any) -> int:
        """About how many bytes the columns have in memory."""
        found, names = 0, set(self._columns)
        for group in range(footer.num_row_groups):
            chunks = map(footer.row_group(group).column, range(footer.num_columns))
            found += sum(c.num_values * _width(c) for c in chunks if c.path_in_schema.partition(".")[0] in names)
        return found

    def read(self, part: int, groups: Sequence[int], lists: Mapping[str, bool]) -> Columns:
        """The columns of some row groups of a part, in order. Raises DaedalusError if that cannot be had.

        Those of `lists` are read as lists; its values say whether to keep their NULL items.
        """
        with self._lent(part) as file:
            try:
                found = self._lists(file, groups, lists)
            except OSError as error:
                raise self._unreadable(part, error) from None
            rest = [name for name in self._columns if name not in found]
            table = self._table(file, part, groups, rest)
            rows = sum(file.file.metadata.row_group(group).num_rows for group in groups)
        for name, keep in lists.items():
            if name not in found:
                found[name] = [lists_of(only_chunk(table[name]), keep_nulls=keep)]
        return Columns(rows, table.select([name for name in rest if name not in lists]), found)

    def table(self, part: int, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Some columns of row groups as Arrow's table, else as `read`."""
        return self._table(self._open(part), part, groups, columns)

    def first_lists(self, part: int, column: str) -> Iterable[pa.Array]:
        """The lists of a column of a part, a few at a time; none if the part does not have it."""
        file = self._open(part)
        if column in file.schema.names:
            for batch in file.file.iter_batches(256, columns=[column]):
                yield batch.column(0)

    def _table(self, file: _Open, part: int, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        there = [name for name in columns if name in file.schema.names]
        if not columns:
            return pa.table({})
        try:
            table = file.file.read_row_groups(list(groups), there or file.schema.names[:1], use_threads=self._threads)
            return pa.table([self._column(table, name, part) for name in columns], columns)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(part, error) from None

    def _lists(self, file: _Open, groups: Sequence[int], names: Mapping[str, bool]) -> dict[str, list[ReadLists]]:
        """The lists of each row group as they lie in pages, but of columns that Arrow has to read.

        Objects in a bucket are read by Arrow, which asks for columns at once.
        """
        leaves = {} if self._published.remote else {name: self._leaf_of(file, name) for name in names}
        found: dict[str, list[ReadLists]] = {name: [] for name, leaf in leaves.items() if leaf is not None}
        for group in groups:
            of_group = file.file.metadata.row_group(group)
            stored = {name: of_group.column(leaves[name]) for name in found}
            stored = {name: chunk for name, chunk in stored.items() if chunk.compression in _CODECS}
            data = _stored(file.source, list(stored.values()))
            chunks = [self._chunk(name, some, chunk.compression, names[name])
                      for (name, chunk), some in zip(stored.items(), data, strict=True)]  # fmt: skip
            read = dict(zip(stored, read_lists(chunks, of_group.num_rows), strict=True))
            found = {name: [*before, lists] for name, before in found.items() if (lists := read.get(name)) is not None}
        return found

    def _chunk(self, name: str, data: np.ndarray, compression: str, keep_nulls: bool) -> Chunk:
        dtype, codec = np.dtype(_PLAIN_TYPES[self._schema.field(name).type.value_type]), _CODECS[compression]
        return Chunk(data, dtype, pa.Codec(codec) if codec else None, not keep_nulls)

    def _leaf_of(self, file: _Open, name: str) -> int | None:
        """Where in a file the column is, if it is one of lists that may be read as they lie."""
        kind = self._schema.field(name).type
        found = _leaf(file, name, kind, self._leaves.get(name, 0)) if _is_list(kind) else None
        if found is not None:
            self._leaves[name] = found
        return found

    def _column(self, table: pa.Table, name: str, part: int) -> Any:
        kind = self._schema.field(name).type
        if name == "dt":
            day = pa.scalar(day_of(self._published.paths[part]), kind)
            return pa.repeat(day, table.num_rows)
        if name not in table.schema.names:
            return pa.nulls(table.num_rows, kind)
        found = table[name].type
        numbered = name == self._labelled and pa.types.is_dictionary(found) and found.value_type == kind
        return table[name] if numbered or found == kind else table[name].cast(kind)

    def _lent(self, part: int) -> AbstractContextManager[_Open]:
        """An open part, which nobody else reads meanwhile."""
        opened = partial(self._open, part)
        if self._published.remote:
            return nullcontext(opened())
        return self._open_parts.lent(key_of(self._published.paths[part]), opened)

    def _open(self, part: int) -> _Open:
        path = self._published.paths[part]
        try:
            source = self._published.system.open_input_file(key_of(path))
            metadata, schema = (None, None) if self._published.remote else _footer_of(source)
            labelled = [self._labelled] if self._labelled else None
            file = pq.ParquetFile(source, metadata=metadata, read_dictionary=labelled)
            return _Open(file, schema or file.schema_arrow, source)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(part, error) from None

    def _unreadable(self, part: int, error: Exception) -> DaedalusError:
        found = getattr(error, "strerror", None) or str(error)
        return DaedalusError("a part file cannot be read", where=self._published.paths[part], found=found,
                             hint="if it was replaced, make the data set again, or use a snapshot")  # fmt: skip


def _footer_of(source: pa.NativeFile) -> tuple[Any, pa.Schema] | tuple[None, None]:
    """What pyarrow makes of the footer of a file, and the schema; nothing where it has to say that there is none."""
    size = source.size()
    end = source.read_at(_END, max(size - _END, 0))
    footer = int.from_bytes(end[:4], "little") + _END
    if footer > size or not end.endswith(b"PAR1"):
        return None, None
    return _parsed(source.read_at(footer, size - footer))


@lru_cache(maxsize=128)
def _parsed(footer: bytes) -> tuple[Any, pa.Schema]:
    """The same of what a file ends with. Row groups are drawn from all files, and to parse a footer anew for each takes
    as long as reading a column; by its bytes, that of a file that was replaced is another one."""
    metadata = pq.read_metadata(pa.BufferReader(footer))
    return metadata, metadata.schema.to_arrow_schema()


def _stored(source: pa.NativeFile, chunks: Sequence[Any]) -> list[np.ndarray]:
    """The bytes of column chunks. Those near each other are read at once, but for what stays in memory as it is."""
    spans = [_span(chunk) for chunk in chunks]
    runs: list[list[int]] = []
    for begin, end, alone in sorted(spans):
        if not runs or alone or runs[-1][2] or begin > runs[-1][1] + _NEAR:
            runs.append([begin, end, alone])
        else:
            runs[-1][1] = max(runs[-1][1], end)
    read = [np.frombuffer(source.read_at(end - begin, begin), np.uint8) for begin, end, _ in runs]
    begins = [begin for begin, _, _ in runs]
    found = []
    for begin, end, _ in spans:
        run = bisect_right(begins, begin) - 1
        found.append(read[run][begin - begins[run] : end - begins[run]])
    return found


def _span(chunk: Any) -> tuple[int, int, bool]:
    """(where a column chunk begins in its file, where it ends, whether it is not compressed)."""
    begin = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
    return begin, begin + chunk.total_compressed_size, _CODECS[chunk.compression] is None


def _width(chunk: Any) -> int:
    """Bytes of a value, at most, of the types that a tensor can have."""
    return {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "FIXED_LEN_BYTE_ARRAY": 2}.get(chunk.physical_type, 8)


def _is_list(kind: pa.DataType) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and kind.value_type in _PLAIN_TYPES


def _leaf(file: _Open, name: str, kind: pa.DataType, guess: int) -> int | None:
    """The place of a column of lists in its file, if it has the type that is wanted and may have NULLs everywhere.

    It is looked for at `guess` first: to look at all columns takes as long as reading one of them.
    """
    schema = file.file.schema
    if name not in file.schema.names or file.schema.field(name).type != kind:
        return None
    for leaf in (guess if guess < len(schema) else 0, *range(len(schema))):
        column = schema.column(leaf)
        if column.path.partition(".")[0] == name:
            levels = column.max_definition_level, column.max_repetition_level
            return leaf if levels == (3, 1) else None
    return None


def only_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
