"""An Arrow dataset with the rows of one part of a split. Each batch is filtered in Python as it is read.

Arrow can filter by itself only by what is a function of its own: it has no hash, and one of ours, registered there,
runs in threads that go on when Python ends, which hangs or aborts the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from daedalus.loading.splits import Split

_ID = "daeda:id"  # the column that the split reads, last in batches, whether or not it is asked for
# A filter that fails: of what reads the dataset, but not by `scanner`, and would not see which rows it has.
_NOT_AS_A_WHOLE = ds.field("daedalus.load(split): use to_table() or to_batches() first")


class SomeRows(ds.InMemoryDataset):
    """Rows of a part, with some columns, among which those that the part reads need not be."""

    _whole: ds.Dataset
    _split: Split

    def filter(self, expression: Any) -> SomeRows:
        return some_rows(self._whole.filter(expression), self._split, self.schema.names)

    def scanner(self, columns: Any = None, **options: Any) -> Any:
        names = self.schema.names if columns is None else columns
        wanted = dict(names) if isinstance(names, dict) else {name: ds.field(name) for name in names}
        wanted[_ID] = ds.field(self._split.columns[0])
        return _Scanner(self._whole.scanner(columns=wanted, **options), self._split)

    def __reduce__(self) -> tuple:
        return some_rows, (self._whole, self._split, self.schema.names)


def some_rows(whole: ds.Dataset, split: Split, columns: Sequence[str]) -> SomeRows:
    """The rows of `whole` that are in the part, with these columns of it."""
    schema = pa.schema([whole.schema.field(name) for name in columns])
    found: Any = ds.InMemoryDataset.filter(SomeRows(schema.empty_table()), _NOT_AS_A_WHOLE)
    found._whole, found._split = whole, split
    return found


class _Scanner:
    """What datasets and readers of them ask of an Arrow scanner."""

    def __init__(self, scanner: ds.Scanner, split: Split) -> None:
        self._scanner, self._split = scanner, split
        self.projected_schema: pa.Schema = pa.schema([*scanner.projected_schema][:-1])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._scanner.to_batches():
            kept = batch.select(batch.schema.names[:-1]).filter(self._split.keeps_ids(batch.column(_ID)))
            if kept.num_rows:
                yield kept

    def to_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self.projected_schema, self.to_batches())

    def to_table(self) -> pa.Table:
        return pa.Table.from_batches(self.to_batches(), self.projected_schema)

    def head(self, rows: int) -> pa.Table:
        found: list[pa.RecordBatch] = []
        batches = self.to_batches()
        while (left := rows - sum(batch.num_rows for batch in found)) > 0 and (batch := next(batches, None)):
            found.append(batch.slice(0, left))
        return pa.Table.from_batches(found, self.projected_schema)

    def take(self, rows: Any) -> pa.Table:
        return self.to_table().take(rows)

    def count_rows(self) -> int:
        return sum(batch.num_rows for batch in self.to_batches())
