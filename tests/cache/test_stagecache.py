"""The engine alone: file digests, artifacts, traces and the walk."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError
from daedalus.stagecache.action import Action, Again, Cause, differences
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.file_digests import FileDigests, Stamp
from daedalus.stagecache.records.key_locks import KeyLocks
from daedalus.stagecache.records.traces import Traces, as_text, of_text
from daedalus.stagecache.walk.commits import Commits
from daedalus.stagecache.walk.executor import Threads
from daedalus.stagecache.walk.plan import look_up
from daedalus.stagecache.walk.walk import Walk


@pytest.fixture
def cache(tmp_path):
    scratch, traces = Scratch(tmp_path / "tmp"), Traces(tmp_path / "traces.db")
    yield ArtifactStore(tmp_path, scratch, FileDigests(traces)), traces
    traces.close()
    scratch.close()


def action(store, name, run, upstream=(), day="2026-01-01", **ingredients):
    return Action(name, name, day, {f"config:{k}": v for k, v in ingredients.items()}, tuple(upstream), run, store)


def writes(text):
    def run(upstream, out):
        out.write_text(text + "".join(path.read_text() for path in upstream.values()))
        return {"rows": len(text)}

    return run


def walk(actions, traces, **options):
    return {name: o.state for name, o in Walk(actions, traces, **options).execute({}).items()}


def test_hits_early_cutoff_and_unchanged(cache):
    store, traces = cache
    graph = [action(store, "a", writes("x"), v="1"), action(store, "b", writes("y"), ["a"])]
    assert walk(graph, traces) == {"a": "computed", "b": "computed"}
    assert walk(graph, traces) == {"a": "hit", "b": "hit"}
    graph[0] = action(store, "a", writes("x"), v="2")  # another key, the same bytes
    assert walk(graph, traces) == {"a": "unchanged", "b": "hit"}
    graph[0] = action(store, "a", writes("z"), v="3")
    assert walk(graph, traces) == {"a": "computed", "b": "computed"}


def test_a_failure_blocks_what_needs_it_and_nothing_else(cache):
    store, traces = cache

    def fail(upstream, out):
        raise DayError("no good", where="here")

    graph = [action(store, "a", fail), action(store, "b", writes("b"), ["a"]), action(store, "c", writes("c"))]
    assert walk(graph, traces, executor=Threads(2)) == {"a": "failed", "b": "blocked", "c": "computed"}
    assert walk(graph, traces) == {"a": "failed", "b": "blocked", "c": "hit"}


def test_what_is_beside_is_read_and_is_no_ingredient(cache):
    store, traces = cache

    def graph(where, run):
        reading = replace(action(store, "x", run, ["a"]), beside=("where",))
        return [action(store, "a", writes("a")), action(store, "where", writes(where), v=where), reading]

    def run(upstream, out):
        out.write_text(upstream["a"].read_text() + str(len(upstream["where"].read_text())))
        return {}

    assert walk(graph("here", run), traces, executor=Threads(2))["x"] == "computed"
    made = traces.latest("x")
    assert store.path("x", made.artifact).read_text() == "a4"
    assert "upstream:a" in made.manifest and not any("where" in label for label in made.manifest)
    assert walk(graph("there", run), traces) == {"a": "hit", "where": "computed", "x": "hit"}


def test_what_is_beside_must_succeed_and_be_there(cache):
    store, traces = cache
    shelf = Fickle(store)

    def fail(upstream, out):
        raise DayError("no good")

    def graph(run, version):
        reading = replace(action(store, "x", writes("x"), v=version), beside=("where",))
        return [reading, action(shelf, "where", run)]

    assert walk(graph(fail, "1"), traces) == {"where": "failed", "x": "blocked"}
    assert walk(graph(writes("here"), "1"), traces) == {"where": "computed", "x": "computed"}
    shelf.gone.add(traces.latest("where").artifact)
    assert walk(graph(writes("here"), "2"), traces) == {"where": "unchanged", "x": "unchanged"}


def test_what_belongs_to_no_day_stops_the_walk(cache):
    store, traces = cache

    def fail(upstream, out):
        raise ValueError("broken")

    with pytest.raises(DaedalusError, match="broken"):
        walk([action(store, "a", fail, day=None)], traces)


def test_after_orders_but_does_not_block(cache):
    store, traces = cache
    seen = []

    def fail(upstream, out):
        seen.append("first")
        raise DayError("no good")

    def second(upstream, out):
        seen.append("second")
        return writes("s")(upstream, out)

    late = Action("b", "b", "2026-01-02", {}, (), second, store, after=("a",))
    assert walk([action(store, "a", fail), late], traces, executor=Threads(2)) == {"a": "failed", "b": "computed"}
    assert seen == ["first", "second"]


def test_a_file_as_young_as_the_look_is_hashed_again(cache, tmp_path, monkeypatch):
    _, traces = cache
    path = tmp_path / "file"
    path.write_text("one")
    digests = FileDigests(traces)
    now = Stamp.of(path).mtime_ns
    monkeypatch.setattr(time, "time_ns", lambda: now + 1_000_000)
    assert digests.of(path)[0] == digest.of_bytes(b"one")
    digests.of(path)
    assert digests.hashed == 2
    monkeypatch.setattr(time, "time_ns", lambda: now + 100_000_000)
    digests.of(path)
    digests.of(path)
    assert digests.hashed == 3
    assert FileDigests(traces).of(path)[0] == digest.of_bytes(b"one")


def test_the_same_size_and_mtime_do_not_hide_a_change(cache, tmp_path):
    _, traces = cache
    path = tmp_path / "file"
    path.write_text("one")
    time.sleep(0.05)
    digests = FileDigests(traces)
    digests.of(path)
    stat = path.stat()
    path.write_text("two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digests.of(path)[0] == digest.of_bytes(b"two")


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 600_001])
def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path, size):
    data = bytes(range(251)) * (size // 251 + 1)
    (one := tmp_path / "one").write_bytes(data[:size])
    (other := tmp_path / "other").write_bytes(data[1 : size + 1])
    assert digest.of_file(one) == digest.of_bytes(data[:size])
    contents, whole, each = digest.sums_of([one, other])
    assert contents == (digest.of_file(one), digest.of_file(other))
    assert whole == hashlib.sha256(data[:size] + data[1 : size + 1]).hexdigest()
    assert each == tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other))
    assert digest.sums_of([one]) == (contents[:1], each[0], each[:1]) and digest.sha256_of(one) == each[0]


def test_scratch_sweeps_the_dead_and_leaves_the_living(tmp_path):
    dead = tmp_path / "run-1-0000dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / f"{digest.of_text('half')}.parquet").write_text("written")
    living = Scratch(tmp_path)
    assert living.path().parent.exists() and not dead.exists()
    other = Scratch(tmp_path)
    assert other.path().parent != living.path().parent and living.folder.exists()
    living.close()
    other.close()
    assert list(tmp_path.iterdir()) == []


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters())))
@example({"input:feed/caf\udce9.parquet": "d"})  # a name that is not UTF-8
def test_records_are_read_as_they_were_written(manifest):
    assert of_text(as_text(manifest)) == manifest
    assert of_text(json.dumps(manifest)) == manifest  # as earlier versions wrote them


def test_differences_name_old_and_new():
    old, new = {"config:a": "1", "input:f": "x", "code:c": "k"}, {"config:a": "2", "code:c": "k", "upstream:u": "d"}
    assert differences(old, new) == [
        Cause("config", "a", "1", "2"), Cause("input", "f", "x", None), Cause("upstream", "u", None, "d"),
    ]  # fmt: skip
    assert differences(None, new)[0].kind == "missing"


class Fickle:
    """A shelf that says of artifacts that they are there, and cannot find them when they are needed."""

    def __init__(self, store):
        self._store, self.gone = store, set()
        self.stage, self.keep = store.stage, store.keep

    def problem(self, name, artifact):
        return "" if artifact in self.gone else self._store.problem(name, artifact)

    def path(self, name, artifact):
        if artifact in self.gone:
            self.gone.discard(artifact)
            self._store.path(name, artifact).unlink()
            raise Again((name,))
        return self._store.path(name, artifact)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("same", [True, False])
def test_a_walk_makes_again_what_is_gone_when_it_is_needed(cache, workers, same):
    store, traces = cache
    shelf, runs = Fickle(store), []

    def first(upstream, out):
        runs.append("a")
        out.write_text("a" if same else f"a{len(runs)}")  # not what it gave before: whoever stands on it moves too
        return {"rows": 1}

    def graph(version):
        return [
            action(shelf, "a", first),
            action(shelf, "b", writes("b"), ["a"]),
            action(shelf, "c", writes("c"), ["b"]),
            action(shelf, "d", writes("d"), ["a"], v=version),
        ]

    walk(graph("1"), traces)
    shelf.gone.add(traces.latest("a").artifact)
    days = []
    found = Walk(
        graph("2"), traces, executor=Threads(workers), day_done=lambda day, outcomes: days.append(len(outcomes))
    )
    outcomes = found.execute({"2026-01-01": "d"})
    assert runs == ["a", "a"] and all(outcome.good for outcome in outcomes.values())
    states = ("unchanged", "hit", "hit", "unchanged") if same else ("computed",) * 4
    assert {name: outcome.state for name, outcome in outcomes.items()} == dict(zip("abcd", states, strict=True))
    assert days and days[0] == 4
    assert store.path("d", outcomes["d"].artifact).read_text() == ("da" if same else "da2")
    assert store.path("c", outcomes["c"].artifact).read_text() == ("cba" if same else "cba2")


class InPlace:
    """A shelf of one file, in the place of which others put theirs."""

    def __init__(self, store, place):
        self._store, self._place = store, place

    def stage(self, name):
        return self._store.stage(name)

    def keep(self, name, staged):
        staged.replace(self._place)
        return self._place.read_text(), 1

    def problem(self, name, artifact):
        return "" if self._place.read_text() == artifact else "altered"

    def path(self, name, artifact):
        return self._place


def test_what_is_replaced_while_it_is_read_is_made_again_and_read_again(cache, tmp_path):
    store, traces = cache
    place, runs = tmp_path / "place", []

    def second(upstream, out):
        runs.append(upstream["a"].read_text())
        out.write_text(runs[-1])
        if len(runs) == 1:
            place.write_text("somebody else's")
        return {"rows": 1}

    first = action(InPlace(store, place), "a", writes("a"))
    graph = [first, replace(action(store, "b", second, ["a"]), replaced=("a",))]
    outcomes = Walk(graph, traces).execute({})
    assert runs == ["a", "a"] and outcomes["b"].good
    assert place.read_text() == store.path("b", outcomes["b"].artifact).read_text() == "a"


def test_an_action_whose_question_changes_is_asked_anew(cache):
    store, traces = cache
    name = ["old"]

    def run(upstream, out):
        if name[0] == "old":
            name[0] = "new"
            raise Again
        out.write_text(name[0])
        return {"rows": 1}

    moving = replace(action(store, "a", run), moving=lambda: {"input:name": name[0]})
    assert walk([moving], traces) == {"a": "computed"}
    assert traces.latest("a").manifest["input:name"] == "new" and walk([moving], traces) == {"a": "hit"}


def test_a_key_is_locked_by_one_at_a_time(tmp_path):
    mine, other = KeyLocks(tmp_path / "locks"), KeyLocks(tmp_path / "locks")
    a, b = map(digest.of_text, "ab")
    assert mine.acquire(a) and other.acquire(b) and not mine.acquire(b) and not other.acquire(a)
    mine.release(a)
    assert other.acquire(a)
    other.release_all()
    assert mine.acquire(a) and mine.acquire(b)


def test_the_locks_of_a_dead_process_are_free(tmp_path):
    key = digest.of_text("a")
    code = f"""if True:
        import os, signal
        from pathlib import Path
        from daedalus.stagecache.records.key_locks import KeyLocks
        assert KeyLocks(Path({str(tmp_path / "locks")!r})).acquire({key!r})
        os.kill(os.getpid(), signal.SIGKILL)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert KeyLocks(tmp_path / "locks").acquire(key)


