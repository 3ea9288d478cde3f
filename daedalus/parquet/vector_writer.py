"""Writes columns of vectors: lists of equally many floats, of which some rows have none.

A column chunk is PLAIN pages of about a megabyte, each written as soon as it is made. Its codec is tried on its first
page with vectors: Zstd 1 where it takes a quarter off, none elsewhere.

Measured with pyarrow on 85,000 rows, as (seconds to write, to read, size by that of the floats). Vectors are random, of
length 1; `ids` has 20,000 of them in any order, and in `means` a row has its neighbour's in runs of 1 to 20:

                   256 floats: ids     means              768 floats: ids     means
    PLAIN          0.38 0.29 1.00    0.32 0.20 1.00     0.93 0.39 1.00    0.79 0.40 1.00
    PLAIN, LZ4     0.43 0.28 1.00    0.29 0.21 0.10     1.04 0.69 1.00    0.69 0.34 0.10
    PLAIN, Zstd 1  0.45 0.22 0.92    0.33 0.15 0.09     1.26 0.90 0.93    0.76 0.34 0.09
    PLAIN, Zstd 3  0.47 0.19 0.91    0.42 0.13 0.09     1.61 0.75 0.92    0.85 0.37 0.09
    split, Zstd 1  0.49 0.17 0.84    0.37 0.13 0.08     1.28 0.47 0.85    0.93 0.49 0.08
    split, Zstd 3  0.76 0.19 0.84    0.46 0.20 0.09     1.71 0.84 0.86    1.07 0.56 0.09

So floats that do not repeat gain a twelfth by Zstd, and the time of it is more than that of all else here; repeats
gain all that there is to gain at its lowest level. Which a column has is a matter of its rows, not of its kind:
means may all differ, the same artwork may be seen in many rows, and floats that were float16 once are half zeros. So
it is tried. BYTE_STREAM_SPLIT saves a twelfth more, takes longer, and not every reader has it, least of all for
FLOAT16. float16 gives the same picture.

Formats: parquet-format's Encodings.md (PLAIN, the RLE/bit-packing hybrid), its README on nested columns, and
parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from daedalus.parquet import footer
from daedalus.parquet.footer import Chunk, ParquetFooter
from daedalus.parquet.list_writer import DATA_HEAD, PAGE_PACKED, form_of
from daedalus.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Struct, write_next, write_struct, write_varint

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_DATA_PAGE, _PLAIN, _RLE, _NONE, _ZSTD = 0, 0, 3, 0, 6  # PageType, Encoding, CompressionCodec
_LEVEL = 1  # of Zstd
_WORTH = 0.75  # of a page's bytes: what is left by a codec that pays
_PAGE_BYTES = 1 << 20  # of a page's vectors, if it may not have one more

Run = Callable[[Iterator[Callable[[], Any]]], Iterator[Any]]  # what makes pages, such as side_by_side


class Vectors(NamedTuple):
    """Rows of a column: `places` are where their vectors are, below 0 for a row without; `take(places)` gives the
    vectors, of `length` floats, as a matrix of any type of floats."""

    places: np.ndarray
    take: Callable[[np.ndarray], np.ndarray]
    length: int


def in_turn(pages: Iterator[Callable[[], Any]]) -> Iterator[Any]:
    """Makes pages in this thread."""
    return (make() for make in pages)


def form(name: str, dtype: str) -> ParquetFooter:
    """The footer of a file with such a column alone; `dtype` is float32 or float16."""
    import pyarrow as pa

    kind = pa.float16() if dtype == "float16" else pa.float32()
    return form_of(pa.schema([(name, pa.list_(pa.field("element", kind)))]))


def write_vectors(
    out: BinaryIO, name: str, dtype: str, pieces: Sequence[Vectors], run: Run = in_turn
) -> Chunk:  # fmt: skip
    """Writes the column chunk of a row group's rows, which are those of all `pieces`; their vectors are equally long,
    or of length 0 for a piece without any.

    Returns the chunk without its data, as `Assembled.add` may be given it when all chunks before it are written.
    """
    length = max((some.length for some in pieces), default=0)
    rows = max(_PAGE_BYTES // (length * (2 if dtype == "float16" else 4)), 1) if length else 1 << 30
    cut = list(_cut(pieces, rows))
    codec = _codec_for(cut, dtype)
    entries = unpacked = packed = 0
    for count, raw, head, data in run(partial(_page, some, dtype, codec) for some in cut):
        out.write(head)
        out.write(data)
        entries, unpacked, packed = entries + count, unpacked + len(head) + raw, packed + len(head) + len(data)
    said = bytearray(_said(name, dtype, codec))
    write_next(said, I64, entries, unpacked, packed)  # VALUES, UNPACKED, PACKED
    said.append((footer.DATA_PAGE - footer.PACKED) << 4 | I64)
    return Chunk((), (bytes(said), b""), (0,), unpacked, packed)


def _cut(pieces: Sequence[Vectors], rows: int) -> Iterator[list[Vectors]]:
    """The pieces of each page of so many rows."""
    page: list[Vectors] = []
    free = rows
    for piece in pieces:
        at = 0
        while at < len(piece.places):
            some = piece._replace(places=piece.places[at : at + free])
            page.append(some)
            at, free = at + len(some.places), free - len(some.places)
            if not free:
                yield page
                page, free = [], rows
    if page:
        yield page


def _codec_for(pages: Sequence[Sequence[Vectors]], dtype: str) -> int:
    """The codec that pays for a chunk, by its first page that has vectors."""
    for pieces in pages:
        if any((piece.places >= 0).any() for piece in pieces):
            _, plain = _plain_page(pieces, dtype)
            return _ZSTD if _zstd().compress(plain).size <= _WORTH * len(plain) else _NONE
    return _NONE


@cache
def _zstd() -> pa.Codec:
    import pyarrow as pa

    return pa.Codec("zstd", compression_level=_LEVEL)


def _page(pieces: Sequence[Vectors], dtype: str, codec: int) -> tuple[int, int, bytes, Any]:
    """(entries, bytes before compression, header, data) of a page."""
    entries, plain = _plain_page(pieces, dtype)
    data = plain if codec == _NONE else _zstd().compress(plain)
    head = bytearray()
    write_next(head, I32, _DATA_PAGE, len(plain), len(data))  # PAGE_TYPE, PAGE_UNPACKED, PAGE_PACKED
    head.append((DATA_HEAD - PAGE_PACKED) << 4 | STRUCT)
    write_next(head, I32, entries, _PLAIN, _RLE, _RLE)
    head += b"\0\0"  # the ends of both
    return entries, len(plain), bytes(head), data


def _plain_page(pieces: Sequence[Vectors], dtype: str) -> tuple[int, np.ndarray]:
    """(entries, bytes) of a page before it is compressed."""
    import numpy as np
    import pyarrow as pa

    places = [piece.places for piece in pieces]
    has = (places[0] if len(places) == 1 else np.concatenate(places)) >= 0
    length, count = max(piece.length for piece in pieces), int(np.count_nonzero(has))
    levels = _levels(has, length)
    size = count * length * np.dtype(dtype).itemsize
    # Memory of Arrow's pool, which is reused for the next page: fresh memory costs as much as filling it.
    room = np.frombuffer(pa.allocate_buffer(len(levels) + size + 4), np.uint8)
    begin = -len(levels) % 4  # so that floats are aligned in memory
    middle = begin + len(levels)
    room[begin:middle] = np.frombuffer(levels, np.uint8)
    matrix, filled = room[middle : middle + size].view(dtype).reshape(count, length), 0
    for piece in pieces:
        if len(taken := piece.places[piece.places >= 0]):
            _put(piece.take(taken), matrix[filled : filled + len(taken)])
            filled += len(taken)
    return count * max(length, 1) + len(has) - count, room[begin : middle + size]


def _put(vectors: np.ndarray, out: np.ndarray) -> None:
    """Writes vectors in the type of `out`: rounded once, and NaN as one value, which else were up to the processor."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        out[...] = vectors
    if vectors.dtype != out.dtype and (nan := np.isnan(vectors)).any():
        out[nan] = np.nan


