"""Column chunks of artifacts: columns of numbers, times, booleans, text and lists of numbers, each a page, or two with
a dictionary.

pyarrow would write the same in half as much time again: it asks of each value whether it is there, and packs numbers of
values in as few bits as they need, in which Zstd finds less than in whole bytes.

- Whole numbers and times are split (BYTE_STREAM_SPLIT); floats, booleans and what is in lists are PLAIN.
- Text that is numbers of values, or of which values recur, has a dictionary and numbers of 8 or 16 bits; other text is
  PLAIN.
- Definition levels are one run: of equal ones if nothing is NULL, else of packed bits.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from daedalus.parquet import footer
from daedalus.parquet.footer import Chunk
from daedalus.parquet.list_writer import FAST, form_of, zstd
from daedalus.parquet.plain_pages import (
    BYTE_STREAM_SPLIT,
    PLAIN,
    RLE_DICTIONARY,
    ZSTD,
    all_there,
    chunk_of,
    dictionary_head,
    first_fields,
    page_head,
    some_there,
)
from daedalus.parquet.thrift import Struct, write_varint
from daedalus.parquet.writer import LEVEL

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_NUMBERED = 1 << 16  # values that 16 bits can number
_IN_A_BYTE = 1 << 8
_LONGEST = 1 << 26  # bytes of a page of text or lists; of more, pyarrow writes several pages
_KEPT = 1 << 24  # bytes of memory for a page that are kept for the next one
_BOOLEAN, _FLOAT, _DOUBLE, _TEXT = 0, 4, 5, 6  # Type
_BYTES = {1: 4, 2: 8, _FLOAT: 4, _DOUBLE: 8}  # of a number, by its Type


class Packing(NamedTuple):
    """How pages are packed: the codec's number in a footer; what packs whole numbers, and what packs the rest."""

    codec: int
    numbers: pa.Codec
    others: pa.Codec


@cache
def zstd_packing() -> Packing:
    """Bytes of whole numbers recur or do not: higher levels find little more, in half as much time again."""
    return Packing(ZSTD, zstd(FAST), zstd(LEVEL))


class Form(NamedTuple):
    """How a column is written: its Type, the first fields of its chunks' ColumnMetaData, also with a dictionary, and
    whether it has lists."""

    kind: int
    first: bytes
    coded: bytes
    listed: bool = False


@lru_cache(256)
def forms(schema: pa.Schema, codec: int) -> Sequence[Form | None]:
    """How each column is written here; None for one that is left to pyarrow."""
    columns = form_of(schema).columns
    return [_form(field, columns[field.name].elements, codec) for field in schema]


def _form(field: pa.Field, elements: Sequence[Struct], codec: int) -> Form | None:
    import pyarrow as pa
    import pyarrow.types as is_a

    listed = field.type.field(0) if is_a.is_list(field.type) else None
    kind = listed.type if listed else field.type
    split = (is_a.is_integer(kind) and kind.bit_width >= 32) or kind in (pa.date32(), pa.timestamp("us"))
    plain = (pa.float32(), pa.float64(), *([] if listed else [pa.bool_(), pa.string(), _coded_text()]))
    if not (split or kind in plain) or not field.nullable or (listed and not listed.nullable):
        return None
    first = first_fields(elements, codec, BYTE_STREAM_SPLIT if split and not listed else PLAIN)
    coded = first_fields(elements, codec, PLAIN, RLE_DICTIONARY)
    return Form(elements[-1][footer.TYPE][1], first, coded, listed is not None)


def _coded_text() -> pa.DataType:
    import pyarrow as pa

    return pa.dictionary(pa.int32(), pa.string())


