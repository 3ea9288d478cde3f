"""Reads list columns that list_writer.py wrote, as dictionary numbers and values, without building the lists.

Any parquet reader gives the lists themselves; to read the numbers costs a twentieth, and they can be written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daedalus.parquet.list_writer import DATA_HEAD, DICTIONARY_HEAD, PAGE_PACKED, PAGE_UNPACKED, PAGE_VALUES, zstd
from daedalus.parquet.thrift import Struct, read_head

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def read_chunk(data: bytes, kind: pa.DataType, sizes: np.ndarray) -> tuple[np.ndarray, pa.Array, bytes]:
    """Reads a column chunk of lists of `kind`, whose sizes are known.

    Returns (the numbers of all lists, concatenated; values by number; the dictionary page as it is in the file).
    """
    import numpy as np

    chunk = Pages(data, zstd())
    head, page = chunk.next()
    values, lies = _values(page, head[DICTIONARY_HEAD][1][PAGE_VALUES][1], kind), data[: chunk.at]
    row, codes = 0, []
    while row < len(sizes):
        head, page = chunk.next()
        end = len(sizes)
        if chunk.at < len(data):
            # A page ends with a row. Its header counts entries: a list's values, or one entry for an empty list.
            entries = head[DATA_HEAD][1][PAGE_VALUES][1]
            end = row + int(np.cumsum(np.maximum(sizes[row:], 1)).searchsorted(entries)) + 1
        codes.append(_numbers(page, int(sizes[row:end].sum())))
        row = end
    return codes[0] if len(codes) == 1 else np.concatenate(codes), values, lies


class Pages:
    """The pages of a column chunk in order; the next begins at `at`."""

    def __init__(self, data: bytes, codec: pa.Codec) -> None:
        self._data, self.at, self._codec = data, 0, codec

    def next(self) -> tuple[Struct, pa.Buffer]:
        """The next page's header, and its bytes, decompressed."""
        import pyarrow as pa

        head, begin = read_head(self._data, self.at)
        self.at = begin + head[PAGE_PACKED][1]
        packed = pa.py_buffer(self._data).slice(begin, head[PAGE_PACKED][1])
        return head, self._codec.decompress(packed, head[PAGE_UNPACKED][1])


def _values(page: pa.Buffer, count: int, kind: pa.DataType) -> pa.Array:
    """The values of a dictionary page, which are PLAIN: strings behind their lengths, others as in Arrow."""
    import pyarrow as pa

    if kind != pa.string():
        return pa.Array.from_buffers(kind, count, [None, page])
    data, at, texts = page.to_pybytes(), 0, []
    for _ in range(count):
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "little")
        texts.append(data[begin:at].decode())
    return pa.array(texts, kind)


def _numbers(page: pa.Buffer, count: int) -> np.ndarray:
    """The numbers of a page of lists. They follow the repetition levels, the definition levels (each behind its
    length in 4 bytes), the width in bits, and the header of the run of packed bits, a varint."""
    import numpy as np

    from daedalus.parquet import compiled_lists

    data: Any = np.frombuffer(page, np.uint8)
    at = 0
    for _ in range(2):
        at += 4 + int.from_bytes(data[at : at + 4].tobytes(), "little")
    bits = int(data[at])  # 32 in files of daedalus 0.2
    at += 1
    while data[at] & 0x80:  # skip the varint: there is only one run
        at += 1
    packed = data[at + 1 : at + 1 + -(-count // 8) * bits]
    kind = np.uint16 if bits == 16 else np.uint32
    numbers = np.require(packed.view(kind), requirements="A")  # for unaligned arrays numba would compile once more
    if bits == 24:
        words, numbers = numbers, np.empty(-(-count // 8) * 8, np.uint32)
        compiled_lists.widened(words, numbers)
    return numbers[:count]
