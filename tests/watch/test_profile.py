"""A profile adds up to the processor time of the run, names steps and causes, and is not even imported unasked."""

from __future__ import annotations

import ast
import gc
import json
import linecache
import subprocess
import sys
import threading
import time
import weakref

import pytest
from small import RANGE

from daedalus.watch import profile
from daedalus.watch.profile import PARTS, THREADS, Profile
from daedalus.watch.profile_causes import CAUSES, CauseOf, _opening
from daedalus.watch.profile_table import table

SCRIPT = """
import sys
from daedalus.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    print(*sys.modules)
"""


def imported(*arguments: str) -> set[str]:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_run_prints_its_profile_beside_its_result(cold):
    done = cold.process("skeleton", "--range", RANGE, "--progress", "none", "--json", "--profile")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    lines = done.stderr.splitlines()
    rows = {line.split("  ")[0]: line.split() for line in lines}
    assert {"spine", "rolling", "chunk", "(walk)", "all"} <= rows.keys()
    assert int(rows["chunk"][1]) == report["partitions"]["written"] == 14
    assert int(rows["all"][1]) == report["steps"]["computed"]
    assert {"arrays", "encode"} <= rows.keys() & CAUSES.keys()
    for cause in rows.keys() & CAUSES.keys():  # has its sentence
        assert next(line for line in lines if line.startswith(f"{cause} ")).endswith(f"  {CAUSES[cause]}")
    steps = [float(line.split()[3]) for line in lines if line.startswith(("rolling", "spine", "chunk", "attributes"))]
    assert steps == sorted(steps, reverse=True)
    assert max(map(len, lines)) <= 80


def test_a_refusal_stays_a_message(cold):
    done = cold.cli("skeleton", "--range", "2026-13", "--profile")
    assert done.returncode == 2 and "profile" not in done.stderr
    done = cold.cli("skeleton", "--range", RANGE, "--profile", "--executor", "dask")
    assert done.returncode == 2 and "--profile" in done.stderr


class Table:
    """What a step works on, in place of gigabytes of it."""


def test_what_a_sampled_step_lets_go_of_leaves_the_memory_at_once(monkeypatch):
    monkeypatch.setattr(profile, "PAUSE", 60.0)  # until the end nobody samples but this test
    found, begun, over = Profile(), threading.Event(), threading.Event()

    def step(keep: list[weakref.ref]) -> None:
        table = Table()
        keep.append(weakref.ref(table))
        begun.set()
        over.wait()

    kept: list[weakref.ref] = []
    thread = threading.Thread(target=step, args=(kept,))
    gc.disable()
    try:
        with found:
            thread.start()
            begun.wait()
            found._sample()
            assert kept[0]() is not None
            over.set()
            thread.join()
            assert kept[0]() is None
    finally:
        gc.enable()


def test_it_adds_up_to_the_processor_time_of_the_process():
    def turn(stop: threading.Event) -> None:
        while not stop.is_set():
            sum(range(1000))

    stop = threading.Event()
    began = time.process_time()
    with Profile() as found:
        thread = threading.Thread(target=turn, args=(stop,))
        thread.start()
        while time.process_time() - began < 0.3:
            sum(range(1000))
    stop.set()  # not before the last sample: it must find the thread, however late it comes
    thread.join()
    whole = sum(found.busy.values()) + found.own
    assert began + 0.3 < whole + 0.01 and whole <= time.process_time()
    assert {step for step, _ in found.busy} <= set(PARTS)
    assert sum(seconds for (step, _), seconds in found.busy.items() if step == THREADS) > 0
    assert any("processor seconds" in line for line in table(found))


def test_a_thread_that_ends_before_it_has_a_clock_ends_no_profile(monkeypatch):
    """It ended the sampling, with a traceback, where short threads came and went."""

    class Gone(profile._Clock):
        def __init__(self, tid: int, *, fresh: bool = False) -> None:
            if fresh:
                raise FileNotFoundError(tid)
            super().__init__(tid)

    with Profile() as found:
        monkeypatch.setattr(profile, "_Clock", Gone)
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        began = found.samples
        while found._sampler.is_alive() and found.samples < began + 3:
            time.sleep(0.01)
        stop.set()
        thread.join()
        assert found._sampler.is_alive()


def cause_at(module: str, call: str) -> str | None:
    """The cause of a frame of a module that is at a call, whatever it calls."""
    found: list[str | None] = []

    class Any:
        def __getattr__(self, _name: str):
            return lambda *_: found.append(CauseOf()(sys._getframe(1)))

    path, source = f"{module} {call}", f"def f():\n    {call}\n"
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    names: dict = {"__name__": module, call.partition(".")[0]: Any()}
    exec(compile(source, path, "exec"), names)
    names["f"]()
    return found[0]


@pytest.mark.parametrize(("module", "call", "cause"), [
    ("daedalus.base.durable", "os.fsync(3)", "sync"),
    ("daedalus.base.durable", "os.listdir(3)", "files"),
    ("daedalus.sql.duck", "db.execute('select (1')", "query"),
    ("daedalus.sql.duck", "db.execute('SET VARIABLE a = 1')", "prepare"),
    ("daedalus.sql.duck", "db.sql('select 1')", "prepare"),
    ("daedalus.workspace.x", "db.execute('select 1')", "records"),
    ("daedalus.base.digest", "xxhash.xxh3_128(b'')", "digest"),
    ("daedalus.parquet.list_writer", "codec.compress((1, 2))", "encode"),
    ("daedalus.workspace.x", "pa.table({})", "arrays"),
    ("threading", "waiter.acquire()", "waiting"),
    ("daedalus.workspace.x", "x.y()", None),
])  # fmt: skip
def test_a_call_in_flight_decides_and_else_the_module(module, call, cause):
    assert cause_at(module, call) == cause
    assert cause is None or cause in CAUSES


@pytest.mark.parametrize("text", ["f(x)", "a.b(c(d), (e))", "a(b).c(d)", "f(\n  x,\n)"])
def test_the_bracket_that_a_call_opens(text):
    call = ast.parse(text).body[0].value
    assert text[: _opening(text)] == ast.unparse(call.func)


def test_without_it_nothing_of_it_is_imported(warm):
    assert not any("profile" in name for name in imported("skeleton", "--range", RANGE, "--progress", "none"))
    assert "daedalus.watch.profile" in imported("skeleton", "--range", RANGE, "--progress", "none", "--profile")
