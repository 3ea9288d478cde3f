"""`run_skeleton_stage()` and `run_training_pipeline()`: the stages over a range of days, through the stage cache."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from daedalus.base.days import parse_range
from daedalus.base.errors import DaedalusError, bare
from daedalus.config import RUNTIME, Config
from daedalus.config.steps import SKELETON
from daedalus.pipelines.look import Looked, look
from daedalus.pipelines.resume import Request, last_unfinished, meaning_of, recorded, resumed_days, resumes_force
from daedalus.pipelines.run import execute
from daedalus.pipelines.run_report import RunReport
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.empty_range import refuse_empty
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.pipelines.on_dask import OnDask


def run_skeleton_stage(
    settings: Settings | None = None,
    range: str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    plan: bool = False,
    adopt: bool = False,
    allow_empty: bool = False,
    model: str | None = None,
    progress: Progress | None = None,
    executor: Literal["threads", "dask"] = "threads",
    scheduler: str | None = None,
) -> RunReport:
    """Computes what changed and publishes the partitions of a range of days.

    `range` is written as on the command line. None means the config's feed_start..feed_end or, with `resume`, the
    range of the last unfinished run. `plan` runs nothing. Files in a partition's folder that daedalus did not write
    make the day fail; `adopt` deletes them with the partition. A range in which no day has feed rows is refused;
    `allow_empty` accepts it and removes the partitions of these days. `model` is a name for the run's record.
    `progress` watches the run; None shows progress in a notebook, and nothing elsewhere. `executor="dask"` runs steps
    on the workers of the Dask `scheduler` at that address; without one, on a cluster on this machine, whose processes
    import the calling script: call this under `if __name__ == "__main__":`.

    Raises DaedalusError for refused config, arguments or input, and Interrupted on Ctrl-C. Days that
    fail do not raise: they are in the report.
    """
    options = _Options(resume, force, plan, adopt, allow_empty, model, executor, scheduler)
    return _run(settings or Settings(), range, options, progress, lambda config: config.of_stage(SKELETON))


def run_training_pipeline(
    settings: Settings | None = None,
    range: str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    plan: bool = False,
    adopt: bool = False,
    allow_empty: bool = False,
    model: str | None = None,
    progress: Progress | None = None,
    executor: Literal["threads", "dask"] = "threads",
    scheduler: str | None = None,
) -> RunReport:
    """Does the same for all stages: the skeleton, then the enriched partitions of a configuration with `embeddings`.

    The report's numbers are sums over the stages; `report.stages` has the numbers of each. A day whose enriched
    partition fails keeps its skeleton. Raises what `run_skeleton_stage` does, and DaedalusError without `embeddings`.
    """
    options = _Options(resume, force, plan, adopt, allow_empty, model, executor, scheduler)
    return _run(settings or Settings(), range, options, progress, _with_embeddings)


def _with_embeddings(config: Config) -> Config:
    if config.runtime.embeddings is None:
        raise DaedalusError(
            "the configuration has no embeddings, so there is nothing to run after the skeleton",
            where=config.where(RUNTIME, "embeddings"),
            found="nothing",
            expected="embeddings, with columns of vectors",
            hint="add embeddings (docs/config.md), or run daeda pipeline train NAME --skeleton-only",
        )
    return config


class _Options(Struct, frozen=True):
    """How a run was asked for; see `run_skeleton_stage`."""

    resume: bool
    force: bool
    plan: bool
    adopt: bool
    allow_empty: bool
    model: str | None
    executor: str
    scheduler: str | None


def _run(
    settings: Settings, range: str | None, asked: _Options, progress: Progress | None,
    change: Callable[[Config], Config],
) -> RunReport:  # fmt: skip
    """A run of the stages that the configuration has after a `change`."""
    progress, resume, model = progress or _default_progress(), asked.resume, asked.model
    _check_executor(asked.executor, asked.scheduler)
    began = time.perf_counter()
    if range is not None:
        parse_range(range)
    change(settings.applied())  # what it refuses comes first
    where = "--range" if range is not None else ""
    if resume and (last := last_unfinished(settings)):
        settings, model = _taken_up(settings, last), model or last["model"]
        where, range = where or f"--resume, of the run of {last['range']}", range or last["range"]
    check = partial(refuse_empty, range=range, where=where) if not asked.allow_empty else None
    with opened(settings, change, say=progress.looking, adopt=asked.adopt, check=check) as workspace:
        force = asked.force or (resume and resumes_force(workspace, progress.say))
        span = workspace.config.range(range)
        if any(not folder.is_dir() for folder in workspace.folders_of_output.values()):
            workspace.check_output()
        resumed = resumed_days(workspace, span, progress.say) if resume else {}
        if not resume:  # which says the same, and what is resumed
            into = " and ".join(bare(output.root) for output in workspace.outputs.values())
            progress.looking(f"{span} into {into}: looking at the inputs")
        request = Request(settings, meaning_of(workspace), model, force)
        with nullcontext() if asked.plan else recorded(workspace, request, span):
            looked = look(workspace, span, resumed, force=force)
            if check:
                check(workspace.config, looked.listing)
            dask = _dask(asked.scheduler) if asked.executor == "dask" else None
            report = _plan(workspace, looked) if asked.plan else execute(workspace, looked, request, progress, dask)
        report.output, report.options = str(workspace.output_root), settings.options
        report.command = settings.run(workspace.config, model)
        for name, one in report.stages.items():
            one.output = workspace.outputs[name].root
    report.seconds = time.perf_counter() - began
    return report


def _taken_up(settings: Settings, last: Mapping) -> Settings:
    """The settings with those of the unfinished run in place of what is not given."""
    options = {key: value for key, value in last["settings"].items() if getattr(settings, key) is None}
    return dataclasses.replace(settings, **options)


def _plan(workspace: Workspace, looked: Looked) -> RunReport:
    from daedalus.pipelines.plan import plan_run

    return plan_run(workspace, looked)


def _default_progress() -> Progress:
    if "IPython" in sys.modules:
        from daedalus.watch.notebook import notebook_progress

        return notebook_progress() or Progress()
    return Progress()


def _check_executor(executor: str, scheduler: str | None) -> None:
    if executor == "dask":
        from daedalus.cluster.connect import check_installed

        check_installed()
    elif scheduler is not None:
        raise DaedalusError("--scheduler is given, but the run does not use Dask", where=f"--scheduler {scheduler}",
                            found=f"--executor {executor}", hint="--executor dask")  # fmt: skip


def _dask(scheduler: str | None) -> OnDask:
    from daedalus.pipelines.on_dask import OnDask

    return OnDask(scheduler)
