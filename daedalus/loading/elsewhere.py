"""The published rows as datasets of Ray and of Hugging Face: each part is read by whoever needs its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from daedalus.loading.published import Published


def ray_dataset(found: Published, columns: Sequence[str]) -> Any:
    """A `ray.data.Dataset` with a task for each part."""
    import pyarrow as pa
    import ray.data

    def read(paths: pa.Table) -> Iterator[pa.Table]:
        dataset = found.of_parts(paths["path"].to_pylist()).dataset(columns)
        yield dataset.schema.empty_table()  # of a part without rows of the split, too, there are columns
        yield from (pa.Table.from_batches([batch]) for batch in dataset.to_batches())

    parts = [{"path": path} for path in found.paths]
    return ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(read, batch_format="pyarrow")


def hugging_face_dataset(found: Published, columns: Sequence[str]) -> Any:
    """A `datasets.IterableDataset` with a shard for each part."""
    import pyarrow as pa
    from datasets import DatasetInfo, Features, IterableDataset
    from datasets.iterable_dataset import ArrowExamplesIterable

    def tables(paths: list[str]) -> Iterator[tuple[tuple[int, int], pa.Table]]:
        for shard, path in enumerate(paths):
            for place, batch in enumerate(found.of_parts([path]).dataset(columns).to_batches()):
                yield (shard, place), pa.Table.from_batches([batch])

    features = Features.from_arrow_schema(pa.schema([found.schema.field(name) for name in columns]))
    examples = ArrowExamplesIterable(tables, {"paths": list(found.paths)})
    return IterableDataset(examples, DatasetInfo(features=features))
