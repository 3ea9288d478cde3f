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
Executor = Annotated[ExecutorKind, Parameter(help="Where steps run: here, or on Dask.")]
Scheduler = Annotated[str | None, Parameter(help="Address of a Dask scheduler; default: a local cluster.")]
Range = Annotated[
    str | None, Parameter(alias="-r", completer=days, help="202602..202605, 2026-05-01..2026-05-15 or 2026-05-15.")
]
ReportRange = Annotated[
    str | None, Parameter(name="--range", alias="-r", completer=days, help="Days, as of a run; default: the config's.")
]
AuditRange = Annotated[
    str | None,
    Parameter(name="--range", alias="-r", completer=days, help="Days to sample from; default: all that are published."),
]
Day = Annotated[str, Parameter(completer=days, help="YYYY-MM-DD")]
Step = Annotated[str, Parameter(completer=steps, help="A step, as `explain day` names it.")]
Config = Annotated[
    str,
    Parameter(
        alias="-c", help="Folder with catalog.yaml and training/*.yaml; default: DAEDA_CONFIG, or the project's."
    ),
]
CacheRoot = Annotated[str | None, Parameter(help="Folder of the cache; default: the config's cache_root.")]
OutputRoot = Annotated[str | None, Parameter(help="Where partitions go; default: the config's output_root.")]
DayWorkers = Annotated[int | None, Parameter(help="Days processed at once.")]
ChunkRows = Annotated[int | None, Parameter(help="Rows per output part file.")]
Resume = Annotated[bool, Parameter(negative=(), help="Continue the last unfinished run.")]
Force = Annotated[bool, Parameter(alias="-f", negative=(), help="Recompute the range, even what is cached.")]
Replace = Annotated[bool, Parameter(alias="-f", negative=(), help="Replace an existing configuration.")]
Plan = Annotated[bool, Parameter(alias="-n", negative=(), help="Show what would run and why; run nothing.")]
Adopt = Annotated[bool, Parameter(negative=(), help="Delete other files along with their partition.")]
AllowEmpty = Annotated[
    bool, Parameter(negative=(), help="Take a range without any feed rows: its partitions are removed.")
]
Json = Annotated[
    bool, Parameter(name=("--json", "-j"), negative=(), help="Print one JSON object on stdout, nothing else.")
]
DryRun = Annotated[bool, Parameter(alias="-n", negative=(), help="Show what would be removed; remove nothing.")]
DocumentFile = Annotated[str | None, Parameter(alias="-o", help="Also write the document, as JSON, to this file.")]
RowsFile = Annotated[
    str | None, Parameter(alias="-o", help="Also write the rows that differ to this parquet file; of one stage.")
]
ReportAgainst = Annotated[
    str | None, Parameter(help="Other days to compare with, or a file of an earlier report --json.")
]
ReportFile = Annotated[str, Parameter(alias="-o", help="The HTML file to write.")]
Trace = Annotated[str | None, Parameter(help="Also write a timeline of the run to this file, for Perfetto or Chrome.")]
OpenLineage = Annotated[str | None, Parameter(help="Also send OpenLineage events to this address or file.")]
Profiled = Annotated[
    bool, Parameter(name="--profile", negative=(), help="Also print where processor time went, on stderr.")
]
