"""`daeda pipeline …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.base.errors import DaedalusError
from daedalus.cli.settings import settings_of
from daedalus.cli.skeleton import finish, print_warnings, profiled, watcher

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import (
        AllowEmpty,
        CacheRoot,
        Config,
        Json,
        OpenLineage,
        OutputRoot,
        Profiled,
        ProgressKind,
        Trace,
    )


def train(
    name: Annotated[str, Parameter(help="The model's name, recorded with the run.")],
    *,
    skeleton_only: Annotated[bool, Parameter(negative=(), help="Stop after the skeleton stage.")] = False,
    target_date: Annotated[str | None, Parameter(help="One day, YYYY-MM-DD; default: the config's range.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    resume: Annotated[bool, Parameter(negative=(), help="Continue the last unfinished run.")] = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    progress: ProgressKind = "auto",
    trace: Trace = None,
    openlineage: OpenLineage = None,
    profile: Profiled = False,
) -> int:
    """Run a model's training pipeline up to the skeleton stage.

    Example: daeda pipeline train dssm_ranking --skeleton-only --target-date 2026-05-15
    """
    if not skeleton_only:
        raise DaedalusError(
            "the stages after the skeleton are not part of this tool",
            where="daeda pipeline train",
            found="no --skeleton-only",
            expected="--skeleton-only",
            hint=f"daeda pipeline train {name} --skeleton-only",
        )
    settings = settings_of(config, cache_root, output_root)
    with profiled(profile) as sampler:
        from daedalus.pipelines.training import run_skeleton_stage

        print_warnings(settings)
        report = run_skeleton_stage(
            settings, target_date, resume=resume, allow_empty=allow_empty, model=name,
            progress=watcher(progress, trace, openlineage, settings, *sampler),
        )  # fmt: skip
        return finish(report, json)


COMMANDS = (train,)
