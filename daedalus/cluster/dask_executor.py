"""Runs actions on Dask workers; the coordinator assigns qids, and publishes the partitions that workers wrote.

A task's way through this file:

    submit     runs `qids` in the coordinator's own threads (`here`); all other tasks go on
    answered   (reading.py) in a thread: asks the shared cache; if it has no answer, makes upstream artifacts readable
    _send      submits to Dask (the first one connects, see `_open`); the future is kept in `_out`
    _returned  in Dask's thread: completes the task, has its partition published, or puts it into `_again`
    tend       in the walk's thread: sends unanswered tasks, counts workers, handles `_again` and what is stuck

Delivery is at least once. When workers die, Dask blames every task that they had. A blamed task becomes a suspect
and runs once more with the whole cluster to itself; only if workers die again does it fail. A task that is stuck on
a slow worker is sent a second time when nothing else is left to run; the first answer counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from daedalus.cluster import connect, failures
from daedalus.cluster.carrier import CarriedArtifacts
from daedalus.cluster.crew import Crew
from daedalus.cluster.delivery import Delivery, publishing
from daedalus.cluster.futures import submitted
from daedalus.cluster.job import Job, Refusal, Unread
from daedalus.cluster.nearby import Nearby
from daedalus.cluster.pace import Pace
from daedalus.cluster.reading import Read, answered, fetching, is_told_at_once
from daedalus.cluster.sent import Out, Sent
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.executor import Executor, Made, Task
from daedalus.stagecache.walk.schedule import urgency

if TYPE_CHECKING:
    from distributed import Client

_HERE = "qids"  # the step that the coordinator runs, since it assigns numbers
_BACKLOG = 64  # tasks that may wait for the coordinator's threads or for an answer of the shared cache
_ASKING = 16  # threads that ask the shared cache


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
        self._asked: list[tuple[Sent, Future[Trace | Read]]] = []  # waiting for what `answered` says
        self._out, self._attempts = Out(), count()
        self._again: deque[tuple[Sent, Any]] = deque()  # returned with a Refusal, Unread or KilledWorker, for `tend`
        self._suspects: deque[Sent] = deque()  # blamed for deaths; each is to run alone
        self._pace, self._nearby = Pace(), Nearby()
        self._around = ""  # why partitions go by way of the coordinator, until it is said
        self._said_around = False
        self._lost = False  # the connection to the scheduler
        self._made = False  # whether any worker has made anything

    @property
    def free(self) -> bool:
        # While suspects wait for or have the cluster to themselves, nothing else may be sent.
        if len(self._waiting_here) + len(self._asked) >= _BACKLOG or self._suspects or self._out.is_held:
            return False
        return self._client is None or len(self._out) < self._pace.most(self._crew.slots)

    @property
    def idle(self) -> int:
        """Before the first task it is connected to no worker, and none is known."""
        if self._client is None or not self.free:
            return 0
        return max(self._crew.slots - len(self._out) - len(self._asked), 0)

    @property
    def spreads(self) -> bool:
        return True

    def submit(self, task: Task) -> Future[Made | Trace]:
        if task.action.step == _HERE:
            return self._run_here(fetching(task, self._carried))
        sent = Sent(task, Future())
        if is_told_at_once(task, self._carried):
            self._send(sent)
        else:  # a thread does what may block
            self._asked.append((sent, self._asking.submit(answered, task, self._carried)))
        return sent.future

    def _run_here(self, task: Task) -> Future[Made | Trace]:
        future = self._here.submit(task)
        self._waiting_here.add(future)
        future.add_done_callback(self._waiting_here.discard)
        return future

    def tend(self) -> None:
        self._send_unanswered()
        self._say_around()
        if self._client is None:
            return
        if self._lost:
            raise failures.lost(self._where)
        while self._again:
            self._retry(*self._again.popleft())
        if self._suspects and not self._out:  # one at a time, once everything else has returned
            self._send(replace(self._suspects.popleft(), alone=True, apart=None))
        self._out.cancel_outrun()
        self._look_after()

    def _look_after(self) -> None:
        """Now and then counts the workers, and what they do not get done."""
        if not self._crew.is_due:
            return
        self._crew.look()
        if not self._crew.slots:
            self._pace.moved()  # nothing is stuck for want of workers
        self._double()
        self._rescue()

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

    def _retry(self, sent: Sent, why: Any) -> None:
        """Handles what came back without a result. Raises RunStopped when no worker is left that can do it."""
        if sent.is_answered:  # by its twin
            return
        if isinstance(why, Refusal):
            reason = why.reason(sent.task.manifest)
            self._crew.refused(why.worker, reason)
            if not self._crew.fit:
                raise failures.all_refused(why.worker, reason, made=self._made)
            self._send(sent)
        elif isinstance(why, Unread):
            self._around = f"{why.worker}: {why.why}"
            if sent.claim():
                self._run_for(sent, fetching(sent.task, self._carried))
        elif sent.alone:  # no other task ran, so the deaths are this one's
            sent.future.set_exception(failures.deadly(sent.task, why))
        else:
            self._suspects.append(sent)

    def _double(self) -> None:
        """Sends what is stuck on slow workers once more, to others, if nothing else is left to run."""
        if self._suspects or self._out.is_held or not (stuck := self._out.stuck(self._pace)):
            return
        held = self._crew.holders()
        for inner, sent in stuck:
            holder, twins = held.get(sent.key), self._out.twins(sent)
            others = sorted(self._crew.fit.keys() - {holder})
            together = holder and len(twins) > 1 and {held.get(one.key) for one in twins.values()} == {holder}
            come = not together and any(self._may_come(one, held) for one in twins.values())
            if not others or sent.is_answered or come:
                continue
            self._out.doubled(sent)
            self._send(replace(sent, apart=holder), others)
            if not holder or twins:  # its answer is stuck, which Dask would have made again; or it hangs, as its twin
                self._out.give_up(inner)

    def _may_come(self, sent: Sent, held: Mapping[tuple, str]) -> bool:
        """Whether an answer may come: not from workers that hang or went."""
        return not self._crew.fit.keys().isdisjoint({held[sent.key]} if sent.key in held else sent.workers)

    def _rescue(self) -> None:
        """Sends again what nobody will run: Dask never does if all workers that it was sent to went and others came."""
        stranded = self._out.sent_to_none_of(self._crew.there)
        if not stranded or not self._crew.fit:
            return
        somewhere = self._crew.holders([sent.key for _, sent in stranded])
        for inner, sent in stranded:
            others = sorted(self._crew.fit.keys() - {sent.apart})
            if others and sent.key not in somewhere and not sent.is_answered:
                self._out.give_up(inner)
                if not any(self._may_come(one, somewhere) for one in self._out.twins(sent).values()):
                    self._send(sent, others)

    def shutdown(self) -> None:
        self._asking.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            reachable = not self._lost
            for future in self._out:
                future.cancel()
            if reachable:
                connect.unregister(self._client, self._bench)
        self._here.shutdown()
        self._stack.close()
        self._say_around()

    def _open(self) -> Client:
        """Connects and sets up the run's plugin on all workers, also on those that come later."""
        from daedalus.cluster.worker import StageWorker, worker_name

        self._bytes, job = self._need(), self._job()
        client = self._stack.enter_context(self._cluster(self._bytes))
        self._run, self._bench = job.run, worker_name(job.run)
        try:
            connect.register(client, StageWorker(job, quiet=self._local), self._bench)
        except OSError as error:
            raise failures.lost(self._where) from error
        except Exception as error:
            raise failures.unusable(self._where, error) from None
        self._crew = Crew(client, self._bytes, where=self._where, local=self._local, silence=self._pace.silence,
                          say=self._say)  # fmt: skip
        self._client = client
        self._say(connect.dashboard(client))
        self._crew.look()
        return client

    def _send(self, sent: Sent, workers: Sequence[str] = ()) -> None:
        """Submits a task to Dask: to `workers`, else near to what it reads, away from bad workers."""
        from daedalus.cluster.worker import run_action

        client, task = self._client or self._open(), sent.task
        name, _, at = task.action.name.partition("@")
        near = workers or self._nearby.nearest(task.digests.values(), self._crew.fit)
        if not near and not self._crew.all_fit:
            near = sorted(self._crew.fit)
        options = {"workers": near, "allow_other_workers": not sent.apart} if near else {}  # others may take over
        key = (name, f"{at}{task.suffix}", self._run, next(self._attempts))
        sent = replace(sent, key=key, since=self._pace.moved(), workers=frozenset(near or ()))
        inner = submitted(
            client, run_action, self._run, task.action.name, task.digests, task.key, *sent.read, task.split,
            key=key, priority=urgency(task.chain), resources={connect.MEMORY: self._bytes}, **options,
        )  # fmt: skip
        self._out.add(inner, sent)
        inner.add_done_callback(self._returned)

    def _returned(self, inner: Future) -> None:
        """Handles the end of a task. Called in Dask's thread: whatever needs the walk's thread goes to `_again`."""
        from distributed import KilledWorker

        self._pace.moved()
        sent = self._out.take(inner)
        if sent is None or sent.is_answered:  # it was given up, or its twin was first
            return
        try:
            worker, found = inner.result()
        except CancelledError:  # Dask cancels all futures when the scheduler is gone
            self._lost = True
        except KilledWorker as death:
            if self._out.twins(sent):
                self._out.left_alone(sent)
            else:
                self._again.append((sent, death))
        except Exception as error:
            if sent.claim():
                sent.future.set_exception(failures.as_here(error))
        else:
            if isinstance(found, Refusal | Unread):
                self._again.append((sent, found))
            elif sent.claim():
                self._take(sent, worker, *found)
        if sent.is_answered:
            self._out.outrun(sent)

    def _take(self, sent: Sent, worker: str, made: Made, ticket: Any) -> None:
        """Completes a task with what a worker made; a partition is still to be published. Called in Dask's thread."""
        self._made = True
        self._pace.took(made.seconds)
        try:
            self._accept(sent, worker, made, ticket)
        except Exception as error:
            sent.future.set_exception(error)

    def _accept(self, sent: Sent, worker: str, made: Made, ticket: Any) -> None:
        if isinstance(ticket, Delivery):
            self._around = ticket.why or self._around
            for one in ticket.parts.parts:
                if one.name in ticket.tickets:
                    self._adopt(one.digest, ticket.tickets[one.name])
            self._run_for(sent, publishing(sent.task, made, ticket, self._carried), made.seconds)
            return
        if self._carried:
            self._carried.tickets[made.artifact] = ticket
            self._nearby.made(worker, made.artifact, made.bytes, sent.task.digests.values())
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
