"""`daedalus.torch`, measured over enriched days of a bench world, beside a recipe and pyarrow's own batches.

An epoch of real training takes minutes, one of a bench world a tenth of a second, in which workers hardly start. So the
world's days are read as if there were ten times as many: hard links to the same files, under other dates. Each way is
a process of its own, which reads all twice. The first time compiles, fills the system's cache and starts workers, and
says how long it takes until the first batch is there; the second time, by workers that have stayed, is what counts,
from asking for the first batch until there is no more. The recipe reads the world's own days, once: it is slow.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
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
ROWS, ITEMS, TIMES = 1024, 50, 10
AHEAD = 16  # batches of a worker that are asked for, as docs/training.md advises for batches as quick as these
WAYS = (
    "recipe",
    "pyarrow",
    "padded",
    "padded 1",
    "padded 2",
    "ragged",
    "ragged 1",
    "ragged 2",
    "padded, in order",
    "padded, by DataLoader 1",
)
_KEYS = ("cpu_microseconds_a_row", "of_recipe", "of_pyarrow", "start")
_EMBEDDINGS = {"image_embedding": {"of": "artwork_id"},
               "like_artwork_avg_embeds": {"mean_of": "like_artwork_ids_7d", "max_items": 50}}  # fmt: skip


def loader(world: BenchWorld, floats: int, pool_rows: int, repeat: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Rows a second of each way, and its ratios to the recipe and to pyarrow, as medians of ratios within each turn."""
    from measuring.pools import WorldPool

    WorldPool(world.root).make(floats, pool_rows)
    world.edit(embeddings={"columns": _EMBEDDINGS})
    world.enrich()
    many = _many(world.enriched)
    found: dict[str, Any] = {"cores": os.cpu_count(), "floats": floats}
    for name, columns in SETS.items():
        turns: list[dict[str, dict[str, float]]] = [
            {way: _once(world.enriched if way == "recipe" else many, way, columns) for way in WAYS}
            for _ in range(repeat)
        ]
        found[name] = {way: _figures(way, turns) for way in WAYS}
        say(f"  {name}: {turns[0]['pyarrow']['rows']:,.0f} rows")
        heads = ("rows/s", "CPU us a row", "× recipe", "× pyarrow", "start s", "peak GiB")
        say(f"  {'':<18}" + "".join(f"{head:>14}" for head in heads))
        for way, one in found[name].items():
            figures = [f"{one['rows_a_second']:,.0f}", *(f"{one[key]:.2f}" for key in _KEYS)]
            figures.append(f"{one['memory'] / 2**30:.2f}")
            say(f"  {way:<18}" + "".join(f"{figure:>14}" for figure in figures))
    return found


def _many(enriched: Path) -> Path:
    """A folder with the partitions of another, each of them TIMES as the partition of another day."""
    many = enriched.parent / f"{enriched.name}_{TIMES}_times"
    shutil.rmtree(many, ignore_errors=True)
    folders = sorted(enriched.glob("dt=*"))
    first = dt.date.fromisoformat(folders[0].name.removeprefix("dt="))
    for number, folder in enumerate(folders * TIMES):
        shutil.copytree(folder, many / f"dt={first + dt.timedelta(number)}", copy_function=os.link)
    return many


def _figures(way: str, turns: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    def median(of: Callable[[dict[str, dict[str, float]]], float]) -> float:
        return round(statistics.median(map(of, turns)), 3)

    def speed(turn: dict[str, dict[str, float]], way: str) -> float:
        return turn[way]["rows"] / turn[way]["seconds"]

    return {
        "rows_a_second": median(lambda turn: speed(turn, way)),
        "cpu_microseconds_a_row": median(lambda turn: turn[way]["cpu"] / turn[way]["rows"] * 1e6),
        "of_recipe": median(lambda turn: speed(turn, way) / speed(turn, "recipe")),
        "of_pyarrow": median(lambda turn: speed(turn, way) / speed(turn, "pyarrow")),
        "start": median(lambda turn: turn[way]["start"]),
        "memory": median(lambda turn: turn[way]["memory"]),
    }


def _once(output: Path, way: str, columns: list[str] | None) -> dict[str, float]:
    run = measure(sys.executable, __file__, way, str(output), *(columns or []), cwd=output,
                  environment={"PYTHONPATH": f"{PROJECT / 'scripts'}:{PROJECT}"})  # fmt: skip
    return {**json.loads(run.out), "memory": run.memory}


# What runs in a process of its own


def recipe(dataset: Any, columns: list[str], torch: Any) -> Iterator[int]:
    """What docs/cookbook.md had before `daedalus.torch`: NULL vectors are zeros, and lists are padded with 0."""

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


def ours(way: str, output: str, columns: list[str]) -> Callable[[int], Iterator[int]]:
    from torch.utils.data import DataLoader

    from daedalus.torch import TrainingDataset, TrainingLoader

    events = ["reco_artwork_view", "reco_artwork_view2", "click", "like", "dislike_click", "share"]
    lists = [name for name in columns if name not in VECTORS]
    data = TrainingDataset(
        stage="enrich", output_root=output, columns=columns, labels={event: float(event == "like") for event in events},
        pad=dict.fromkeys(lists, ITEMS) if way.startswith("padded") else {}, batch_size=ROWS,
        shuffle="in order" not in way,
    )  # fmt: skip
    workers = int(way[-1]) if way[-1].isdigit() else 0
    if "DataLoader" in way:
        batches = DataLoader(data, batch_size=None, num_workers=workers, persistent_workers=True, prefetch_factor=AHEAD)
    else:
        batches = TrainingLoader(data, num_workers=workers)

    def epoch(number: int) -> Iterator[int]:
        data.set_epoch(number)
        return (len(batch["label"]) for batch in batches)

    return epoch


def epochs(way: str, output: str, columns: list[str] | None) -> Callable[[int], Iterator[int]]:
    """Gives the rows of each batch of an epoch."""
    import daedalus

    dataset = daedalus.load(stage="enrich", output_root=output)
    if columns is None:
        columns = [field.name for field in dataset.schema if str(field.type) == "list<element: int64>"]
    if way == "recipe":
        import torch

        return lambda _: recipe(dataset, columns, torch)
    if way == "pyarrow":
        read = [*columns, "event"]
        return lambda _: (len(batch) for batch in dataset.to_batches(columns=read, batch_size=ROWS))
    return ours(way, output, columns)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("output")
    parser.add_argument("columns", nargs="*")
    a = parser.parse_args()
    epoch = epochs(a.way, a.output, a.columns or None)
    start = None
    for number in range(1 if a.way == "recipe" else 2):
        began, before, rows = time.perf_counter(), _cpu(), 0
        for count in epoch(number):
            start = time.perf_counter() - began if start is None else start
            rows += count
        seconds, cpu = time.perf_counter() - began, _cpu() - before
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "start": start}))


def _cpu() -> float:
    """Processor seconds of this process and of its workers, which are still there."""
    own, workers = os.times(), Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    of_workers = [Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for worker in workers]
    return own.user + own.system + sum(int(ticks) for two in of_workers for ticks in two) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
