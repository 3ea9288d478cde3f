"""What every command opens: config, cache, inputs, and the graph of actions over a range of days."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.days import Day, DayRange, parse_range
from daedalus.base.durable import open_lock
from daedalus.base.errors import DaedalusError, at_least
from daedalus.config import Config, load_config
from daedalus.inputs.input_files import InputFiles
from daedalus.inputs.listing import Listing, list_inputs
from daedalus.inputs.local_files import LocalFiles
from daedalus.objectstore.object_store import is_uri
from daedalus.output.partitions import Partitions
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.day_stamps import DayStamps, Stat, stat_of
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.key_locks import KeyLocks
from daedalus.stagecache.records.traces import Traces
from daedalus.workspace.code_stamp import code_stamp
from daedalus.workspace.output_roots import check_roots

if TYPE_CHECKING:
    from daedalus.inputs.remote_files import RemoteFiles
    from daedalus.output.partition_home import PartitionHome
    from daedalus.output.qid_map import QidMap
    from daedalus.sharing.open import InputNotes
    from daedalus.sharing.shared_cache import SharedCache
    from daedalus.sql.duck import Ducks
    from daedalus.stagecache.action import Shelf


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
            at_least(1, given.get(key), "--" + key.replace("_", "-"))
        config = dataclasses.replace(config, runtime=msgspec.structs.replace(config.runtime, **given))
        check_roots(config, given)
        return config


class Workspace:
    """An opened cache and output root for one config."""

    def __init__(self, config: Config, *, say: Callable[[str], None] = lambda line: None, adopt: bool = False) -> None:
        self.config, self._adopt = config, adopt
        self.cache_root, self.output_root = Path(config.runtime.cache_root), config.runtime.output_root
        _make_folder(self.cache_root, "--cache-root")
        self.scratch = Scratch(self.cache_root / "tmp")
        self.traces = Traces(self.cache_root / "traces.db")
        self.digests = FileDigests(self.traces)
        self.locks = KeyLocks(self.cache_root / "locks")
        self.store = ArtifactStore(self.cache_root, self.scratch, self.digests)
        spill = config.duckdb_settings.get("temp_directory")
        self._spilling = Scratch(Path(str(spill)), "spill-") if spill else self.scratch
        self._scratches = [self.scratch, self._spilling]
        self._in_use = -1
        self.files = InputFiles(LocalFiles(self.digests, self.scratch), self._remote_files, say)
        self.partitions: PartitionHome
        self.shared: SharedCache | None
        if is_uri(self.output_root):
            self.partitions, self.shared, self._open_qids = self._remote_output()
        else:
            self.partitions, self.shared, self._open_qids = self._local_output(Path(self.output_root))
        self.shelf: Shelf = self.shared.shelf if self.shared else self.store
        self.input_notes = self._input_notes()

    def _local_output(self, root: Path) -> tuple[PartitionHome, SharedCache | None, Callable[[], QidMap]]:
        staging = Scratch(root, ".daeda-")
        self._scratches.append(staging)
        partitions = Partitions(root, staging, self.digests, adopt=self._adopt)
        shared = self._open_shared([partitions])

        def open_qids() -> QidMap:
            from daedalus.output.local_map import LocalMap
            from daedalus.output.qid_map import QidMap

            record = shared.qid_map(str(root), self.config.catalog.feed.path) if shared else None
            return QidMap(LocalMap(root, self.digests, self.traces), staging, self.ducks, record)

        return partitions, shared, open_qids

    def _remote_output(self) -> tuple[PartitionHome, SharedCache | None, Callable[[], QidMap]]:
        """Partitions and the qid map of an output on an object store are shared as they are."""
        from daedalus.output.remote_output import RemoteOutput
        from daedalus.output.remote_partitions import RemotePartitions

        output = RemoteOutput(self.output_root, self.files.remote, self.traces)

        def open_qids() -> QidMap:
            from daedalus.output.qid_map import QidMap
            from daedalus.output.remote_map import RemoteMap

            return QidMap(RemoteMap(output, self.scratch), self.scratch, self.ducks)

        return RemotePartitions(output, self.scratch), self._open_shared([]), open_qids

    # Opened for who computes: a run that has nothing to do needs neither, nor their modules.

    @cached_property
    def qids(self) -> QidMap:
        return self._open_qids()

    @cached_property
    def ducks(self) -> Ducks:
        from daedalus.sql.duck import Ducks

        options = {k: v for k, v in self.config.duckdb_settings.items() if k != "temp_directory"}
        return Ducks(options, self._spilling)

    def _open_shared(self, folders: Sequence[Partitions]) -> SharedCache | None:
        if not self.config.runtime.cache_remote:
            return None
        from daedalus.sharing.open import open_shared

        return open_shared(self.config, self.store, self.traces, folders)

    def _remote_files(self, say: Callable[[str], None]) -> RemoteFiles:
        from daedalus.inputs.remote_files import open_remote_files

        return open_remote_files(self.config, self.traces, self.cache_root / "fetched", self.scratch, say)

    def _input_notes(self) -> InputNotes | None:
        """What is known of inputs goes through the shared cache where they are costly to read."""
        config = self.config
        views = [view.source for view in config.catalog.views.values()]
        pool = config.runtime.embedding_coverage_filter.uri
        if not self.shared or not any(map(is_uri, [config.catalog.feed.path, pool, *views])):
            return None
        from daedalus.sharing.open import InputNotes

        return InputNotes(self.files.remote.known_objects, self.files.remote.learn_objects)

    def take_input_notes(self) -> None:
        if self.shared and self.input_notes:
            from daedalus.sharing.open import take_inputs

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
        self._in_use = open_lock(self.cache_root / "in-use")
        fcntl.flock(self._in_use, kind)

    @property
    def workers(self) -> int:
        """How many actions run at once, a core each."""
        return self.config.runtime.day_workers * self.ducks.threads

    def range(self, text: str | None) -> DayRange:
        """The days asked for, or the config's."""
        if text is not None:
            return parse_range(text)
        runtime = self.config.runtime
        return DayRange(parse_range(str(runtime.feed_start)).first, parse_range(str(runtime.feed_end)).last)

    def session_range(self, days: Iterable[Day]) -> set[Day]:
        """The days of the range, the run's or the config's; there are qids if a partition of theirs has sessions."""
        return set(self.range(None)) | set(days)

    @cached_property
    def code(self) -> str:
        return code_stamp()

    @cached_property
    def day_stamps(self) -> DayStamps:
        return DayStamps(self.traces, self.output_root)

    def stat(self, path: str) -> Stat:
        """What `stat` says of a file, or the listing of an object."""
        return self.files.remote.stat(path) if is_uri(path) else stat_of(path)

    def settled(self, path: str) -> Stat | None:
        """What `stat` says of a file whose digest is known for good under it."""
        if is_uri(path):
            return self.files.remote.stat(path) if self.files.remote.is_known(path) else None
        stamp = self.digests.settled(path)
        return stamp.values if stamp else None

    def close(self) -> None:
        if self.shared:
            self.shared.close()
        if "ducks" in self.__dict__:
            self.ducks.close()
        if self._in_use >= 0:
            os.close(self._in_use)
        for scratch in self._scratches:
            scratch.close()
        self.traces.close()


@contextmanager
def opened(
    settings: Settings,
    change: Callable[[Config], Config] = lambda config: config,
    *,
    say: Callable[[str], None] = lambda line: None,
    adopt: bool = False,
) -> Iterator[Workspace]:
    """A workspace that is closed, and its unfinished files removed, whatever happens.

    `say` is told how far a long look at inputs is. With `adopt`, files that are not ours go with the partition in whose
    folder they are.
    """
    workspace = Workspace(change(settings.applied()), say=say, adopt=adopt)
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
