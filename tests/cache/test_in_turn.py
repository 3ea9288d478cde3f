"""Actions that wait for their turn: little of them waits, and nothing else shows, whatever fails, moves or is lost."""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from daedalus.base.errors import DayError
from daedalus.stagecache.action import Action, Again, InOrder
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.executor import Threads
from daedalus.stagecache.walk.in_turn import InTurn, Turns
from daedalus.stagecache.walk.second_level import SecondLevel
from daedalus.stagecache.walk.walk import Walk

ROUNDS = int(os.environ.get("DAEDA_ROUNDS", "40"))
LEAST = 10
SECONDS = 20  # that one part of a test waits for another


@dataclass
class World:
    """Days whose names are numbered in order, `numbers` being what a qid map is; `when(what, day)` is called first."""

    folder: Path
    days: int
    lineage: str = "one"
    numbers: dict[str, int] = field(default_factory=dict)
    turns: list[int] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    when: dict[tuple[str, int], object] = field(default_factory=dict)
    ran: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scratch, self.traces = Scratch(self.folder / "tmp"), Traces(self.folder / "traces.db")
        self.store = ArtifactStore(self.folder, self.scratch, FileDigests(self.traces))

    def names(self, day: int) -> list[str]:
        return [f"n{(day * 7 + place * 5) % 23}" for place in range(4)]

    def _then(self, what: str, day: int) -> None:
        self.ran.append((what, day))
        if then := self.when.get((what, day)):
            then()

    def number(self, day: int, names: list[str]) -> str:
        self.turns.append(day)
        for name in dict.fromkeys(names):
            self.numbers.setdefault(name, len(self.numbers))
        return " ".join(str(self.numbers[name]) for name in names)

    def actions(self) -> list[Action]:
        found: list[Action] = []
        for day in range(self.days):
            found += [self._read(day), self._numbered(day)]
        return found

    def _action(self, name: str, day: int, upstream: tuple[str, ...], work, **more) -> Action:
        def run(paths, out):
            self._then(name, day)
            text, counts = work([paths[f"{one}@{day}"].read_text() for one in upstream])
            out.write_text(text)
            return counts

        above = tuple(f"{one}@{day}" for one in upstream)
        return Action(f"{name}@{day}", name, f"2026-01-{day + 1:02}", {"config:day": str(day)}, above, run, self.store,
                      **more)  # fmt: skip

    def _read(self, day: int) -> Action:
        names = " ".join(self.names(day))
        return self._action("read", day, (), lambda _: (names, {"rows": self.rows.get(day, LEAST)}))

    def _numbered(self, day: int) -> Action:
        salt = iter(range(100))

        def whole(read):
            return self.number(day, read[0].split()), {"rows": 4, "map": len(self.numbers)}

        def turn(read):
            text = self.number(day, read[0].split()[1:])
            return f"{next(salt)} turn {day} {text}", {"map": len(self.numbers)}

        before = self._action("before", day, ("read",), lambda read: (f"{next(salt)}b{day} {read[0]}", {"names": 4}))
        middle = self._action("turn", day, ("before",), turn)
        rest = self._action("rest", day, ("read", "before", "turn"),
                            lambda read: (" ".join(read[2].split()[3:]), {"rows": 4}))  # fmt: skip
        after = (f"whole@{day - 1}",) if day else ()
        return self._action("whole", day, ("read",), whole, after=after, moving=lambda: {"input:map": self.lineage},
                            in_order=InOrder(before, middle, rest))  # fmt: skip

    def run(self, *, apart: bool = True, level: SecondLevel | None = None) -> dict:
        threads = Threads(4)
        threads._usual = 1.0
        executor = InTurn(threads, LEAST, self.store.drop) if apart else threads
        outcomes = Walk(self.actions(), self.traces, executor=executor, level=level).execute({})
        return {name: (one.state, one.good and self.store.path(name, one.artifact).read_text(),
                       {**one.counts, "rows_in": 0}) for name, one in outcomes.items()}  # fmt: skip

    def left(self) -> set[str]:
        """The artifacts that no trace has."""
        return {name for name, _ in self.store.artifacts()} - {trace.artifact for trace in self.traces.all()}


@pytest.fixture
def world(tmp_path):
    made: list[World] = []

    def make(days: int, name: str = "one", **more) -> World:
        made.append(World(tmp_path / name, days, **more))
        return made[-1]

    yield make
    for one in made:
        one.traces.close()
        one.scratch.close()