def column_chunk(form: Form, column: pa.Array, coded: bool, packing: Packing) -> Chunk | None:
    """The chunk of a column in a row group, text with a dictionary if `coded`; None if only pyarrow can write it."""
    if form.listed:
        return _lists(form, column, packing)
    if form.kind == _TEXT:
        return _numbered(form, column, packing) if coded else _text(form, column, packing)
    if form.kind == _BOOLEAN:
        return _plain(form, column, _booleans(column), packing)
    numbers = _numbers(column, _BYTES[form.kind])
    if form.kind in (_FLOAT, _DOUBLE):
        return _plain(form, column, numbers.view("u1"), packing)
    return _split(form, column, numbers, packing)


def _lists(form: Form, column: pa.ListArray, packing: Packing) -> Chunk | None:
    """Lists of numbers that are all there: the levels, then the numbers."""
    import numpy as np
    import pyarrow.compute as pc

    from daedalus.parquet import compiled_lists

    sizes = pc.list_value_length(column).fill_null(-1).to_numpy().astype(np.int64)
    numbers, width = column.flatten(), _BYTES[form.kind]
    if numbers.null_count or width * len(numbers) > _LONGEST:
        return None
    room = _room("there", compiled_lists.page_room(len(sizes), 0))
    end, entries = compiled_lists.put_levels(sizes, room, 0)
    data = _numbers(numbers, width).view("u1")
    page, values = _page(room[:end], len(data))
    values[:] = data
    return _chunk(form.first, entries, page, PLAIN, packing.others)


def _split(form: Form, column: pa.Array, numbers: np.ndarray, packing: Packing) -> Chunk:
    from daedalus.parquet.columns import compiled_columns

    page, values = _page(_levels(column), numbers.nbytes)
    compiled_columns.split(numbers, values)
    return _chunk(form.first, len(column), page, BYTE_STREAM_SPLIT, packing.numbers)


def _plain(form: Form, column: pa.Array, data: np.ndarray, packing: Packing) -> Chunk:
    page, values = _page(_levels(column), len(data))
    values[:] = data
    return _chunk(form.first, len(column), page, PLAIN, packing.others)


def _text(form: Form, column: pa.Array, packing: Packing) -> Chunk | None:
    """Text as it is, behind its lengths."""
    import pyarrow as pa

    from daedalus.parquet.columns import compiled_columns

    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    ends, data, size = _texts(column)
    if size > _LONGEST:
        return None
    page, values = _page(_levels(column), size)
    bits, first = _validity(column)
    unused = size - compiled_columns.put_texts(ends, data, bits, first, values)
    return _chunk(form.first, len(column), page[: len(page) - unused], PLAIN, packing.others)


