"""Runs actions on Dask workers; the coordinator assigns qids, and publishes the partitions that workers wrote.

A task's way through this file:

    submit     runs `qids` in the coordinator's own threads (`here`); all other tasks go on
    _answer    in a thread: asks the shared cache; if it has no answer, makes upstream artifacts readable for workers
    _send      submits to Dask (the first one connects, see `_open`); the future is kept in `_out`
    _returned  in Dask's thread: completes the task, has its partition published, or puts it into `_again`
    tend       in the walk's thread: sends unanswered tasks, counts workers, handles `_again`

Delivery is at least once. When workers die, Dask blames every task that they had. A blamed task becomes a suspect
and runs once more with the whole cluster to itself; only if workers die again does it fail.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_REFUSED, DaedalusError, DayError, RunStopped
from daedalus.cluster import connect
from daedalus.cluster.carrier import CarriedArtifacts
from daedalus.cluster.delivery import Delivery, publishing
from daedalus.cluster.futures import submitted
from daedalus.cluster.job import Job, Refusal, Unread
from daedalus.config.steps import PARTITIONS
from daedalus.objectstore.part_list import PartList
from daedalus.output.partition_home import PartitionHome
from daedalus.stagecache.action import Action, Again, Part
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.executor import Executor, Made, Task, nobody

if TYPE_CHECKING:
    from distributed import Client

_HERE = "qids"  # the step that the coordinator runs, since it assigns numbers
_DEPTH = 2  # tasks sent per slot of a worker, so that no worker waits for its next task
_BACKLOG = 64  # tasks that may wait for the coordinator's threads or for an answer of the shared cache
_ASKING = 16  # threads that ask the shared cache
_LOOK_SECONDS = 1.0  # between counts of the workers
WAIT_SECONDS = 60.0  # to wait for a first worker, and for another when none is left and none is being started
_START_SECONDS = 600.0  # to wait for a worker that is being started


class Read(NamedTuple):
    """What a worker is told of what a task reads: tickets by artifact, and lists of published partitions by action."""

    tickets: Mapping[str, Any] = {}
    lists: Mapping[str, PartList | None] = {}


@dataclass(frozen=True)
class Sent:
    """A submitted task, what is told of what it reads, and the future that the walk waits for."""

    task: Task
    future: Future[Made | Trace]
    read: Read = field(default_factory=Read)
    alone: bool = False  # a suspect that has the cluster to itself
    attempt: int = 0  # in Dask's key: the same key would return the result of the attempt before


class DaskExecutor:
    """An `Executor` over the workers of a Dask cluster, which it connects to when the first task is sent.

    `job()` is what workers build the graph from, `need()` the memory in bytes that an action takes, `cluster(need)`
    opens a client. `where` names the cluster in errors; `local` says that it is on this machine. `here` runs what
    stays with the coordinator, `adopt(artifact, ticket)` is called with what workers made, `say(line)` prints a
    line for the user; `carried` is the coordinator's store if no folder is shared. `submit` and `tend` raise
    DaedalusError (exit 2) when there is no usable cluster.
    """

    def __init__(
        self,
        job: Callable[[], Job],
        need: Callable[[], int],
        cluster: Callable[[int], AbstractContextManager[Client]],
        *,
        where: str,
        local: bool,
        here: Executor,
        adopt: Callable[[str, Any], None],
        say: Callable[[str], None],
        carried: CarriedArtifacts | None = None,
    ) -> None:
        self._job, self._need, self._cluster = job, need, cluster
        self._where, self._local, self._here, self._adopt, self._say = where, local, here, adopt, say
        self._carried = carried
        self._client: Client | None = None
        self._stack = ExitStack()
        self._waiting_here: set[Future] = set()  # of tasks that the coordinator runs itself
        self._asking = ThreadPoolExecutor(_ASKING, thread_name_prefix="daeda-ask")
        self._asked: list[tuple[Sent, Future[Trace | Read]]] = []  # waiting for an answer of `_answer`
        self._out: dict[Future, Sent] = {}  # with Dask, by Dask's future
        self._again: deque[tuple[Sent, Any]] = deque()  # returned with a Refusal, Unread or KilledWorker, for `tend`
        self._suspects: deque[Sent] = deque()  # blamed for deaths; each is to run alone
        self._around = ""  # why partitions go by way of the coordinator, until it is said
        self._said_around = False
        self._unfit: set[str] = set()  # addresses of workers that refused a task
        self._fit: dict[str, Any] = {}  # the other workers, as of the last count
        self._lost = False  # the connection to the scheduler
        self._made = False  # whether any worker has made anything
        self._looked = 0.0  # when the workers were last counted
        self._none_since: float | None = None  # since when no worker is usable
        self._stirred = 0.0  # when a worker was last seen being started
        self._starting: bool | None = None  # whether the wait is for a worker that is being started, as last said

    @property
    def free(self) -> bool:
        # While suspects wait for or have the cluster to themselves, nothing else may be sent.
        if (
            len(self._waiting_here) + len(self._asked) >= _BACKLOG
            or self._suspects
            or any(sent.alone for sent in list(self._out.values()))
        ):
            return False
        return self._client is None or len(self._out) < _DEPTH * connect.slots(self._fit, self._bytes)

    @property
    def idle(self) -> int:
        """Before the first task it is connected to no worker, and none is known."""
        if self._client is None or not self.free:
            return 0
        return max(connect.slots(self._fit, self._bytes) - len(self._out) - len(self._asked), 0)

    @property
    def spreads(self) -> bool:
        return True

    def submit(self, task: Task) -> Future[Made | Trace]:
        if task.action.step == _HERE:
            return self._run_here(self._fetching(task))
        sent = Sent(task, Future())
        if task.ask is nobody and not self._carried and not _publishes(task):
            self._send(sent)
        else:  # asking and sending artifacts block, so a thread does it
            self._asked.append((sent, self._asking.submit(self._answer, task)))
        return sent.future

    def _run_here(self, task: Task) -> Future[Made | Trace]:
        future = self._here.submit(task)
        self._waiting_here.add(future)
        future.add_done_callback(self._waiting_here.discard)
        return future

    def _answer(self, task: Task) -> Trace | Read:
        """The trace that answers a task if the shared cache has it; else what is told of what the task reads.

        Called in a thread of `_asking`. When it returns, workers can read all upstream artifacts.
        """
        if found := task.ask():
            return found
        published = {name: task.above[name] for name in task.digests if task.above[name].step in PARTITIONS}
        lists = {name: _listed(action, task.digests[name]) for name, action in published.items()}
        if _publishes(task):
            lists[task.action.name] = _there(task.action)
        artifacts = {name: artifact for name, artifact in task.digests.items() if name not in published}
        if self._carried:
            parts = task.split if isinstance(task.split, tuple) else ()
            there = {part: self._carried.tickets[part] for part in parts}
            return Read({**self._carried.tickets_of(artifacts.values()), **there}, lists)
        if task.ask is not nobody:
            for name, artifact in artifacts.items():
                task.above[name].shelf.path(name, artifact)  # downloads to the shared folder what only the bucket has
        return Read({}, lists)

    def tend(self) -> None:
        self._send_unanswered()
        self._say_around()
        if self._client is None:
            return
        if self._lost:
            raise _lost(self._where)
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()
        while self._again:
            sent, why = self._again.popleft()
            if isinstance(why, Refusal):
                self._refused(sent, why)
            elif isinstance(why, Unread):
                self._around = f"{why.worker}: {why.why}"
                self._run_for(sent, self._fetching(sent.task))
            elif sent.alone:  # no other task ran, so the deaths are this one's
                sent.future.set_exception(_deadly(sent.task, why))
            else:
                self._suspects.append(sent)
        if self._suspects and not self._out:  # one at a time, once everything else has returned
            self._send(replace(self._suspects.popleft(), alone=True))

    def _send_unanswered(self) -> None:
        """Completes the tasks that the shared cache has answered, and sends the others."""
        asked, self._asked = self._asked, []
        for sent, answer in asked:
            if not answer.done():
                self._asked.append((sent, answer))
            elif error := answer.exception():
                sent.future.set_exception(error)
            elif isinstance(found := answer.result(), Trace):
                sent.future.set_result(found)
            else:
                self._send(replace(sent, read=found))

    def shutdown(self) -> None:
        self._asking.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            reachable = not self._lost
            for future in list(self._out):
                future.cancel()
            if reachable:
                connect.unregister(self._client, self._bench)
        self._here.shutdown()
        self._stack.close()
        self._say_around()

    def _fetching(self, task: Task) -> Task:
        """The task with upstream shelves that fetch what other machines made, if no folder is shared."""
        if not self._carried:
            return task
        above = {name: replace(action, shelf=self._carried) if action.step not in PARTITIONS else action
                 for name, action in task.above.items()}  # fmt: skip
        return replace(task, above=above)

    def _open(self) -> None:
        """Connects, waits for a worker, and sets up the run's plugin on all workers."""
        from daedalus.cluster.worker import StageWorker, worker_name

        self._bytes, job = self._need(), self._job()
        client = self._stack.enter_context(self._cluster(self._bytes))
        connect.wait_for_workers(lambda: connect.workers(client), self._bytes, WAIT_SECONDS, self._say, self._where)
        self._run, self._bench = job.run, worker_name(job.run)
        try:
            connect.register(client, StageWorker(job, quiet=self._local), self._bench)
        except OSError as error:
            raise _lost(self._where) from error
        except Exception as error:
            raise _unusable(self._where, error) from None
        self._client = client
        self._say(connect.dashboard(client))
        self._look()

    def _send(self, sent: Sent) -> None:
        """Submits a task to Dask, away from workers that refused one."""
        from daedalus.cluster.worker import run_action

        if self._client is None:
            self._open()
        name, _, at = sent.task.action.name.partition("@")
        options: dict[str, Any] = {
            "key": (name, at, self._run, sent.attempt, *_part_of(sent.task)),
            "resources": {connect.MEMORY: self._bytes},
        }
        if self._unfit:  # a preference: workers that join later are allowed too
            options |= {"workers": sorted(self._fit), "allow_other_workers": True}
        task, client = sent.task, self._client
        assert client is not None
        inner = submitted(
            client, run_action, self._run, task.action.name, task.digests, task.key, *sent.read, task.split, **options
        )
        self._out[inner] = replace(sent, attempt=sent.attempt + 1)
        inner.add_done_callback(self._returned)

    def _returned(self, inner: Future) -> None:
        """Handles the end of a task. Called in Dask's thread: whatever needs the walk's thread goes to `_again`."""
        from distributed import KilledWorker

        sent = self._out[inner]
        with suppress(InvalidStateError):  # the walk is over
            try:
                found = inner.result()
                if isinstance(found, Refusal | Unread):
                    self._again.append((sent, found))
                else:
                    self._take(sent, *found)
            except CancelledError:  # Dask cancels all futures when the scheduler is gone
                self._lost = True
            except KilledWorker as death:
                self._again.append((sent, death))
            except Exception as error:
                sent.future.set_exception(_as_here(error))
        del self._out[inner]

    def _take(self, sent: Sent, made: Made, ticket: Any) -> None:
        """Completes a task with what a worker made; a partition is still to be published. Called in Dask's thread."""
        self._made = True
        if isinstance(ticket, Delivery):
            self._around = ticket.why or self._around
            for one in ticket.parts.parts:
                if one.name in ticket.tickets:
                    self._adopt(one.digest, ticket.tickets[one.name])
            self._run_for(sent, publishing(sent.task, made, ticket, self._carried), made.seconds)
            return
        if self._carried:
            self._carried.tickets[made.artifact] = ticket
        if not sent.task.is_part:
            self._adopt(made.artifact, ticket)
        sent.future.set_result(made)

    def _run_for(self, sent: Sent, task: Task, seconds: float = 0.0) -> None:
        """Has the coordinator run a task, whose result completes one that was sent and took `seconds` so far."""

        def ended(inner: Future) -> None:
            with suppress(InvalidStateError, CancelledError):  # the walk is over
                if error := inner.exception():
                    sent.future.set_exception(error)
                else:
                    sent.future.set_result(replace(inner.result(), seconds=seconds + inner.result().seconds))

        self._run_here(task).add_done_callback(ended)

    def _say_around(self) -> None:
        """Says once that partitions go by way of the coordinator."""
        if self._around and not self._said_around:
            self._said_around = True
            self._say(f"partitions go by way of this machine where a Dask worker cannot write them: {self._around}")

    def _refused(self, sent: Sent, refusal: Refusal) -> None:
        """Sends a refused task again, to other workers. Raises RunStopped when none is left."""
        reason = refusal.reason(sent.task.manifest)
        if refusal.worker not in self._unfit:
            self._unfit.add(refusal.worker)
            self._say(f"the Dask worker {refusal.worker} is not used: {reason}")
            self._look()
        if not self._fit:
            error = RunStopped("no Dask worker can do this run's work", where=refusal.worker, found=reason,
                               expected="the coordinator's code, packages and shared folder on each worker",
                               first="restart the workers with the same code and packages as here")  # fmt: skip
            error.exit_code = EXIT_DAY_FAILED if self._made else EXIT_REFUSED
            raise error
        self._send(sent)

    def _look(self) -> None:
        """Counts the workers. Raises RunStopped when there has been none for a while."""
        assert self._client is not None
        try:
            workers = connect.workers(self._client)
        except Exception as error:  # of many kinds: the connection is gone
            raise _lost(self._where) from error
        self._looked = time.monotonic()
        self._fit = {address: worker for address, worker in workers.items() if address not in self._unfit}
        if connect.slots(self._fit, self._bytes):
            self._none_since = None
        else:
            self._wait(self._looked)

    def _wait(self, now: float) -> None:
        """Says for what it waits, when that changes. Raises RunStopped when nothing is left to wait for."""
        assert self._client is not None
        if self._none_since is None:  # the patience of WAIT_SECONDS starts now
            self._none_since = self._stirred = now
            self._starting = None
        left = self._none_since + _START_SECONDS - now
        starting = left > 0 and connect.is_starting(self._client)
        if starting:
            self._stirred = now  # and starts again while a worker is being started
        elif now - self._stirred > WAIT_SECONDS:
            seconds = now - self._none_since
            raise RunStopped("no Dask worker is left", where=self._where, found=f"none for {seconds:.0f} s",
                             first="finished days are kept; start workers")  # fmt: skip
        if starting != self._starting:
            gone = "no Dask worker is left" if self._starting is None else "no Dask worker has come"
            patience = f"{WAIT_SECONDS:.0f} s more for another" if self._starting else f"{WAIT_SECONDS:.0f} s for one"
            started = f"one is being started: waiting up to {left:.0f} s for it"
            self._say(f"{gone}; {started if starting else f'waiting up to {patience}'}")
            self._starting = starting


