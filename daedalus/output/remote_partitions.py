"""Partitions on an object store: the parts first, under a name of their own, then one manifest (see part_list.py)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from daedalus.base.durable import part_files
from daedalus.base.errors import DaedalusError, DayError
from daedalus.base.file_stat import Stat
from daedalus.base.ports import Scratch
from daedalus.objectstore.object_store import Conflict, Object, variables
from daedalus.objectstore.part_list import PartFile, PartList, is_part, manifest_key
from daedalus.output.paired import Paired
from daedalus.output.part_file import PartitionSum, listed
from daedalus.output.partition_home import Edit
from daedalus.output.partitions import NO_PARTITION, day_of
from daedalus.output.remote_output import RemoteOutput, new_generation, taken
from daedalus.stagecache.action import Again

_TRIES = 5  # at a manifest that others replace too
_ORPHANED = 86_400  # seconds after which parts that no manifest names are from a run that died


class RemotePartitions(Paired):
    """The `dt=` folders of one output root; a `Shelf` whose artifacts are whole partitions."""

    def __init__(self, output: RemoteOutput, scratch: Scratch) -> None:
        super().__init__()
        self.output, self._scratch = output, scratch
        self._told: Callable[[str], None] = lambda day: None
        self._own: dict[str, PartList | None] = {}  # what this process put, until the next listing
        self._held: dict[str, PartList | None] = {}  # lists of what was put and is held back, by day
        self._looked_for_orphans = False

    def before_replacing(self, told: Callable[[str], None]) -> None:
        self._told = told

    def stage(self, name: str) -> Path:
        return self._scratch.path()

    def path(self, name: str, artifact: str = "") -> Path:
        """A folder with the parts, which goes with this process."""
        return self.copy(day_of(name), self._manifest(day_of(name)))

    def copy(self, day: str, parts: PartList | None) -> Path:
        """A new folder with the parts of a list."""
        folder = self._scratch.path()
        folder.mkdir()
        with self.fetched(day, parts) as fetched:
            for part in fetched:
                part.rename(folder / part.name)
        return folder

    def parts(self, name: str) -> dict[str, Path]:
        """Part files on this machine: none."""
        return {}

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        parts = part_files(staged)
        made = listed(parts) if parts else PartList(NO_PARTITION, ())
        if self.problem(name, made.digest):
            day = day_of(name)
            self._publish_or_hold(day, self.put(day, parts, made) if parts else None)
        if parts:
            shutil.rmtree(staged)
        if self._earlier:
            self._earlier.let_go(day_of(name))
        return made.digest, made.bytes

    def _publish_or_hold(self, day: str, new: PartList | None) -> None:
        if not (self._later and self._later.holds(day)):
            self._publish(day, new)
            self.written.add(day)
            return
        if day not in self._held and self.holds(day):
            self._told(day)
        self._held[day] = new

    def _swap_held(self, day: str, held: PartList | None) -> Callable[[], None]:
        return partial(self._sweep, day, self._swap(day, held, told=True))

    def put(self, day: str, parts: Sequence[Path], found: PartList) -> PartList:
        """Uploads parts, of which `found` is the list, under a name of their own; returns their list there.

        They are no partition until a manifest has that list.
        """
        generation = new_generation(found.digest)
        etags = self.output.put({f"dt={day}/{generation}/{part.name}": part for part in parts})
        put = [
            replace(part, key=f"{generation}/{part.name}", etag=etag)
            for part, etag in zip(found.parts, etags.values(), strict=True)
        ]
        return replace(found, parts=tuple(put))

    def publish(self, name: str, parts: PartList, folder: Path | None) -> tuple[str, int]:
        day, keys = day_of(name), [part.key for part in parts.parts]
        put = all(map(is_part, keys))
        if not self.problem(name, parts.digest):  # somebody else was first, or this process when it tried before
            there = self._manifest(day)
            named = {part.key for part in there.parts} if there else set()
            self.output.sweep(f"dt={day}/{key}" for key in keys if put and key not in named)
        elif put:
            self._check_put(day, parts)
            self._publish(day, parts if keys else None)
            self.written.add(day)
        else:
            raise Again
        return parts.digest, parts.bytes

    def listed(self, name: str) -> PartList:
        return self._manifest(day_of(name)) or PartList(NO_PARTITION, ())

    def problem(self, name: str, artifact: str) -> str:
        day = day_of(name)
        manifest = self._manifest(day)
        if manifest is None:
            return "" if artifact == NO_PARTITION else "missing"
        if manifest.digest != artifact:
            return "altered"
        if day in self._own or day in self._held:
            return ""
        return next(filter(None, (self.amiss(day, part) for part in manifest.parts)), "")

    def look(self, day: str) -> tuple[str, int] | None:
        """(digest, bytes) of a day's partition; None when there is none."""
        manifest = self._manifest(day)
        return (manifest.digest, manifest.bytes) if manifest else None

    @contextmanager
    def reading(self, day: str) -> Iterator[list[Path]]:
        """The part files of a day's partition, in order, as local files while the context lasts."""
        with self.fetched(day, self._manifest(day)) as parts:
            yield parts

    def summed(self, day: str, noted: PartitionSum | None, since: int) -> PartitionSum | None:
        return self.sum_of(day, self._manifest(day), noted)

    def sum_of(self, day: str, manifest: PartList | None, noted: PartitionSum | None) -> PartitionSum | None:
        """As the manifest has it; of one of an older version the parts are read."""
        if manifest is None or not manifest.parts:
            return None
        if found := PartitionSum.of_list(manifest):
            return found
        if noted and {p.name: p.bytes for p in manifest.parts} == {p.name: p.bytes for p in noted.parts}:
            return noted
        try:
            with self.fetched(day, manifest) as files:
                return PartitionSum.of(files)
        except (OSError, DaedalusError):  # replaced meanwhile, or incomplete
            return None

    def has(self, name: str) -> bool:
        return self.output.get(name) is not None

    def edit(self, name: str, change: Edit) -> bool:
        for _ in range(_TRIES):
            self.output.forget()  # others may have published meanwhile
            self._own.clear()
            before = self.output.bytes_now(name)
            new = change(before[0] if before else None, 0)
            if new is None:
                return False
            try:
                self.output.swap(name, new, before[1] if before else None)
                return True
            except Conflict:
                continue
        raise taken(self.output.of(name))

    def days(self) -> list[str]:
        """The days that have a partition, in order."""
        return [day for day in sorted({*self.output.manifests(), *self._own}) if self._manifest(day)]

    def holds(self, day: str) -> bool:
        """Whether there is a partition."""
        return self._manifest(day) is not None

    def obstacle(self, day: str) -> None:
        """Nothing is in the way: the parts of a manifest have names of their own."""

    def remove(self, day: str) -> bool:
        """Takes away the partition of a day that has no rows any more."""
        if not self.holds(day):
            return False
        self._publish(day, None)
        self.removed.add(day)
        return True

    def refresh(self) -> None:
        """Makes the next look ask the store, if this process changed anything."""
        self.output.refresh()
        self._own.clear()

    def kept(self, name: str, artifact: str) -> list[tuple[str, Stat | None]]:
        day = day_of(name)
        uri = self.output.of(manifest_key(day))
        if self.problem(name, artifact):
            return [(uri, None)]
        manifest = self._manifest(day)
        uris = [self.output.part_uri(day, part) for part in manifest.parts] if manifest else []
        return [(one, self.output.files.stat(one)) for one in (uri, *uris)]

    def _manifest(self, day: str) -> PartList | None:
        for lists in (self._held, self._own):
            if day in lists:
                return lists[day]
        return self.output.manifest(day)

    def amiss(self, day: str, part: PartFile) -> str:
        """What is wrong with a part as it is listed, or ""."""
        found = self.output.get(f"dt={day}/{part.key}")
        if found is None:
            return "incomplete"
        try:
            same = found.etag == part.etag or self.output.files.of(found.uri)[0] == part.digest
        except (OSError, DaedalusError):
            return "unreadable"
        return "" if found.size == part.bytes and same else "altered"

    def _check_put(self, day: str, parts: PartList) -> None:
        """Raises DayError when parts that another process put are not in this output."""
        generations = {part.key.partition("/")[0] for part in parts.parts}
        there = {self.output.key(one): one.size for name in generations for one in self.output.now(f"dt={day}/{name}/")}
        for part in parts.parts:
            if (size := there.get(f"dt={day}/{part.key}")) != part.bytes:
                found = "nothing" if size is None else f"{size:,} bytes"
                hint = f"{variables(self.output.uri)} in the environment of all hosts must mean the same store"
                raise DayError("a part is not in the output as a worker put it", where=self.output.part_uri(day, part),
                               found=found, expected=f"{part.bytes:,} bytes", hint=hint)  # fmt: skip

    def _publish(self, day: str, new: PartList | None) -> None:
        """Puts or removes a day's manifest, right after that of the stage before; then what the old one names goes."""
        self._sweep(day, self._swap(day, new))

    def _swap(self, day: str, new: PartList | None, *, told: bool = False) -> list[str]:
        """Puts or removes a day's manifest; the parts that it does not name any more. `told`: who asked to be told of a
        replacement was."""
        key = manifest_key(day)
        for _ in range(_TRIES):
            before = self.output.json_now(key)
            if before and not told:
                self._told(day)
            try:
                with self._earlier.letting_go(day) if self._earlier else nullcontext():
                    if new is None:
                        self.output.delete([key])
                    else:
                        self.output.swap_json(key, new.as_json(), before[1] if before else None)
                break
            except Conflict:
                continue
        else:
            raise taken(self.output.of(key))
        self._own[day] = new
        parts = self.output.parsed(day, before[0]).parts if before else ()
        old = {part.key for part in parts if is_part(part.key)}
        return sorted(old - {part.key for part in new.parts} if new else old)

    def _sweep(self, day: str, parts: Sequence[str]) -> None:
        self.output.sweep([*(f"dt={day}/{key}" for key in parts), *self._orphans(day)])

    def _orphans(self, day: str) -> list[str]:
        """Parts that runs left which died before their manifest; those of runs that may live are young.

        Of a day, and the first time of all others too. They are looked for in what was listed, so that nothing is among
        them which workers of this run put.
        """
        listed: dict[str, dict[str, Object]] = {}
        for key, one in self.output.listed().items():
            folder, _, part = key.partition("/")
            if is_part(part) and (folder == f"dt={day}" or not self._looked_for_orphans):
                listed.setdefault(folder, {})[part] = one
        self._looked_for_orphans = True
        return [key for folder, parts in listed.items() for key in self._unnamed(folder, parts)]

    def _unnamed(self, folder: str, parts: Mapping[str, Object]) -> list[str]:
        """The keys of a day's parts that no manifest names, and that are not young."""
        day, oldest = folder.removeprefix("dt="), time.time() - _ORPHANED
        if day in self._held:
            return []  # the manifest that is there names others
        is_alone = len({part.partition("/")[0] for part in parts}) == 1
        if is_alone and day not in self._own and self.output.get(manifest_key(day)):
            return []  # one generation is that of the manifest, which need not be read then
        manifest = self._manifest(day)
        named = {part.key for part in manifest.parts} if manifest else set()
        if manifest and not named:
            return []  # it cannot be read
        return [f"{folder}/{part}" for part, one in parts.items() if part not in named and one.modified < oldest]

    @contextmanager
    def fetched(self, day: str, manifest: PartList | None) -> Iterator[list[Path]]:
        """The parts that a day's manifest names, as local files while the context lasts, in order."""
        parts = sorted(manifest.parts if manifest else (), key=lambda part: (len(part.name), part.name))
        wanted = {self.output.part_uri(day, part): part.digest for part in parts}
        with self.output.files.fetch(wanted) as local:
            named = []
            for uri, part in zip(wanted, parts, strict=True):
                name = Path(local[uri]).with_name(part.name)
                named.append(Path(local[uri]).rename(name))
            yield named
