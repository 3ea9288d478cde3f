"""What every command opens: the cache, the inputs and the output of a configuration."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from daedalus.base.durable import open_lock
from daedalus.base.errors import DaedalusError
from daedalus.config import Config
from daedalus.config.steps import ENRICH, SKELETON, Stage
from daedalus.inputs.input_files import InputFiles
from daedalus.inputs.listing import Listing, list_inputs
from daedalus.inputs.local_files import LocalFiles, LocalNames
from daedalus.objectstore.object_store import is_uri
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.day_results import DayResults
from daedalus.stagecache.records.day_stamps import DayStamps
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.key_locks import KeyLocks
from daedalus.stagecache.records.traces import Traces
from daedalus.workspace.open_output import Parts, open_output
from daedalus.workspace.settings import Settings

if TYPE_CHECKING:
    from daedalus.inputs.remote_files import RemoteFiles
    from daedalus.output.partition_home import PartitionHome
    from daedalus.output.qid_map import QidMap
    from daedalus.sharing.open import InputNotes
    from daedalus.sql.duck import Ducks
    from daedalus.stagecache.action import Shelf


class StageOutput(Struct, frozen=True):
    """Where a stage's partitions are, and what is recorded of its days."""

    stage: Stage
    root: str
    partitions: PartitionHome
    day_stamps: DayStamps
    day_results: DayResults


class Workspace:
    """An opened cache and output root for one config."""

    def __init__(
        self,
        config: Config,
        *,
        say: Callable[[str], None] = lambda line: None,
        adopt: bool = False,
        check: Callable[[Config, Listing], None] | None = None,
    ) -> None:
        self.config, self.say = config, say
        self.stages = config.stages
        self.cache_root, self.output_root = Path(config.runtime.cache_root), config.runtime.output_root
        if not self.cache_root.exists():
            _look_first(config, check)
        self.scratch, self.traces = self._open_cache()
        self.digests = FileDigests(self.traces)
        self.locks = KeyLocks(self.cache_root / "key-locks")
        self.store = self._open_store()
        spill = config.duckdb_settings.get("temp_directory")
        self._spilling = Scratch(Path(str(spill)), "spill-") if spill else self.scratch
        self._scratches = [self.scratch, self._spilling]
        self._in_use = -1
        self.files = InputFiles(LocalFiles(self.digests, self.scratch), self._remote_files, say)
        parts = Parts(config, self.traces, self.digests, self.store, self.scratch, self.files, lambda: self.ducks)
        output = open_output(parts, self.stages, adopt=adopt)
        self.outputs = {stage.name: self._output_of(stage, output.partitions[stage.name]) for stage in self.stages}
        self.partitions, self.shared = output.partitions[SKELETON.name], output.shared
        self._open_qids = output.open_qids
        self._scratches += output.scratches
        self.shelf: Shelf = self.shared.shelf if self.shared else self.store
        self.input_notes = self._input_notes()

    def _open_cache(self) -> tuple[Scratch, Traces]:
        """Where unfinished files go, and the records; the folder of the cache is made if there is none."""
        _make_folder(self.cache_root, "cache_root (--cache-root)")
        return Scratch(self.cache_root / "tmp"), Traces(self.cache_root / "traces.db")

    def _open_store(self) -> ArtifactStore:
        return ArtifactStore(self.cache_root, self.scratch, self.digests)

    # Opened when first asked for: a run that has nothing to do needs neither, nor their modules.

    @cached_property
    def qids(self) -> QidMap:
        return self._open_qids()

    @cached_property
    def ducks(self) -> Ducks:
        from daedalus.sql.duck import Ducks

        options = {k: v for k, v in self.config.duckdb_settings.items() if k != "temp_directory"}
        return Ducks(options, self._spilling)

    def _remote_files(self, say: Callable[[str], None]) -> RemoteFiles:
        from daedalus.inputs.remote_files import open_remote_files

        return open_remote_files(self.config, self.traces, self._fetched(), self.scratch, say)

    def _fetched(self) -> Path:
        """Where copies of objects are kept."""
        return self.cache_root / "fetched"

    def _input_notes(self) -> InputNotes | None:
        """What is known of inputs goes through the shared cache where they are costly to read."""
        if not self.shared or not _is_remote(self.config):
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

    @property
    def folders_of_output(self) -> dict[str, Path]:
        """The output roots that are folders of this machine, by config key."""
        keys = {SKELETON.name: "output_root", ENRICH.name: "embeddings.output_root"}
        return {keys[name]: Path(one.root) for name, one in self.outputs.items() if not is_uri(one.root)}

    def check_output(self) -> None:
        """Raises the DaedalusError (exit 2) of an output root in which a run could write nothing; makes nothing."""
        for key, folder in self.folders_of_output.items():
            _check_folder(folder, _shown(key))

    def prepare(self) -> None:
        """Makes the output root, and sweeps what dead processes left there and in the cache."""
        self.check_output()
        for key, folder in self.folders_of_output.items():
            _make_folder(folder, _shown(key))
        self._hold(fcntl.LOCK_SH)
        for scratch in self._scratches:
            _ = scratch.folder

    def sweep(self) -> None:
        """Removes what dead processes left; for a run that makes nothing itself."""
        for scratch in self._scratches:
            scratch.sweep()

    def paired_skeletons(self) -> PartitionHome | None:
        """From now on the skeleton's partitions are held back for the enriched ones (see `Paired`); None where they
        cannot be, with one stage alone, or with a shared cache, which takes partitions from their place."""
        homes = [output.partitions for output in self.outputs.values()]
        if len(homes) < 2 or self.shared:
            return None
        skeleton, enriched = homes
        skeleton.hold_for(enriched)
        return skeleton

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
    def folders(self) -> dict[str, str]:
        """Where files are written on this machine, by config key."""
        spill = self.config.duckdb_settings.get("temp_directory")
        found = {"temp_directory": str(spill)} if spill else {}
        found |= {key: str(folder) for key, folder in self.folders_of_output.items()}
        return {**found, "cache_root": str(self.cache_root)}

    @property
    def workers(self) -> int:
        """How many actions run at once, a core each."""
        return self.config.runtime.day_workers * self.ducks.threads

    def _output_of(self, stage: Stage, partitions: PartitionHome) -> StageOutput:
        root = self.config.root_of(stage)
        return StageOutput(stage, root, partitions, DayStamps(self.traces, root), DayResults(self.traces, root))

    @property
    def day_stamps(self) -> DayStamps:
        """Those of the skeleton."""
        return self.outputs[SKELETON.name].day_stamps

    @property
    def day_results(self) -> DayResults:
        """Those of the skeleton."""
        return self.outputs[SKELETON.name].day_results

    def commit(self) -> None:
        """Makes the artifacts and traces so far durable."""
        self.traces.write(self.store.sync)

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
    check: Callable[[Config, Listing], None] | None = None,
) -> Iterator[Workspace]:
    """A workspace that is closed, and its unfinished files removed, whatever happens.

    `say` is told how far a long look at inputs is. With `adopt`, files that are not ours go with the partition in whose
    folder they are. `check` may refuse the inputs before a cache is made.
    """
    workspace = settings.opens(Workspace)(change(settings.applied()), say=say, adopt=adopt, check=check)
    try:
        yield workspace
    finally:
        workspace.close()


