"""Looks at the inputs of a configuration by name and schema, and compiles it. It is refused as a run is.

Where there is a cache, what it knows of files is used; where there is none, none is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec import structs

from daedalus.base.errors import EmptyRange
from daedalus.compile.document import document_of
from daedalus.compile.inputs import Resolved, default_values
from daedalus.config import Config
from daedalus.config.reach import Reach
from daedalus.config.steps import Stage
from daedalus.inputs.feed import Feed, look_at_feed, with_feed_types
from daedalus.inputs.input_file import Inputs
from daedalus.inputs.listing import FeedFolder, Listing
from daedalus.workspace.empty_range import refuse_empty
from daedalus.workspace.graph import Graph, look_at_fragments, look_at_pool, look_at_views, refuse_all_bad
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.runs import Compiled


def compiled(settings: Settings) -> Compiled:
    """The canonical document of a configuration. Raises the DaedalusError (exit 2) that a run would raise."""
    config = settings.applied()
    with _opened(settings, config) as workspace:
        workspace.check_output()
        listing = workspace.listing()
        _refuse_empty(config, listing)
        inputs = Inputs(workspace.files, workspace.traces)
        config = with_feed_types(config, inputs, listing.feed, [])
        views = look_at_views(workspace, config, inputs, listing)
        numbered = _has_sessions(config, inputs, listing.feed)
        look_at_fragments(workspace, config, inputs, look_at_pool(workspace, config, inputs, listing))
        defaults = default_values(config, workspace.ducks, workspace.traces)
        return document_of(config, Resolved(views, numbered, defaults))


def _refuse_empty(config: Config, listing: Listing) -> None:
    try:
        refuse_empty(config, listing, range=None, where="")
    except EmptyRange as error:
        error.hint = f"feed_start and feed_end of a range that has some, such as {error.nearest}"
        raise


def compiled_for(workspace: Workspace, graph: Graph, stage: Stage) -> Compiled:
    """The document of what a stage's bytes follow from, in a run of whose inputs all is known."""
    config = graph.config.of_stage(stage)
    defaults = default_values(config, workspace.ducks, workspace.traces)
    return document_of(config, Resolved(graph.sources.views, graph.sessions, defaults))


@contextmanager
def _opened(settings: Settings, config: Config) -> Iterator[Workspace]:
    """A workspace on the cache there is, or on one that is gone afterwards."""
    if Path(config.runtime.cache_root).exists():
        with opened(settings) as workspace:
            yield workspace
        return
    limits = {key: value for key, value in config.duckdb_settings.items() if key != "temp_directory"}
    compute = structs.replace(config.runtime.compute, duckdb_config=limits)
    with TemporaryDirectory(prefix="daeda-") as folder:

        def elsewhere(config: Config) -> Config:
            runtime = structs.replace(config.runtime, cache_root=folder, cache_remote=None, compute=compute)
            return replace(config, runtime=runtime)

        with opened(settings, elsewhere) as workspace:
            yield workspace


def _has_sessions(config: Config, inputs: Inputs, folder: FeedFolder) -> bool:
    """Whether a feed partition of the range has feed_session; looks at no more of them than it must."""
    span = list(config.range(None))
    configured = config.session_range([])
    days = [day for day in sorted(folder.days) if day in configured]
    others = [day for day in Reach.of(config).between(span[0], span[-1], folder.days) if day not in configured]
    seen: dict = {}
    for day in [*days, *others]:
        found = look_at_feed(inputs, folder, [day])
        seen |= found.partitions
        if day in configured and found.with_sessions([day]):
            return True
        if day not in configured and any(not file.error for files in seen.values() for file in files):
            break
    refuse_all_bad(Feed(seen))
    return False
