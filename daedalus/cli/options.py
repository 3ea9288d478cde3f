"""The types of options that several commands share.

Commands name these, and the parser's `Parameter`, in annotations only, which `app.py` resolves: so a command runs
without the parser.
"""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

ProgressKind = Literal["auto", "tui", "plain", "none"]
ProgressOption = Annotated[ProgressKind, Parameter(help="How to show progress, on stderr.")]
ExecutorKind = Literal["threads", "dask"]
Executor = Annotated[ExecutorKind, Parameter(help="Where steps run: here, or on Dask.")]
Scheduler = Annotated[str | None, Parameter(help="Address of a Dask scheduler; default: a local cluster.")]
Range = Annotated[str | None, Parameter(help="202602..202605, 2026-05-01..2026-05-15 or 2026-05-15.")]
Config = Annotated[str, Parameter(help="Folder with catalog.yaml and training/*.yaml.")]
CacheRoot = Annotated[str | None, Parameter(help="Folder of the cache; default: the config's cache_root.")]
OutputRoot = Annotated[str | None, Parameter(help="Where partitions go; default: the config's output_root.")]
DayWorkers = Annotated[int | None, Parameter(help="Days processed at once.")]
ChunkRows = Annotated[int | None, Parameter(help="Rows per output part file.")]
Resume = Annotated[bool, Parameter(negative=(), help="Continue the last unfinished run.")]
Force = Annotated[bool, Parameter(negative=(), help="Recompute the range, even what is cached.")]
Plan = Annotated[bool, Parameter(negative=(), help="Show what would run and why; run nothing.")]
Adopt = Annotated[bool, Parameter(negative=(), help="Delete other files along with their partition.")]
AllowEmpty = Annotated[
    bool, Parameter(negative=(), help="Take a range without any feed rows: its partitions are removed.")
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print one JSON object on stdout, nothing else.")]
Trace = Annotated[str | None, Parameter(help="Also write a timeline of the run to this file, for Perfetto or Chrome.")]
OpenLineage = Annotated[str | None, Parameter(help="Also send OpenLineage events to this address or file.")]
Profiled = Annotated[
    bool, Parameter(name="--profile", negative=(), help="Also print where processor time went, on stderr.")
]