def _publishes(task: Task) -> bool:
    """Whether what a task makes is a whole partition."""
    return task.action.step in PARTITIONS and not task.is_part


def _part_of(task: Task) -> tuple[str, ...]:
    """What tells the tasks of an action that is computed in parts apart."""
    if isinstance(task.split, Part):
        return (f"part {task.split.index} of {task.split.count}",)
    return ("of parts",) if task.split else ()


def _listed(action: Action, artifact: str) -> PartList | None:
    """The list of a published partition, if the output has lists. Raises Again when it is another one by now."""
    found = cast(PartitionHome, action.shelf).listed(action.name)
    if found and found.digest != artifact:
        raise Again([action.name])
    return found


def _there(action: Action) -> PartList | None:
    """The list of the partition that lies in the place of an action's, if the output has lists and it is whole."""
    found = cast(PartitionHome, action.shelf).listed(action.name)
    return None if found is None or action.shelf.problem(action.name, found.digest) else found


def _lost(where: str) -> RunStopped:
    return RunStopped("the connection to the Dask scheduler is lost", where=where,
                      first="finished days are kept; start it again")  # fmt: skip


def _unusable(where: str, error: Exception) -> DaedalusError:
    return DaedalusError("the Dask workers cannot load this program", where=where,
                         found=f"{type(error).__name__}: {' '.join(str(error).split())}",
                         expected="daedalus-skeleton, of the same version, on each worker",
                         hint="pip install 'daedalus-skeleton[dask]' there")  # fmt: skip


def _deadly(task: Task, death: Any) -> DayError:
    return DayError("every Dask worker that ran this step died", where=str(death.last_worker.address),
                    found=f"{death.allowed_failures + 1} deaths, and as many while no other step ran",
                    hint=f"look at the workers' logs; if memory ran out, {connect.MEMORY} may be more than the host "
                         "has, or memory_limit too high")  # fmt: skip


def _as_here(error: Exception) -> Exception:
    """The error as a run on this machine would report it, with paths relative to the working directory."""
    if isinstance(error, DaedalusError):
        error.where = error.where.removeprefix(f"{os.getcwd()}/")
    return error
