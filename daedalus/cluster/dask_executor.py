"""Runs actions on Dask workers; the coordinator assigns qids, and publishes the partitions that workers wrote.

A task's way through this file:

    submit     runs `qids` in the coordinator's own threads (`here`); all other tasks go on
    answered   (reading.py) in a thread: asks the shared cache; if it has no answer, makes upstream artifacts readable
    _send      submits to Dask (the first one connects, see `_open`); the future is kept in `_out`
    _returned  in Dask's thread: completes the task, has its partition published, or puts it into `_again`
    tend       in the walk's thread: sends unanswered tasks, counts workers, handles `_again` and what is stuck

Delivery is at least once. When workers die, Dask blames every task that they had. A blamed task becomes a suspect
and runs once more with the whole cluster to itself; only if workers die again does it fail. A task that is stuck on
a slow worker is sent a second time when nothing else is left to run; what becomes of the two is in sent.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from functools import partial
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
from daedalus.cluster.sent import Copies, Out, Sent
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
        self._suspects: dict[Future, Sent] = {}  # blamed for deaths, by the walk's futures; each is to run alone
        self._alone: Future | None = None  # of the suspect that has the cluster to itself, or had
        self._pace, self._nearby = Pace(), Nearby()
        self._around = ""  # why partitions go by way of the coordinator, until it is said
        self._said_around = False
        self._lost = False  # the connection to the scheduler
        self._made = False  # whether any worker has made anything

    @property
    def free(self) -> bool:
        # While suspects wait for or have the cluster to themselves, nothing else may be sent.
        held = self._suspects or (self._alone and not self._alone.done())
        if held or len(self._waiting_here) + len(self._asked) >= _BACKLOG:
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
        self._out.give_up_done()
        if self._suspects and not self._out and not self._asked:  # one at a time, once everything else has returned
            self._alone = next(iter(self._suspects))
            self._send_again(replace(self._suspects.pop(self._alone), alone=True))
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
            elif sent.is_answered:  # it is one part of several, and another has failed
                continue
            elif error := answer.exception():
                sent.future.set_exception(error)
            elif isinstance(found := answer.result(), Trace):
                sent.future.set_result(found)
            else:
                self._send(replace(sent, read=found))

    def _retry(self, sent: Sent, why: Any) -> None:
        """Handles a copy that came back without a result. Raises RunStopped when no worker is left that can do it."""
        if isinstance(why, Refusal):
            reason = why.reason(sent.task.manifest)
            self._crew.refused(why.worker, reason)
            if not self._crew.fit:
                raise failures.all_refused(why.worker, reason, made=self._made)
            self._send_again(sent)
        elif isinstance(why, Unread):
            self._around = f"{why.worker}: {why.why}"
            if self._out.claim(sent):
                self._run_for(sent, fetching(sent.task, self._carried))
        elif not sent.alone:
            self._out.give_up_all(sent.future)
            self._suspects[sent.future] = sent
        elif self._out.claim(sent):  # no other task ran, so the deaths are this one's
            sent.future.set_exception(failures.deadly(sent.task, why))

    def _send_again(self, sent: Sent) -> None:
        """Sends a task of which no copy is left, unless it is answered or a suspect."""
        if not (sent.is_answered or self._out.has(sent.future) or sent.future in self._suspects):
            self._send(sent)

    def _double(self) -> None:
        """Sends what is stuck on slow workers once more, to others, if nothing else is left to run."""
        if not (stuck := self._out.stuck(self._pace)):
            return
        held = self._crew.holders([sent.key for copies in stuck for sent in copies.values()])
        for copies in stuck:
            self._double_one(copies, {inner: held[sent.key] for inner, sent in copies.items() if sent.key in held})

    def _double_one(self, copies: Copies, held: dict[Future, str]) -> None:
        """Sends a stuck task to others than have its `copies`, unless two have them one of which reports. `held` says
        who has which; a copy that nobody has is given up, as is a second one."""
        sent, holders = next(iter(copies.values())), set(held.values())
        reporting, others = self._crew.fit.keys() & holders, self._crew.fit.keys() - holders
        if sent.is_answered or not others or (reporting and (len(holders) > 1 or sent.alone)):
            return
        kept = next(iter(held), None)
        self._out.give_up({inner: one for inner, one in copies.items() if inner is not kept})
        self._send(sent, holders)

    def _rescue(self) -> None:
        """Sends again what nobody will run: Dask never does if all workers that it was sent to went and others came."""
        stranded = self._out.sent_to_none_of(self._crew.there)
        if not stranded or not self._crew.fit:
            return
        somewhere = self._crew.holders([sent.key for sent in stranded.values()])
        for inner, sent in stranded.items():
            if sent.key not in somewhere:
                self._out.give_up({inner: sent})
                self._send_again(sent)

    def shutdown(self) -> None:
        self._asking.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            reachable = not self._lost
            for copies in self._out:
                self._out.give_up(copies)
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

    def _send(self, sent: Sent, apart: Collection[str] = ()) -> None:
        """Submits a task to Dask: near to what it reads, away from bad workers, and never to those of `apart`."""
        from daedalus.cluster.worker import run_action

        client, task = self._client or self._open(), sent.task
        name, _, at = task.action.name.partition("@")
        fit = self._crew.fit.keys() - apart
        near = self._nearby.nearest(task.digests.values(), fit)
        if apart or not (near or self._crew.all_fit):
            near = sorted(fit)
        options = {"workers": near, "allow_other_workers": not apart} if near else {}  # others may take over
        key = (name, f"{at}{task.suffix}", self._run, next(self._attempts))
        sent = replace(sent, key=key, workers=frozenset(near))
        inner = submitted(
            client, run_action, self._run, task.action.name, task.digests, task.key, *sent.read, task.split,
            key=key, priority=urgency(task.chain), resources={connect.MEMORY: self._bytes}, **options,
        )  # fmt: skip
        self._pace.moved()
        self._out.add(inner, sent)
        inner.add_done_callback(partial(self._returned, sent))

    def _returned(self, sent: Sent, inner: Future) -> None:
        """Handles the end of a copy. Called in Dask's thread: whatever needs the walk's thread goes to `_again`."""
        from distributed import KilledWorker

        if not self._out.take(inner, sent):
            return
        self._pace.moved()
        try:
            worker, found = inner.result()
        except CancelledError:  # Dask cancels all futures when the scheduler is gone
            self._lost = True
        except KilledWorker as death:
            self._again.append((sent, death))
        except Exception as error:
            if self._out.claim(sent):
                sent.future.set_exception(failures.as_here(error))
        else:
            if isinstance(found, Refusal | Unread):
                self._again.append((sent, found))
            elif self._out.claim(sent):
                self._take(sent, worker, *found)

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
