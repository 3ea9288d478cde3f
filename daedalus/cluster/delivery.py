"""How a partition gets from the worker that made it into the output, without passing through the coordinator.

    output on an object store   the worker puts the parts under a name of their own, the coordinator names them in the
                                manifest
    output in a folder          the worker writes into a folder beside the partitions, which the coordinator made and
                                which goes with it; the coordinator exchanges the two
    a worker reaches neither    it hands the files over, and the coordinator puts them into the output

A partition appears by the coordinator alone, so whoever dies leaves what is swept as always: folders beside the
partitions by the next run, parts that no manifest names after a day.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from daedalus.base.durable import part_files, remove_folder, sync
from daedalus.base.errors import DaedalusError, is_full
from daedalus.base.ports import Digests, Scratch
from daedalus.cluster.carrier import CarriedArtifacts
from daedalus.cluster.shared_folder import Staging, check_there, take, wait_for, wait_until
from daedalus.objectstore.part_list import PartList
from daedalus.output.part_file import listed
from daedalus.output.partition_home import PartitionHome
from daedalus.output.partitions import NO_PARTITION, Partitions, day_of
from daedalus.stagecache.action import Counts
from daedalus.stagecache.records.artifact_store import ArtifactStore, FreePaths
from daedalus.stagecache.walk.executor import Made, Task, nobody

if TYPE_CHECKING:
    from daedalus.output.remote_partitions import RemotePartitions


@dataclass(frozen=True)
class Place:
    """Where a stage's partitions are, as workers are told: a URI; or a folder, and in it an empty one of this run, by
    which a worker that sees it knows that it sees the output."""

    root: str
    staging: Path | None = None


@dataclass(frozen=True)
class Delivery:
    """A partition as a worker left it.

    `folder` has its files, which `tickets` (by name) fetch if it is gone; None: they are in the output. With `why`, the
    reason, they are not beside the output, but handed over.
    """

    parts: PartList
    folder: Path | None = None
    tickets: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


# The worker's side


class Unseen(Exception):
    """Why a worker cannot read the partitions of an output."""


class Outlet(Protocol):
    """A worker's way to the partitions of one stage."""

    def stage(self) -> Path:
        """A free path to make a partition at."""

    def deliver(self, name: str, staged: Path, there: PartList | None) -> Delivery:
        """Brings a partition as near to the output as possible. `there` is what is published under the name now."""

    def reading(self, name: str, artifact: str, there: PartList | None) -> Any:
        """The context in which a published partition can be read: a `Shelf` that has it. Raises Unseen."""


class HandedOver:
    """The way by the coordinator: files are left in a shared folder, or carried. An `Outlet`."""

    def __init__(self, staging: FreePaths, store: ArtifactStore, why: str) -> None:
        self._staging, self._store, self._why = staging, store, why

    def stage(self) -> Path:
        return self._staging.path()

    def deliver(self, name: str, staged: Path, there: PartList | None, why: str = "") -> Delivery:
        parts = _listed(staged)
        if isinstance(self._store, CarriedArtifacts):
            sent = self._store.send_folder(staged, {one.name: one.digest for one in parts.parts})
            return Delivery(parts, staged, {one: ticket for one, (_, ticket) in sent.items()}, why or self._why)
        for one in parts.parts:
            sync(staged / one.name)
        return Delivery(parts, staged, why=why or self._why)

    def take_over(self, name: str, staged: Path, why: str) -> Delivery:
        """The same for a partition that was made at another path."""
        folder = self.stage()
        if staged.is_dir():
            shutil.move(staged, folder)
        return self.deliver(name, folder, None, why)

    def reading(self, name: str, artifact: str, there: PartList | None) -> Any:
        raise Unseen(self._why)


class Beside:
    """The way of a worker that sees the folder of the output. An `Outlet`."""

    def __init__(self, place: Place, digests: Digests, store: ArtifactStore) -> None:
        assert place.staging is not None
        self._staging, self._store = Staging(place.staging), store
        self._home = Partitions(Path(place.root), self._staging, digests)

    def stage(self) -> Path:
        return self._staging.path()

    def deliver(self, name: str, staged: Path, there: PartList | None) -> Delivery:
        parts, tickets = _listed(staged), {}
        for one in parts.parts:
            sync(staged / one.name)
            if isinstance(self._store, CarriedArtifacts):  # the shared cache has partitions of folders, too
                tickets[one.name] = self._store.carry(one.digest, staged / one.name)
        return Delivery(parts, staged if parts.parts else None, tickets)

    @contextmanager
    def reading(self, name: str, artifact: str, there: PartList | None) -> Iterator[Partitions]:
        """As it lies there; a network file system may show it late."""
        wait_until(lambda: not self._home.problem(name, artifact), self._home.root)
        if problem := self._home.problem(name, artifact):
            raise Unseen(f"it finds the partition {self._home.path(name)} {problem}")
        yield self._home


