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

from daedalus.parquet.footer import Chunk, ParquetFooter
from daedalus.parquet.list_writer import form_of
from daedalus.parquet.plain_pages import NONE, ZSTD, chunk_of, first_fields, page_head
from daedalus.parquet.thrift import write_varint

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LEVEL = 1  # of Zstd
_WORTH = 0.75  # of a page's bytes: what is left by a codec that pays
_PAGE_BYTES = 1 << 20  # of a page's vectors, if it may not have one more

Run = Callable[[Iterator[Callable[[], Any]]], Iterator[Any]]  # what makes pages, such as side_by_side


class Vectors(NamedTuple):
    """Rows of a column: `places` are where their vectors are, below 0 for a row without; `take(places, out)` writes
    vectors to a matrix, whose rows have `length` floats of type `dtype`."""

    places: np.ndarray
    take: Callable[[np.ndarray, np.ndarray], Any]
    length: int
    dtype: np.dtype


class _Page(NamedTuple):
    """A page: how many entries it has, its bytes before compression, and what they are compressed to, if they are."""

    entries: int
    plain: np.ndarray
    packed: pa.Buffer | None


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
    tried, codec = _try(cut, dtype)
    entries = unpacked = packed = 0
    for page in run(partial(_page, some, dtype, codec, place, tried) for place, some in enumerate(cut)):
        data = page.plain if page.packed is None else page.packed
        size = memoryview(data).nbytes
        head = page_head(page.entries, len(page.plain), size)
        out.write(head)
        out.write(data)
        entries, unpacked = entries + page.entries, unpacked + len(head) + len(page.plain)
        packed += len(head) + size
    return chunk_of((), _first_fields(name, dtype, codec), entries, unpacked, packed)


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


def _try(pages: Sequence[Sequence[Vectors]], dtype: str) -> tuple[dict[int, _Page], int]:
    """(the first page that has vectors, by its place, if there is one; the codec that pays for a chunk, by it)."""
    for place, pieces in enumerate(pages):
        if any((piece.places >= 0).any() for piece in pieces):
            entries, plain = _plain_page(pieces, dtype)
            packed = _zstd().compress(plain)
            pays = packed.size <= _WORTH * len(plain)
            return {place: _Page(entries, plain, packed if pays else None)}, ZSTD if pays else NONE
    return {}, NONE


@cache
def _zstd() -> pa.Codec:
    import pyarrow as pa

    return pa.Codec("zstd", compression_level=_LEVEL)


def _page(pieces: Sequence[Vectors], dtype: str, codec: int, place: int, made: dict[int, _Page]) -> _Page:
    """The page at some place of its chunk, taken from those that are made if it is there."""
    if place in made:
        return made.pop(place)
    entries, plain = _plain_page(pieces, dtype)
    return _Page(entries, plain, None if codec == NONE else _zstd().compress(plain))


def _plain_page(pieces: Sequence[Vectors], dtype: str) -> tuple[int, np.ndarray]:
    """(entries, bytes) of a page before it is compressed."""
    import numpy as np
    import pyarrow as pa

    places = pieces[0].places if len(pieces) == 1 else np.concatenate([piece.places for piece in pieces])
    has = places >= 0
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
            _put(piece, taken, matrix[filled : filled + len(taken)])
            filled += len(taken)
    return count * max(length, 1) + len(has) - count, room[begin : middle + size]


def _put(piece: Vectors, places: np.ndarray, out: np.ndarray) -> None:
    """Writes vectors in the type of `out`: rounded once, and NaN as one value, which else were up to the processor."""
    import numpy as np

    if piece.dtype == out.dtype:
        piece.take(places, out)
        return
    vectors = np.empty(out.shape, piece.dtype)
    piece.take(places, vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        out[...] = vectors
    if (nan := np.isnan(vectors)).any():
        out[nan] = np.nan


def _levels(has: np.ndarray, length: int) -> bytes:
    """The repetition and the definition levels of rows, which have vectors of this length or none, each behind its
    length in 4 bytes.

    Repetition is 0 for a row's first entry, else 1; definition is 3 for a float, 1 for a vector of length 0, and 0 for
    a row without one.
    """
    import numpy as np

    if has.all():
        return _levels_of_all(len(has), length)
    alone = _run(1, 0)
    whole = _whole(length)
    keeps = has[:, np.newaxis] | (np.arange(len(whole)) < len(alone))
    repeated = np.frombuffer(whole * len(has), np.uint8).reshape(keeps.shape)[keeps].tobytes()
    ends = np.append(np.flatnonzero(has[1:] != has[:-1]) + 1, len(has))
    counts, of = np.diff(ends, prepend=0), has[ends - 1]
    entries, levels = np.where(of, counts * max(length, 1), counts), np.where(of, 3 if length else 1, 0)
    return _behind_lengths(repeated, b"".join(map(_run, entries.tolist(), levels.tolist())))


@lru_cache(8)
def _levels_of_all(rows: int, length: int) -> bytes:
    """The same for rows that all have a vector."""
    return _behind_lengths(_whole(length) * rows, _run(rows * max(length, 1), 3 if length else 1))


def _whole(length: int) -> bytes:
    """The repetition levels of a row with a vector of this length."""
    return _run(1, 0) + (_run(length - 1, 1) if length > 1 else b"")


def _behind_lengths(*levels: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "little") + one for one in levels)


@lru_cache(4096)
def _run(count: int, level: int) -> bytes:
    """A run of equal levels: a varint, the count shifted left by 1 (bit 0 is 0 for a run), then the level in a byte."""
    out = bytearray()
    write_varint(out, count << 1)
    out.append(level)
    return bytes(out)


@lru_cache(256)
def _first_fields(name: str, dtype: str, codec: int) -> bytes:
    return first_fields(form(name, dtype).columns[name].elements, codec)
