"""What every command opens: config, cache, inputs, and the graph of actions over a range of days."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus import digest
from daedalus.config import Config, load_config
from daedalus.days import ONE_DAY, Day, DayRange, parse_range
from daedalus.errors import DaedalusError
from daedalus.objects import is_uri
from daedalus.pipelines.codestamp import code_stamp, remembered_fingerprint
from daedalus.skeleton.engine import Ducks
from daedalus.skeleton.input_files import InputFiles
from daedalus.skeleton.inputs import Feed, FeedFolder, Inputs, Listing, list_inputs, look_at_view
from daedalus.skeleton.local_files import LocalFiles
from daedalus.skeleton.map_home import LocalMap
from daedalus.skeleton.publish import Partitions
from daedalus.skeleton.qids import QidMap
from daedalus.stagecache.action import Action, Shelf
from daedalus.stagecache.files import FileDigests
from daedalus.stagecache.locks import KeyLocks
from daedalus.stagecache.outcome import Outcome
from daedalus.stagecache.standing import GONE, KeptFile, Standing, Stat, stat_of
from daedalus.stagecache.store import Scratch, Store
from daedalus.stagecache.trace import Traces

if TYPE_CHECKING:
    from daedalus.pipelines.shared import InputNotes
    from daedalus.sharing.cache import SharedCache
    from daedalus.skeleton.graph import Sources
    from daedalus.skeleton.remote_files import RemoteFiles
    from daedalus.skeleton.remote_partitions import RemotePartitions


@dataclass(frozen=True)
class Settings:
    """What the command line may set over the config; None leaves the config's value."""

    config: str = "config"
    cache_root: str | None = None
    output_root: str | None = None
    day_workers: int | None = None
    entity_spine_chunk_rows: int | None = None

    def applied(self) -> Config:
        """The config of the folder with these values in it. Raises DaedalusError."""
        config = load_config(self.config)
        import msgspec

        given = {k: v for k, v in dataclasses.asdict(self).items() if v is not None and k != "config"}
        for key in ("day_workers", "entity_spine_chunk_rows"):
            if key in given and given[key] < 1:
                option = "--" + key.replace("_", "-")
                raise DaedalusError("a number that is too small", where=option, found=given[key], expected="at least 1")
        return dataclasses.replace(config, runtime=msgspec.structs.replace(config.runtime, **given))


@dataclass
class Graph:
    """The actions of some days, and those days of the range that have none."""

    actions: list[Action]
    days: list[Day]
    empty: list[Day]
    feed: Feed
    texts: dict[str, str]  # what code digests are digests of
    listing: Listing
    session_range: set[Day]  # the days whose partitions decide whether there are qids
    witness: Day | None  # the first of them that has sessions
    sources: Sources

    @property
    def sessions(self) -> bool:
        return self.witness is not None


