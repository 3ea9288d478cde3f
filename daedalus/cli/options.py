"""The types of options that several commands share.

Commands name these, and the parser's `Parameter`, in annotations only, which `app.py` resolves: so a command runs
without the parser. A short name is one letter for one thing in all commands.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from daedalus.cli.settings import CONFIG, VARIABLE, project_above

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

    from daedalus.config import config as configuration


# What the shell is offered: asked at each press of the tab key, so these look at names only.


def days(context: CompletionContext) -> Iterable[str]:
    """The days of the feed, where it is on this machine."""
    from daedalus.inputs.listing import FeedFolder
    from daedalus.inputs.local_files import LocalNames
    from daedalus.objectstore.object_store import is_uri

    config = _config(context)
    return [] if is_uri(config.catalog.feed.path) else map(str, FeedFolder(config, LocalNames()).days)


def steps(context: CompletionContext) -> Iterable[str]:
    """The steps of the config's stages; of those that there are several of, each."""
    from daedalus.config.columns import referenced_views

    config = _config(context)
    vectors = config.runtime.embeddings.columns if config.runtime.embeddings else {}
    several = {
        "view": referenced_views(config),
        "rolling": [one.name for one in config.aggregations],
        "vectors": [name for name, one in vectors.items() if one.of],
        "means": [name for name, one in vectors.items() if not one.of],
    }
    for step in (step for stage in config.stages for step in stage.steps):
        yield from (f"{step}:{name}" for name in several[step]) if step in several else (step,)


def _config(context: CompletionContext) -> configuration.Config:
    """The config that the line so far means. Raises DaedalusError, of which the shell hears nothing."""
    from daedalus import config as reading

    typed = context["config"].raw or os.environ.get(VARIABLE)
    if not typed and (above := project_above()):
        os.chdir(above)
    return reading.load_config(typed or CONFIG)


ProgressKind = Literal["auto", "tui", "plain", "none"]
ProgressOption = Annotated[ProgressKind, Parameter(help="How to show progress, on stderr.")]
ExecutorKind = Literal["threads", "dask"]
Executor = Annotated[ExecutorKind, Parameter(help="Where steps run: threads of this process, or Dask workers.")]
Scheduler = Annotated[
    str | None, Parameter(help="With --executor dask: the scheduler's address; default: a local cluster.")
]
_DAYS = "202602..202605, 2026-05-01..2026-05-15 or 2026-05-15"
Range = Annotated[
    str | None, Parameter(alias="-r", completer=days, help=f"Days to run: {_DAYS}; default: feed_start..feed_end.")
]
StatusRange = Annotated[
    str | None,
    Parameter(name="--range", alias="-r", completer=days, help=f"Days to show: {_DAYS}; default: the config's."),
]
ReportRange = Annotated[
    str | None,
    Parameter(name="--range", alias="-r", completer=days, help=f"Days to report: {_DAYS}; default: the config's."),
]
AuditRange = Annotated[
    str | None,
    Parameter(name="--range", alias="-r", completer=days, help="Days to sample; default: all published days."),
]
SnapshotRange = Annotated[
    str | None,
    Parameter(name="--range", alias="-r", completer=days, help=f"Days to keep: {_DAYS}; default: all published days."),
]
Day = Annotated[str, Parameter(completer=days, help="YYYY-MM-DD")]
Step = Annotated[str, Parameter(completer=steps, help="Name of the step, as `explain day` prints it.")]
Config = Annotated[
    str,
    Parameter(
        alias="-c",
        show_default=False,
        help="Folder with catalog.yaml and training/; default: $DAEDA_CONFIG, else config/ here or in a folder above.",
    ),
]
CacheRoot = Annotated[str | None, Parameter(help="Folder of the cache; default: the config's cache_root.")]
OutputRoot = Annotated[str | None, Parameter(help="Where partitions are published; default: the config's output_root.")]
DayWorkers = Annotated[int | None, Parameter(help="Days processed at once; default: the config's day_workers.")]
ChunkRows = Annotated[int | None, Parameter(help="Rows per output part file; default: the config's.")]
Resume = Annotated[
    bool,
    Parameter(
        negative=(),
        show_default=False,
        help="Continue the last unfinished run; without --range, over that run's range.",
    ),
]
Force = Annotated[
    bool, Parameter(alias="-f", negative=(), show_default=False, help="Recompute the whole range, even what is cached.")
]
Replace = Annotated[
    bool, Parameter(alias="-f", negative=(), show_default=False, help="Replace an existing configuration.")
]
Plan = Annotated[
    bool, Parameter(alias="-n", negative=(), show_default=False, help="Show what would run and why; run nothing.")
]
Adopt = Annotated[
    bool,
    Parameter(
        negative=(),
        show_default=False,
        help="When replacing or removing a partition, also delete files in it that daeda did not write.",
    ),
]
AllowEmpty = Annotated[
    bool,
    Parameter(
        negative=(), show_default=False, help="Accept a range without feed rows, and remove the partitions it has."
    ),
]
Json = Annotated[
    bool,
    Parameter(
        name=("--json", "-j"),
        negative=(),
        show_default=False,
        help="Print one JSON object on stdout, and nothing else there.",
    ),
]
DryRun = Annotated[
    bool, Parameter(alias="-n", negative=(), show_default=False, help="Show what would be removed; remove nothing.")
]
DocumentFile = Annotated[str | None, Parameter(alias="-o", help="Also write the document to this file, as JSON.")]
RowsFile = Annotated[
    str | None,
    Parameter(alias="-o", help="Also write the rows that differ to this parquet file; with two stages, needs --stage."),
]
ReportAgainst = Annotated[
    str | None, Parameter(help="Other days to compare with, or a file of an earlier report --json.")
]
ReportFile = Annotated[str, Parameter(alias="-o", help="The HTML file to write.")]
Trace = Annotated[
    str | None, Parameter(help="Also write a timeline of the run to this file, for Perfetto or chrome://tracing.")
]
OpenLineage = Annotated[
    str | None, Parameter(help="Also send OpenLineage events to this http(s) address, or write them to this file.")
]
Profiled = Annotated[
    bool,
    Parameter(
        name="--profile", negative=(), show_default=False, help="Also print to stderr where the processor time went."
    ),
]
