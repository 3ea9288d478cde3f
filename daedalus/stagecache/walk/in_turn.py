"""Has actions that come after each other wait with little of them for their turn; the rest runs ahead, and later.

    attend     the walk begins: it submits such actions before what they come after has ended
    submit     of an action with many rows, `before` is given to the executor that this one wraps; one with few waits
    tend       in the walk's thread: submits `turn`, or the action with few rows, when all that comes first has ended or
               had its own turn; then `rest`
    ended      the walk says which actions have ended, however they did

What fails fails the action. An answer of the second level ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from daedalus.stagecache.action import Action, Again, InOrder, action_key
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.executor import Executor, Made, Task, Wrapped, nobody

LEAST = 200_000  # rows: of fewer, three tasks cost more than they save


@dataclass
class _One:
    """An action that was submitted, and the future that the walk waits for."""

    task: Task
    whole: Future[Made | Trace] = field(default_factory=Future)
    before: Future[Made | Trace] | None = None  # None: it is not split
    turn: Future[Made | Trace] | None = None

    @property
    def order(self) -> InOrder:
        assert self.task.action.in_order is not None
        return self.task.action.in_order


class InTurn(Wrapped):
    """An `Executor` that has another one compute actions `in_order`, if they read `least` rows.

    `drop` removes an artifact that nobody needs any more.
    """

    def __init__(self, executor: Executor, least: int, drop: Callable[[str], None]) -> None:
        super().__init__(executor)
        self._least, self._drop = least, drop
        self._waiting: list[_One] = []
        self._turns = Turns(())
        self._wake: Callable[[], None] = lambda: None
        self._again: dict[str, Made] = {}  # what `before` made of actions that were sent back, by its key

    def attend(self, actions: Sequence[Action], wake: Callable[[], None]) -> None:
        """`wake` has the walk call `tend` soon; any thread may call it."""
        self._turns, self._wake = Turns(actions), wake

    def ended(self, name: str) -> None:
        self._turns.ended(name)
        if self._waiting:
            self._wake()

    def submit(self, task: Task) -> Future[Made | Trace]:
        if task.action.in_order is None:
            return self._executor.submit(task)
        one = _One(task)
        if max(task.rows.values(), default=0) >= self._least:
            one.before = self._begun(one)
        self._waiting.append(one)
        self._wake()
        return one.whole

    def tend(self) -> None:
        self._executor.tend()
        moved = True
        while moved:
            moved = False
            for one in list(self._waiting):
                moved |= self._goes_on(one)

    def shutdown(self) -> None:
        self._executor.shutdown()
        for one in self._waiting:
            self._clear(one)
        for made in self._again.values():
            self._drop(made.artifact)

    def _goes_on(self, one: _One) -> bool:
        """Does the next thing of an action, if it is time; whether there may be more to do right away."""
        name, before, turn = one.task.action.name, one.before, one.turn
        if turn is not None:
            return turn.done() and self._had_its_turn(one, turn)
        if before is not None and before.done() and not isinstance(_found(before), Made):
            self._leave(one, before)
        elif self._turns.has_come(name) and (before is None or before.done()):
            self._take_turn(one)
            return one.turn is not None and one.turn.done()
        return False

    def _begun(self, one: _One) -> Future[Made | Trace]:
        task = self._part(one, one.order.before)
        if made := self._again.pop(task.key, None):
            known: Future[Made | Trace] = Future()
            known.set_result(made)
            return known
        return self._sent(replace(task, ask=one.task.ask))

    def _take_turn(self, one: _One) -> None:
        if one.before is None:
            whole = self._executor.submit(one.task)
            self._waiting.remove(one)
            whole.add_done_callback(lambda ended: _end(one, ended))
        else:
            one.turn = self._sent(self._part(one, one.order.turn))

    def _had_its_turn(self, one: _One, turn: Future[Made | Trace]) -> bool:
        if not isinstance(_found(turn), Made):
            self._leave(one, turn)
            return False
        self._turns.ended(one.task.action.name)
        self._waiting.remove(one)
        rest = self._executor.submit(self._part(one, one.order.rest))
        rest.add_done_callback(partial(self._complete, one))
        return True

    def _part(self, one: _One, action: Action) -> Task:
        """The task of an action that another is made of."""
        made = {one.order.before.name: one.before, one.order.turn.name: one.turn}
        digests, above = dict(one.task.digests), dict(one.task.above)
        for name in made.keys() & set(action.upstream):
            done = _found(made[name])
            assert isinstance(done, Made)
            digests[name] = done.artifact
        above |= {inner.name: inner for inner in one.task.action.tasks}
        digests = {name: digests[name] for name in action.reads}
        manifest = action.manifest(digests)
        return replace(
            one.task, action=action, digests=digests, above=above, key=action_key(manifest), manifest=manifest,
            ask=nobody,
        )  # fmt: skip

    def _sent(self, task: Task) -> Future[Made | Trace]:
        """What `tend` goes on with when it is done."""
        future = self._executor.submit(task)
        future.add_done_callback(lambda _: self._wake())
        return future

    def _complete(self, one: _One, rest: Future[Made | Trace]) -> None:
        """Completes an action that was made in three, and removes what was between them."""
        self._clear(one)
        parts = [part for part in map(_found, (one.before, one.turn, rest)) if isinstance(part, Made)]
        if len(parts) < 3:
            _end(one, rest)
            return
        _, turn, last = parts
        counts, seconds = {**last.counts, **turn.counts}, sum(part.seconds for part in parts)
        with suppress(InvalidStateError):
            one.whole.set_result(replace(last, counts=counts, seconds=seconds))

    def _leave(self, one: _One, ended: Future[Made | Trace]) -> None:
        """Ends an action early: it failed, it is to be looked up again, or the second level has it."""
        self._waiting.remove(one)
        made, error = _found(one.before), None if ended.cancelled() else ended.exception()
        if isinstance(made, Made) and isinstance(error, Again) and not error.lost:
            self._again[self._part(one, one.order.before).key] = made
        else:
            self._clear(one)
        _end(one, ended)

    def _clear(self, one: _One) -> None:
        for part in map(_found, (one.before, one.turn)):
            if isinstance(part, Made):
                with suppress(OSError):
                    self._drop(part.artifact)


def _found(future: Future[Made | Trace] | None) -> Made | Trace | None:
    """The result that is there, if one is."""
    if future is None or not future.done() or future.cancelled() or future.exception():
        return None
    return future.result()


def _end(one: _One, ended: Future[Made | Trace]) -> None:
    with suppress(InvalidStateError):
        try:
            if error := ended.exception():
                one.whole.set_exception(error)
            else:
                one.whole.set_result(ended.result())
        except CancelledError:
            one.whole.cancel()


class Turns:
    """Whose turn it is: that of an action comes when all that it comes after, and all that those come after, have ended
    or had their turn."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self._after = {action.name: action.after for action in actions}
        self._next: dict[str, list[str]] = {name: [] for name in self._after}
        for name, after in self._after.items():
            for first in after:
                if first in self._next:
                    self._next[first].append(name)
        self._ended: set[str] = set()
        self._over: set[str] = set()  # those that ended, as did all before them

    def has_come(self, name: str) -> bool:
        return all(first in self._over for first in self._after[name] if first in self._after)

    def ended(self, name: str) -> None:
        self._ended.add(name)
        todo = [name]
        while todo:
            one = todo.pop()
            if one in self._ended and one not in self._over and self.has_come(one):
                self._over.add(one)
                todo += self._next[one]
