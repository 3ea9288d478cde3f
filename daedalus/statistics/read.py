"""Statistics of the partitions of days: what is kept of a partition by its content, else read from its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from daedalus.base import digest
from daedalus.base.counted_off import counted_off
from daedalus.base.errors import DaedalusError, bare
from daedalus.base.terminal_text import counted
from daedalus.config.steps import SKELETON
from daedalus.objectstore.object_store import is_uri
from daedalus.workspace.code_stamp import code_digest
from daedalus.workspace.workspace import StageOutput, Workspace

Say = Callable[[str], None]
Statistics = Callable[[Sequence[Path]], dict[str, Any]]
_AT_ONCE = 8  # looks at partitions on an object store, each a request
_TRIES = 3  # for a partition that another process replaces meanwhile


class Reading:
    """Reads partitions of a workspace, none of them twice. `read` and `known` say how many of either there were.

    Without `read` only what is kept is given.
    """

    def __init__(self, workspace: Workspace, say: Say, *, read: bool = True) -> None:
        self._workspace, self._say, self._reads = workspace, say, read
        self.read = self.known = 0
        self.notes: list[str] = []
        self._lock = Lock()
        self._found: dict[str, dict] = {}  # statistics that were read, by the key of their fact

    def all(
        self, days: Sequence[str], output: StageOutput, of: Statistics, names: Sequence[str] = (),
        whole: Statistics | None = None,
    ) -> dict[str, dict]:  # fmt: skip
        """Statistics with `bytes` by day, none for a day without partition, of an output.

        `of` gives those of part files; `names` is what else they depend on. What `whole` gives has all of that in it.
        """
        codes = [self._code(of, names), *([self._code(whole)] if whole else [])]
        found = {day: kept for day, kept in self._all_kept(output, codes, days) if kept is not None}
        self._count(known=len(found))
        missing = [day for day in days if day not in found and self._reads]
        try:
            if missing:
                found |= self._read(missing, output, of, codes[0])
        finally:  # an interrupted report is not for nothing
            if self._found:
                self._workspace.traces.remember_facts(self._found)
        what = "partition" if output.stage is SKELETON else f"{output.stage.name} partition"
        read = sum(day in found for day in missing)
        self._say(f"{counted(len(found), what)}: {read} read, {len(found) - read} cached")
        return {day: found[day] for day in days if day in found}

    def _code(self, of: Statistics, names: Sequence[str] = ()) -> str:
        """The digest of what statistics follow from, beside the content of a partition."""
        code = code_digest(self._workspace.traces, of.func if isinstance(of, partial) else of)
        return digest.of_json([code, *names]) if names else code

    def _all_kept(
        self, output: StageOutput, codes: Sequence[str], days: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Each day with what is kept of its partition."""
        if not is_uri(output.root):
            yield from ((day, self._kept(output, codes, day)) for day in days)
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            yield from zip(days, pool.map(partial(self._kept, output, codes), days), strict=True)

    def _kept(self, output: StageOutput, codes: Sequence[str], day: str) -> dict[str, Any] | None:
        """What is kept of a day's partition as it lies there now."""
        try:
            looked = output.partitions.look(day)
        except Exception:  # it is told of where it is read
            return None
        if looked is None:
            return None
        for code in codes:
            if isinstance(found := self._workspace.traces.fact(_key(code, looked[0])), dict):
                return {**found, "bytes": looked[1]}
        return None

    def _read(self, days: Sequence[str], output: StageOutput, of: Statistics, code: str) -> Mapping[str, dict]:
        one = partial(self._of, output, of, code)
        with ThreadPoolExecutor(self._workspace.workers) as pool:
            read = counted_off(pool.map(one, days), len(days), self._say, "read {done} of {total} partitions")
            return {day: found for day, found in zip(days, read, strict=True) if found is not None}

    def _of(self, output: StageOutput, of: Statistics, code: str, day: str) -> dict[str, Any] | None:
        """The statistics of a day's partition, read; None if there is none or it cannot be read."""
        partitions = output.partitions
        try:
            for _ in range(_TRIES):
                if (before := partitions.look(day)) is None:
                    return None
                with partitions.reading(day) as parts:
                    found = of(parts)
                if partitions.look(day) == before:
                    break
            else:
                raise DaedalusError("the partition is being replaced repeatedly", where=f"dt={day}")
        except Exception as error:  # noted; the other partitions are shown
            self.notes.append(f"{day}: the partition cannot be read ({_first_line(error)})")
            self._say(f"{day}: the partition cannot be read: {_first_line(error)}")
            return None
        self._found[_key(code, before[0])] = found
        self._count(read=1)
        return {**found, "bytes": before[1]}

    def _count(self, read: int = 0, known: int = 0) -> None:
        with self._lock:
            self.read, self.known = self.read + read, self.known + known


def _key(code: str, content: str) -> str:
    """The key of the fact that keeps the statistics of a partition."""
    return f"column statistics:{code}:{content}"


def _first_line(error: Exception) -> str:
    return bare(f"{type(error).__name__}: {error}".splitlines()[0])[:200]
