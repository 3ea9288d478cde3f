"""The workers that a run can use: who is there, who refused a task or hangs, how long to wait if there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, TypeVar

from daedalus.cluster import connect, failures

if TYPE_CHECKING:
    from distributed import Client

_T = TypeVar("_T")
_LOOK_SECONDS = 1.0  # between counts of the workers
WAIT_SECONDS = 60.0  # to wait for a worker of this machine when none is left and none is being started
AWAY_SECONDS = 600.0  # to wait for one of a given scheduler: machines that are started on demand take minutes
_START_SECONDS = 600.0  # to wait for a worker of this machine that is being started


class Crew:
    """The workers of `client`, of which each must have `need` bytes for an action.

    `where` names the cluster in errors; `local` says that it is on this machine. `say(line)` prints a line for the
    user. A worker that does not report for `silence` seconds hangs.
    """

    def __init__(
        self, client: Client, need: int, *, where: str, local: bool, silence: float, say: Callable[[str], None]
    ) -> None:
        self._client, self._need = client, need
        self._where, self._local, self._silence, self._say = where, local, silence, say
        self._unfit: set[str] = set()  # addresses of workers that refused a task
        self.fit: Mapping[str, Any] = {}  # the other workers, without those that hang, as of the last count
        self.all_fit = True  # whether there are no others
        self.there: Set[str] = frozenset()  # the addresses of all
        self._met = False  # whether there was ever a worker that can run an action
        self._looked = 0.0  # when the workers were last counted
        self._none_since: float | None = None  # since when no worker is usable
        self._stirred = 0.0  # when a worker was last seen being started
        self._starting: bool | None = None  # whether the wait is for a worker that is being started, as last said

    @property
    def slots(self) -> int:
        """How many actions can run at once."""
        return connect.slots(self.fit, self._need)

    @property
    def is_due(self) -> bool:
        """Whether the workers were not counted just now."""
        return time.monotonic() - self._looked > _LOOK_SECONDS

    def look(self) -> None:
        """Counts the workers. Raises DaedalusError when none is of use, or there has been none for a while."""
        workers = self._told(connect.workers)
        self._looked = time.monotonic()
        bad = self._unfit | connect.silent(workers, self._silence)
        self.fit = {address: worker for address, worker in workers.items() if address not in bad}
        self.all_fit, self.there = not bad, workers.keys()
        if self.slots:
            self._none_since, self._met = None, True
        elif workers and not self._met and not self._unfit:
            raise failures.too_small(self._where, workers, self._need)
        else:
            self._wait(self._looked)

    def holders(self, keys: Sequence[tuple]) -> Mapping[tuple, str]:
        """The worker that runs a task, has it next, or ran it, by the task's key."""
        return self._told(lambda client: connect.holders(client, keys))

    def _told(self, question: Callable[[Client], _T]) -> _T:
        """What the scheduler says. Raises RunStopped when it cannot be reached."""
        try:
            return question(self._client)
        except Exception as error:  # of many kinds: the connection is gone
            raise failures.lost(self._where) from error

    def refused(self, worker: str, reason: str) -> None:
        """Notes that a worker refused a task; says so the first time."""
        if worker not in self._unfit:
            self._unfit.add(worker)
            self._say(f"the Dask worker {worker} is not used: {reason}")
            self.look()

    def _wait(self, now: float) -> None:
        """Says for what it waits, when that changes. Raises DaedalusError when nothing is left to wait for."""
        patience = WAIT_SECONDS if self._local else AWAY_SECONDS
        if self._none_since is None:  # the patience starts now
            self._none_since = self._stirred = now
            self._starting = None
        left = self._none_since + _START_SECONDS - now
        starting = left > 0 and connect.is_starting(self._client)
        if starting:
            self._stirred = now  # and starts again while a worker is being started
        elif now - self._stirred > patience:
            seconds = now - self._none_since
            if not self._met:
                raise failures.no_workers(self._where, seconds, self._need)
            raise failures.none_left(self._where, seconds)
        if starting != self._starting:
            gone = "no Dask worker is left" if self._starting is None and self._met else "no Dask worker has come"
            for_one = f"{patience:.0f} s more for another" if self._starting else f"{patience:.0f} s for one"
            started = f"one is being started: waiting up to {left:.0f} s for it"
            self._say(f"{gone}; {started if starting else f'waiting up to {for_one}'}")
            self._starting = starting
