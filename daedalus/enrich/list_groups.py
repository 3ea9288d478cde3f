"""The first items of each list of a column, by row group of the artifact that has the lists."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.windows.windows_file import WindowsFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class ListGroup:
    """The lists of a row group, as `Lists` has them: numbers of `values`, of each row `sizes` from `begins` on. Arrays
    are of one type each, int32 and int64, since compiled functions would be compiled once more for others."""

    codes: np.ndarray
    begins: np.ndarray
    sizes: np.ndarray
    values: pa.Array

    def occurring(self, rows: slice = slice(None)) -> np.ndarray:
        """By code whether it is in a list of `rows`."""
        from daedalus.enrich.compiled_means import occurring

        return occurring(self.codes, self.begins[rows], self.sizes[rows], len(self.values))


def list_groups(path: Path, column: str, max_items: int | None) -> Iterator[ListGroup]:
    """The first `max_items` items of each list of a column of windows (windows_file.py), a row group at a time."""
    import numpy as np
    import pyarrow.parquet as pq

    with WindowsFile(path) as windows:
        at, most = windows.schema.get_field_index(column), max_items or sys.maxsize
        for group in range(pq.read_metadata(path).num_row_groups):
            lists = windows.group(group)
            sizes = np.minimum(lists.sizes[:, at], most).astype(np.int64)
            yield ListGroup(lists.codes.astype(np.int32), lists.begins.astype(np.int64), sizes, lists.values)
