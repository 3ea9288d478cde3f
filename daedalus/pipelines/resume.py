"""What a run was asked, as the cache records it, and what an unfinished run leaves to do."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from daedalus.base import digest
from daedalus.base.days import Day, DayRange, parse_range
from daedalus.base.errors import DaedalusError, Interrupted, RunStopped, bare
from daedalus.workspace.code_stamp import code_stamp
from daedalus.workspace.day_results import ENDED
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened


@dataclass(frozen=True)
class Request:
    """`meaning` must be the same for the days that a run finished to be trusted by another."""

    settings: Settings
    meaning: str
    model: str | None
    force: bool
    run: str = field(default_factory=lambda: uuid.uuid4().hex)  # its id

    def as_json(self, span: DayRange) -> dict:
        options = {key: value for key, value in dataclasses.asdict(self.settings).items() if key != "config"}
        return {
            "range": str(span),
            "meaning": self.meaning,
            "model": self.model,
            "force": self.force,
            "settings": options,
        }


def meaning_of(workspace: Workspace) -> str:
    """A digest of the configuration and of the code."""
    return digest.of_text(f"{workspace.config.meaning} {code_stamp(workspace.traces)}")


def last_unfinished(settings: Settings) -> dict | None:
    """What was asked of the run that `--resume` goes on with."""
    if not os.path.exists(settings.applied().runtime.cache_root):
        return None
    with opened(settings) as workspace:
        runs = workspace.traces.unfinished_runs()
    return runs[0][1] if runs else None


def resumes_force(workspace: Workspace, say: Callable[[str], None]) -> bool:
    """Whether the unfinished run was forced, with the same configuration and code; says so."""
    runs = workspace.traces.unfinished_runs()
    if not runs or not runs[0][1]["force"] or runs[0][1]["meaning"] != meaning_of(workspace):
        return False
    say("the unfinished run used --force, so this one does too")
    return True


def resumed_days(workspace: Workspace, span: DayRange, say: Callable[[str], None]) -> dict[str, dict]:
    """The days that the last unfinished run finished; none if config or code changed since."""
    runs = workspace.traces.unfinished_runs()
    if not runs:
        say(f"nothing to resume: a plain run of {span} into {bare(workspace.output_root)}")
        return {}
    run, request = runs[0]
    if request["meaning"] != meaning_of(workspace):
        say(f"resuming {request['range']}: config or code changed since that run; checking its days again")
        return {}
    finished = workspace.traces.finished_days(run)
    done = {day: summary for day, summary in finished.items() if Day.fromisoformat(day) in span}
    days = "" if str(span) == request["range"] else f" of {span}"
    say(f"resuming {request['range']}: {len(done)} of {len(span)} days{days} were finished")
    return done


def begin_run(workspace: Workspace, request: Request, span: DayRange, done: Mapping[str, dict]) -> None:
    """Records that a run begins, and the days that it need not walk."""
    workspace.traces.start_run(request.run, _asked(workspace, request, span))
    workspace.traces.finish_days(request.run, done)


def _asked(workspace: Workspace, request: Request, span: DayRange) -> dict:
    return {**request.as_json(span), "output": workspace.output_root, "stages": [*workspace.outputs]}


@contextmanager
def recorded(workspace: Workspace, request: Request, span: DayRange) -> Iterator[None]:
    """Ctrl-C raises Interrupted when it left a run that can be resumed; before or after that it is what it was.

    What stopped a run is recorded, and a refusal is, as a run that ended.
    """
    try:
        yield
    except DaedalusError as error:
        with suppress(DaedalusError):  # the records may be what cannot be used
            _record_reason(workspace, request, span, error)
        raise
    except KeyboardInterrupt:
        if any(run == request.run for run, _ in workspace.traces.unfinished_runs()):
            raise Interrupted from None
        raise


def _record_reason(workspace: Workspace, request: Request, span: DayRange, error: DaedalusError) -> None:
    traces = workspace.traces
    if request.run not in traces.runs():
        traces.start_run(request.run, _asked(workspace, request, span))
    if not isinstance(error, RunStopped):  # that run is unfinished: --resume goes on
        traces.finish_run(request.run, "refused")
    problem = {"day": "", "step": "", "error": error.one_line(), **error.as_json()}
    traces.remember_fact(f"{ENDED}{request.run}", {"failures": [problem]})


def end_run(workspace: Workspace, request: Request, span: DayRange, *, failed: bool) -> None:
    """Ends a run, and with it the unfinished runs whose range it covered: nothing of them is left to do."""
    traces, run = workspace.traces, request.run
    traces.finish_run(run, "failed" if failed else "done")
    for older, asked in traces.unfinished_runs():
        days = parse_range(asked["range"])
        if days.first in span and days.last in span and not failed:
            traces.finish_run(older, "superseded")
        elif asked["meaning"] == request.meaning and request.force >= asked["force"]:  # no day twice
            done = traces.finished_days(run)
            traces.finish_days(older, {day: s for day, s in done.items() if Day.fromisoformat(day) in days})
