"""Explanations against what then runs: every kind of change, its root cause, and nothing forgotten."""

from __future__ import annotations

import difflib
import json
import os
import random
import shutil
import subprocess
import sys
from datetime import date, timedelta

import pyarrow as pa
import pytest
import yaml
from plan_and_run import plan_and_run
from reference import DAY, Reference
from small import DAYS, PROJECT, RANGE, Small, edit, rewrite

from daedalus.explain.causes import Causes
from daedalus.explain.change_notes import ChangeNotes
from daedalus.explain.day import planned, planned_step
from daedalus.explain.earlier import sources_of
from daedalus.explain.row import explain_row
from daedalus.report import heat_map
from daedalus.report.collect import collect
from daedalus.stagecache.action_name import day_of, days_of, kind_of
from daedalus.stagecache.walk.plan import MAYBE, RUN
from daedalus.upkeep.verify import cache_verify
from daedalus.workspace.fresh_days import NOTHING
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened


def code(file: str, old: str, new: str):
    return lambda world, edited: edited.edit(file, old, new)


def config(**values):
    return lambda world, edited: edit(world.runtime, **values)


def aggregations(change):
    return lambda world, edited: world.edit_aggregations(change)


def drop_first_row(world, edited):
    rewrite(world.feed_file(DAYS[5]), lambda table: table.slice(1))


def add_feed_file(world, edited):
    shutil.copy(world.feed_file(DAYS[5]), world.feed_file(DAYS[5], 2))


def remove_feed_file(world, edited):
    world.feed_file(DAYS[5], 0).unlink()


def view_version(world, edited):
    def newer(table: pa.Table) -> pa.Table:
        times = pa.array([1_900_000_000_000_000] * table.num_rows, pa.timestamp("us"))
        return table.set_column(table.column_names.index("updated_at"), "updated_at", times)

    rewrite(world.root / "data/catalog/artwork_aesthetic/part-0.parquet", newer)


def view_row_of_no_one(world, edited):
    path = world.root / "data/catalog/artwork_aesthetic/part-0.parquet"

    def stranger(table: pa.Table) -> pa.Table:
        at = table.column_names.index("artwork_id")
        return pa.concat_tables([table, table.slice(0, 1).set_column(at, "artwork_id", pa.array([999_999_999]))])

    rewrite(path, stranger)


def pool_grown(world, edited):
    import lancedb

    table = lancedb.connect(str(world.root / "data/embeddings")).open_table("artwork_embedding")
    table.add([{"artwork_id": 999_999_999, "vector": [0.0] * 32}])


def artifact(world, step: str):
    found = world.json("explain", "step", str(DAYS[5]), "rolling:like_artwork_ids")["script"]
    assert step in found
    return sorted(world.root.glob("cache/artifacts/*/*.parquet"), key=lambda path: path.stat().st_size)[-1]


def damaged(world, edited):
    path = artifact(world, "rows")
    path.write_bytes(path.read_bytes()[:-4])


def missing(world, edited):
    artifact(world, "rows").unlink()


def partition_altered(world, edited):
    path = world.output / f"dt={DAYS[5]}/part-0-0.parquet"
    path.write_bytes(path.read_bytes() + b"x")


def another_duckdb(world, edited):
    return edited.edit(
        "stagecache/fingerprint.py",
        "return name[len(start) : -len(end)]",
        'return name[len(start) : -len(end)] + "+other"',
    )


