"""The engine alone against a pure oracle: random graphs, edits, failures, kills and damaged bytes."""

from __future__ import annotations

import contextlib
import os
import random

import pytest

from daedalus.base import digest
from daedalus.base.errors import DayError
from daedalus.stagecache.action import Action
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.key_locks import KeyLocks
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.executor import Threads
from daedalus.stagecache.walk.plan import make_plan
from daedalus.stagecache.walk.schedule import Schedule
from daedalus.stagecache.walk.walk import Walk

ROUNDS = int(os.environ.get("DAEDA_ROUNDS", "150"))


class Killed(BaseException):
    """What no `except Exception` catches: the process is gone."""


class Node:
    """A pure function of a value and of the nodes above; some lose information, so that cutoff happens."""

    def __init__(self, name: str, above: list[str], value: int, modulus: int) -> None:
        self.name, self.above, self.value, self.modulus = name, above, value, modulus
        self.beside: list[str] = []  # read too, but nothing of it is in the result

    def result(self, inputs: list[str]) -> str:
        return str((self.value + sum(int(digest.of_text(text)[:6], 16) for text in inputs)) % self.modulus)


class Simulation:
    def __init__(self, folder, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.nodes: dict[str, Node] = {}
        self.failing: set[str] = set()
        self.kill_at: str | None = None
        self.forbidden = False
        for i in range(self.random.randint(3, 14)):
            self.add(i)

    def add(self, i: int) -> None:
        above = self.random.sample(sorted(self.nodes), min(len(self.nodes), self.random.randint(0, 3)))
        node = Node(f"n{i}", above, self.random.randrange(5), self.random.choice([2, 3, 10**6]))
        others = sorted(self.nodes.keys() - set(above))
        node.beside = self.random.sample(others, min(len(others), self.random.choice([0, 0, 1])))
        self.nodes[node.name] = node

    def oracle(self) -> dict[str, str]:
        """What every node's output must be, if it has one."""
        found: dict[str, str] = {}
        for name, node in self.nodes.items():
            found[name] = node.result([found[above] for above in node.above])
        return found

    def walk(self) -> dict:
        self.expected = self.oracle()
        scratch, traces = Scratch(self.folder / "tmp"), Traces(self.folder / "traces.db")
        store = ArtifactStore(self.folder, scratch, FileDigests(traces))
        self.actions = [self.action(node, store) for node in self.nodes.values()]
        try:
            self.plan = {v.action.name: v.state for v in make_plan(self.actions, traces)}
            workers = self.random.choice([1, 2])
            unread: list[str] = []
            outcomes = Walk(self.actions, traces, executor=Threads(workers), locks=KeyLocks(self.folder / "locks"),
                            unread=unread.append).execute({})  # fmt: skip
            read = {name for node in self.nodes.values() for name in (*node.above, *node.beside)}
            assert len(unread) <= len(read) and set(unread) <= {outcomes[name].artifact for name in read}
            contents = {n: store.path(n, o.artifact).read_text() for n, o in outcomes.items() if o.good}
            return {"states": {n: o.state for n, o in outcomes.items()}, "contents": contents}
        finally:
            traces.close()
            if self.kill_at is None:  # else the process left its files behind
                scratch.close()

    def action(self, node: Node, store: ArtifactStore) -> Action:
        def run(upstream, out):
            assert not self.forbidden, f"{node.name} ran though nothing had changed"
            if node.name in self.failing:
                raise DayError("injected")
            assert all(upstream[name].read_text() == self.expected[name] for name in node.beside)
            out.write_text(node.result([upstream[above].read_text() for above in node.above]))
            if node.name == self.kill_at:
                raise Killed
            return {}

        ingredients = {"config:value": str(node.value), "code:modulus": str(node.modulus), "config:name": node.name}
        beside = tuple(node.beside)
        return Action(node.name, "node", "2026-01-01", ingredients, tuple(node.above), run, store, beside=beside)

    def disturb(self) -> None:
        kind = self.random.randrange(7)
        node = self.nodes[self.random.choice(sorted(self.nodes))]
        if kind == 0:
            node.value = self.random.randrange(5)
        elif kind == 1:
            node.modulus = self.random.choice([2, 3, 10**6])
        elif kind == 2:
            self.add(len(self.nodes))
        elif kind == 3:
            self.failing ^= {node.name}
        elif kind == 4:
            self.damage()
        elif kind == 5 and node.above:
            node.above = node.above[1:]

    def damage(self) -> None:
        paths = sorted(self.folder.glob("artifacts/*/*"))
        if not paths:
            return
        path = self.random.choice(paths)
        how = self.random.randrange(4)
        if how == 0:
            path.unlink()
        elif how == 1:
            path.write_bytes(b"")
        elif how == 2:
            path.write_bytes(self.random.choice(paths).read_bytes())
        else:
            path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


def run_round(simulation: Simulation) -> None:
    simulation.disturb()
    if simulation.random.random() < 0.15:
        simulation.kill_at = simulation.random.choice(sorted(simulation.nodes))
        with contextlib.suppress(Killed):
            simulation.walk()
        simulation.kill_at = None
    found, expected = simulation.walk(), simulation.oracle()
    assert found["contents"] == {name: expected[name] for name in found["contents"]}
    states = found["states"]
    for name, state in states.items():
        node = simulation.nodes[name]
        bad_above = any(states[above] in ("failed", "blocked") for above in (*node.above, *node.beside))
        assert (state == "blocked") == bad_above
        assert state != "failed" or name in simulation.failing
        assert state in ("hit", "blocked") or simulation.plan[name] != "hit", f"{name} ran though the plan said hit"
    if not {"failed", "blocked"} & set(states.values()):
        simulation.forbidden = True
        again = simulation.walk()
        simulation.forbidden = False
        assert set(again["states"].values()) == {"hit"}


@pytest.mark.parametrize("seed", range(20))
def test_what_no_action_reads_any_more_is_told_once_and_not_before(tmp_path, seed):
    chance = random.Random(seed)
    simulation = Simulation(tmp_path, seed)
    actions = [simulation.action(node, None) for node in simulation.nodes.values()]
    schedule, running, ended, told = Schedule(actions), [], set(), []
    while len(ended) < len(actions):
        while schedule and len(running) < 3:
            running.append(schedule.pop())
        action = running.pop(chance.randrange(len(running)))
        ended.add(action.name)
        unread = schedule.ended(action.name)
        assert set(unread) == {
            name for name in action.reads if all(r.name in ended for r in actions if name in r.reads)
        }
        told += unread
    assert sorted(told) == sorted({name for action in actions for name in action.reads})


@pytest.mark.parametrize("part", range(2))
def test_random_graphs_equal_the_oracle(tmp_path, part):
    done = seed = 0
    while done < ROUNDS // 2:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        simulation = Simulation(folder, seed * 2 + part)
        for _ in range(10):
            run_round(simulation)
            done += 1