def _is_remote(config: Config) -> bool:
    """Whether any input is on an object store."""
    views = [view.source for view in config.catalog.views.values()]
    return any(map(is_uri, [config.catalog.feed.path, config.runtime.embedding_coverage_filter.uri, *views]))


def _look_first(config: Config, check: Callable[[Config, Listing], None] | None) -> None:
    """Lists the inputs before a cache is made, so that a command in a wrong folder is refused and leaves nothing."""
    if _is_remote(config):
        return
    listing = list_inputs(config, LocalNames())
    if check:
        check(config, listing)


def _shown(key: str) -> str:
    """The config key of an output root, and the option that overrides it."""
    return f"{key} (--output-root)"


_ELSEWHERE = "make it writable, or name another"


def _check_folder(folder: Path, option: str) -> None:
    """Raises DaedalusError for a folder that cannot be made or written."""
    there = next((above for above in (folder, *folder.absolute().parents) if os.path.lexists(above)), folder)
    if there == folder and folder.is_dir():
        if not os.access(folder, os.W_OK):
            read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
            found = os.strerror(errno.EROFS if read_only else errno.EACCES)
            raise DaedalusError("a folder cannot be written", where=f"{option}: {folder}", found=found,
                                expected="a folder that this user may write", hint=_ELSEWHERE)  # fmt: skip
        return
    found = os.strerror(errno.EACCES if there.is_dir() else errno.EEXIST if there == folder else errno.ENOTDIR)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise DaedalusError("a folder cannot be made", where=f"{option}: {folder}", found=f"{there}: {found}")


def _make_folder(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DaedalusError("a folder cannot be made", where=f"{option}: {folder}", found=error.strerror) from None
    _check_folder(folder, option)