class Workspace:
    """An opened cache and output root for one config."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cache_root, self.output_root = Path(config.runtime.cache_root), config.runtime.output_root
        _make_folder(self.cache_root, "--cache-root")
        self.scratch = Scratch(self.cache_root / "tmp")
        self.traces = Traces(self.cache_root / "traces.db")
        self.digests = FileDigests(self.traces)
        self.locks = KeyLocks(self.cache_root / "locks")
        self.store = Store(self.cache_root, self.scratch, self.digests)
        duckdb_config: dict[str, Any] = dict(config.runtime.compute.duckdb_config)
        spill = duckdb_config.pop("temp_directory", None)
        spilling = Scratch(Path(str(spill)), "spill-") if spill else self.scratch
        self._scratches = [self.scratch, spilling]
        self.ducks = Ducks(duckdb_config, spilling)
        self._in_use = -1
        self.files = InputFiles(LocalFiles(self.digests), self._remote_files)
        self.partitions: Partitions | RemotePartitions
        self.shared: SharedCache | None
        if is_uri(self.output_root):
            self.partitions, self.shared, self.qids = self._remote_output()
        else:
            self.partitions, self.shared, self.qids = self._local_output(Path(self.output_root))
        self.shelf: Shelf = self.shared.shelf if self.shared else self.store
        self.input_notes = self._input_notes()

    def _local_output(self, root: Path) -> tuple[Partitions, SharedCache | None, QidMap]:
        staging = Scratch(root, ".daeda-")
        self._scratches.append(staging)
        partitions = Partitions(root, staging, self.digests)
        shared = self._open_shared([partitions])
        record = shared.qid_map(str(root), self.config.catalog.feed.path) if shared else None
        qids = QidMap(LocalMap(root, self.digests, self.traces), staging, self.ducks, record)
        return partitions, shared, qids

    def _remote_output(self) -> tuple[RemotePartitions, SharedCache | None, QidMap]:
        """Partitions and the qid map of an output on an object store are shared as they are."""
        from daedalus.skeleton.remote_map import RemoteMap
        from daedalus.skeleton.remote_output import RemoteOutput
        from daedalus.skeleton.remote_partitions import RemotePartitions

        output = RemoteOutput(self.output_root, self.files.remote, self.traces)
        qids = QidMap(RemoteMap(output, self.scratch), self.scratch, self.ducks)
        return RemotePartitions(output, self.scratch), self._open_shared([]), qids

    def _open_shared(self, folders: Sequence[Partitions]) -> SharedCache | None:
        if not self.config.runtime.cache_remote:
            return None
        from daedalus.pipelines.shared import open_shared

        return open_shared(self.config, self.store, self.traces, folders)

    def _remote_files(self) -> RemoteFiles:
        from daedalus.skeleton.remote_files import open_remote_files

        return open_remote_files(self.config, self.traces, self.cache_root / "fetched", self.scratch)

    def _input_notes(self) -> InputNotes | None:
        """What is known of inputs goes through the shared cache where they are costly to read."""
        config = self.config
        views = [view.source for view in config.catalog.views.values()]
        pool = config.runtime.embedding_coverage_filter.uri
        if not self.shared or not any(map(is_uri, [config.catalog.feed.path, pool, *views])):
            return None
        from daedalus.pipelines.shared import InputNotes

        return InputNotes(self.files.remote.known_objects, self.files.remote.learn_objects)

    def _take_notes(self) -> None:
        if self.shared and self.input_notes:
            from daedalus.pipelines.shared import take_inputs

            take_inputs(self.shared, self.config.catalog.feed.path, self.input_notes)

    def listing(self) -> Listing:
        """What inputs there are. Raises DaedalusError (exit 2) when the feed, a view or the pool is not there."""
        return list_inputs(self.config, self.files)

    def prepare(self) -> None:
        """Makes the output root, and sweeps what dead processes left there and in the cache."""
        if not is_uri(self.output_root):
            _make_folder(Path(self.output_root), "--output-root")
        self._hold(fcntl.LOCK_SH)
        for scratch in self._scratches:
            _ = scratch.folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no run uses this cache; waits for those that do."""
        self._hold(fcntl.LOCK_EX)
        yield

    def _hold(self, kind: int) -> None:
        """Runs share the cache; who removes from it has it alone. The lock goes with its process."""
        self._in_use = os.open(self.cache_root / "in-use", os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._in_use, kind)

    @property
    def workers(self) -> int:
        """How many actions run at once, a core each."""
        return self.config.runtime.day_workers * self.ducks.threads

    def range(self, text: str | None) -> DayRange:
        """The days asked for, or the config's."""
        if text:
            return parse_range(text)
        runtime = self.config.runtime
        return DayRange(parse_range(str(runtime.feed_start)).first, parse_range(str(runtime.feed_end)).last)

    def graph(
        self,
        days: Sequence[Day],
        *,
        reconcile: bool,
        skip: frozenset[Day] = frozenset(),
        listing: Listing | None = None,
    ) -> Graph:
        """Looks at all inputs of `days` and builds their actions, but for the target days in `skip`.

        With `reconcile` a qid map that is not ours is brought in line with the partitions.
        Raises DaedalusError (exit 2) for inputs that no day can do without.
        """
        # Not for who finds that all days stand.
        from daedalus.skeleton.columns import check_types
        from daedalus.skeleton.defaults import check_defaults, check_engine
        from daedalus.skeleton.graph import Sources
        from daedalus.skeleton.pipeline import Pipeline
        from daedalus.skeleton.pool import check_pool
        from daedalus.skeleton.untouched import Untouched

        listing = listing or self.listing()
        self._take_notes()
        folder, inputs = listing.feed, Inputs(self.files, self.traces)
        views = {name: look_at_view(inputs, self.config, name, paths) for name, paths in listing.views.items()}
        check_types(self.config, views)
        check_engine(self.config, self.ducks, self.traces)
        check_defaults(self.config, self.ducks, self.traces)
        wanted = [day for day in days if day not in skip]
        feed = folder.look(inputs, self._feed_days(folder, wanted))
        _refuse_all_bad(feed)
        pool = _pool(inputs, listing)
        check_pool(self.config, pool, self.traces)
        sources = Sources(feed, sorted(folder.days), views, pool)
        present = self.with_rows(listing, wanted)
        if reconcile:
            self.prepare()
        witness = self._with_sessions(folder, feed, inputs, days)
        if witness:
            self.qids.lineage(reconcile=reconcile)
        pipeline = Pipeline(
            self.config, sources, self.shelf, self.ducks, self.files,
            partitions=self.partitions, qids=self.qids, numbered=witness is not None,
            untouched=Untouched(self.ducks, self._last_artifact, self._whole),
            fingerprint=partial(remembered_fingerprint, self.traces),
        )  # fmt: skip
        actions = pipeline.build(present)
        empty = [day for day in wanted if day not in set(present)]
        return Graph(actions, present, empty, feed, pipeline.texts, listing, self.session_range(days), witness,
                     sources)  # fmt: skip

    def _last_artifact(self, action: str) -> str | None:
        trace = self.traces.latest(action)
        return trace.artifact if trace else None

    def _whole(self, artifact: str) -> Path | None:
        return None if self.store.problem("", artifact) else self.store.path("", artifact)

    def with_rows(self, listing: Listing, days: Iterable[Day]) -> list[Day]:
        """Those days for which there is a partition that may hold rows of theirs."""
        late = range(self.config.runtime.spine.lateness_days + 1)
        return [day for day in days if any(day + i * ONE_DAY in listing.feed.days for i in late)]

    def session_range(self, days: Iterable[Day]) -> set[Day]:
        """The days of the range, the run's or the config's; there are qids if a partition of theirs has sessions."""
        return set(self.range(None)) | set(days)

    @cached_property
    def code(self) -> str:
        return code_stamp()

    @cached_property
    def standing(self) -> Standing:
        return Standing(self.traces, self.output_root)

    def stat(self, path: str) -> Stat:
        """What `stat` says of a file, or the listing of an object."""
        return self.files.remote.stat(path) if is_uri(path) else stat_of(path)

    def settled(self, path: str) -> Stat | None:
        """What `stat` says of a file whose digest is known for good under it."""
        if is_uri(path):
            return self.files.remote.stat(path) if self.files.remote.is_known(path) else None
        stamp = self.digests.settled(path)
        return stamp.values if stamp else None

    def kept_files(self, outcome: Outcome) -> list[KeptFile | None]:
        """The files that an action left; None for one that may have changed unseen."""
        day = outcome.day or ""
        if outcome.step == "chunk" and not isinstance(self.partitions, Partitions):
            kept = self.partitions.kept(day, outcome.artifact)
            return [KeptFile(outcome.name, day, uri, *stat) if stat else None for uri, stat in kept]
        if outcome.step != "chunk":
            paths = [str(self.store.path(outcome.name, outcome.artifact))]
            if self.shared and not os.path.exists(paths[0]):  # it is in the shared cache, and nobody needed it here
                return [KeptFile(outcome.name, day, paths[0], *GONE)]
        else:
            folder = str(self.partitions.path(outcome.name))
            if not os.path.isdir(folder):
                return [KeptFile(outcome.name, day, folder, *GONE)]
            paths = [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name.endswith(".parquet")]
        found = [KeptFile(outcome.name, day, path, *stat) if (stat := self.settled(path)) else None for path in paths]
        if outcome.step == "chunk":
            found.append(KeptFile(outcome.name, day, folder, *stat_of(folder)))
        return found

    def _feed_days(self, folder: FeedFolder, days: Sequence[Day]) -> list[Day]:
        """Partitions that the days read: their windows, what may come late, and all of the past for history."""
        if not days:
            return []
        spine = self.config.runtime.spine
        first = days[0] - spine.lookback_days * ONE_DAY
        if any(aggregation.cumulative for aggregation in self.config.aggregations):
            first = min(first, min(folder.days))
        last = days[-1] + spine.lateness_days * ONE_DAY
        return [day for day in sorted(folder.days) if first <= day <= last]

    def _with_sessions(self, folder: FeedFolder, feed: Feed, inputs: Inputs, days: Sequence[Day]) -> Day | None:
        """The first feed partition looked at of the range, the run's or the config's, that has feed_session."""
        configured = self.session_range(days)
        found = feed.with_sessions([day for day in feed.partitions if day in configured])
        if found is None:
            rest = [day for day in folder.days if day in configured and day not in feed.partitions]
            found = folder.look(inputs, rest).with_sessions(rest)
        return found

    def close(self) -> None:
        if self.shared:
            self.shared.close()
        self.ducks.close()
        if self._in_use >= 0:
            os.close(self._in_use)
        for scratch in self._scratches:
            scratch.close()
        self.traces.close()


def _pool(inputs: Inputs, listing: Listing) -> str | None:
    if listing.pool is None:
        return None
    return digest.of_json([os.path.basename(listing.pool), inputs.digest(listing.pool)])


@contextmanager
def opened(settings: Settings, change: Callable[[Config], Config] = lambda config: config) -> Iterator[Workspace]:
    """A workspace that is closed, and its unfinished files removed, whatever happens."""
    workspace = Workspace(change(settings.applied()))
    try:
        yield workspace
    finally:
        workspace.close()


def _make_folder(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DaedalusError("a folder cannot be made", where=f"{option}: {folder}", found=error.strerror) from None
    if not os.access(folder, os.W_OK):
        raise DaedalusError("a folder cannot be written", where=f"{option}: {folder}", expected="write permission")


def _refuse_all_bad(feed: Feed) -> None:
    """One bad file fails its day; a feed in which no file is good is refused."""
    files = [file for files in feed.partitions.values() for file in files]
    if len(feed.partitions) > 1 and files and all(file.error for file in files):
        error = files[0].error
        assert error is not None
        raise DaedalusError(f"no feed file can be used; the first: {error.what}", where=error.where,
                            found=error.found, expected=error.expected, hint=error.hint)  # fmt: skip
