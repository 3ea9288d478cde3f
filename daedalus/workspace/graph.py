"""The graph of actions over a range of days, built from a look at all their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from daedalus.actions.actions import Actions
from daedalus.actions.unaffected import Unaffected
from daedalus.base.counted_off import counted_off
from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError
from daedalus.config import RUNTIME, Config
from daedalus.config.reach import Reach
from daedalus.config.steps import ENRICH, SKELETON
from daedalus.enrich.stage import build_stages, steps
from daedalus.inputs.feed import Feed, look_at_feed, with_feed_types, with_ids_of_one_kind
from daedalus.inputs.input_file import Inputs
from daedalus.inputs.listing import FeedFolder, Listing
from daedalus.inputs.pool import PoolInput, check_pool
from daedalus.inputs.type_checks import check_types, idle_filters
from daedalus.inputs.views import ViewInput, look_at_view
from daedalus.output.earlier_partition import EarlierPartition
from daedalus.skeleton.context import Publishing, Skeleton, Sources
from daedalus.sql.constants import check_defaults
from daedalus.sql.duck import check_engine
from daedalus.stagecache.action import Action
from daedalus.stagecache.records.traces import Traces
from daedalus.workspace.code_stamp import code_digest
from daedalus.workspace.stray_rows import stray_notes
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.inputs.pool_fragments import FragmentInput
    from daedalus.stagecache.walk.plan import Verdict


@dataclass
class Graph:
    """The actions of some days, and those days of the range that have none."""

    actions: list[Action]
    days: list[Day]
    empty: list[Day]
    feed: Feed
    texts: dict[str, str]  # of statements and settings, by their digest; those of functions are in the records
    listing: Listing
    session_range: set[Day]  # the days whose partitions decide whether there are qids
    witness: Day | None  # the first of them that has sessions
    sources: Sources
    config: Config  # with the types that the feed's files decide
    notes: list[str]  # what of the inputs is surely not what was meant

    @property
    def sessions(self) -> bool:
        return self.witness is not None


def build_graph(
    workspace: Workspace,
    days: Sequence[Day],
    *,
    reconcile: bool,
    reuse: bool = True,
    skip: frozenset[Day] = frozenset(),
    listing: Listing | None = None,
) -> Graph:
    """Looks at all inputs of `days` and builds their actions, but for the target days in `skip`.

    With `reconcile` a qid map that is not ours is brought in line with the partitions; without `reuse` no columns are
    copied out of published partitions. Raises DaedalusError (exit 2) for inputs that no day can do without.
    """
    listing = listing or workspace.listing()
    workspace.take_input_notes()
    traces, folder = workspace.traces, listing.feed
    inputs = Inputs(workspace.files, traces)
    reach, wanted = Reach.of(workspace.config), [day for day in days if day not in skip]
    read = reach.between(wanted[0], wanted[-1], folder.days) if wanted else []
    feed = with_ids_of_one_kind(look_at_feed(inputs, folder, read, workspace.say))
    config = with_feed_types(workspace.config, inputs, folder, days, feed)
    views = look_at_views(workspace, config, inputs, listing)
    refuse_all_bad(feed)
    pool = look_at_pool(workspace, config, inputs, listing)
    sources = Sources(feed, sorted(folder.days), views, pool, look_at_fragments(workspace, config, inputs, pool))
    present = reach.with_rows(wanted, folder.days)
    if reconcile:
        workspace.prepare()
    session_range = workspace.config.session_range(days)
    witness = _with_sessions(session_range, folder, feed, inputs)
    if witness:
        workspace.qids.lineage(reconcile=reconcile)
    enriched = workspace.outputs.get(ENRICH.name)
    publishing = Publishing(
        workspace.partitions, workspace.qids, witness is not None,
        partial(_earlier, workspace) if reuse else lambda name: None, enriched.partitions if enriched else None,
    )  # fmt: skip
    make = _actions(workspace, Skeleton(config, sources, publishing))
    line = "built the steps of {done:,} of {total:,} days"
    actions = build_stages(make, counted_off(present, len(present), workspace.say, line))
    empty = [day for day in wanted if day not in set(present)]
    return Graph(actions, present, empty, feed, make.texts, listing, session_range, witness, sources, config,
                 [*listing.notes, *stray_notes(config, feed), *idle_filters(config, views)])  # fmt: skip


def after_skeleton(plan: Sequence[Verdict], days: Sequence[Day]) -> list[Verdict]:
    """A plan of the last of the days with what it has of that day after the skeleton for the others too."""
    last = str(days[-1])
    found = [verdict for verdict in plan if verdict.action.day == last and verdict.action.step not in SKELETON.steps]
    return [*plan, *(_on(day, verdict) for verdict in found for day in map(str, days[:-1]))]


def _on(day: str, verdict: Verdict) -> Verdict:
    action = verdict.action
    return replace(verdict, action=replace(action, name=action.name.replace(f"@{action.day}", f"@{day}"), day=day))


def look_at_views(workspace: Workspace, config: Config, inputs: Inputs, listing: Listing) -> dict[str, ViewInput]:
    """The views by name. Raises DaedalusError (exit 2) for what of them, or of the config's constants, does not fit."""
    views = {
        name: look_at_view(inputs, config, name, paths, listing.tables.get(name))
        for name, paths in listing.views.items()
    }
    check_types(config, views)
    check_engine(config, workspace.ducks, workspace.traces)
    check_defaults(config, workspace.traces)
    return views


