"""Writes list columns: per row group a dictionary of values, and lists of their numbers.

A number takes 16 bits (24 if a row group has more than 65,536 values) even where fewer would do. Lists of neighbouring
rows are alike, and Zstd, which compares bytes, finds that in numbers of whole bytes but not in numbers of 13 or 15
bits. Compared with plain 64-bit values the files have three quarters of the size and take a third of the time.
Numbers of 32 bits are not used: some readers compute the mask of the low `width` bits as 0 then. Where 24 bits are too
few, values are written plain. `numbered` orders values by the first column that has them, then ascending, so that a
shorter window's column needs only the first values, and the bytes follow from the lists alone.

Formats: parquet-format's Encodings.md (PLAIN, RLE_DICTIONARY, the RLE/bit-packing hybrid) and parquet.thrift.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from daedalus.parquet import footer
from daedalus.parquet.footer import Chunk, ParquetFooter, in_memory
from daedalus.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Struct, read_head, write_next, write_struct

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_PLAIN, _RLE, _RLE_DICTIONARY, _ZSTD = 0, 3, 8, 6  # Encoding, CompressionCodec
PAGE_TYPE, PAGE_UNPACKED, PAGE_PACKED = 1, 2, 3  # PageHeader: type, sizes in bytes unpacked and packed
DATA_HEAD, DICTIONARY_HEAD = 5, 7  # PageHeader: the header for the page's type
PAGE_VALUES = 1  # DataPageHeader, DictionaryPageHeader: the number of values
_DATA, _DICTIONARY = (0, DATA_HEAD), (2, DICTIONARY_HEAD)  # (PageType, its field in PageHeader)
_LEVEL = 2  # of Zstd: with numbers of 16 bits higher levels find no more
FAST = 1  # a fifth less time than 2, for a hundredth more bytes
_WIDTHS = {2: 16, 4: 24}  # bits of a number in the file, by its bytes in memory
_MOST_NUMBERED = 1 << 24  # values of a row group that 24 bits can number
_FEW_KEYS = 4096  # with fewer, to compare them is as fast as to count their digits
_PAGE_VALUES = 1 << 22  # a page ends with the row that reaches so many; sizes of pages must fit in 31 bits


@dataclass(frozen=True)
class Lists:
    """Rows of list columns in which a row's list in one column is a prefix of its list in the next.

    `codes` are indices into `values`, which are distinct and need not all occur. A row's list in the last column
    begins at `begins` in `codes`; `sizes` are the lengths by row and column. `page` is the dictionary page of
    `values`, compressed with its header, if they were read from a file; else empty. `firsts` is for each value the
    first column whose lists have it, or the number of columns, if that is known of these rows.
    """

    codes: np.ndarray
    begins: np.ndarray
    sizes: np.ndarray
    values: pa.Array
    page: bytes = b""
    firsts: np.ndarray | None = None


@lru_cache(256)
def form_of(schema: pa.Schema) -> ParquetFooter:
    """The footer that pyarrow writes for these columns in a file without rows: source of the schema elements."""
    return in_memory(schema, [])


def decoded(lists: Lists, schema: pa.Schema) -> pa.Table:
    """The lists as Arrow columns."""
    import numpy as np
    import pyarrow as pa

    from daedalus.parquet import compiled_lists

    columns = []
    for sizes in lists.sizes.T:
        codes = np.empty(sizes.sum(), lists.codes.dtype)
        compiled_lists.prefixes(lists.codes, lists.begins, sizes, codes)
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        columns.append(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lists.values.take(pa.array(codes))))
    return pa.Table.from_arrays(columns, schema=schema)


def chunks_of(schema: pa.Schema, lists: Lists, level: int = _LEVEL) -> Iterator[Chunk]:
    """The column chunks of a row group of lists, all of one type.

    Codes are written as they are, packed by that level of Zstd; values by the usual one, for their page may be copied.
    Types that `has_plain` does not know are written by pyarrow.
    """
    if not has_plain(schema.field(0).type.value_type):
        file = in_memory(schema, [decoded(lists, schema)])
        yield from (chunk for name in schema.names for chunk in file.chunks(0, name))
        return
    last = lists.sizes.shape[1] - 1
    for column, found in enumerate(form_of(schema).columns.values()):
        chunk, whole = _Chunk(level), column == last  # only the last column may need all values
        numbered = len(lists.values) <= _MOST_NUMBERED
        for rows in _pages(lists.sizes[:, column]):
            taken = (lists.codes, lists.begins[rows], lists.sizes[rows, column])
            chunk.add_lists(*taken, not whole) if numbered else chunk.add_plain(*taken, lists.values)
        if numbered:
            chunk.add_values(lists.values, whole, lists.page)
        yield chunk.made(found.elements)


@cache
def zstd(level: int = _LEVEL) -> pa.Codec:
    import pyarrow as pa

    return pa.Codec("zstd", compression_level=level)


def numbered(pieces: Sequence[Lists]) -> Lists:
    """The rows of all pieces over one dictionary: the values that occur, by first column and then ascending.

    So the result depends on the lists alone, not on how the pieces numbered them. Its codes, uint16 if they fit,
    are the lists of the last column, row by row, and nothing else.
    """
    import numpy as np
    import pyarrow as pa

    from daedalus.parquet import compiled_lists

    sizes = pieces[0].sizes if len(pieces) == 1 else np.concatenate([piece.sizes for piece in pieces])
    ends = np.cumsum(sizes[:, -1])
    # For each value of a piece the first column that has it; only of those that occur is anything made.
    found = [_firsts(piece) for piece in pieces]
    one = pieces[0]
    if len(pieces) == 1 and len(one.values) <= 1 << 16:
        ascending = _order(_keys(one.values))
        places, codes = compiled_lists.number_lists(found[0], ascending, one.codes, one.begins, sizes)
        return Lists(codes, ends - sizes[:, -1], sizes, one.values.take(pa.array(places)))
    used = [np.flatnonzero(columns < sizes.shape[1]) for columns in found]
    several, distinct, places = _ascending([_some(one.values, some) for one, some in zip(pieces, used, strict=True)])
    first = np.full(len(distinct), sizes.shape[1], np.int16)
    for columns, some, place in zip(found, used, places, strict=True):
        first[place] = np.minimum(first[place], columns[some])
    order = np.argsort(first, kind="stable")  # so ascending within a column
    numbers = np.zeros(len(distinct), np.uint16 if len(order) <= 1 << 16 else np.uint32)
    numbers[order] = np.arange(len(order))
    codes, filled = np.empty(ends[-1], numbers.dtype), 0
    for piece, some, place in zip(pieces, used, places, strict=True):
        of_value = np.zeros(len(piece.values), numbers.dtype)
        of_value[some] = numbers[place]
        filled = compiled_lists.put_numbers(piece.codes, piece.begins, piece.sizes[:, -1], of_value, codes, filled)
    return Lists(codes, ends - sizes[:, -1], sizes, several.take(pa.array(distinct[order])))


def _firsts(lists: Lists) -> np.ndarray:
    """For each value the first column whose lists have it, or the number of columns."""
    from daedalus.parquet import compiled_lists

    if lists.firsts is not None:
        return lists.firsts
    return compiled_lists.first_columns(lists.codes, lists.begins, lists.sizes, len(lists.values))


def _some(values: pa.Array, places: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return values if len(places) == len(values) else values.take(pa.array(places))


def _ascending(several: Sequence[pa.Array]) -> tuple[pa.Array, np.ndarray, list[np.ndarray]]:
    """(several arrays as one; where in it the distinct values are, ascending; for each array the indices of its values
    among those)."""
    import numpy as np
    import pyarrow as pa

    whole = pa.concat_arrays(several) if len(several) > 1 else several[0]
    keys = _keys(whole)
    order = _order(keys)
    ascending = keys[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = ascending[1:] != ascending[:-1]
    places = np.empty(len(order), np.int64)
    places[order] = np.cumsum(new) - 1
    return whole, order[new], np.split(places, np.cumsum([len(values) for values in several])[:-1])


def _order(keys: np.ndarray) -> np.ndarray:
    """The positions of whole numbers in ascending order, those of equal ones in theirs."""
    import numpy as np

    least, most = (int(keys.min()), int(keys.max())) if len(keys) else (0, 0)
    if len(keys) < _FEW_KEYS or most - least >= 1 << 63:
        return np.argsort(keys, kind="stable")
    above = keys - keys.dtype.type(least) if keys.dtype == np.uint64 else keys.astype(np.int64) - least
    # numpy counts digits of 16 bits, and compares longer numbers.
    order = np.argsort(above.astype(np.uint16), kind="stable")
    for shift in range(16, (most - least).bit_length(), 16):
        order = order[np.argsort((above[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def _keys(values: pa.Array) -> np.ndarray:
    """Numbers that ascend as values do. Those of floats are their bits, since 0.0 and -0.0 are equal and would be in
    any order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_integer(kind):
        return values.to_numpy()
    if kind in (pa.float32(), pa.float64()) or pa.types.is_temporal(kind):
        return values.view(pa.int64() if kind.bit_width == 64 else pa.int32()).to_numpy()
    return pc.rank(values, tiebreaker="dense").to_numpy()


