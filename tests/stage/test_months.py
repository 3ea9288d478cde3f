"""Windows of months: exact, read in few files, made once, and run again by what lies within their reach alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from reference import Reference, differences, read_output
from small import nothing_ran
from tiny import KEYS, at, feed, project

from daedalus.audit.audit import audit
from daedalus.config.aggregation_kinds import KINDS
from daedalus.explain.day import explain_day
from daedalus.explain.row import explain_row
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.graph import build_graph
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

LAST = dt.date(2026, 6, 10)  # the last target day
FEED = [LAST - dt.timedelta(days=i) for i in range(130, -1, -1) if i % 17 != 9]  # dense, with days that have no rows
TARGETS = [LAST - dt.timedelta(days=i) for i in range(2, -1, -1)]
ARTWORKS = [10, 11, 12, 13]
EVENTS = ["like", "view", "click"]
FLAT = {"flatten_distinct": "tags", "sum": "score", "mean": "score", "std": "score"}  # columns of kinds that ask for it


def aggregations(windows: object) -> list[dict]:
    found = []
    for place, agg in enumerate(KINDS):
        one = {
            "name": agg,
            "column": FLAT.get(agg, "style"),
            "agg": agg,
            "windows": windows,
            "events": ["like", "click"],
        }
        found.append(one | {"exclude_self": place % 2 == 0})
    views = {"events": ["view"], "column": "artwork_id", "windows": windows}
    found += [{**views, "name": "seen", "agg": "distinct", "max_items": 3}, {**views, "name": "views", "agg": "count"}]
    ink = {**views, "name": "ink", "agg": "list", "column": "event", "where": {"style": ["ink"]}}
    return [*found, {**ink, "exclude_self": True}]


def columns_of(specs: list[dict]) -> list[str]:
    spans = [(one["name"], [] if one["windows"] == "cumulative" else one["windows"]) for one in specs]
    return [column for name, windows in spans for column in [f"{name}_{w}" for w in windows] or [name]]


def rows_of(day: dt.date) -> pa.Table:
    number, rows = day.toordinal(), []
    for i in range(5):
        time = f"{day}T{(number * 5 + i * 7) % 24:02}:00"
        rows.append((1 + i % 2, ARTWORKS[(number * 7 + i * 3) % 4], time, EVENTS[(number + i) % 3]))
    return feed(*rows)


def view() -> pa.Table:
    """Two versions of each artwork; the newer is of the middle of the feed."""
    stamps = [at("2026-01-01")] * 4 + [at("2026-04-15T12:00")] * 4
    columns = {"artwork_id": pa.array(ARTWORKS * 2, pa.int64()), "updated_at": pa.array(stamps, pa.timestamp("us")),
               "style": pa.array(["ink", "oil", None, "ink", "oil", "oil", "ink", "ink"]),
               "tags": pa.array([[1], [2, 3], None, [], [4, 1], [2], [5, None], [1]], pa.list_(pa.int64())),
               "score": pa.array([0.5, 1.0, None, -0.0, 2.5, 1e16, 3.0, 0.0], pa.float64())}  # fmt: skip
    return pa.table(columns)


def written(root: Path, specs: list[dict], days: list[dt.date] = FEED, **more: object) -> Path:
    tables = {str(day): rows_of(day) for day in days}
    enrich = ["art:style", "art:tags", "art:score"]
    known = {"feed_start": str(TARGETS[0]), "feed_end": str(LAST), "spine": {"lookback_days": 3}, "enrich": enrich}
    return project(root, tables, view(), specs, columns_of(specs), **{**known, **more})


def run(first: dt.date = TARGETS[0], last: dt.date = LAST, **more):
    report = run_skeleton_stage(Settings(), f"{first}..{last}", **more)
    assert not report.failures, report.failures
    return report


def ran(report) -> list[str]:
    """The actions that a plan would run for certain."""
    return [f"{row['step']}@{row['day']}" for row in report.plan]


def edit_catalog(**values: object) -> None:
    path = Path("config/catalog.yaml")
    known = yaml.safe_load(path.read_text())
    known["views"]["art"] |= values
    path.write_text(yaml.safe_dump(known))


@pytest.mark.parametrize("windows", [["1d", "30d", "90d"], "cumulative"])
@pytest.mark.parametrize("as_of", ["latest", "day"])
def test_every_kind_equals_the_reference(tmp_path, monkeypatch, windows, as_of, pools):
    specs = aggregations(windows)
    coverage = {"uri": str(pools), "table": "pool_1_2_3", "id_column": "artwork_id", "events": ["view"]}
    monkeypatch.chdir(written(tmp_path, specs, embedding_coverage_filter=coverage))
    edit_catalog(as_of=as_of)
    run()
    expected = Reference("config", TARGETS).run()
    assert any(any(row[name] for row in expected[LAST]) for name in columns_of(specs))
    assert differences(expected, read_output("data/training_output")) == []
    found = audit(Settings(), range=None, rows=20, seed=1)
    assert found["values"] and not found["by_column"] and not found["missing"] and not found["extra"]
    assert nothing_ran(run())


def history_of(last: dt.date, aggregation: str) -> tuple[int, int]:
    """(pieces of history, all files of events) that an aggregation of a day reads."""
    with opened(Settings()) as workspace:
        actions = {action.name: action for action in build_graph(workspace, [last], reconcile=False).actions}
    above = [name for name in actions[f"rolling:{aggregation}@{last}"].upstream if not name.startswith("sessions")]
    return sum(name.startswith("history") for name in above), len(above)


def test_a_quarter_is_read_in_few_files_and_a_new_day_makes_few(tmp_path, monkeypatch):
    like = {"events": ["like"], "agg": "count"}
    specs = [{**like, "name": "week", "column": "artwork_id", "windows": ["3d"]},
             {**like, "name": "long", "column": "artwork_id", "windows": ["90d"]},
             {**like, "name": "styles", "column": "style", "windows": ["90d"]}]  # fmt: skip
    monkeypatch.chdir(written(tmp_path, specs))
    run(LAST - dt.timedelta(days=8), LAST - dt.timedelta(days=8))
    made = []
    for back in range(7, -1, -1):
        day = LAST - dt.timedelta(days=back)
        made.append(sum(name.startswith("history") for name in ran(run(day, day, plan=True))))
        run(day, day)
        pieces, files = history_of(day, "long")
        assert history_of(day, "week") == (0, len([d for d in FEED if 0 <= (day - d).days <= 3]))
        assert pieces <= 30 and files <= pieces + 4
    assert max(made) <= 20 and sum(made) / len(made) <= 8


def test_late_data_runs_the_days_within_reach_alone(tmp_path, monkeypatch):
    specs = [{"name": name, "events": ["like"], "column": column, "agg": "count", "windows": ["60d"]}
             for name, column in (("likes", "artwork_id"), ("styles", "style"))]  # fmt: skip
    monkeypatch.chdir(written(tmp_path, specs, feed_start=str(LAST - dt.timedelta(days=4))))
    run(LAST - dt.timedelta(days=4))
    late = LAST - dt.timedelta(days=62)
    assert late in FEED
    path = f"data/feed/dt={late}/p.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(pa.concat_tables([table, feed((1, 10, f"{late}T23:59", "like"))]), path)
    plan = run(LAST - dt.timedelta(days=4), plan=True).plan
    reach = {str(LAST - dt.timedelta(days=back)) for back in (4, 3, 2)}
    assert {row["day"] for row in plan if row["step"].startswith("rolling")} == reach
    report = run(LAST - dt.timedelta(days=4))
    assert report.days["done"] == 5 and report.partitions["written"] <= 3
    assert differences(Reference("config", [LAST - dt.timedelta(days=b) for b in range(4, -1, -1)]).run(),
                       read_output("data/training_output")) == []  # fmt: skip
    pq.write_table(table, f"data/feed/dt={FEED[0]}/q.parquet")  # 130 days back, out of reach of all
    assert nothing_ran(run(LAST - dt.timedelta(days=4)))


def test_days_that_stand_tell_the_steps_that_they_read(tmp_path, monkeypatch):
    """Also after a longer range, whose days read other single days of a block that was read at once."""
    specs = [{"name": "likes", "events": ["like"], "column": "artwork_id", "agg": "count", "windows": "cumulative"}]
    days = [LAST - dt.timedelta(days=back) for back in range(9, -1, -1)]
    monkeypatch.chdir(written(tmp_path, specs, FEED[-40:], feed_start=str(days[0])))
    run(days[0])
    for first, last in ((0, 9), (8, 9), (0, 1), (3, 6)):
        with opened(Settings()) as workspace:
            read = len(build_graph(workspace, days[first : last + 1], reconcile=False).actions)
        assert run(days[first], days[last]).steps["hit"] == read


def test_a_row_of_a_view_looks_up_the_pieces_that_have_its_entity(tmp_path, monkeypatch):
    specs = [{"name": "styles", "events": ["like"], "column": "style", "agg": "list", "windows": ["40d"]}]
    root = written(tmp_path, specs)
    monkeypatch.chdir(root)
    old = LAST - dt.timedelta(days=30)
    assert old in FEED
    path = root / f"data/feed/dt={old}/p.parquet"
    pq.write_table(pa.concat_tables([pq.ParquetFile(path).read(), feed((1, 99, f"{old}T10:00", "like"))]), path)
    run()
    rows = {"artwork_id": [99], "updated_at": [at("2026-06-01")], "style": ["new"], "tags": [[7]], "score": [1.0]}
    pq.write_table(pa.table(rows, schema=view().schema), root / "data/art/b.parquet")
    planned = {row["step"] for row in run(plan=True).plan}
    assert not any("[artwork_id]" in step or step.startswith(("spine", "coverage")) for step in planned)
    report = run()
    assert report.partitions["written"] == len(TARGETS)
    # the view, its pieces with the day (of three target days, whose windows cut blocks in other places), and the lists
    assert report.steps["computed"] <= 1 + 3 + 2 * len(TARGETS) and report.steps["unchanged"] == 0
    assert differences(Reference("config", TARGETS).run(), read_output("data/training_output")) == []
    found = explain_row(Settings(), str(LAST), 1, pq.read_table(f"data/training_output/dt={LAST}", partitioning=None,
                        filters=[("user_id", "=", 1)])["artwork_id"][0].as_py())  # fmt: skip
    values = {event["value"] for event in found["rows"][0]["columns"]["styles_40d"]["counted"]}
    assert "new" in values


def test_a_growing_pool_reads_no_feed_file_again(tmp_path, monkeypatch, pools):
    specs = [{"name": "seen", "events": ["view"], "column": "artwork_id", "agg": "count", "windows": ["60d"]}]
    coverage = {"uri": str(pools), "table": "pool_1_2_3", "id_column": "artwork_id", "events": ["view"]}
    monkeypatch.chdir(written(tmp_path, specs, embedding_coverage_filter=coverage))
    run()
    runtime = Path("config/training/runtime.yaml")
    runtime.write_text(runtime.read_text().replace("pool_1_2_3", "pool_1_3_5"))  # no artwork of the feed
    report = run()
    assert report.steps["computed"] == 1  # the pool
    assert report.partitions["written"] == 0


def told(day: dt.date) -> set[str]:
    """The root causes of a day, but for steps that are new."""
    causes = explain_day(Settings(), str(day))["causes"]
    return {f"{cause['kind']} {cause['what']}" for cause in causes if cause["kind"] != "missing"}


def edit_runtime(**values: object) -> None:
    path = Path("config/training/runtime.yaml")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))


def test_an_edit_is_told_by_what_was_edited(tmp_path, monkeypatch, pools):
    specs = [{"name": "seen", "events": ["view"], "column": "artwork_id", "agg": "count", "windows": ["20d"]}]
    coverage = {"uri": str(pools), "table": "pool_1_2_3", "id_column": "artwork_id", "events": ["view"]}
    monkeypatch.chdir(written(tmp_path, specs, FEED[-30:]))
    run(LAST)
    edit_runtime(spine={"lookback_days": 5})
    assert told(LAST) == {"config spine.lookback_days"}
    run(LAST)
    edit_runtime(embedding_coverage_filter=coverage)
    assert told(LAST) == {"config embedding_coverage_filter"}
    run(LAST)
    edit_runtime(embedding_coverage_filter={"enabled": False})
    assert told(LAST) == {"config embedding_coverage_filter"}
    run(LAST)
    path = Path("config/training/aggregations.yaml")
    path.write_text(path.read_text().replace("20d", "25d"))
    edit_runtime(output_columns=[*KEYS, "seen_25d"])
    assert {"config aggregations.seen.windows", "config output_columns"} <= told(LAST)
    assert not any(one.startswith("input") for one in told(LAST))
