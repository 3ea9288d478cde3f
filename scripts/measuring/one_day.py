"""One new day, whose earlier days are cached: what the nightly run waits for."""

from __future__ import annotations

import json
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring.process import Measured
from measuring.worlds import BenchWorld

_ABOVE = "upstream:"  # how a trace's manifest names what the step read


@dataclass(frozen=True)
class Chain:
    """The steps of a run that waited for one another longest, first to last, and the seconds that they took."""

    steps: tuple[str, ...] = ()
    seconds: float = 0.0


def one_day(world: BenchWorld, repeat: int, cores: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The last of two target days after the first: on the clock against the processor time of all steps divided by the
    cores, and the longest chain of steps as a share of that time."""
    world.forget()
    world.run(1)
    before = _Before(world)
    found = [_once(world, before) for _ in range(repeat)]
    for run, chain, of_steps in found:
        share = run.seconds / run.cpu * cores
        say(f"  {run.seconds:.2f} s, {run.cpu:.2f} CPU s: {share:.3f} of all cores at once, "
            f"{run.memory / 2**30:.2f} GiB; steps {of_steps:.2f} s, longest chain {chain.seconds:.2f} s")  # fmt: skip
    say(f"  {' > '.join(found[-1][1].steps)}")
    return {
        "seconds": statistics.median(run.seconds for run, _, _ in found),
        "cpu": statistics.median(run.cpu for run, _, _ in found),
        "of_all_cores": statistics.median(run.seconds / run.cpu * cores for run, _, _ in found),
        "chain_of_cpu": statistics.median(chain.seconds / run.cpu for run, chain, _ in found),
        "peak_bytes": max(run.memory for run, _, _ in found),
        "chain": found[-1][1].steps,
    }


class _Before:
    """A cache and an output as they were before the last day."""

    def __init__(self, world: BenchWorld) -> None:
        self._world, self._kept = world, world.root / "before.db"
        self._made = self._files()
        shutil.copy(self._traces, self._kept)

    @property
    def _traces(self) -> Path:
        return self._world.root / "cache/traces.db"

    def _files(self) -> set[Path]:
        return {path for path in (self._world.root / "cache/artifacts").rglob("*") if path.is_file()}

    def restore(self) -> None:
        for path in self._files() - self._made:
            path.unlink()
        for beside in self._traces.parent.glob("traces.db-*"):
            beside.unlink()
        shutil.copy(self._kept, self._traces)
        shutil.rmtree(self._world.output / f"dt={self._world.last}", ignore_errors=True)


def _once(world: BenchWorld, before: _Before) -> tuple[Measured, Chain, float]:
    """The run of the last day; its longest chain; the seconds of its steps on the clock."""
    before.restore()
    began = time.time()
    run = world.daeda("skeleton", "--json", "--progress", "none", "--range", str(world.last))
    with sqlite3.connect(world.root / "cache/traces.db") as db:
        made = db.execute("select name, seconds, manifest from traces where made > ?", (began,)).fetchall()
    took = {name: seconds for name, seconds, _ in made}
    above = {name: [key.removeprefix(_ABOVE) for key in json.loads(manifest) if key.startswith(_ABOVE)]
             for name, _, manifest in made}  # fmt: skip
    return run, longest_chain(took, above), sum(took.values())


def longest_chain(took: dict[str, float], above: dict[str, list[str]]) -> Chain:
    """`took` are seconds by step, `above` the steps that each one reads."""
    known: dict[str, Chain] = {}

    def chain(name: str) -> Chain:
        if name not in known:
            before = max((chain(one) for one in above[name] if one in took), key=lambda c: c.seconds, default=Chain())
            known[name] = Chain((*before.steps, name.partition("@")[0]), before.seconds + took[name])
        return known[name]

    return max((chain(name) for name in took), key=lambda c: c.seconds, default=Chain())
