"""Records, after a walk, the stats by which the next run finds its days fresh; see fresh_days.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from daedalus.base.days import Day
from daedalus.base.file_stat import GONE, Stat
from daedalus.config.reach import Reach
from daedalus.stagecache.records.day_stamps import KeptFile
from daedalus.stagecache.walk.outcome import Outcome
from daedalus.workspace.code_stamp import code_stamp
from daedalus.workspace.day_summary import day_summary, spine_rows, tile_costs
from daedalus.workspace.fresh_days import QID_MAP, Asking, FreshDays

if TYPE_CHECKING:
    from daedalus.workspace.graph import Graph
    from daedalus.workspace.workspace import StageOutput, Workspace


def record_days(
    workspace: Workspace, graph: Graph, outcomes: Mapping[str, Outcome], stands: Mapping[str, FreshDays]
) -> None:
    """Takes down how a walk left its days, for the next question; `stands` are the days not walked, by stage."""
    workspace.digests.settle()
    for name, output in workspace.outputs.items():
        own = [outcome for outcome in outcomes.values() if outcome.step in output.stage.steps]
        _record_stage(workspace, output, graph, own, stands[name])


def _record_stage(
    workspace: Workspace, output: StageOutput, graph: Graph, outcomes: Sequence[Outcome], stands: FreshDays
) -> None:  # fmt: skip
    output.partitions.refresh()
    of_day: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        of_day.setdefault(outcome.day or "", []).append(outcome)
    targets = {str(day) for day in graph.days}
    code = code_stamp(workspace.traces)
    known, before = output.day_stamps.asked(code), output.day_stamps.summaries(code)
    forget = {day for day in known if _reads(workspace, day, stands.touched)} | stands.touched
    config = workspace.config.of_stage(output.stage)
    asking = Asking(config, graph.listing, code, workspace.files.settled, graph.session_range)
    records: dict[str, tuple[str, dict]] = {}
    files: list[KeptFile] = []
    for day, found in of_day.items():
        summary = day_summary(found, output.stage) if day in targets else _read_summary(found)
        if summary is None or not all(outcome.good for outcome in found):
            continue
        left = [file for outcome in found for file in _kept_files(workspace, output, outcome)]
        kept = [file for file in left if file is not None]
        if len(kept) < len(left):
            continue
        asks = asking.of(Day.fromisoformat(day), graph.sessions) if day in targets else known.get(day, "")
        if asks is None or asking.context is None:
            continue
        summary = _joined(before.get(day, {}), {**summary, "context": asking.context})
        if day == "":
            summary["witness"] = asking.witness(graph.witness)
            kept.append(KeptFile(QID_MAP, "", workspace.qids.where, *workspace.files.stat(workspace.qids.where)))
        if day not in targets and ("own" not in summary or day in forget):
            asks = ""
        records[day] = (asks, summary)
        files += kept
    output.day_stamps.record(code, targets, records, files, forget=forget)


def _reads(workspace: Workspace, day: str, touched: frozenset[str]) -> bool:
    """Whether a day reads any that somebody touched: whoever asks for it next has it looked up again."""
    if not day or not touched:
        return False
    reach = Reach.of(workspace.config)
    if "" in touched or reach.endless:
        return min(touched) <= day
    return reach.window_holds(Day.fromisoformat(day), touched)


def _read_summary(outcomes: Sequence[Outcome]) -> dict:
    """Of a day that is no target, or of what belongs to no day."""
    return {"tiles": tile_costs(outcomes), "rows": spine_rows(outcomes)}


def _joined(before: dict, now: dict) -> dict:
    """A day's summary with the tiles that walks before made of it: a walk of few days looks at few of them."""
    if before.get("context") != now["context"]:
        return now
    rows = now["rows"] if "spine" in now["tiles"] else before["rows"]
    return {**before, **now, "tiles": {**before["tiles"], **now["tiles"]}, "rows": rows}


def _kept_files(workspace: Workspace, output: StageOutput, outcome: Outcome) -> list[KeptFile | None]:
    """The files that an action left; None for one that may have changed unseen."""
    found: list[tuple[str, Stat | None]]
    if outcome.step == output.stage.partition:
        found = list(output.partitions.kept(outcome.name, outcome.artifact))
    else:
        path = str(workspace.store.path(outcome.name, outcome.artifact))
        is_elsewhere = workspace.shared and not os.path.exists(path)  # in the shared cache, and not needed here
        found = [(path, GONE if is_elsewhere else workspace.files.settled(path))]
    return [KeptFile(outcome.name, outcome.day or "", path, *stat) if stat else None for path, stat in found]