def _numbered(form: Form, column: pa.Array, packing: Packing) -> Chunk | None:
    """Text as numbers of values: the page of values, then that of numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from daedalus.parquet.columns import compiled_columns

    coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    values = coded.dictionary
    ends, data, size = _texts(values)
    if size > _LONGEST or values.null_count or len(values) > _NUMBERED:
        return None
    dictionary = _room("page", size)[:size]
    compiled_columns.put_texts(ends, data, *_validity(values), dictionary)
    packed = packing.others.compress(dictionary)
    head = dictionary_head(len(values), size, packed.size)
    numbers = _numbers(coded.indices, 4)
    kind = "u1" if len(values) <= _IN_A_BYTE else "<u2"
    width, eights = int(kind[-1]), (len(numbers) + 7) // 8  # a run of packed bits has a multiple of 8 numbers
    run = bytearray([8 * width])
    write_varint(run, eights << 1 | 1)  # the lowest bit says that the bits are packed
    page, room = _page(_levels(coded.indices) + run, 8 * eights * width)
    found = room.view(kind)
    found[: len(numbers)] = numbers
    found[len(numbers) :] = 0
    return _chunk(form.coded, len(column), page, RLE_DICTIONARY, packing.numbers, [head, packed], len(head) + size)


def _chunk(
    first: bytes, entries: int, page: np.ndarray, encoding: int, codec: pa.Codec,
    dictionary: Sequence[bytes | pa.Buffer] = (), unpacked: int = 0,
) -> Chunk:  # fmt: skip
    """A chunk of a data page, behind the header and the page of a `dictionary` of so many bytes `unpacked`."""
    packed = codec.compress(page)
    head = page_head(entries, len(page), packed.size, encoding)
    begin = sum(map(len, dictionary))
    sizes = unpacked + len(head) + len(page), begin + len(head) + packed.size
    return chunk_of([*dictionary, head, packed], first, entries, *sizes, begin)


def _texts(values: pa.StringArray) -> tuple[np.ndarray, np.ndarray, int]:
    """(where texts end in their bytes, behind where the first one begins; those bytes; how many they take PLAIN)."""
    import numpy as np

    _, offsets, data = values.buffers()
    ends = _read(np.frombuffer(offsets or bytes(4), np.int32, len(values) + 1, 4 * values.offset))
    return ends, _read(np.frombuffer(data or b"", np.uint8)), 4 * len(values) + int(ends[-1]) - int(ends[0])


def _numbers(column: pa.Array, width: int) -> np.ndarray:
    """The numbers that are there, as unsigned ones of so many bytes."""
    import numpy as np

    kind = np.uint32 if width == 4 else np.uint64
    found = _read(np.frombuffer(column.buffers()[1] or b"", kind, len(column), width * column.offset))
    if not column.null_count:
        return found
    from daedalus.parquet.columns import compiled_columns

    size = width * (len(found) + 1)
    there = _room("there", size)[:size].view(kind)
    return _read(there[: compiled_columns.dense(found, *_validity(column), there)])


def _read(data: np.ndarray) -> np.ndarray:
    """The same, not to be written to, whatever it lies in: so one compiled form reads it."""
    data.flags.writeable = False
    return data


def _booleans(column: pa.BooleanArray) -> np.ndarray:
    """The values that are there, as bits."""
    import numpy as np

    found = _bits(column.buffers()[1], column)
    if not column.null_count:
        return found
    there = np.unpackbits(_bits(column.buffers()[0], column), count=len(column), bitorder="little").view(np.bool_)
    return np.packbits(np.unpackbits(found, count=len(column), bitorder="little")[there], bitorder="little")


def _validity(column: pa.Array) -> tuple[np.ndarray, int]:
    """(the bits that say which values are there, none if all are; which of them is the first value's)."""
    import numpy as np

    return _read(np.frombuffer(column.buffers()[0] if column.null_count else b"", np.uint8)), column.offset


def _bits(buffer: pa.Buffer, column: pa.Array) -> np.ndarray:
    """The bits of a column's values, from a byte's first one on; those behind the last value are 0."""
    import numpy as np

    byte, bit = divmod(column.offset, 8)
    found = np.frombuffer(buffer, np.uint8, (bit + len(column) + 7) // 8, byte)
    if bit or len(column) % 8:
        return np.packbits(np.unpackbits(found, bitorder="little")[bit : bit + len(column)], bitorder="little")
    return found


def _levels(column: pa.Array) -> bytes:
    """The definition levels of a column."""
    return some_there(_bits(column.buffers()[0], column).tobytes()) if column.null_count else all_there(len(column))


def _page(front: bytes | np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(memory of a page that begins with `front`; of so many bytes of it behind that, aligned for numbers)."""
    import numpy as np

    at = (len(front) + 7) // 8 * 8
    room = _room("page", at + size)
    room[at - len(front) : at] = np.frombuffer(front, np.uint8)
    return room[at - len(front) : at + size], room[at : at + size]


_rooms = threading.local()


def _room(name: str, size: int) -> np.ndarray:
    """Memory for a page, the same for all pages of a thread: fresh memory costs as much as filling it."""
    import numpy as np

    room: np.ndarray | None = getattr(_rooms, name, None)
    if room is None or len(room) < size:
        room = np.empty(size, np.uint8)
        if size <= _KEPT:
            setattr(_rooms, name, room)
    return room