def _pages(sizes: np.ndarray) -> Iterator[slice]:
    """The rows of each page of a column whose lists have these sizes."""
    import numpy as np

    if sizes.sum() < _PAGE_VALUES:
        return iter([slice(0, len(sizes))])
    page = (np.cumsum(sizes) - sizes) // _PAGE_VALUES
    cuts = [0, *(np.flatnonzero(np.diff(page)) + 1).tolist(), len(sizes)]
    return (slice(begin, end) for begin, end in pairwise(cuts))


class _Chunk:
    """Builds a column chunk: pages of lists, and the dictionary page, which is made last and written first."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._values_page: Sequence[Any] = ()  # a header and the compressed values
        self._pages: list[Any] = []  # headers and compressed lists, in turn
        self._entries = self._unpacked = self._values = 0  # entries, bytes before compression, values needed so far

    def add_lists(self, codes: np.ndarray, begins: np.ndarray, sizes: np.ndarray, most: bool) -> None:
        """Adds a page of numbers; with `most` notes which values they need."""
        from daedalus.parquet import compiled_lists

        values = int(sizes.sum())
        room = _room(compiled_lists.page_room(len(sizes), values))
        width = _WIDTHS[codes.itemsize]
        begin, end, needed, entries = compiled_lists.fill_page(codes, begins, sizes, values, width, most, room)
        self._values = max(self._values, needed)
        self._add_page(entries, _RLE_DICTIONARY, room[begin:end])

    def add_plain(self, codes: np.ndarray, begins: np.ndarray, sizes: np.ndarray, values: pa.Array) -> None:
        """Adds a page of plain values: the levels, then the values themselves."""
        import numpy as np
        import pyarrow as pa

        from daedalus.parquet import compiled_lists

        taken = np.empty(sizes.sum(), codes.dtype)
        compiled_lists.prefixes(codes, begins, sizes, taken)
        room = _room(compiled_lists.page_room(len(sizes), 0))
        end, entries = compiled_lists.put_levels(sizes, room, 0)
        plain = memoryview(_plain(values.take(pa.array(taken))))
        self._add_page(entries, _PLAIN, room[:end].tobytes() + plain)

    def _add_page(self, entries: int, encoding: int, page: Any) -> None:
        self._pages += self._page(_DATA, (entries, encoding, _RLE, _RLE), page, self._level)
        self._entries += entries

    def add_values(self, values: pa.Array, whole: bool, page: bytes) -> None:
        """Sets the dictionary: all values if `whole`, else those up to the last that occurs.

        A `page` of all values that was read from a file is copied, header and all.
        """
        if whole and page:
            head, begin = read_head(page, 0)
            self._unpacked += begin + head[PAGE_UNPACKED][1]
            self._values_page = (page,)
        else:
            values = values if whole else values[: self._values]
            self._values_page = self._page(_DICTIONARY, (len(values), _PLAIN), _plain(values))

    def made(self, elements: Sequence[Struct]) -> Chunk:
        """The chunk. `elements` are the column's schema elements."""
        data = [*self._values_page, *self._pages]
        begin, packed = sum(map(len, self._values_page)), sum(map(len, data))
        path = tuple(element[footer.NAME][1] for element in elements)
        said = bytearray(_said(elements[-1][footer.TYPE][1], path, begin > 0))
        write_next(said, I64, self._entries, self._unpacked, packed)  # VALUES, UNPACKED, PACKED
        said.append((footer.DATA_PAGE - footer.PACKED) << 4 | I64)
        if not begin:
            return Chunk(data, (bytes(said), b""), (0,), self._unpacked, packed)
        dictionary = bytes([(footer.DICTIONARY_PAGE - footer.DATA_PAGE) << 4 | I64])
        return Chunk(data, (bytes(said), dictionary, b""), (begin, 0), self._unpacked, packed)

    def _page(
        self, kind: tuple[int, int], header: Sequence[int], data: Any, level: int = _LEVEL
    ) -> tuple[bytes, pa.Buffer]:
        """(header, compressed data) of a page; `kind` is (PageType, its field in PageHeader), with a `header` in it."""
        packed = zstd(level).compress(data)
        number, field = kind
        head = bytearray()
        write_next(head, I32, number, len(data), packed.size)  # PAGE_TYPE, PAGE_UNPACKED, PAGE_PACKED
        head.append((field - PAGE_PACKED) << 4 | STRUCT)
        write_next(head, I32, *header)
        head += b"\0\0"  # the ends of both
        self._unpacked += len(head) + len(data)
        return bytes(head), packed


