"""What a plan and an explanation say, and what a run then executes: `plan_and_run.py RANGE DAY` prints it as JSON.

Imports nothing but the package, which may be another version of it.
"""

from __future__ import annotations

import json
import sys

from daedalus.explain.day import explain_day
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.settings import Settings


class Record(Progress):
    """What a run executes: (day, step, state)."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str, str]] = []

    def finished(self, outcome) -> None:
        if outcome.state != "hit":
            self.ran.append((outcome.day, outcome.name.partition("@")[0], outcome.state))


def plan_and_run(range: str, day: str) -> dict:
    """`plan`, `causes` of the day, and `ran`, in this order."""
    plan = run_skeleton_stage(range=range, plan=True).plan
    causes = explain_day(Settings(), day)["causes"]
    record = Record()
    run_skeleton_stage(range=range, progress=record)
    return {"plan": plan, "causes": causes, "ran": record.ran}


if __name__ == "__main__":
    print(json.dumps(plan_and_run(*sys.argv[1:])))