def _actions(workspace: Workspace, context: Skeleton) -> Actions[Skeleton]:
    traces = workspace.traces
    unaffected = Unaffected(workspace.ducks, partial(_last_artifact, traces), workspace.store.intact)
    return Actions(
        steps(context.config), context, workspace.shelf, workspace.ducks, workspace.files, unaffected,
        code_digest=partial(code_digest, traces),
    )  # fmt: skip


def _last_artifact(traces: Traces, action: str) -> str | None:
    trace = traces.latest(action)
    return trace.artifact if trace else None


def _earlier(workspace: Workspace, action: str) -> EarlierPartition | None:
    trace = workspace.traces.latest(action)
    try:
        return EarlierPartition(trace.manifest, trace.artifact, workspace.partitions.parts(action)) if trace else None
    except OSError:  # a folder that cannot be listed
        return None


def _with_sessions(configured: set[Day], folder: FeedFolder, feed: Feed, inputs: Inputs) -> Day | None:
    """The first feed partition looked at of the range, the run's or the config's, that has feed_session."""
    found = feed.with_sessions([day for day in feed.partitions if day in configured])
    if found is None:
        rest = [day for day in folder.days if day in configured and day not in feed.partitions]
        found = look_at_feed(inputs, folder, rest).with_sessions(rest)
    return found


def look_at_pool(workspace: Workspace, config: Config, inputs: Inputs, listing: Listing) -> PoolInput | None:
    """Raises DaedalusError (exit 2) for a pool that cannot be looked at, or has no such id column."""
    pool = None
    if listing.pool is not None:
        try:
            pool = PoolInput(inputs.look_whole(listing.pool, "newest Lance manifest"))
        except OSError as error:
            where, found = config.where(RUNTIME, "embedding_coverage_filter"), f"{listing.pool}: {error.strerror}"
            raise DaedalusError("the embedding pool cannot be read", where=where, found=found,
                                hint="if it was being written, run again") from None  # fmt: skip
    check_pool(config, pool, workspace.files, workspace.traces)
    return pool


def look_at_fragments(
    workspace: Workspace, config: Config, inputs: Inputs, pool: PoolInput | None
) -> Sequence[FragmentInput]:
    """The fragments of the pool, where vectors are read. Raises DaedalusError (exit 2)."""
    if ENRICH not in workspace.stages:
        return ()
    from daedalus.inputs import pool_fragments

    assert pool is not None
    return pool_fragments.look_at_fragments(inputs, config, pool, workspace.files)


def refuse_all_bad(feed: Feed) -> None:
    """One bad file fails its day; a feed in which no file is good is refused."""
    files = [file for files in feed.partitions.values() for file in files]
    if len(feed.partitions) > 1 and files and all(file.error for file in files):
        error = files[0].error
        assert error is not None
        raise DaedalusError(f"no feed file can be used; the first one: {error.what}", where=error.where,
                            found=error.found, expected=error.expected, hint=error.hint)  # fmt: skip