_rooms = threading.local()


def _room(size: int) -> np.ndarray:
    """Memory for a page, the same for all pages of a thread: fresh memory costs as much as filling it."""
    import numpy as np

    room: np.ndarray | None = getattr(_rooms, "room", None)
    if room is None or len(room) < size:
        room = _rooms.room = np.empty(size, np.uint8)
    return room


@lru_cache(256)
def _said(kind: int, path: tuple[bytes, ...], numbered: bool) -> bytes:
    """The first fields of a chunk's ColumnMetaData, up to CODEC."""
    said: Struct = {
        footer.TYPE: (I32, kind),
        footer.ENCODINGS: (LIST, (I32, [_PLAIN, _RLE] + [_RLE_DICTIONARY] * numbered)),
        footer.PATH: (LIST, (BINARY, list(path))),
        footer.CODEC: (I32, _ZSTD),
    }
    return write_struct(said)[:-1]


def has_plain(kind: pa.DataType) -> bool:
    """Whether this file can write values of a type: those with the same bytes in Arrow and PLAIN, and strings."""
    import pyarrow as pa

    alike = (pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.date32(), pa.timestamp("us"))
    return kind in (*alike, pa.string())


def _plain(values: pa.Array) -> bytes | pa.Buffer:
    """Values in parquet's PLAIN encoding."""
    import pyarrow as pa

    if values.type == pa.string():
        texts = (value.encode() for value in values.to_pylist())
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    width = values.type.bit_width // 8
    return values.buffers()[1].slice(values.offset * width, len(values) * width)