def _levels(has: np.ndarray, length: int) -> bytes:
    """The repetition and the definition levels of rows, which have vectors of this length or none, each behind its
    length in 4 bytes.

    Repetition is 0 for a row's first entry, else 1; definition is 3 for a float, 1 for a vector of length 0, and 0 for
    a row without one.
    """
    import numpy as np

    alone = _run(1, 0)
    whole = alone + (_run(length - 1, 1) if length > 1 else b"")
    repeated = whole * len(has) if has.all() else b"".join(map((alone, whole).__getitem__, has.tolist()))
    ends = [*(np.flatnonzero(has[1:] != has[:-1]) + 1).tolist(), len(has)]
    begins = [0, *ends[:-1]]
    defined = b"".join(
        _run((end - begin) * max(length, 1), 3 if length else 1) if has[begin] else _run(end - begin, 0)
        for begin, end in zip(begins, ends, strict=True)
    )
    return b"".join(len(level).to_bytes(4, "little") + level for level in (repeated, defined))


@lru_cache(4096)
def _run(count: int, level: int) -> bytes:
    """A run of equal levels: a varint, the count shifted left by 1 (bit 0 is 0 for a run), then the level in a byte."""
    out = bytearray()
    write_varint(out, count << 1)
    out.append(level)
    return bytes(out)


@lru_cache(256)
def _said(name: str, dtype: str, codec: int) -> bytes:
    """The first fields of a chunk's ColumnMetaData, up to CODEC."""
    elements = form(name, dtype).columns[name].elements
    said: Struct = {
        footer.TYPE: elements[-1][footer.TYPE],
        footer.ENCODINGS: (LIST, (I32, [_PLAIN, _RLE])),
        footer.PATH: (LIST, (BINARY, [element[footer.NAME][1] for element in elements])),
        footer.CODEC: (I32, codec),
    }
    return write_struct(said)[:-1]
