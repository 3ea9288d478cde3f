"""Tasks that were sent twice since they were stuck: whichever way their copies leave, each is answered, and once."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from itertools import product
from types import SimpleNamespace

import pytest

pytest.importorskip("distributed")
from distributed import KilledWorker

from daedalus.base.errors import DayError, RunStopped
from daedalus.cluster import dask_executor, pace
from daedalus.cluster.job import Refusal, Unread
from daedalus.cluster.pace import Pace
from daedalus.stagecache.walk.executor import Made, Task

MADE = Made("artifact", 3, {}, 0.1)


class Dask:
    """Stands in for Dask and its workers: it notes what it is sent, and `holder` says who has it, by key."""

    def __init__(self) -> None:
        self.now, self.fit, self.hanging = 0.0, {"a": None, "b": None}, set()
        self.sent, self.copies, self.holder = [], [], {}
        here = SimpleNamespace(submit=lambda task: done(MADE))
        self.run = run = dask_executor.DaskExecutor(
            None, None, None, where="", local=False, here=here, adopt=lambda artifact, ticket: None, say=print
        )
        run._client, run._run, run._bytes, run._pace, run._crew = object(), "run", 1, Pace(lambda: self.now), self

    def submitted(self, client, function, *arguments, **options):
        self.sent.append(options)
        self.copies.append(Future())
        return self.copies[-1]

    # As a `Crew`

    is_due = True

    @property
    def slots(self):
        return len(self.fit)

    @property
    def all_fit(self):
        return not self.hanging

    @property
    def there(self):
        return self.fit.keys() | self.hanging

    def look(self):
        pass

    def refused(self, worker, reason):
        del self.fit[worker]

    def holders(self, keys):
        return {key: worker for key, worker in self.holder.items() if key in keys}

    # What a test does

    def submit(self):
        action = SimpleNamespace(name="spine@day", step="spine", day="day")
        return self.run.submit(Task(action, {}, {}, "key", {}, seconds=0.1))

    def has(self, worker, number=-1):
        """A worker takes a copy up."""
        self.holder[self.sent[number]["key"]] = worker

    def hangs(self, worker):
        del self.fit[worker]
        self.hanging.add(worker)

    def later(self, seconds=20.0):
        self.now += seconds
        self.run.tend()

    def brings(self, copy, answer):
        with suppress(InvalidStateError):  # it was given up
            if isinstance(answer, Exception):
                self.copies[copy].set_exception(answer)
            else:
                self.copies[copy].set_result(("ab"[copy % 2], answer))

    def workers(self, since=0):
        """To which workers tasks may go, and to no other."""
        return [one.get("workers") for one in self.sent[since:] if not one.get("allow_other_workers", True)]

    @property
    def out(self):
        return [sent for copies in self.run._out for sent in copies.values()]


@pytest.fixture
def dask(monkeypatch):
    monkeypatch.setattr(pace, "_STUCK_SECONDS", 10.0)
    running = Dask()
    monkeypatch.setattr(dask_executor, "submitted", running.submitted)
    return running


@pytest.fixture
def twice(dask):
    """A task whose first copy `a` has, and its second `b`; `c` is there, too."""
    dask.task = dask.submit()
    dask.has("a")
    dask.later()
    dask.has("b")
    assert len(dask.out) == len(dask.sent) == 2 and dask.workers() == [["b"]]
    dask.fit["c"] = None
    return dask


def done(result) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future


def answered(dask, copy):
    dask.brings(copy, (MADE, None))


def failed(dask, copy):
    dask.brings(copy, ValueError("of the step"))


def unread(dask, copy):
    dask.brings(copy, Unread("ab"[copy], "it sees nothing"))


def not_wanted(dask, copy):
    dask.task.cancel()


def killed(dask, copy):
    dask.brings(copy, KilledWorker("key", SimpleNamespace(address="x"), 3))


def refused(dask, copy):
    dask.brings(copy, Refusal("ab"[copy], "it has other code"))


def stranded(dask, copy):
    """The worker went, and Dask has nobody for what was sent to it alone. A first copy was not, so Dask moves it."""
    dask.fit.pop("ab"[copy], None)
    dask.hanging.discard("ab"[copy])
    if copy:
        del dask.holder[dask.sent[copy]["key"]]
    else:
        dask.has("c", copy)


def cancelled(dask, copy):
    dask.copies[copy].cancel()


COPIES = (0, 1)
PAIRS = list(product([killed, refused, stranded], repeat=2))


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("leave", [answered, failed, unread, not_wanted])
def test_an_answer_ends_the_other_copy(twice, leave, copy):
    leave(twice, copy)
    twice.later(1.0)
    assert twice.task.done() and not twice.out and len(twice.sent) == 2
    assert twice.copies[1 - copy].cancelled()
    twice.later()
    assert len(twice.sent) == 2 and twice.run.free


@pytest.mark.parametrize("copy", COPIES)
def test_a_late_answer_changes_nothing(twice, copy):
    answered(twice, copy)
    failed(twice, 1 - copy)
    twice.later()
    assert twice.task.result() == MADE and len(twice.sent) == 2 and twice.run.free


@pytest.mark.parametrize("leave", [refused, stranded])
def test_a_copy_that_comes_back_leaves_the_task_to_the_other_which_is_doubled_again(twice, leave):
    leave(twice, 1)
    twice.later(1.0)
    assert len(twice.out) == 1 and len(twice.sent) == 2 and not twice.copies[0].cancelled()
    twice.later()
    assert len(twice.out) == 2 and twice.workers(since=2) == [["c"]]
    twice.has("c")
    answered(twice, 0)
    twice.later(1.0)
    assert twice.task.result() == MADE and not twice.out and twice.copies[2].cancelled()


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_that_kills_has_its_task_run_alone(twice, copy):
    killed(twice, copy)
    twice.later(1.0)
    assert [one.alone for one in twice.out] == [True] and twice.copies[1 - copy].cancelled() and not twice.run.free
    twice.has("c")
    killed(twice, 2)
    twice.later(1.0)
    assert isinstance(twice.task.exception(), DayError) and not twice.out and twice.run.free


@pytest.mark.parametrize("ways", PAIRS, ids=lambda pair: "-".join(one.__name__ for one in pair))
@pytest.mark.parametrize("tended", [True, False], ids=["one by one", "at once"])
def test_a_task_both_of_whose_copies_left_is_out_once(twice, ways, tended):
    for copy, leave in enumerate(ways):
        leave(twice, copy)
        if tended:
            twice.later(1.0)
    twice.later(1.0)
    if ways[0] is stranded and ways[1] is not killed:  # then Dask has moved the first
        assert len(twice.out) == 1 and len(twice.sent) == 2
        return
    assert [one.alone for one in twice.out] == [killed in ways] and all(one.cancelled() for one in twice.copies[2:-1])
    answered(twice, -1)
    twice.later(1.0)
    assert twice.task.result() == MADE and not twice.out and twice.run.free


@pytest.mark.parametrize("copy", COPIES)
def test_a_scheduler_that_is_gone_ends_the_run(twice, copy):
    cancelled(twice, copy)
    with pytest.raises(RunStopped, match="scheduler is lost"):
        twice.later()


def test_two_that_hang_do_not_keep_a_third_from_it(twice):
    """But while one of the two reports, it may answer."""
    twice.hangs("a")
    twice.later()
    assert len(twice.sent) == 2
    twice.hangs("b")
    twice.later()
    assert twice.workers(since=2) == [["c"]] and len(twice.out) == 2 and twice.copies[1].cancelled()


def test_two_copies_that_one_worker_has_are_as_one(twice):
    twice.has("b", 0)
    twice.later()
    assert len(twice.out) == 2 and twice.workers(since=2) == [["a", "c"]]


def test_a_suspect_waits_neither_for_a_worker_that_hangs_nor_on_one(dask):
    """What hangs is run by others first, so that the suspect is alone."""
    hanging, suspect = dask.submit(), dask.submit()
    dask.has("a", 0), dask.has("b", 1)
    dask.hangs("a")
    dask.fit["c"] = None
    killed(dask, 1)
    dask.later(1.0)
    assert len(dask.sent) == 2
    dask.later()
    assert dask.workers(since=2) == [["b", "c"]]
    answered(dask, 2)
    dask.later(1.0)
    assert hanging.done() and [one.alone for one in dask.out] == [True]
    dask.has("b")
    dask.later()
    assert len(dask.sent) == 4  # it is slow, but alone
    dask.hangs("b")
    dask.later()
    assert dask.workers(since=4) == [["c"]] and all(one.alone for one in dask.out)
    answered(dask, 4)
    dask.later(1.0)
    assert suspect.result() == MADE and not dask.out and dask.run.free


def test_what_a_hanging_worker_has_goes_to_others_once_and_to_those_that_come_when_they_went(dask):
    """Also if it has so much that nothing more may be sent. Dask lets tasks lie whose workers all went."""
    del dask.fit["b"]
    for number in range(200):
        dask.submit()
        dask.has("a", number)
    dask.hangs("a")
    dask.fit["b"] = None
    assert not dask.run.free
    dask.later()
    assert dask.workers() == [["b"]] * 200 == dask.workers(since=200)
    for number in range(200, 400):
        dask.has("b", number)
    dask.later()
    del dask.fit["b"]
    dask.later()  # b hangs, too, and there is no other
    dask.fit["b"] = None
    dask.later()  # it goes on
    assert len(dask.sent) == 400
    for one in dask.sent[200:]:
        del dask.holder[one["key"]]
    del dask.fit["b"]
    dask.fit["c"] = None
    dask.later()
    assert dask.workers(since=400) == [["c"]] * 200 and len(dask.out) == 400
    assert len({one["key"] for one in dask.sent}) == 600
