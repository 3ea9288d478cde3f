"""Which workers have which artifacts on their own disks, so that a task is sent to where most of what it reads is."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_WORTH = 1 << 20  # bytes: less is fetched sooner than waited for


class Nearby:
    """What the coordinator knows of workers that share no folder. A worker has what it made and what it read."""

    def __init__(self) -> None:
        self._holders: dict[str, set[str]] = {}  # addresses by artifact
        self._bytes: dict[str, int] = {}

    def made(self, worker: str, artifact: str, size: int, read: Iterable[str]) -> None:
        """Notes that a worker made an artifact of `size` bytes from those that it `read`."""
        self._bytes[artifact] = size
        for one in (artifact, *read):
            self._holders.setdefault(one, set()).add(worker)

    def nearest(self, artifacts: Iterable[str], workers: Collection[str]) -> list[str]:
        """Those of `workers` that have at least half as many bytes of the artifacts as the one with most; none if
        that is little."""
        there = dict.fromkeys(sorted(workers), 0)
        for artifact in artifacts:
            for worker in self._holders.get(artifact, ()):
                if worker in there:
                    there[worker] += self._bytes.get(artifact, 0)
        most = max(there.values(), default=0)
        return [worker for worker, size in there.items() if size >= max(_WORTH, most / 2)]
