"""`daeda run`, `plan`, `skeleton` and `enrich`, and the watchers of a run: progress, trace file, OpenLineage."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from daedalus.base.errors import DaedalusError
from daedalus.cli.output import print_json, print_lines, print_notes, to_stderr
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import (
        Adopt,
        AllowEmpty,
        CacheRoot,
        ChunkRows,
        Config,
        DayWorkers,
        Executor,
        ExecutorKind,
        Force,
        Json,
        OpenLineage,
        OutputRoot,
        Plan,
        Profiled,
        ProgressKind,
        ProgressOption,
        Range,
        Resume,
        Scheduler,
        Trace,
    )
    from daedalus.stagecache.walk.progress import Progress
    from daedalus.watch.profile import Profile
    from daedalus.workspace.settings import Settings


def skeleton(
    *,
    range: Range = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    day_workers: DayWorkers = None,
    entity_spine_chunk_rows: ChunkRows = None,
    resume: Resume = False,
    force: Force = False,
    plan: Plan = False,
    adopt: Adopt = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    progress: ProgressOption = "auto",
    trace: Trace = None,
    openlineage: OpenLineage = None,
    profile: Profiled = False,
    executor: Executor = "threads",
    scheduler: Scheduler = None,
) -> int:
    """Publish the partitions of a range of days, without columns of vectors; recompute only what changed.

    Example: daeda skeleton --range 202602..202605 --resume
    """
    settings = settings_of(config, cache_root, output_root, day_workers, entity_spine_chunk_rows)
    return run_stages(
        settings, range, skeleton_only=True, json=json, watched=(progress, trace, openlineage), profile=profile,
        resume=resume, force=force, plan=plan, adopt=adopt, allow_empty=allow_empty, executor=executor,
        scheduler=scheduler,
    )  # fmt: skip


def enrich(
    *,
    range: Range = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: Annotated[
        str | None, Parameter(help="Where enriched partitions go; default: the config's embeddings.output_root.")
    ] = None,
    day_workers: DayWorkers = None,
    entity_spine_chunk_rows: ChunkRows = None,
    resume: Resume = False,
    force: Force = False,
    plan: Plan = False,
    adopt: Adopt = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    progress: ProgressOption = "auto",
    trace: Trace = None,
    openlineage: OpenLineage = None,
    profile: Profiled = False,
    executor: Executor = "threads",
    scheduler: Scheduler = None,
) -> int:
    """Publish the partitions of a range of days with their embedding columns. Runs the skeleton first where needed.

    Example: daeda enrich --range 202602..202605 --resume
    """
    settings = settings_of(config, cache_root, None, day_workers, entity_spine_chunk_rows, output_root)
    return run_stages(
        settings, range, skeleton_only=False, json=json, watched=(progress, trace, openlineage), profile=profile,
        resume=resume, force=force, plan=plan, adopt=adopt, allow_empty=allow_empty, executor=executor,
        scheduler=scheduler,
    )  # fmt: skip


def run(
    *,
    range: Range = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    day_workers: DayWorkers = None,
    entity_spine_chunk_rows: ChunkRows = None,
    resume: Resume = False,
    force: Force = False,
    plan: Plan = False,
    adopt: Adopt = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    progress: ProgressOption = "auto",
    trace: Trace = None,
    openlineage: OpenLineage = None,
    profile: Profiled = False,
    executor: Executor = "threads",
    scheduler: Scheduler = None,
) -> int:
    """Run every stage that the configuration has: the skeleton, then with `embeddings` the enrich stage.

    Example: daeda run -r 202602..202605
    """
    settings = settings_of(config, cache_root, output_root, day_workers, entity_spine_chunk_rows)
    check_output_root(output_root, skeleton_only := _has_skeleton_only(settings))
    return run_stages(
        settings, range, skeleton_only=skeleton_only, json=json, watched=(progress, trace, openlineage),
        profile=profile, resume=resume, force=force, plan=plan, adopt=adopt, allow_empty=allow_empty,
        executor=executor, scheduler=scheduler,
    )  # fmt: skip


def plan(
    *,
    range: Range = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    resume: Resume = False,
    force: Force = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    progress: ProgressOption = "auto",
) -> int:
    """Show what `daeda run` would run, why, and the expected cost; run nothing.

    Example: daeda plan -r 202602..202605
    """
    settings = settings_of(config, cache_root, output_root)
    check_output_root(output_root, skeleton_only := _has_skeleton_only(settings))
    return run_stages(
        settings, range, skeleton_only=skeleton_only, json=json, watched=(progress, None, None),
        profile=False, resume=resume, force=force, plan=True, allow_empty=allow_empty, executor="threads",
    )  # fmt: skip


def _has_skeleton_only(settings: Settings) -> bool:
    return settings.applied().runtime.embeddings is None


def check_output_root(output_root: str | None, skeleton_only: bool) -> None:
    """Raises DaedalusError when one output root is given for two stages."""
    if output_root is not None and not skeleton_only:
        raise DaedalusError(
            "one output root for two stages",
            where="--output-root",
            found=output_root,
            expected="output_root and embeddings.output_root in runtime.yaml",
            hint="--output-root goes with daeda skeleton, daeda enrich and daeda pipeline train --skeleton-only",
        )


def run_stages(
    settings: Settings, range: str | None, *, skeleton_only: bool, json: bool,
    watched: tuple[ProgressKind, str | None, str | None], profile: bool, executor: ExecutorKind, **options: Any,
) -> int:  # fmt: skip
    """Runs the skeleton stage, or all stages, and prints what it did; returns the exit code.

    `watched` are the kind of progress, the trace file and where OpenLineage events go; `options` are others of the run.
    """
    with profiled(profile, executor) as sampler:
        from daedalus.pipelines.training import run_skeleton_stage, run_training_pipeline

        progress = watcher(*watched, settings, *sampler, skeleton_only=skeleton_only)
        print_warnings(settings)
        run = run_skeleton_stage if skeleton_only else run_training_pipeline
        report = run(settings, range, progress=progress, executor=executor, **options)
        print_json(report.as_json()) if json else print_lines(report.shown())
        return report.exit_code


def print_warnings(settings: Settings) -> None:
    """Prints the warnings about the config (upkeep/warnings.py)."""
    from daedalus.upkeep.warnings import doubts

    print_notes(doubts(settings.applied()))


@contextmanager
def profiled(asked: bool, executor: str = "threads") -> Iterator[Sequence[Progress]]:
    """Samples the run inside if asked, and prints the table at its end; gives the watchers for that."""
    if not asked:
        yield ()
        return
    if executor == "dask":
        raise DaedalusError("a profile covers the threads of one process only", where="--profile",
                            found="--executor dask", hint="leave out one of them")  # fmt: skip
    from daedalus.watch.profile import Profile

    profile = Profile()
    try:
        with profile:
            yield (profile,)
    except DaedalusError:  # refused: the message is what counts
        raise
    except BaseException:
        _print_table(profile)
        raise
    _print_table(profile)


def _print_table(profile: Profile) -> None:
    from daedalus.watch.profile_table import table

    for line in table(profile):
        to_stderr(line)


def watcher(
    kind: ProgressKind, trace: str | None, openlineage: str | None, settings: Settings, *more: Progress,
    skeleton_only: bool = False,
) -> Progress:  # fmt: skip
    """The watcher of a run: a live display on a terminal, else lines, on stderr; trace file and lineage if asked."""
    shown = _shown_progress(kind)
    watchers = [shown, *more]
    if trace is not None:
        if not trace:
            raise DaedalusError("an empty path", where="--trace", found="''", expected="a file")
        from pathlib import Path

        from daedalus.watch.perfetto import TraceFile

        watchers.append(TraceFile(Path(trace)))
    if openlineage is not None:
        from daedalus.watch.openlineage import Lineage

        config = settings.applied()
        config = config.of_stage(config.stages[0]) if skeleton_only else config
        watchers.append(Lineage(openlineage, config, shown.say if kind != "none" else to_stderr))
    if len(watchers) == 1:
        return shown
    from daedalus.watch.perfetto import Several

    return Several(*watchers)


def _shown_progress(kind: ProgressKind) -> Progress:
    if kind == "none":
        from daedalus.stagecache.walk.progress import Progress

        return Progress()
    if kind == "tui" or (kind == "auto" and sys.stderr.isatty()):
        from daedalus.watch.late_terminal import LateTui

        return LateTui(sys.stderr)
    from daedalus.watch.plain import PlainProgress

    return PlainProgress(sys.stderr)
