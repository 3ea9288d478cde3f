"""`daedalus.torch`, measured over enriched days of a bench world, beside a recipe and pyarrow's own batches.

Each way is a process of its own, which says how many rows a second it gave once it began: imports and the first look at
footers are told apart. A way that is run twice in a process is compiled and cached by then: the second time counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring.process import measure
from measuring.worlds import PROJECT, BenchWorld

VECTORS = ["image_embedding", "like_artwork_avg_embeds"]
SETS = {"vectors and a list": [*VECTORS, "like_artwork_ids_7d"], "all lists": None}
ROWS, ITEMS = 1024, 50
WAYS = ("recipe", "pyarrow", "padded", "padded 1", "padded 2", "ragged", "ragged 1", "ragged 2", "padded, in order")
_EMBEDDINGS = {"image_embedding": {"of": "artwork_id"},
               "like_artwork_avg_embeds": {"mean_of": "like_artwork_ids_7d", "max_items": 50}}  # fmt: skip


def loader(world: BenchWorld, floats: int, pool_rows: int, repeat: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Rows a second of each way, and its ratios to the recipe and to pyarrow, as medians of ratios within each turn."""
    from measuring.pools import WorldPool

    WorldPool(world.root).make(floats, pool_rows)
    world.edit(embeddings={"columns": _EMBEDDINGS})
    world.enrich()
    found: dict[str, Any] = {"cores": os.cpu_count(), "floats": floats}
    for name, columns in SETS.items():
        turns: list[dict[str, dict[str, float]]] = [
            {way: _once(world.root, way, columns) for way in WAYS} for _ in range(repeat)
        ]
        found[name] = {way: _figures(way, turns) for way in WAYS}
        say(f"  {name}: {turns[0]['pyarrow']['rows']:,.0f} rows")
        say(f"  {'':<18}{'rows/s':>12}{'CPU us a row':>14}{'× recipe':>10}{'× pyarrow':>11}{'peak GiB':>10}")
        for way, one in found[name].items():
            ratios = f"{one['of_recipe']:>10.2f}{one['of_pyarrow']:>11.2f}{one['memory'] / 2**30:>10.2f}"
            say(f"  {way:<18}{one['rows_a_second']:>12,.0f}{one['cpu_microseconds_a_row']:>14.2f}{ratios}")
    return found


def _figures(way: str, turns: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    def median(of: Callable[[dict[str, dict[str, float]]], float]) -> float:
        return round(statistics.median(map(of, turns)), 3)

    return {
        "rows_a_second": median(lambda turn: turn[way]["rows"] / turn[way]["seconds"]),
        "cpu_microseconds_a_row": median(lambda turn: turn[way]["cpu"] / turn[way]["rows"] * 1e6),
        "of_recipe": median(lambda turn: turn["recipe"]["seconds"] / turn[way]["seconds"]),
        "of_pyarrow": median(lambda turn: turn["pyarrow"]["seconds"] / turn[way]["seconds"]),
        "memory": median(lambda turn: turn[way]["memory"]),
    }


def _once(root: Path, way: str, columns: list[str] | None) -> dict[str, float]:
    run = measure(sys.executable, __file__, way, *(columns or []), cwd=root,
                  environment={"PYTHONPATH": f"{PROJECT / 'scripts'}:{PROJECT}"})  # fmt: skip
    return {**json.loads(run.out), "memory": run.memory}


# What runs in a process of its own


def recipe(dataset: Any, columns: list[str]) -> Iterator[int]:
    """What docs/cookbook.md had before `daedalus.torch`: NULL vectors are zeros, and lists are padded with 0."""
    import torch

    def vectors(column: Any) -> Any:
        known = torch.from_numpy(column.is_valid().to_numpy(zero_copy_only=False))
        values = torch.tensor(column.drop_null().flatten().to_numpy())
        found = torch.zeros(len(column), len(values) // max(int(known.sum()), 1))
        found[known] = values.reshape(int(known.sum()), -1)
        return found

    for batch in dataset.to_batches(columns=[*columns, "event"], batch_size=ROWS):
        tensors = []
        for name in columns:
            if name in VECTORS:
                tensors.append(vectors(batch[name]))
                continue
            lists = [torch.tensor((ids or [])[:ITEMS]) for ids in batch[name].to_pylist()]
            padded = torch.zeros(len(lists), ITEMS, dtype=torch.int64)
            for row, ids in enumerate(lists):
                padded[row, : len(ids)] = ids
            tensors.append(padded)
        label = torch.tensor([event == "like" for event in batch["event"].to_pylist()], dtype=torch.float32)
        yield len(label)


def ours(way: str, columns: list[str]) -> Iterator[int]:
    from torch.utils.data import DataLoader

    from daedalus.torch import TrainingDataset

    events = ["reco_artwork_view", "reco_artwork_view2", "click", "like", "dislike_click", "share"]
    lists = [name for name in columns if name not in VECTORS]
    data = TrainingDataset(
        stage="enrich", columns=columns, labels={event: float(event == "like") for event in events},
        pad=dict.fromkeys(lists, ITEMS) if way.startswith("padded") else {}, batch_size=ROWS,
        shuffle=not way.endswith("order"),
    )  # fmt: skip
    yield 0  # made
    workers = int(way[-1]) if way[-1].isdigit() else 0
    for batch in DataLoader(data, batch_size=None, num_workers=workers):
        yield len(batch["label"])


def batches(way: str, columns: list[str] | None) -> Iterator[int]:
    """Rows of each batch, after a 0 when all is ready."""
    import daedalus

    dataset = daedalus.load(stage="enrich")
    if columns is None:
        columns = [field.name for field in dataset.schema if str(field.type) == "list<element: int64>"]
    if way == "recipe":
        yield 0
        yield from recipe(dataset, columns)
    elif way == "pyarrow":
        yield 0
        yield from (len(batch) for batch in dataset.to_batches(columns=[*columns, "event"], batch_size=ROWS))
    else:
        yield from ours(way, columns)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("columns", nargs="*")
    a = parser.parse_args()
    for _ in range(1 if a.way == "recipe" else 2):  # the second time all is compiled
        left = batches(a.way, a.columns or None)
        next(left)
        began, before = time.perf_counter(), _cpu()
        rows = sum(left)
        seconds, cpu = time.perf_counter() - began, _cpu() - before
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu}))


def _cpu() -> float:
    """Processor seconds of this process and of workers that ended."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
