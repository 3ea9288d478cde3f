"""Opens the outputs of a workspace, in folders or on object stores, and the shared cache that goes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from daedalus.base import digest
from daedalus.config import Config
from daedalus.config.steps import SKELETON, Stage
from daedalus.inputs.input_files import InputFiles
from daedalus.objectstore.object_store import is_uri
from daedalus.output.partitions import Partitions
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.traces import Traces

if TYPE_CHECKING:
    from daedalus.output.partition_home import PartitionHome
    from daedalus.output.qid_map import QidMap
    from daedalus.sharing.shared_cache import SharedCache
    from daedalus.sql.duck import Ducks


class Output(Struct, frozen=True):
    """Partitions by stage, the qid map when it is asked for, and folders of unfinished files, swept and closed."""

    partitions: Mapping[str, PartitionHome]
    shared: SharedCache | None
    open_qids: Callable[[], QidMap]
    scratches: Sequence[Scratch] = ()


class Parts(Struct, frozen=True):
    """What of a workspace is open before its output is."""

    config: Config
    traces: Traces
    digests: FileDigests
    store: ArtifactStore
    scratch: Scratch
    files: InputFiles
    ducks: Callable[[], Ducks]


def open_output(parts: Parts, stages: Sequence[Stage], *, adopt: bool) -> Output:
    """See `opened` for `adopt`. What lies on an object store is shared as it is."""
    homes: dict[str, PartitionHome] = {}
    scratches: dict[str, Scratch] = {}
    for stage in stages:
        root = parts.config.root_of(stage)
        if is_uri(root):
            homes[stage.name] = _on_store(parts, root)
        else:
            scratches[stage.name] = Scratch(Path(root), ".daeda-")
            staged = scratches[stage.name]
            homes[stage.name] = Partitions(Path(root), staged, parts.digests, adopt=adopt, stage=stage.name)
    shared = _open_shared(parts, [home for home in homes.values() if isinstance(home, Partitions)])
    open_qids = partial(_qids, parts, homes[SKELETON.name], scratches.get(SKELETON.name), shared)
    return Output(homes, shared, open_qids, [*scratches.values()])


def _on_store(parts: Parts, root: str) -> PartitionHome:
    from daedalus.output.remote_output import RemoteOutput
    from daedalus.output.remote_partitions import RemotePartitions

    return RemotePartitions(RemoteOutput(root, parts.files.remote, parts.traces), parts.scratch)


def _qids(parts: Parts, home: PartitionHome, staging: Scratch | None, shared: SharedCache | None) -> QidMap:
    """The qid map beside the skeleton's partitions; `staging` where those are in a folder."""
    from daedalus.output.numbers.session_index import SessionIndex
    from daedalus.output.qid_map import QidMap

    index = SessionIndex(index_folder(parts.config), parts.scratch, parts.digests)
    if isinstance(home, Partitions):
        from daedalus.output.local_map import LocalMap

        assert staging is not None
        record = shared.qid_map(str(home.root), parts.config.catalog.feed.path) if shared else None
        return QidMap(LocalMap(home.root, parts.digests, parts.traces), index, staging, parts.ducks(), record)
    from daedalus.output.remote_map import RemoteMap
    from daedalus.output.remote_partitions import RemotePartitions

    assert isinstance(home, RemotePartitions)
    return QidMap(RemoteMap(home.output, parts.scratch), index, parts.scratch, parts.ducks())


def index_folder(config: Config) -> Path:
    """Where the index of the qid map of a config's output is; beside it are those of other outputs."""
    return Path(config.runtime.cache_root) / "qids" / digest.of_text(config.root_of(SKELETON))


def _open_shared(parts: Parts, folders: Sequence[Partitions]) -> SharedCache | None:
    if not parts.config.runtime.cache_remote:
        return None
    from daedalus.sharing.open import open_shared

    return open_shared(parts.config, parts.store, parts.traces, folders)
