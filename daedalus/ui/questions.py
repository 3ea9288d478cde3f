"""What may be asked, each question with the command that answers it too, by the same functions."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from daedalus.base.days import Day, parse_range
from daedalus.base.errors import DaedalusError
from daedalus.workspace.settings import Settings

if TYPE_CHECKING:
    from daedalus.shapes.explained import Diff, ExplainedDay, ExplainedRow, ExplainedStep
    from daedalus.shapes.report import Collected
    from daedalus.shapes.run import Plan
    from daedalus.shapes.runs import Runs
    from daedalus.shapes.upkeep import Status
    from daedalus.ui.lineage import Lineage
    from daedalus.ui.live import Live
    from daedalus.ui.preview import Made, Part

LAST_RUNS = 12


class Asked(Struct, frozen=True):
    """A question's own part: the settings of the command, its range, and what the address says."""

    settings: Settings
    range: str | None
    path: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def day(self) -> Day:
        from daedalus.explain.day import one_day

        return one_day(self.path["day"], "the address")

    def given(self, name: str) -> str:
        """A value that the address must have. Raises DaedalusError."""
        if not (value := self.query.get(name)):
            raise DaedalusError("the address lacks a part", where=f"?{name}=")
        return value

    @property
    def span(self) -> str | None:
        """The range of the address, or that of the command. Raises DaedalusError for what is none."""
        found = self.query.get("range") or self.range
        if found is not None:
            parse_range(found)
        return found

    @property
    def first(self) -> int:
        """The place of the first row that is shown."""
        text = self.query.get("first", "0")
        return min(int(text), 1 << 60) if text.isascii() and text.isdecimal() and len(text) < 20 else 0

    def command(self, *words: str) -> str:
        """A command line that asks the same."""
        return f"daeda {shlex.join(words)}{self.settings.options}"


def status(asked: Asked) -> Status:
    from daedalus.upkeep.status import cache_status

    return cache_status(asked.settings, asked.span)


def plan(asked: Asked) -> Plan:
    """What `daeda plan` prints; of an output root of the command line, which is the skeleton's, `skeleton --plan`."""
    from daedalus.pipelines.training import run_skeleton_stage, run_training_pipeline

    all_stages = asked.settings.output_root is None and asked.settings.applied().runtime.embeddings
    run = run_training_pipeline if all_stages else run_skeleton_stage
    return cast("Plan", run(asked.settings, asked.span, plan=True, allow_empty=True).as_json())


def runs(asked: Asked) -> Runs:
    from daedalus.explain.run_history import list_runs

    return list_runs(asked.settings, LAST_RUNS)


def day(asked: Asked) -> ExplainedDay:
    from daedalus.explain.day import explain_day

    return explain_day(asked.settings, str(asked.day))


def step(asked: Asked) -> ExplainedStep:
    from daedalus.explain.day import explain_step

    return explain_step(asked.settings, str(asked.day), asked.given("step"))


def row(asked: Asked) -> ExplainedRow:
    from daedalus.explain.row import explain_row

    column = asked.query.get("column") or None
    return explain_row(asked.settings, str(asked.day), asked.given("user"), asked.given("artwork"), column)


def diff(asked: Asked) -> Diff:
    from daedalus.explain.diff import diff_day

    query = asked.query
    return diff_day(asked.settings, str(asked.day), query.get("against") or None, query.get("stage") or None)


def was_replaced(asked: Asked) -> bool:
    """Whether there is something to ask `diff`."""
    from daedalus.explain.diff import was_replaced

    return was_replaced(asked.settings, str(asked.day))


def report(asked: Asked) -> Collected:
    from daedalus.report.collect import collect

    return collect(asked.settings, asked.span)


def live(asked: Asked) -> Live:
    from daedalus.ui.live import live

    return live(asked.settings)


def lineage(asked: Asked) -> Lineage:
    from daedalus.ui.lineage import lineage

    return lineage(asked.settings, asked.day)


def made(asked: Asked) -> Made:
    from daedalus.ui.preview import made

    return made(asked.settings, asked.day, step(asked)["step"], asked.first)


def part(asked: Asked) -> Part:
    from daedalus.ui.preview import partition

    return partition(asked.settings, asked.day, asked.query.get("stage") or None, asked.first)


# What is answered as JSON, by the path after /api: that of commands as `--json` prints it, and four more.
ANSWERS: Mapping[str, Callable[[Asked], Any]] = {
    "/status": status,
    "/plan": plan,
    "/runs": runs,
    "/report": report,
    "/live": live,
    "/day/{day}": day,
    "/day/{day}/step": step,
    "/day/{day}/row": row,
    "/day/{day}/diff": diff,
    "/day/{day}/lineage": lineage,
    "/day/{day}/made": made,
    "/day/{day}/rows": part,
}
