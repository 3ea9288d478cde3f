"""Opens the output of a workspace, in a folder or on an object store, and the shared cache that goes with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from daedalus.config import Config
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
    """Partitions, the qid map when it is asked for, and folders of unfinished files that are swept and closed."""

    partitions: PartitionHome
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


def open_output(parts: Parts, *, adopt: bool) -> Output:
    """See `opened` for `adopt`."""
    return _remote(parts) if is_uri(parts.config.runtime.output_root) else _local(parts, adopt)


def _local(parts: Parts, adopt: bool) -> Output:
    root = Path(parts.config.runtime.output_root)
    staging = Scratch(root, ".daeda-")
    partitions = Partitions(root, staging, parts.digests, adopt=adopt)
    shared = _open_shared(parts, [partitions])

    def open_qids() -> QidMap:
        from daedalus.output.local_map import LocalMap
        from daedalus.output.qid_map import QidMap

        record = shared.qid_map(str(root), parts.config.catalog.feed.path) if shared else None
        home = LocalMap(root, parts.digests, parts.traces)
        return QidMap(home, staging, parts.ducks(), record)

    return Output(partitions, shared, open_qids, [staging])


def _remote(parts: Parts) -> Output:
    """Partitions and the qid map on an object store are shared as they are."""
    from daedalus.output.remote_output import RemoteOutput
    from daedalus.output.remote_partitions import RemotePartitions

    output = RemoteOutput(parts.config.runtime.output_root, parts.files.remote, parts.traces)

    def open_qids() -> QidMap:
        from daedalus.output.qid_map import QidMap
        from daedalus.output.remote_map import RemoteMap

        return QidMap(RemoteMap(output, parts.scratch), parts.scratch, parts.ducks())

    return Output(RemotePartitions(output, parts.scratch), _open_shared(parts, []), open_qids)


def _open_shared(parts: Parts, folders: Sequence[Partitions]) -> SharedCache | None:
    if not parts.config.runtime.cache_remote:
        return None
    from daedalus.sharing.open import open_shared

    return open_shared(parts.config, parts.store, parts.traces, folders)