class IntoStore:
    """The way to an output on an object store. What cannot be put there goes `otherwise`, from then on. An `Outlet`."""

    def __init__(self, home: RemotePartitions, scratch: Scratch, otherwise: HandedOver) -> None:
        self._home, self._scratch, self._otherwise = home, scratch, otherwise
        self._why = ""

    def stage(self) -> Path:
        return self._scratch.path()

    def deliver(self, name: str, staged: Path, there: PartList | None) -> Delivery:
        parts = _listed(staged)
        if not parts.parts or (there and there.digest == parts.digest):  # there is nothing to put
            remove_folder(staged)
            return Delivery(parts)
        if not self._why:
            try:
                put = self._home.put(day_of(name), part_files(staged), parts)
                remove_folder(staged)
                return Delivery(put)
            except (OSError, DaedalusError) as error:
                if is_full(error):
                    raise
                self._why = f"it cannot write the output: {error.found if isinstance(error, DaedalusError) else error}"
        return self._otherwise.take_over(name, staged, self._why)

    @contextmanager
    def reading(self, name: str, artifact: str, there: PartList | None) -> Iterator[_Copy]:
        """Copies of the parts that the coordinator lists, which are gone after the context."""
        copy = _Copy(self._home, there)
        try:
            yield copy
        finally:
            copy.close()


class _Copy:
    """The `Shelf` of a partition on an object store, by its list; the bytes are held to the digests in it."""

    def __init__(self, home: RemotePartitions, there: PartList | None) -> None:
        self._home, self._there = home, there
        self._folders: list[Path] = []

    def stage(self, name: str) -> Path:
        raise NotImplementedError

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        raise NotImplementedError

    def problem(self, name: str, artifact: str) -> str:
        return ""  # what a list names is never written to

    def path(self, name: str, artifact: str) -> Path:
        self._folders.append(self._home.copy(day_of(name), self._there))
        return self._folders[-1]

    def close(self) -> None:
        for folder in self._folders:
            remove_folder(folder)


class Delivering:
    """The `Shelf` of one task's partition on a worker; `delivery` is what became of it."""

    def __init__(self, outlet: Outlet, there: PartList | None) -> None:
        self._outlet, self._there = outlet, there
        self.delivery: Delivery | None = None

    def stage(self, name: str) -> Path:
        return self._outlet.stage()

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        self.delivery = self._outlet.deliver(name, staged, self._there)
        return self.delivery.parts.digest, self.delivery.parts.bytes

    def problem(self, name: str, artifact: str) -> str:
        return "not published"

    def path(self, name: str, artifact: str) -> Path:
        raise NotImplementedError


def sees(place: Place) -> str:
    """Why this worker cannot write beside the partitions of a folder, or ""."""
    assert place.staging is not None
    if Path(place.root).parent.is_dir():  # else there is nothing to wait for
        wait_for(place.staging)
    if not place.staging.is_dir():
        return f"it does not see the output at {place.root}"
    try:
        tried = Staging(place.staging).path()
        tried.mkdir()
        tried.rmdir()
    except OSError as error:
        return f"it cannot write to the output at {place.root}: {error.strerror}"
    return ""


def _listed(staged: Path) -> PartList:
    parts = part_files(staged)
    return listed(parts) if parts else PartList(NO_PARTITION, ())


# The coordinator's side


def publishing(task: Task, made: Made, delivery: Delivery, carried: CarriedArtifacts | None) -> Task:
    """The task that publishes, on the coordinator, what a worker made for `task`."""
    home = cast(PartitionHome, task.action.shelf)
    action = replace(task.action, run=lambda upstream, out: made.counts, shelf=_Delivered(home, delivery), replaced=())
    if delivery.why:
        action = replace(action, run=_Bringing(task.action.name, made.counts, delivery, carried), shelf=home)
    return replace(task, action=action, digests={}, ask=nobody, split=None)


class _Delivered:
    """The `Shelf` that publishes a delivery."""

    def __init__(self, home: PartitionHome, delivery: Delivery) -> None:
        self._home, self._delivery = home, delivery
        self._checked = False

    def stage(self, name: str) -> Path:
        return self._delivery.folder or Path()

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        delivery = self._delivery
        if delivery.folder and not self._checked:  # if this is tried again, it may be published already
            check_there(name, delivery.folder, {one.name: one.bytes for one in delivery.parts.parts})
            self._checked = True
        return self._home.publish(name, delivery.parts, delivery.folder)

    def problem(self, name: str, artifact: str) -> str:
        return self._home.problem(name, artifact)

    def path(self, name: str, artifact: str) -> Path:
        return self._home.path(name, artifact)


class _Bringing:
    """A `run` that only brings the files that a worker handed over."""

    def __init__(self, name: str, counts: Counts, delivery: Delivery, carried: CarriedArtifacts | None) -> None:
        self._name, self._counts, self._delivery, self._carried = name, counts, delivery, carried
        self._folder = delivery.folder

    def __call__(self, upstream: Mapping[str, Path], out: Path) -> Counts:
        parts: Sequence = self._delivery.parts.parts
        if self._carried:
            tickets = self._delivery.tickets
            self._carried.fetch_folder(self._name, {one.name: (one.digest, tickets[one.name]) for one in parts}, out)
        elif self._folder:
            take(self._name, self._folder, {one.name: one.digest for one in parts}, out)
            self._folder = out  # if the action is tried again, the files are there now
        return self._counts
