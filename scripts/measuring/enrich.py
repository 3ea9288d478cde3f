"""The enrich stage, measured in a bench world whose skeleton is fresh: cold, in turn with programs written by hand, and
after changes."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from operator import truediv
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from daedalus.config.steps import ENRICH
from measuring import by_hand
from measuring.agreed import agreed
from measuring.imports import imported
from measuring.pools import WorldPool
from measuring.process import Failed, Measured, measure, size_of
from measuring.worlds import BenchWorld, World

Say = Callable[[str], None]
OURS = "daeda enrich"
_SHORT = 9  # repeats of runs that take a fraction of a second
OTHERS = {"columns": None, "numpy": 4, "duckdb": 1}  # and over how many days, as all cost the same
CLOCKS = ("cpu", "seconds")


@dataclass(frozen=True)
class Runs:
    """Runs of one program; `days` is how many days' rows each wrote."""

    days: float
    runs: list[Measured]

    def a_day(self, clock: str) -> list[float]:
        return [getattr(run, clock) / self.days for run in self.runs]


class Enrich:
    """Runs of `daeda enrich` in a world with a pool of so many floats a vector, and of at least so many rows."""

    def __init__(self, world: BenchWorld, floats: int, rows: int, repeat: int, say: Say) -> None:
        self.world, self.floats, self.rows, self.repeat, self.say = world, floats, rows, repeat, say
        self.pool, self._kept = WorldPool(world.root), world.root / "skeleton"
        self.fresh()

    def fresh(self) -> None:
        """Makes the pool and the skeleton, whose cache is kept beside; `skeleton` is what that took."""
        self.world.reset_config()
        shutil.rmtree(self.world.enriched, ignore_errors=True)
        self.pool.make(self.floats, self.rows)
        self.world.forget()
        self.skeleton = self.world.run()
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.world.root / "cache", self._kept)

    def cold(self) -> Measured:
        """A run where only the skeleton is fresh."""
        for folder in (self.world.root / "cache", self.world.enriched):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._kept, self.world.root / "cache")
        return self.world.enrich()

    # Cold

    def against_others(self) -> dict[str, Any]:
        """Cold, in turn with what pyarrow takes to write the columns, and with programs written by hand."""
        self.cold()  # what numba compiles is compiled then
        made = {OURS: Runs(self.world.days, [])}
        for _ in range(self.repeat):
            made[OURS].runs.append(self.cold())
            for name in OTHERS:
                try:
                    days, run = self._other(name)
                except Failed as error:
                    self.say(f"  {name} failed: {error}")
                    continue
                made.setdefault(name, Runs(days, [])).runs.append(run)
            for name, runs in made.items():
                cpu, seconds = (runs.a_day(clock)[-1] for clock in CLOCKS)
                self.say(f"  {name:<14}{cpu:9.3f} CPU s a day{seconds:9.3f} s a day")
        made = {name: runs for name, runs in made.items() if len(runs.runs) == self.repeat}
        found = {name: self._figures(name, runs, made[OURS]) for name, runs in made.items()}
        part = next(self.world.enriched.glob("dt=*/part-0-0.parquet"))
        found |= {"codecs": by_hand.codecs_of(part), "output_bytes": size_of(self.world.enriched)}
        by_name = {name: self._folder(name) for name in made if name in ("numpy", "duckdb")}
        found["agreed"] = agreed(self.world.root, f"dt={self.world.first}", by_name)
        for line in _lines(found):
            self.say(f"  {line}")
        found["steps"] = self._steps()
        return found

    def _other(self, name: str) -> tuple[float, Measured]:
        """(how many days' rows it wrote, what it says that it took). Raises Failed."""
        shutil.rmtree(self._folder(name), ignore_errors=True)
        self._folder(name).mkdir()
        days = str(min(OTHERS[name] or self.world.days, self.world.days))
        run = measure(sys.executable, by_hand.__file__, name, ".", str(self._folder(name).resolve()), "--days", days,
                      cwd=self.world.root)  # fmt: skip
        said = json.loads(run.out)
        rows = sum(pq.read_metadata(part).num_rows for part in self.world.output.glob("dt=*/*.parquet"))
        return said["rows"] / rows * self.world.days, Measured(said["seconds"], said["cpu"], run.memory, "")

    def _folder(self, name: str) -> Path:
        return self.world.root / f"by-hand-{name}"

    def _figures(self, name: str, runs: Runs, ours: Runs) -> dict[str, Any]:
        found: dict[str, Any] = {"days": round(runs.days, 2), "peak_bytes": max(run.memory for run in runs.runs)}
        for clock in CLOCKS:
            found[f"{clock}_a_day"] = round(statistics.median(runs.a_day(clock)), 4)
            ratios = [own / other for own, other in zip(ours.a_day(clock), runs.a_day(clock), strict=True)]
            found[f"ours_by_{clock}"] = round(statistics.median(ratios), 4)
        return found

    def _steps(self) -> list[dict[str, Any]]:
        """What each step of the stage took, and wrote."""
        found = []
        for step, count, seconds, size in self.world.steps():
            if step.partition(":")[0] in ENRICH.steps:
                self.say(f"  {step[:45]:<46}{count:>6}{seconds / self.world.days:>10.3f} s a day"
                         f"{size / self.world.days / 1e6:>10.2f} MB a day")  # fmt: skip
                found.append({"step": step, "ran": count, "seconds": round(seconds, 3), "bytes": size})
        return found

    # After changes

    def after(self) -> dict[str, Any]:
        """Changes of the pool and of the configuration, as shares of cold runs."""
        grown, edited = self._pool_grown, self._max_items_edited
        return {"pool grown by 1 %": self._share(grown), "max_items edited": self._share(edited)}

    def _share(self, changed: Callable[[int], AbstractContextManager[None]]) -> dict[str, Any]:
        """Runs after a change, each as a share of a cold run just before, and of one of both stages; and what ran."""
        shares: dict[str, list[float]] = {f"of_{what}_{clock}": [] for what in ("cold", "both") for clock in CLOCKS}
        ran: dict[str, int] = {}
        for turn in range(self.repeat):
            cold = self.cold()
            with changed(turn):
                began = time.time()
                run = self.world.enrich()
            ran = self.world.ran_since(began)
            for clock in CLOCKS:
                spent, enrich, skeleton = (getattr(one, clock) for one in (run, cold, self.skeleton))
                shares[f"of_cold_{clock}"].append(spent / enrich)
                shares[f"of_both_{clock}"].append(spent / (enrich + skeleton))
        found = {name: round(statistics.median(some), 4) for name, some in shares.items()}
        each = ", ".join(f"{name.replace('_', ' ')} {share:.1%}" for name, share in found.items())
        steps = ", ".join(f"{count} {step}" for step, count in ran.items()) or "nothing"
        self.say(f"  {changed.__name__.strip('_')}: {each}; ran: {steps}")
        return {**found, "ran": ran}

    def _pool_grown(self, turn: int) -> AbstractContextManager[None]:
        return self.pool.grown(self.rows // 100)

    @contextmanager
    def _max_items_edited(self, turn: int) -> Iterator[None]:
        columns = yaml.safe_load(self.world.runtime.read_text())["embeddings"]
        columns["columns"][by_hand.MEAN]["max_items"] = by_hand.MOST - 1 - turn
        self.world.edit(embeddings=columns)
        yield
        self.world.reset_config()


def memory(world: BenchWorld, floats: int, rows: int, say: Say) -> dict[str, int]:
    """Peak memory, and what it took, of one cold run with a pool of so many rows."""
    run = Enrich(world, floats, rows, 1, say).cold()
    say(f"  {rows:,} vectors of {floats} floats: peak {run.memory / 2**30:.2f} GiB, {run.seconds:.2f} s, "
        f"{run.cpu:.2f} CPU s for {world.days} days")  # fmt: skip
    return {"rows": rows, "floats": floats, "peak_bytes": run.memory}


def unchanged(world: World, repeat: int, say: Say) -> dict[str, Any]:
    """Both stages when nothing changed, against the skeleton alone, in turn; and the heavy modules of such a run."""
    world.forget()
    world.enrich()
    runs: dict[str, list[Measured]] = {"skeleton": [], "enrich": []}
    world.run(), world.enrich()
    for _ in range(max(repeat, _SHORT)):
        runs["skeleton"].append(world.run())
        runs["enrich"].append(world.enrich())
    found: dict[str, Any] = {}
    for clock in CLOCKS:
        alone, both = ([getattr(run, clock) for run in some] for some in runs.values())
        found[clock] = [round(statistics.median(some), 4) for some in (alone, both)]
        found[f"times_{clock}"] = round(statistics.median(map(truediv, both, alone)), 3)
    found["imported"] = imported(world, "enrich", "--progress", "none", *world.range())
    say(f"  nothing changed, {world.days} days: both stages take {found['times_cpu']:.2f} times the skeleton's CPU, "
        f"{found['times_seconds']:.2f} by the clock ({found['seconds'][1]:.2f} s); "
        f"heavy imports: {found['imported']}")  # fmt: skip
    return found


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{'':<14}{'days':>6}{'CPU s a day':>13}{'s a day':>10}{'peak GiB':>10}   {OURS} takes, CPU   on the clock"
    for name, one in found.items():
        if isinstance(one, dict) and "days" in one:
            clocks = f"{one['cpu_a_day']:>13.3f}{one['seconds_a_day']:>10.3f}"
            ratios = f"{one['ours_by_cpu']:>20.3f} times{one['ours_by_seconds']:>12.3f} times"
            yield f"{name:<14}{one['days']:>6.2f}{clocks}{one['peak_bytes'] / 2**30:>10.2f}{ratios}"
    yield "codecs: " + ", ".join(f"{path} {codec}" for path, codec in found["codecs"].items())
    yield "values: " + ", ".join(f"{what} {count}" for what, count in found["agreed"].items())