def test_results_are_committed_sooner_where_another_process_has_part_of_the_work(cache, tmp_path, monkeypatch):
    store, traces = cache
    hurried = []
    monkeypatch.setattr(Commits, "hurry", lambda commits: hurried.append(commits))
    mine, other = KeyLocks(tmp_path / "locks"), KeyLocks(tmp_path / "locks")
    only = action(store, "a", writes("x"))
    assert walk([only], traces, locks=mine) == {"a": "computed"} and hurried == []
    changed = replace(only, ingredients={"config:v": "2"})
    key = look_up(changed, {}, traces).key
    assert other.acquire(key)
    threading.Timer(0.2, other.release_all).start()
    assert walk([changed], traces, locks=mine) == {"a": "unchanged"} and len(set(hurried)) == 1


@pytest.mark.parametrize(("hurry", "began"), [(False, [False, False, True]), (True, [False, True, True])])
def test_a_commit_waits_a_moment_for_others_and_less_in_a_hurry(monkeypatch, hurry, began):
    now, told = [0.0], []
    monkeypatch.setattr("daedalus.stagecache.walk.commits.time", SimpleNamespace(monotonic=lambda: now[0]))
    commits = Commits(lambda: told.append(now[0]))
    if hurry:
        commits.hurry()
    commits.after(lambda: None)
    found = []
    for now[0] in (0.05, 0.3, 0.6):
        commits.tend()
        found.append(bool(commits._future or told))
    commits.finish()
    assert found == began and len(told) == 1


def test_an_interrupt_while_results_are_told_loses_none_of_them():
    told = []

    def impatient() -> None:
        told.append("first")
        raise KeyboardInterrupt

    commits = Commits(lambda: told.append("commit"))
    for then in (impatient, lambda: told.append("second"), lambda: told.append("third")):
        commits.after(then)
    with pytest.raises(KeyboardInterrupt):
        commits.finish()
    commits.finish()
    assert told == ["commit", "first", "commit", "second", "third"]


def test_texts_of_code_take_less_room_and_those_of_earlier_versions_are_read(tmp_path):
    traces = Traces(tmp_path / "traces.db")
    text = "def é(x):\n    return x\n" * 200
    traces.remember_texts({"new": text, "empty": ""})
    traces.remember_fact("text:old", text)
    assert [traces.text(content) for content in ("new", "empty", "old", "unknown")] == [text, "", text, ""]
    ((stored,),) = traces.rows("select value from facts where key = 'text:new'")
    assert len(stored) < len(text) // 3
    traces.close()
