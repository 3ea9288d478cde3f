"""Columns of values of one length in bytes, of which single ones can be read by their position.

A column chunk is one page, PLAIN and uncompressed: the page's header, a bit per row of whether it has a value, and the
values one behind the other, without room for NULLs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from daedalus.parquet.footer import Chunk, ParquetFooter
from daedalus.parquet.list_writer import PAGE_UNPACKED, form_of
from daedalus.parquet.plain_pages import NONE, chunk_of, first_fields, page_head, some_there
from daedalus.parquet.thrift import read_head

if TYPE_CHECKING:
    import numpy as np
    import pyarrow.parquet as pq

_MOST = (1 << 31) - 1  # bytes of a page
_HEAD = 1 << 10  # bytes that hold the head of a page


@lru_cache(64)
def form(name: str, width: int) -> ParquetFooter:
    """The footer of a file with such a column alone, of values of `width` bytes, 1 at least."""
    import pyarrow as pa

    return form_of(pa.schema([(name, pa.binary(width))]))


def fixed_values(name: str, width: int, has: np.ndarray, values: Sequence[np.ndarray]) -> Chunk:
    """The column chunk of a row group. `has` says which rows have a value; those values are in the arrays `values`,
    whose memory is contiguous. Raises ValueError for more bytes than a page may have."""
    import numpy as np

    levels, count = some_there(np.packbits(has, bitorder="little").tobytes()), int(np.count_nonzero(has))
    size = len(levels) + count * width
    if size > _MOST or size != len(levels) + sum(some.nbytes for some in values):
        raise ValueError(f"{count} values of {width} bytes in a page")
    head = page_head(len(has), size, size)
    first = first_fields(form(name, width).columns[name].elements, NONE)
    data = [head + levels, *(some.reshape(-1).view(np.uint8) for some in values)]
    return chunk_of(data, first, len(has), len(head) + size, len(head) + size)


class FixedValues:
    """Reads such a column, the one of index `column` of `footer`, out of an open file without a buffer."""

    def __init__(self, file: BinaryIO | Any, footer: pq.FileMetaData, column: int, width: int) -> None:
        self._file, self._footer, self._column, self._width = file, footer, column, width

    def begin(self, group: int, count: int) -> int:
        """Where in the file the values of a row group begin, which has `count`: they are the last bytes of its page."""
        page = self._footer.row_group(group).column(self._column).data_page_offset
        head, begin = read_head(os.pread(self._file.fileno(), _HEAD, page), 0)
        return page + begin + head[PAGE_UNPACKED][1] - count * self._width

    def read(self, into: np.ndarray, offset: int) -> None:
        """Fills a contiguous array with the values from `offset` in the file on. Raises EOFError."""
        view: Any = memoryview(into.reshape(-1).view("u1").data)
        while view:
            read = os.preadv(self._file.fileno(), [view], offset)
            if not read:
                raise EOFError(f"{self._file.name} ends before its values do")
            view, offset = view[read:], offset + read
