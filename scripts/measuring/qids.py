"""What a day's qids cost, by the number of sessions that the map has."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measuring.process import measure
from measuring.worlds import PROJECT

_DAYS = 6  # of a run; the first is told apart


def qids(folder: Path, sizes: Sequence[int], rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Makes a map of each size, runs days against it, and removes it: the first run makes the index, and in the last
    one days are numbered as on a cluster."""
    found: dict[str, Any] = {}
    say(
        f"  {'sessions':>14}{'a day':>18}{'with the index':>18}{'first run':>18}{'a run ends':>18}"
        f"{'on a cluster: here':>22}{'on workers':>14}{'bytes through':>16}"
    )
    for sessions in sizes:
        root = folder / f"qids-{sessions}"
        shutil.rmtree(root, ignore_errors=True)
        try:
            _run("make", root, "--sessions", str(sessions))
            runs = [[], [], ["--in-three"]]
            first, then, three = (_run("run", root, "--sessions", str(sessions), "--days", str(_DAYS), "--rows",
                                       str(rows), *more) for more in runs)  # fmt: skip
        finally:
            shutil.rmtree(root, ignore_errors=True)
        each = [_median(then["days"]), then["first"], first["first"], then["end"]]
        here, workers = _median(three["days"]), _median(three["workers"])
        before, after = (statistics.median(one["through"]) for one in (then, three))
        say(f"  {sessions:>14,}" + "".join(f"{one[0]:>8.3f} s {one[1]:>6.3f} c" for one in each)
            + f"{here[1]:>20.3f} c{workers[1]:>12.3f} c{after:>16,.0f} (else {before:,.0f})")  # fmt: skip
        names = ("a_day", "first_day_with_index", "first_day_without", "end", "in_three_here", "in_three_on_workers")
        each += [here, workers]
        found[str(sessions)] = {name: {"seconds": one[0], "cpu": one[1]} for name, one in zip(names, each, strict=True)}
        found[str(sessions)] |= {"through": before, "in_three_through": after}
    least, most = (find(one["a_day"]["cpu"] for one in found.values()) for find in (min, max))
    say(f"  processor time a day: at most {most / least:.2f} times the least")
    return found


def numbered(folder: Path, rows: int) -> dict[str, Any]:
    """Processor seconds of the coordinator for a day numbered as on a cluster, and the bytes that it handles."""
    root = folder / "qids-numbered"
    shutil.rmtree(root, ignore_errors=True)
    try:
        _run("make", root)
        run = _run("run", root, "--rows", str(rows), "--in-three")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return {"cpu": _median(run["days"])[1], "bytes": statistics.median(run["through"])}


def _median(times: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(one[clock] for one in times) for clock in (0, 1)]


def _run(what: str, root: Path, *more: str) -> Any:
    script = PROJECT / "scripts/measuring/qid_days.py"
    done = measure(sys.executable, str(script), what, str(root), *more, cwd=PROJECT,
                   environment={"PYTHONPATH": str(PROJECT)})  # fmt: skip
    return json.loads(done.out) if done.out else None