NEW = {"name": "clicks", "events": ["click"], "column": "artwork_id", "agg": "count", "windows": ["1d"]}
# kind of change -> (change, root cause as (kind, part of what), steps that compute something new)
KINDS = {
    "config leaf": (config(session_filter__drop_single_like=True), ("config", "session_filter.drop_single_like"), {"sessions", "content", "attributes", "rolling", "recent_published", "qids", "chunk"}),
    "order of a list that is a set": (aggregations(lambda s: [a["events"].reverse() for a in s]), None, set()),
    "aggregation added": (lambda w, t: (w.edit_aggregations(lambda s: s.append(NEW)), edit(w.runtime, output_columns=["user_id", "clicks_1d", "event"])), ("missing", "never computed"), {"rolling", "chunk"}),
    "aggregation edited": (aggregations(lambda s: s[0].update(max_items=2)), ("config", "aggregations.like_artwork_ids.max_items"), {"rolling", "chunk"}),
    "aggregation removed": (lambda w, t: (w.edit_aggregations(lambda s: s.pop(6)), edit(w.runtime, output_columns=["user_id", "event"])), ("config", "output_columns"), {"chunk"}),
    "helper function": (code("parquet/splice.py", "        start += rows", "        start = start + rows"), ("code", "ParquetSink"), set()),
    "global constant": (code("parquet/writer.py", "ROWS_PER_GROUP = 24_576", "ROWS_PER_GROUP = 17"), ("code", "write_parquet"), {"chunk", "spine"}),
    "how a config value is understood": (code("windows/spec.py", 'if not aggregation.exclude_self:', 'if aggregation.exclude_self:'), ("code", "rolling"), {"rolling", "chunk"}),
    "a setting of DuckDB": (code("config/duckdb_settings.py", '"pandas_analyze_sample": 1000', '"pandas_analyze_sample": 999'), ("code", "settings"), set()),
    "docstring": (code("parquet/splice.py", '"""Writes rows `begin` to `end`, exclusive."""', '"""More words."""'), None, set()),
    "a refactoring that renders the same SQL": (code("sql/text.py", 'return ", ".join(f"{prefix}{name(n)}" for n in names)', 'made = [prefix + name(n) for n in names]\n    return ", ".join(made)'), None, set()),
    "SQL text": (code("skeleton/joins_and_filters.py", "// {DAY_US}", "// {DAY_US} + 0"), ("code", "sql"), set()),
    "code that means something else": (code("skeleton/arrow/joins.py", "- born, 0)", "- born, 10**14)"), ("code", "write_attributes"), {"attributes", "chunk"}),
    "feed bytes": (drop_first_row, ("input", f"dt={DAYS[5]}/part-1.parquet"), {"spine"}),
    "feed file added": (add_feed_file, ("input", f"dt={DAYS[5]}/part-2.parquet"), set()),
    "feed file removed": (remove_feed_file, ("input", f"dt={DAYS[5]}/part-0.parquet"), {"spine"}),
    "view version": (view_version, ("input", "part-0.parquet"), {"view"}),
    "view row that no one uses": (view_row_of_no_one, ("input", "part-0.parquet"), {"view"}),
    "pool grown": (pool_grown, ("input", "newest Lance manifest"), {"pool"}),
    "DuckDB version": (another_duckdb, ("engine", "duckdb"), set()),
    "artifact damaged": (damaged, ("missing", "damaged output"), set()),
    "artifact missing": (missing, ("missing", "missing output"), set()),
    "partition altered": (partition_altered, ("missing", "altered output"), set()),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_root_cause_and_the_plan_are_what_runs(warm, edited, kind):
    change, cause, computed = KINDS[kind]
    package = change(warm, edited)
    package = package if hasattr(package, "joinpath") else PROJECT
    said = told(warm, package)
    planned, found = said["plan"], said["causes"]
    roots = {(row["kind"], row["what"]) for row in found}
    if cause is None:
        assert roots == set() and planned == []
    elif kind not in ("artifact damaged", "artifact missing"):  # that artifact may be another day's
        assert any(kind_ == cause[0] and cause[1] in what for kind_, what in roots), roots
    if cause and cause[0] not in ("code", "engine", "missing"):
        assert "code" not in {kind_ for kind_, _ in roots}, roots
    states = {(row["day"], row["step"]): row["state"] for row in planned}
    ran = {(day, step): state for day, step, state in said["ran"]}
    for key in ran:
        assert states.get(key) in (RUN, MAYBE), f"{key} ran, but the plan did not have it"
    sure = {key for key, state in states.items() if state == RUN}
    assert sure <= set(ran)
    new = {step.partition(":")[0] for (_, step), state in ran.items() if state == "computed"}
    assert computed <= new if computed else not new or new <= {"spine", "qids"}, new
    if cause is None:
        assert ran == {}


def told(world: Small, package) -> dict:
    """What a plan, an explanation and a run say; other code than ours tells it from a process of its own."""
    if package == PROJECT:
        return plan_and_run(RANGE, str(DAYS[5]))
    done = subprocess.run(
        [sys.executable, PROJECT / "tests/support/plan_and_run.py", RANGE, str(DAYS[5])],
        cwd=world.root, env={**os.environ, "PYTHONPATH": str(package)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_code_change_is_shown_by_its_lines(warm, edited):
    package = edited.edit("skeleton/joins_and_filters.py", "greatest(0, ", "greatest(1, ")
    found = warm.json("explain", "day", str(DAYS[5]), package=package)["causes"]
    diff = next(row["diff"] for row in found if row["kind"] == "code")
    assert any(line.startswith("-") and "greatest(0" in line for line in diff)
    assert any(line.startswith("+") and "greatest(1" in line for line in diff)


def test_an_edit_of_code_is_compared_once_however_many_actions_it_concerns(warm, monkeypatch):
    """To compare two texts of code takes milliseconds, and after an upgrade every action of every day is told of one."""
    monkeypatch.setattr("daedalus.workspace.graph.code_digest", lambda traces, function: function.__qualname__)
    monkeypatch.setattr(heat_map, "fresh_in_all", lambda workspace, *_: dict.fromkeys(workspace.outputs, NOTHING))
    monkeypatch.setattr(Causes, "_text", lambda self, content: content or "")
    compared, compare = [], difflib.unified_diff
    monkeypatch.setattr(difflib, "unified_diff", lambda *texts, **how: compared.append(1) or compare(*texts, **how))
    report = collect(Settings())
    told = [(cause["old"], cause["new"]) for why in report["whys"] for cause in why if cause["kind"] == "code"]
    assert 0 < len(compared) == len({*told}) < report["totals"]["step_days"]["run"]


def test_an_input_file_is_shown_with_rows_and_size(warm):
    drop_first_row(warm, None)
    shown = warm.screen("explain", "day", str(DAYS[5]))
    assert f"input dt={DAYS[5]}/part-1.parquet" in shown
    assert "rows," in shown and "bytes" in shown and max(map(len, shown.splitlines())) <= 80


def test_the_script_of_a_step_gives_its_rows(warm):
    import duckdb

    for step, output in (("rolling:like_artwork_ids", 4), ("sessions", 10), ("content", 1), ("attributes", 12)):
        script = warm.json("explain", "step", str(DAYS[5]), step)["script"]
        database = duckdb.connect()
        rows = database.execute(script).fetchall()
        assert rows and len(rows[0]) >= output
    assert "class Spliced" in warm.json("explain", "step", str(DAYS[5]), "chunk")["script"]
    refused = warm.cli("explain", "step", str(DAYS[5]), "rolling:like")
    assert refused.returncode == 2 and "one of rolling:like_artwork_author_ids, " in refused.stderr
    assert "class Spliced" in warm.json("explain", "step", str(DAYS[5]), "chu")["script"]  # no other begins so


def test_any_step_of_the_range_is_explained(warm):
    """Also a day's history, which only later days read."""
    with opened(Settings()) as workspace:
        verdicts = planned(workspace, DAYS[-1])[1]
        names = [name for name in verdicts if "@" in name and "+" not in name]
        for name in names:
            step, day = name.rsplit("@", 1)
            assert planned_step(workspace, date.fromisoformat(day.rpartition("..")[2]), step)[2].action.name == name
        block = next(name for name in names if ".." in name)
        first, days = days_of(day_of(block))
        for at in (first, first + timedelta(days=days // 2)):
            assert planned_step(workspace, at, kind_of(block))[2].action.name == block
    assert any(name.startswith("history:") for name in names)


def test_explain_row_agrees_with_the_reference_on_200_lists(warm):
    """Row by row, what is counted is the list that the reference makes."""
    reference = Reference("config", DAYS)
    chance, compared = random.Random(3), 0
    specs = [(agg, name) for agg in reference.aggs for name in names_of(agg)]
    while compared < 200:
        day = chance.choice(DAYS)
        rows = reference.day(day)
        row = chance.choice(rows)
        found = explain_row(Settings(), str(day), row["user_id"], row["artwork_id"])
        shown = next(
            r
            for r in found["rows"]
            if micros(r["event_timestamp"]) == row["event_timestamp"] and r["event"] == row["event"]
        )
        for agg, name in specs:
            counted = shown["columns"][name]["counted"]
            if agg["agg"] == "count":
                assert len(counted) == row[name], (day, name)
            else:
                assert [event["value"] for event in counted] == row[name], (day, name)
            compared += 1


def names_of(agg: dict) -> list[str]:
    return [agg["name"]] if agg["windows"] == "cumulative" else [f"{agg['name']}_{w}" for w in agg["windows"]]


def micros(text: str) -> int:
    import datetime as dt

    delta = dt.datetime.fromisoformat(text) - dt.datetime(1970, 1, 1)
    return delta.days * DAY + delta.seconds * 1_000_000 + delta.microseconds


def test_explain_row_says_why_events_are_left_out(warm):
    found = set()
    reference = Reference("config", DAYS)
    for row in reference.day(DAYS[9])[:12]:
        shown = explain_row(Settings(), str(DAYS[9]), row["user_id"], row["artwork_id"])
        for listed in shown["rows"][0]["columns"].values():
            found |= {event["why"] for event in listed["left_out"]}
    assert {
        "not before the row",
        "before the window",
        "a later event has the same value",
        "no embedding (coverage filter)",
    } <= found


def test_sixty_damaged_artifacts_are_all_named_and_none_is_used(warm):
    expected = warm.bytes()
    chance = random.Random(5)
    artifacts = sorted(warm.root.glob("cache/artifacts/*/*.parquet"))
    victims = chance.sample(artifacts, 60)
    others = [path for path in artifacts if path not in victims]
    for i, path in enumerate(victims):
        content = bytearray(path.read_bytes())
        if i % 4 == 0:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif i % 4 == 1:
            content = content[: len(content) // 2]
        elif i % 4 == 2:
            content = bytearray()
        else:
            content = bytearray(chance.choice(others).read_bytes())
        path.write_bytes(content)
    found = warm.json("cache", "verify")
    assert {path.rpartition("/")[2] for path in found["corrupt"]} == {path.name for path in victims}
    report = warm.run()
    assert report.steps["computed"] == 0 and report.steps["unchanged"] >= 60
    assert warm.bytes() == expected
    assert warm.json("cache", "verify")["corrupt"] == []


def test_rows_chosen_and_numbered_otherwise_are_no_columns_that_changed(warm):
    """They were compared as columns of the rows that ship now, of which an older choice has more or fewer."""
    with opened(Settings()) as workspace:
        one, other = (sources_of(workspace.traces.latest(f"chunk@{day}")) for day in DAYS[9:11])
        older = {**one, "content": other["content"], "qids": other["qids"]}
        assert ChangeNotes(workspace, "run")._shares(older, one) == {}


def test_recompute_names_the_column_of_a_step_that_is_not_deterministic(warm, monkeypatch):
    from daedalus.skeleton.arrow import joins

    assert cache_verify(Settings(), 30)["differing"] == []
    original, chance = joins._joined, random.Random(3)

    def noisy(*arguments):
        made = original(*arguments)
        if made is None or "user_age" not in made.column_names:
            return made
        ages = pa.array([chance.randrange(1000) for _ in range(made.num_rows)], pa.int32())
        return made.set_column(made.column_names.index("user_age"), "user_age", ages)

    monkeypatch.setattr(joins, "_joined", noisy)
    found = cache_verify(Settings(), 1000)
    assert {(row["step"].partition("@")[0], row["column"], row["how"]) for row in found["differing"]} == {
        ("attributes", "user_age", "value")
    }


def test_early_cutoff_and_prediction_are_told(warm):
    rewrite(warm.feed_file(DAYS[5]), lambda table: table.append_column("debug", pa.array([1] * table.num_rows)))
    done = warm.cli("skeleton", "--range", RANGE, "--progress", "none")
    assert "same bytes" in done.stdout and "saved " in done.stdout
    assert "predicted" in done.stdout


def test_diff_says_what_a_run_changed(warm):
    first = run_id(warm)
    edit(
        warm.runtime, recent_published__max_items=1, content_filter__drop={"model_type": ["SD_V1_MODEL", "FLUX_MODEL"]}
    )
    shown = warm.cli("skeleton", "--range", RANGE, "--progress", "none").stdout
    assert shown.count("changed     2026-02-") == 8 and "and 6 more days: daeda diff DAY" in shown
    found = warm.json("diff", str(DAYS[5]))
    assert found["removed"] > 0 and found["added"] == 0
    assert set(found["columns"]) <= {"user_recent_published_artworks", "qid"}
    again = warm.json("diff", str(DAYS[5]), "--against", first)
    assert {key: again[key] for key in ("before", "after", "columns")} == {
        key: found[key] for key in ("before", "after", "columns")
    }
    assert warm.cli("diff", str(DAYS[5]), "--against", "no-such-run").returncode == 2
    assert max(map(len, warm.screen("diff", str(DAYS[5])).splitlines())) <= 80


def run_id(world) -> str:
    from daedalus.stagecache.records.traces import Traces

    traces = Traces(world.root / "cache/traces.db")
    try:
        return traces.runs()[0]
    finally:
        traces.close()


def test_diff_shows_old_and_new_of_changed_rows(warm):
    warm.edit_aggregations(lambda specs: specs[5].update(max_items=1))
    warm.run()
    column = warm.json("diff", str(DAYS[9]))["columns"]["view_artwork_ids_7d"]
    assert column["share"] > 0.3 and len(column["examples"][0]["new"]) == 1 < len(column["examples"][0]["old"])


def roots(world) -> dict[str, tuple]:
    found = world.json("explain", "day", str(DAYS[9]))["causes"]
    return {f"{row['kind']} {row['what']}": (row["old"], row["new"]) for row in found}


def test_a_feed_day_that_went_is_named(warm):
    shutil.rmtree(warm.root / f"data/feed/dt={DAYS[7]}")
    old, new = roots(warm)[f"input feed {DAYS[7]}"]
    assert "rows in 2 files" in old and new is None
    assert not any(name.startswith("upstream") for name in roots(warm))
    shown = warm.cli("skeleton", "--range", RANGE, "--plan").stdout
    assert f"input feed {DAYS[7]}: gone" in shown
    assert f"x input feed {DAYS[7]}: gone" in warm.cli("skeleton", "--range", RANGE).stdout


def test_an_edit_that_is_taken_back_is_named_and_not_called_altered_output(warm):
    edit(warm.runtime, session_filter__drop_single_like=True)
    warm.run()
    edit(warm.runtime, session_filter__drop_single_like=False)
    assert roots(warm) == {"config session_filter.drop_single_like": ("true", "false")}
    shown = warm.cli("skeleton", "--range", RANGE, "--plan").stdout
    assert "session_filter.drop_single_like" in shown and ", all cached" in shown and "altered" not in shown
    ran = warm.cli("skeleton", "--range", RANGE).stdout
    assert "14 x config session_filter.drop_single_like, in the cache" in ran and "altered" not in ran


def test_other_events_of_an_aggregation_are_named(warm):
    warm.edit_aggregations(lambda specs: specs[6].update(events=["click", "like"]))
    key = "config aggregations.click_artwork_ids.events"
    assert roots(warm)[key] == ('["click"]', '["click","like"]')
    ran = warm.cli("skeleton", "--range", RANGE).stdout
    assert f"x {key}" in ran and "code reads" not in ran


def test_another_look_back_is_named_with_its_days(warm):
    edit(warm.runtime, spine__lookback_days=9)
    found = roots(warm)
    assert found["config spine.lookback_days"] == ("7", "9")
    assert not any(name.startswith("upstream") for name in found)
    assert "x config spine.lookback_days" in warm.cli("skeleton", "--range", RANGE).stdout


def test_what_only_another_setting_asks_for_is_no_cause(warm):
    edit(warm.runtime, session_filter__drop_view_only=False)
    assert roots(warm) == {"config session_filter.drop_view_only": ("true", "false")}
    warm.run()
    edit(warm.runtime, session_filter__drop_view_only=True, embedding_coverage_filter__enabled=False)
    assert set(roots(warm)) == {"config session_filter.drop_view_only", "config embedding_coverage_filter"}


def test_the_plan_names_an_edit_of_a_step_that_only_may_run(warm):
    warm.edit_aggregations(lambda specs: specs[0].update(windows=["1d", "3d", "5d", "7d"]))
    columns = yaml.safe_load(warm.runtime.read_text())["output_columns"]
    edit(warm.runtime, output_columns=[*columns, "like_artwork_ids_5d"])
    shown = warm.cli("skeleton", "--range", RANGE, "--plan").stdout
    assert "config output_columns (chunk@" in shown and "    + like_artwork_ids_5d" in shown
    assert "- [1d, 3d, 7d]\n    + [1d, 3d, 5d, 7d]" in shown


def test_a_row_has_one_line_an_event_with_its_windows_and_why_it_is_not_in_others(tmp_path):
    from tiny import at, feed, project

    days = {day: feed(*((1, art, f"{day} {art}:00", "like") for art in (10, 11, 12)), (1, 11, f"{day} 11:00", "like"))
            for day in ("2026-02-01", "2026-02-02", "2026-02-03")}  # fmt: skip
    stamps = pa.array([at("2026-01-01")] * 3, pa.timestamp("us"))
    view = pa.table({"artwork_id": [10, 11, 12], "updated_at": stamps, "tacks": [[1, 2], [2, 3], None]})
    like = {"events": ["like"], "windows": ["2h", "3d"]}
    specs = [{"name": "arts", "column": "artwork_id", "agg": "list", **like},
             {"name": "tacks", "column": "tacks", "agg": "flatten_distinct", **like}]  # fmt: skip
    root = project(tmp_path, days, view, specs, ["arts_3d", "tacks_3d"], enrich=["art:tacks"])
    command = [sys.executable, "-m", "daedalus"]
    where = {"cwd": root, "env": {**os.environ, "PYTHONPATH": str(PROJECT)}, "capture_output": True, "text": True}
    assert subprocess.run([*command, "skeleton"], **where).returncode == 0
    asked = [*command, "explain", "row", "2026-02-02", "--user", "1", "--artwork", "12"]
    assert subprocess.run(asked, **where).stdout.splitlines() == [
        "user 1, artwork 12, like at 2026-02-02T12:00:00",
        "  arts: 2h 2, 3d 5 counted, 3 events left out",
        "    + 2h 3d 2026-02-02T11:00:00 like 11 dt=2026-02-02/p.parquet",
        "    + 2h 3d 2026-02-02T10:00:00 like 10 dt=2026-02-02/p.parquet",
        "    + 3d, not 2h (before the window) 2026-02-01T12:00:00 like 12 dt=2026-02-01/p.parquet",
        "    + 3d, not 2h (before the window) 2026-02-01T11:00:00 like 11 dt=2026-02-01/p.parquet",
        "    + 3d, not 2h (before the window) 2026-02-01T10:00:00 like 10 dt=2026-02-01/p.parquet",
        "    - not before the row: 2026-02-02T12:00:00 like 12 dt=2026-02-02/p.parquet",
        "    - an exact duplicate: 2026-02-02T11:00:00 like 11 dt=2026-02-02/p.parquet",
        "    - an exact duplicate: 2026-02-01T11:00:00 like 11 dt=2026-02-01/p.parquet",
        "  tacks: 2h 3, 3d 3 counted, 6 events left out",
        "    + 2h 3d 2026-02-02T11:00:00 like 11 dt=2026-02-02/p.parquet -> 2, 3",
        "    + 2h 3d 2026-02-02T10:00:00 like 10 dt=2026-02-02/p.parquet -> 1, not 2 (a later event has the same value)",
        "    - not before the row: 2026-02-02T12:00:00 like 12 dt=2026-02-02/p.parquet",
        "    - an exact duplicate: 2026-02-02T11:00:00 like 11 dt=2026-02-02/p.parquet",
        "    - 2h (before the window), 3d (no value): 2026-02-01T12:00:00 like 12 dt=2026-02-01/p.parquet",
        "    - 2h (before the window), 3d (a later event has the same value): 2026-02-01T11:00:00 like 11 dt=2026-02-01/p.parquet",
        "    - an exact duplicate: 2026-02-01T11:00:00 like 11 dt=2026-02-01/p.parquet",
        "    - 2h (before the window), 3d (a later event has the same value): 2026-02-01T10:00:00 like 10 dt=2026-02-01/p.parquet",
    ]  # fmt: skip