def fails(times: int = 1, error: type[Exception] = DayError):
    left = [times]

    def then() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error("injected") if error is not Again else Again

    return then


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_any_days_give_what_they_give_one_after_the_other(world, seed):
    """Days with few rows, cached before, failing anywhere, slow, and sent back."""
    draw = random.Random(seed)
    days = draw.randint(1, 7)
    one, other = world(days, "one"), world(days, "other")
    cached = sorted(draw.sample(range(days), draw.choice([0, 0, 1, min(2, days)])))
    broken = {day: draw.choice(["read", "before", "turn", "rest"]) for day in range(days) if draw.random() < 0.2}
    again = {day for day in range(days) if draw.random() < 0.2}
    rows = {day: draw.choice([LEAST, LEAST, 1]) for day in range(days)}
    slow = {(what, day): draw.choice([0, 0.002]) for what in ("read", "before", "turn", "rest") for day in range(days)}
    for made, apart in ((one, True), (other, False)):
        made.rows = rows
        for day in reversed(cached):  # of an earlier run, in which that was the only day
            made.traces.write()
            only = replace(made.actions()[2 * day + 1], after=())
            Walk([made.actions()[2 * day], only], made.traces).execute({})
        before = dict(made.numbers)
        if apart:
            made.when = {place: (lambda seconds=seconds: time.sleep(seconds)) for place, seconds in slow.items()}
        for day, what in broken.items():
            is_split = apart and rows[day] >= LEAST
            # what is numbered before `rest` fails stays numbered
            made.when[what if what == "read" or is_split else "whole", day] = fails(99)
        for day in again - broken.keys():
            made.when["turn" if apart and rows[day] >= LEAST else "whole", day] = fails(1, Again)
        made.turns.clear()
        found = made.run(apart=apart)
        assert made.turns == sorted(made.turns) and before.items() <= made.numbers.items()
        assert not made.left()
        made.found = found
    if not any(what == "rest" for what in broken.values()):
        assert one.found == other.found and one.numbers == other.numbers
    for name, (state, text, _) in one.found.items():
        if name.startswith("whole") and text is not False:
            names = one.names(int(name.partition("@")[2]))
            assert text == " ".join(str(one.numbers[each]) for each in names), (name, state)


def test_only_the_turn_waits(world):
    """The last day is read before the first has its turn, which ends when the last had its own."""
    made = world(4)
    read, numbered = threading.Event(), threading.Event()
    made.when = {("turn", 0): lambda: read.wait(SECONDS) or pytest.fail("nothing ran ahead"),
                 ("before", 3): read.set,
                 ("rest", 0): lambda: numbered.wait(SECONDS) or pytest.fail("a turn waited for a rest"),
                 ("turn", 3): numbered.set}  # fmt: skip
    found = made.run()
    assert {state for state, _, _ in found.values()} == {"computed"} and made.turns == [0, 1, 2, 3]
    assert ("whole", 0) not in made.ran


def test_what_moved_while_it_ran_is_made_again(world):
    """Under which lineage a number was given is known only if that was the same all the time."""
    for what in ("before", "turn", "rest"):
        made = world(3, what)

        def moves(made=made):
            made.lineage, made.when = "other", {}

        made.when = {(what, 1): moves}
        found = made.run()
        keys = {name: made.traces.latest(name).manifest["input:map"] for name in ("whole@1", "whole@2")}
        assert keys["whole@1"] == keys["whole@2"] == "other" and not made.left()
        assert found["whole@1"][0] == "computed" and made.ran.count((what, 1)) == 2


def test_what_was_read_is_kept_for_who_is_sent_back(world):
    made = world(2)
    made.when = {("turn", 1): fails(2, Again)}
    assert made.run()["whole@1"][0] == "computed"
    assert made.ran.count(("before", 1)) == 1 and made.ran.count(("turn", 1)) == 3 and not made.left()


def test_an_answer_of_the_second_level_has_no_turn(world):
    made = world(3)
    made.run()
    (trace,) = (one for one in made.traces.all() if one.name == "whole@1")

    class Level(SecondLevel):
        def ask(self, action, key):
            return trace if action.name == "whole@1" and key == trace.key else None

    made.traces.drop([trace.key])
    made.turns.clear()
    found = made.run(level=Level())
    assert found["whole@1"][0] == "hit" and made.turns == []


def test_a_run_that_stops_leaves_nothing_between(world):
    made = world(3)
    made.when = {("turn", 1): fails(1, KeyboardInterrupt)}
    with pytest.raises(BaseException):  # noqa: B017
        made.run()
    left = [made.store.path("", artifact).read_text() for artifact in made.left()]
    assert not [text for text in left if "b" in text or "turn" in text], (
        "only what was not recorded any more may be left"
    )


def test_turns_come_when_all_before_had_theirs():
    def action(name, *after):
        return Action(name, name, None, {}, (), lambda upstream, out: {}, None, after=after)

    turns = Turns([action("a"), action("b", "a"), action("c", "b", "gone"), action("d", "a")])
    assert turns.has_come("a") and not turns.has_come("b")
    turns.ended("b")
    assert not turns.has_come("c") and not turns.has_come("d")
    turns.ended("a")
    assert turns.has_come("c") and turns.has_come("d")
