"""`daeda pipeline …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.base.errors import DaedalusError
from daedalus.cli.settings import settings_of
from daedalus.cli.skeleton import check_output_root, run_stages

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import (
        AllowEmpty,
        CacheRoot,
        Config,
        Executor,
        Force,
        Json,
        OpenLineage,
        OutputRoot,
        Plan,
        Profiled,
        ProgressOption,
        Range,
        Resume,
        Scheduler,
        Trace,
    )


def train(
    name: Annotated[str, Parameter(help="The model's name, recorded with the run.")],
    *,
    skeleton_only: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Stop after the skeleton stage.")
    ] = False,
    range: Range = None,
    target_date: Annotated[str | None, Parameter(help="One day, YYYY-MM-DD; default: the config's range.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    resume: Resume = False,
    force: Force = False,
    plan: Plan = False,
    allow_empty: AllowEmpty = False,
    json: Json = False,
    progress: ProgressOption = "auto",
    trace: Trace = None,
    openlineage: OpenLineage = None,
    profile: Profiled = False,
    executor: Executor = "threads",
    scheduler: Scheduler = None,
) -> int:
    """Run a model's training pipeline: compile the configuration, run the skeleton stage, then the enrich stage.

    Example: daeda pipeline train dssm_ranking --target-date 2026-05-15
    """
    _check(range, target_date)
    check_output_root(output_root, skeleton_only)
    settings = settings_of(config, cache_root, output_root)
    return run_stages(
        settings, range or target_date, skeleton_only=skeleton_only, json=json, watched=(progress, trace, openlineage),
        profile=profile, resume=resume, force=force, plan=plan, allow_empty=allow_empty, model=name,
        executor=executor, scheduler=scheduler,
    )  # fmt: skip


def _check(range: str | None, target_date: str | None) -> None:
    """Raises DaedalusError for options that do not go together."""
    if range is not None and target_date is not None:
        raise DaedalusError("both a range and a target date", where="--target-date", found=f"--range {range} as well",
                            expected="only one of them")  # fmt: skip


COMMANDS = {"pipeline": (train,)}
