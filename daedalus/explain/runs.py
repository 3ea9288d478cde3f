"""`daeda runs`: the last runs, what each was to do and what it changed."""

from __future__ import annotations

from collections.abc import Mapping

from daedalus.base.terminal_text import counted, cut
from daedalus.explain.cause_lines import headline
from daedalus.explain.run_history import last_runs
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened


def list_runs(settings: Settings, most: int) -> dict:
    """The last runs, newest first, as the report has them."""
    with opened(settings) as workspace:
        return {"cache_root": str(workspace.cache_root), "runs": last_runs(workspace.traces, most)}


def runs_lines(found: Mapping) -> list[str]:
    """A line per run, and below it what it changed and why."""
    if not found["runs"]:
        return [f"no run is recorded in {found['cache_root']}: daeda skeleton"]
    lines = [f"{'run':<10}{'started (UTC)':<21}{'state':<12}{'days':>5}  range"]
    for run in found["runs"]:
        words = [run["range"], "--force" * run["force"], run["model"] or ""]
        head = f"{run['id'][:8]:<10}{run['started']:<21}{run['state']:<12}{run['days']:>5}  "
        lines.append(head + " ".join(word for word in words if word))
        lines += [f"          {line}" for line in _below(run)]
    return [cut(line) for line in [*lines, "daeda diff DAY --against RUN compares a partition with that run's"]]


def _below(run: Mapping) -> list[str]:
    steps, changed = sum(run["computed"].values()), [row["day"] for row in run["changed"]]
    if not steps and not changed:
        return []
    days = f": {changed[0]}" + (f" to {changed[-1]}" if len(changed) > 1 else "") if changed else ""
    lines = [f"{counted(steps, 'step')} in {run['seconds']:,.1f} s, {counted(len(changed), 'partition')} changed{days}"]
    return lines + [f"{headline(cause)}{_values(cause)}" for cause in run["causes"][:3]]


def _values(cause: Mapping) -> str:
    if cause["kind"] in ("code", "missing", "input"):
        return ""
    old, new = ("nothing" if cause[side] is None else cause[side] for side in ("old", "new"))
    return f": {old} -> {new}"
