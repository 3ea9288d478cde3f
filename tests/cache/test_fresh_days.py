"""Days that stand: nothing is built for them, and they stand only while a look by key would find hits alone."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from small import DAYS, edit, nothing_ran

import daedalus
from daedalus.explain import day as explain
from daedalus.explain.day import explain_day
from daedalus.pipelines import look
from daedalus.report import heat_map
from daedalus.report.collect import collect
from daedalus.upkeep import status as cache
from daedalus.upkeep.status import cache_status
from daedalus.workspace import fresh_days, graph, record_days
from daedalus.workspace.code_stamp import ENGINES
from daedalus.workspace.fresh_days import NOTHING
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

PACKAGE = Path(daedalus.__file__).parent
ROUNDS = int(os.environ.get("DAEDA_ROUNDS", "15"))


def refuse(*arguments, **options):
    raise AssertionError("a graph was built")


def look_up_all(monkeypatch) -> None:
    """From here on no day stands: everything is looked up by key."""
    for module in (look, cache, explain):
        monkeypatch.setattr(module, "fresh_in_all", lambda workspace, *_: dict.fromkeys(workspace.outputs, NOTHING))


def comparable(report) -> tuple:
    return report.days, report.steps, report.partitions, report.rows, report.empty_days


def test_no_graph_is_built_for_days_that_stand(warm, monkeypatch):
    warm.run()
    monkeypatch.setattr("daedalus.workspace.graph.build_graph", refuse)
    assert nothing_ran(warm.run())
    assert nothing_ran(warm.run(plan=True))
    assert {day["state"] for day in cache_status(Settings())["days"]} <= {"fresh", "empty"}
    assert explain_day(Settings(), str(DAYS[5]))["causes"] == []


def test_one_day_tells_what_is_to_do_in_a_stage_that_never_ran(warm, monkeypatch):
    """As a plan of all days does; once a day of the stage was computed, all are planned."""
    columns = {"image_embedding": {"of": "artwork_id"}}
    edit(warm.runtime, embeddings={"columns": columns, "output_root": "data/enriched"})
    warm.run()
    planned, build = [], graph.build_graph

    def told() -> tuple[dict, dict]:
        report = collect(Settings())
        return cache_status(Settings()), {key: value for key, value in report.items() if key not in ("made", "reading")}

    def building(workspace, days, **options):
        planned.append(len(days))
        return build(workspace, days, **options)

    told()  # what is read of partitions is kept
    monkeypatch.setattr(graph, "build_graph", building)
    by_one_day = told()
    assert planned == [1, 1] and {day["state"] for day in by_one_day[0]["days"]} == {"missing", "empty"}
    with monkeypatch.context() as patch:
        for module in (cache, heat_map):
            patch.setattr(module, "skeleton_alone", lambda *_: None)
        assert told() == by_one_day and min(planned[2:]) > 1
    warm.json("enrich", "--range", str(DAYS[5]))
    planned.clear()
    states = {day["day"]: day["state"] for day in cache_status(Settings())["days"]}
    assert states.pop(str(DAYS[5])) == "fresh" and "fresh" not in states.values() and min(planned) > 1


def test_what_is_told_is_what_a_walk_tells(warm, monkeypatch):
    warm.run()
    standing = comparable(warm.run()), cache_status(Settings()), explain_day(Settings(), str(DAYS[5]))
    look_up_all(monkeypatch)
    walked = comparable(warm.run()), cache_status(Settings()), explain_day(Settings(), str(DAYS[5]))
    assert standing[0] == walked[0]
    assert {**standing[1], "steps": sorted(standing[1]["steps"])} == {**walked[1], "steps": sorted(walked[1]["steps"])}
    for step, row in standing[1]["steps"].items():
        assert (row["hit"], row["bytes"]) == (walked[1]["steps"][step]["hit"], walked[1]["steps"][step]["bytes"]), step
    by_name = [{row["step"]: row for row in found["steps"]} for found in (standing[2], walked[2])]
    assert by_name[0] == by_name[1]
    assert standing[2]["funnel"] == walked[2]["funnel"]


def test_part_of_what_stands_tells_of_what_it_reads_alone(warm, monkeypatch):
    """Not of all that is known to stand; and a walk of few days does not shorten what is known of the others."""
    warm.run()
    whole = comparable(warm.run())
    part = f"{DAYS[9]}..{DAYS[11]}"
    standing = comparable(warm.run(part))
    warm.run(part, force=True)
    after = comparable(warm.run(part)), comparable(warm.run())
    look_up_all(monkeypatch)
    walked = comparable(warm.run(part)), comparable(warm.run())
    assert (standing, whole) == walked
    assert after == walked


def test_a_day_that_was_only_read_since_the_config_changed_does_not_stand(warm):
    """Its old question holds no more, and it is counted when it is a day of the range again."""
    warm.run()
    runtime = warm.runtime.read_text()
    edit(warm.runtime, session_filter__drop_single_like=True)
    warm.run(str(DAYS[9]))
    warm.runtime.write_text(runtime)
    whole = warm.run()
    assert whole.days["done"] == len(DAYS) and comparable(warm.run())[0] == comparable(whole)[0]


def change(world, chance: random.Random) -> str:
    """Does something to the world; returns what."""
    kinds = {
        "nothing": lambda: None,
        "touch": lambda: os.utime(chance.choice(files("data/feed"))),
        "feed row": lambda: cut(chance.choice(files("data/feed"))),
        "feed partition gone": lambda: shutil.rmtree(chance.choice(files("data/feed")).parent),
        "view row": lambda: cut(chance.choice(files("data/catalog"))),
        "artifact gone": lambda: chance.choice(files("cache/artifacts")).unlink(),
        "artifact damaged": lambda: chance.choice(files("cache/artifacts")).write_bytes(b"x"),
        "part gone": lambda: part().unlink(),
        "part damaged": lambda: part().write_bytes(b"x"),
        "part added": lambda: shutil.copy(part(), part().with_name("part-7-0.parquet")),
        "partition gone": lambda: shutil.rmtree(part().parent),
        "map gone": lambda: (world.output / "qid_map.parquet").rename(world.root / "map"),
        "config": lambda: edit(world.runtime, session_filter__drop_single_like=chance.random() < 0.5),
        "max_items": lambda: world.edit_aggregations(lambda s: s[0].update(max_items=chance.randint(1, 3))),
        "lateness": lambda: edit(world.runtime, spine__lateness_days=chance.randint(0, 1)),
    }

    def files(below: str) -> list:
        return sorted(
            path for path in world.root.rglob("*.parquet") if str(path.relative_to(world.root)).startswith(below)
        )

    def part():
        return chance.choice(files("data/training_output/dt="))

    def cut(path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.slice(0, max(table.num_rows - 1, 1)), path)

    kind = chance.choice(sorted(kinds))
    kinds[kind]()
    return kind


def test_a_day_stands_only_if_a_walk_would_run_nothing_for_it(warm, monkeypatch):
    """Random changes and ranges, by two codes in turn: after each run, a plan that looks up all has nothing to run."""
    chance = random.Random(int(os.environ.get("DAEDA_SEED", "11")))
    done: list[str] = []
    for module in (fresh_days, record_days):
        monkeypatch.setattr(module, "code_stamp", lambda traces: code)
    for _ in range(ROUNDS):
        first = chance.randrange(len(DAYS))
        last = chance.randrange(first, len(DAYS))
        span = None if chance.random() < 0.5 else f"{DAYS[first]}..{DAYS[last]}"
        code = chance.choice("AB")
        done.append(f"{change(warm, chance)} {span} {code}")
        lost = warm.root / "map"
        if lost.exists():
            shutil.move(lost, warm.output / "qid_map.parquet")  # another file, the same bytes
        report = warm.run(range=span)
        assert report.exit_code == 0, (done, report.failures)
        with monkeypatch.context() as patched:
            look_up_all(patched)
            plan = warm.run(range=span, plan=True)
        assert plan.plan == [], (done, plan.plan[:3])
        again = warm.run(range=span)
        assert nothing_ran(again), done
        assert (again.days, again.rows["written"]) == (report.days, report.rows["written"]), done


def another_checkout(folder: Path) -> Path:
    package = folder / "daedalus"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def make_other_code(package: Path) -> None:
    with (package / "base/days.py").open("a") as code:
        code.write("# another\n")


def elsewhere(package, world, *, may_walk: bool = False, span: str | None = None) -> bool:
    """Whether a run by another process, of the package or a copy of it, finds that nothing is to be looked up.

    One that finds something ends there, with nothing recorded, unless it `may_walk`.
    """
    script = (
        "import sys, daedalus, daedalus.workspace.graph as graph\n"
        "walked, build = [], graph.build_graph\n"
        "def noted(*arguments, **options):\n"
        "    walked.append(1)\n"
        f"    return build(*arguments, **options) if {may_walk} else sys.exit(3)\n"
        "graph.build_graph = noted\n"
        f"daedalus.run_skeleton_stage(range={span!r})\n"
        "sys.exit(3 if walked else 0)"
    )
    env = {**os.environ, "PYTHONPATH": str(package.parent)}
    code = subprocess.run([sys.executable, "-c", script], cwd=world.root, env=env, check=False).returncode
    assert code in (0, 3)
    return code == 0


def test_another_checkout_of_the_same_code_finds_the_same_days_fresh(warm, tmp_path):
    """And one of other code does not; neither disturbs what the first finds."""
    package = another_checkout(tmp_path)
    warm.run()
    assert elsewhere(package, warm)
    make_other_code(package)
    assert not elsewhere(package, warm)
    assert elsewhere(PACKAGE, warm)


def test_checkouts_of_other_code_find_fresh_days_in_turn(warm, tmp_path):
    """Each has walked once; where one makes days that the other has not, those of before stay fresh for both."""
    package, most = another_checkout(tmp_path), f"{DAYS[0]}..{DAYS[-2]}"
    make_other_code(package)
    warm.run(range=most)
    assert not elsewhere(package, warm, span=most, may_walk=True)
    for checkout in (PACKAGE, package, PACKAGE):
        assert elsewhere(checkout, warm, span=most)
    assert not elsewhere(package, warm, may_walk=True)
    assert elsewhere(package, warm)
    assert elsewhere(PACKAGE, warm, span=most)
    assert not elsewhere(PACKAGE, warm)


def test_code_that_leaves_another_file_takes_the_stamps_of_other_code(warm, tmp_path):
    """So does one that finds that somebody touched a file: what the first left is looked up again."""
    package = another_checkout(tmp_path)
    make_other_code(package)
    warm.run()
    assert not elsewhere(package, warm, may_walk=True)
    partition = next(warm.output.rglob("part-*.parquet"))
    shutil.copy(partition, warm.root / "copy")
    os.replace(warm.root / "copy", partition)
    assert not elsewhere(package, warm, may_walk=True)
    assert elsewhere(package, warm)
    assert not elsewhere(PACKAGE, warm)


def test_stamps_of_few_codes_are_kept(warm):
    """Each edit of the package is other code: that which took stamps down longest ago is dropped."""
    warm.run()
    with opened(Settings()) as workspace:
        stamps = workspace.day_stamps
        (own,) = workspace.traces.rows("select distinct code from day_stamps")
        for number in range(6):
            stamps.record(f"code {number}", [], {"2026-05-15": ("asks", {"tiles": {}})}, [], forget=[])
        kept = {code for (code,) in workspace.traces.rows("select distinct code from day_stamps")}
        assert kept == {f"code {number}" for number in range(1, 6)}
        assert stamps.asked(own[0]) == {}
        assert stamps.files() != []


def test_the_code_stamp_has_every_engine_that_a_key_names():
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert set(re.findall(r"""\bversion\(["'](\w+)["']\)""", code)) == set(ENGINES)
