"""`daeda report`: its numbers are those of the partitions, traces and runs, and nothing is read twice."""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from small import DAYS, RANGE, edit, rewrite

from daedalus.base.errors import DaedalusError
from daedalus.explain.day import explain_day
from daedalus.report import collect as collecting
from daedalus.report.charts import band_path, charts_of, line_path
from daedalus.report.collect import collect
from daedalus.report.drift import departure
from daedalus.report.heat_map import Cell, Grid, _add
from daedalus.report.page import _costs, render
from daedalus.stagecache.records.traces import Cost
from daedalus.statistics.partition import partition_statistics
from daedalus.upkeep.status import cache_status
from daedalus.workspace.settings import Settings


def rows_of(folder: Path) -> list[dict]:
    parts = sorted(folder.glob("*.parquet"), key=lambda path: (len(path.name), path.name))
    return [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]


def six(value: float) -> float:
    return float(f"{value:.6g}")


def percentile(values: list, p: int):
    return sorted(values)[max(math.ceil(Fraction(p * len(values), 100)), 1) - 1]


IDS = ("user_id", "artwork_id", "country_code", "platform_code", "author_id", "model_id", "qid")  # numbers that name


def expected(column: str, rows: list[dict], day: str) -> dict:
    """A column's measures on a day, in plain Python."""
    known = [row[column] for row in rows if row[column] is not None]
    found = {"nulls": six((len(rows) - len(known)) / len(rows))}
    if not known:
        return found
    if isinstance(known[0], str):
        return found | {"distinct": len(set(known)), "top": six(max(Counter(known).values()) / len(rows))}
    if isinstance(known[0], bool):
        return found | {"mean": six(sum(known) / len(known))}
    if isinstance(known[0], list):
        lengths = [len(value) for value in known]
        found |= {"mean": six(sum(lengths) / len(lengths)), "empty": six(lengths.count(0) / len(rows))}
        return found | {f"p{p}": six(percentile(lengths, p)) for p in (50, 95)}
    if isinstance(known[0], dt.datetime):
        start = dt.datetime.fromisoformat(day)
        known = [(value - start).total_seconds() / 3600 for value in known]
    else:
        found["distinct"] = len(set(known))
    if column in IDS:
        return found
    return found | {
        "mean": six(math.fsum(known) / len(known)),
        **{f"p{p}": six(percentile(known, p)) for p in (5, 50, 95)},
    }


def test_columns_equal_what_the_partitions_hold(warm):
    found = collect(Settings(), RANGE)
    assert found["days"] == [str(day) for day in DAYS]
    names = [column.name for column in Settings().applied().output_columns]
    assert [column["name"] for column in found["columns"]] == [*names, "qid"] and len(names) > 50
    kinds = Counter(column["kind"] for column in found["columns"])
    assert set(kinds) == {"number", "id", "boolean", "list", "text", "time"}
    assert {column["name"] for column in found["columns"] if column["kind"] == "id"} == {*IDS}
    for i, day in enumerate(found["days"]):
        rows = rows_of(warm.output / f"dt={day}")
        assert found["rows"][i] == len(rows)
        for column in found["columns"]:
            for measure, value in expected(column["name"], rows, day).items():
                told = column["measures"][measure][i]
                assert told == pytest.approx(value, rel=2e-6, abs=1e-9), (day, column["name"], measure)
            if column["kind"] == "id":
                assert set(column["measures"]) == {"nulls", "distinct"}
            if column["kind"] in ("number", "list"):
                assert counted_in(column["histograms"][i]) == sum(row[column["name"]] is not None for row in rows)
            else:
                assert "histograms" not in column


def counted_in(histogram: dict | None) -> int:
    return sum(histogram["counts"]) + histogram["below"] + histogram["above"] if histogram else 0


def test_statistics_of_odd_columns(tmp_path):
    """NaN, infinities, no value at all, decimals, several parts, and names that SQL would trip over."""
    table = pa.table({
        'v" , n': pa.array([1.0, float("nan"), float("inf"), None, 3.0, -float("inf")]),
        "n": pa.array([None] * 6, pa.int64()),
        "v": pa.array(["b", "a", "b", None, "a", "x" * 100]),
        "gone": pa.array([[1], [], None, [1, 2, 3], [], [None]], pa.list_(pa.int64())),
        "struct": pa.array([{"a": 1}] * 5 + [None]),
        "big": pa.array([2**62, 2**62 + 1, 2**62 + 2, 2**62, None, 2**62]),
        "total": pa.array([True, False, None, True, True, False]),
    })  # fmt: skip
    for part in range(2):
        pq.write_table(table.slice(part * 3, 3), tmp_path / f"part-{part}-0.parquet")
    found = partition_statistics(sorted(tmp_path.glob("*.parquet")))
    assert found["rows"] == 6
    by_name = {column["name"]: column for column in found["columns"]}
    number = by_name['v" , n']
    assert (number["nulls"], number["finite"], number["mean"], number["p5"], number["p95"]) == (1, 2, 2.0, 1.0, 3.0)
    assert number["distinct"] == 5
    assert by_name["n"]["nulls"] == 6 and by_name["n"]["mean"] is None and by_name["n"]["p50"] is None
    assert by_name["v"]["top"] == [["a", 2], ["b", 2], ["x" * 60, 1]] and by_name["v"]["distinct"] == 3
    lists = by_name["gone"]
    assert (lists["nulls"], lists["empty"], lists["mean"], lists["p95"]) == (1, 2, 1.0, 3.0)
    assert by_name["struct"] == {"name": "struct", "type": by_name["struct"]["type"], "kind": "other", "nulls": 1}
    assert by_name["big"]["mean"] == float(2**62) and by_name["big"]["distinct"] == 3
    assert by_name["total"]["mean"] == 0.6
    json.dumps(found, allow_nan=False)


def test_totals_costs_and_funnel_are_those_of_the_other_commands(warm):
    found = collect(Settings(), RANGE)
    files = list(warm.output.rglob("dt=*/*.parquet"))
    totals = found["totals"]
    assert {state: count for state, count in totals["days"].items() if count} == {"total": 14, "done": 14, "fresh": 14}
    assert totals["stages"] == {"skeleton": {"done": 14, "bytes": totals["output_bytes"]}}
    assert totals["rows"] == sum(pq.ParquetFile(file).metadata.num_rows for file in files)
    assert totals["output_bytes"] == sum(file.stat().st_size for file in files)
    assert totals["cache_bytes"] == sum(file.stat().st_size for file in Path("cache/artifacts").rglob("*.parquet"))
    costs = _costs(found)
    assert sum(row["seconds"] for row in costs) == pytest.approx(totals["seconds"], abs=1e-3)
    assert sum(row["bytes"] for row in costs if row["step"] == "chunk") == totals["output_bytes"]
    for i in (0, 7, 13):
        day = explain_day(Settings(), found["days"][i])
        assert {row["step"]: row["rows"] for row in day["funnel"]} == {r["step"]: r["rows"][i] for r in found["funnel"]}
        told = {step["step"]: step for step in day["steps"] if "@" not in step["step"]}
        for row in found["steps"]:
            if row["states"][i] and not row["step"].startswith("history:"):
                step = told[row["step"]]
                assert (row["seconds"][i], row["rows"][i], row["bytes"][i]) == (
                    step["seconds"], step["rows_out"], step["bytes"])  # fmt: skip
    assert found["last_run"]["state"] == "done" and len(found["last_run"]["changed"]) == 14


def test_a_block_of_history_is_a_row_of_its_own_on_its_last_day():
    grid = Grid()
    _add(grid, "history:like.id@2026-01-01+8d", "2026-01-08", "fresh", Cost("a", {"rows": 5}, 0.25, 7))
    _add(grid, "history:like.id@2026-01-08", "2026-01-08", "fresh", None)
    _add(grid, "pool", "", "fresh", None)
    assert grid.cells["history:like.id+8d", "2026-01-08"] == Cell("fresh", 0.25, 5, 7)
    assert grid.steps() == ["history:like.id", "history:like.id+8d"] and grid.of_no_day() == ["pool"]


def test_an_edit_shows_as_stale_days_with_their_cause_and_then_as_a_run(warm):
    edit(warm.runtime, session_filter__drop_single_like=True, feed_start="2026-02-01", feed_end="2026-02-14")
    found = collect(Settings(), RANGE)
    assert found["totals"]["days"]["stale"] == 14
    by_status = {row["day"]: row for row in cache_status(Settings())["days"]}
    assert dict(zip(found["days"], found["day_states"], strict=True)) == {d: r["state"] for d, r in by_status.items()}
    steps = {row["step"]: row for row in found["steps"]}
    assert set(steps["sessions"]["states"]) == {"run"} and set(steps["chunk"]["states"]) == {"maybe"}
    assert set(steps["spine"]["states"]) == {"fresh"}
    cause = {"kind": "config", "what": "session_filter.drop_single_like", "old": "false", "new": "true"}
    assert found["whys"][steps["sessions"]["why"][3]] == [cause]
    assert found["whys"][steps["content"]["why"][3]][0]["what"] == f"sessions@{DAYS[3]}"
    assert [(c["what"], c["touched"]) for c in found["causes"]] == [(cause["what"], 14)]

    before = dict(zip(found["days"], found["rows"], strict=True))
    warm.run()
    run, first = collect(Settings(), RANGE)["runs"]
    assert run["causes"] == [cause] and first["causes"] == []
    after = {day: len(rows_of(warm.output / f"dt={day}")) for day in found["days"]}
    assert {row["day"]: (row["before"], row["after"]) for row in run["changed"]} == {
        day: (before[day], after[day]) for day in found["days"]
    }
    assert run["computed"]["sessions"] == run["computed"]["chunk"] == 14 and "spine" not in run["computed"]
    warm.run()
    idle = collect(Settings(), RANGE)["runs"][0]
    assert idle["changed"] == [] and idle["computed"] == {} and idle["causes"] == []


def test_missing_empty_and_failed_days_are_told_apart(warm):
    for file in warm.feed_file(DAYS[13]).parent.iterdir():
        file.write_bytes(b"no parquet")
    assert warm.run().days["failed"] == 1
    found = collect(Settings(), "2026-02-01..2026-02-20")
    states = dict(zip(found["days"], found["day_states"], strict=True))
    assert states[str(DAYS[13])] == "failed" and states["2026-02-18"] == "empty" and states[str(DAYS[0])] == "fresh"
    assert found["totals"]["days"]["failed"] == 1
    assert found["notes"][0].startswith(f"{DAYS[13]} spine failed: a parquet file cannot be read")
    assert [row["after"] for row in found["runs"][0]["changed"]] == []


def test_missing_days(cold):
    found = collect(Settings(), RANGE)
    assert set(found["day_states"]) == {"missing"} and found["columns"] == [] and found["totals"]["rows"] == 0
    assert found["last_run"] is None
    assert "There is no partition in the range." in render(found)


def test_a_second_report_reads_only_new_partitions(warm, monkeypatch):
    read = []

    @functools.wraps(partition_statistics)  # the fingerprint is that of the true one
    def counted(parts):
        read.append(parts[0].parent.name)
        return partition_statistics(parts)

    monkeypatch.setattr(collecting, "partition_statistics", counted)
    first = collect(Settings(), RANGE)
    assert sorted(read) == [f"dt={day}" for day in DAYS] and first["reading"] == {"read": 14, "known": 0}
    read.clear()
    second = collect(Settings(), RANGE)
    assert read == [] and second["reading"] == {"read": 0, "known": 14}
    assert second["columns"] == first["columns"] and second["rows"] == first["rows"]
    rewrite(warm.output / f"dt={DAYS[4]}" / "part-0-0.parquet", lambda table: table.slice(0, 5))
    third = collect(Settings(), RANGE)
    assert read == [f"dt={DAYS[4]}"] and third["rows"][4] == 5


def test_a_damaged_partition_is_told_of_and_the_others_are_shown(warm):
    (warm.output / f"dt={DAYS[2]}" / "part-0-0.parquet").write_bytes(b"PAR1 nothing PAR1")
    found = collect(Settings(), RANGE)
    assert found["rows"][2] is None and None not in found["rows"][3:]
    assert any(note.startswith(f"{DAYS[2]}: the partition cannot be read") for note in found["notes"])


HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"


def test_hostile_names_and_values_are_escaped(warm):
    whole = yaml.safe_load(warm.runtime.read_text())
    whole["output_columns"].append({"name": HOSTILE, "default": HOSTILE})
    warm.runtime.write_text(yaml.safe_dump(whole))
    warm.run()
    done = warm.cli("report", "--range", RANGE)
    assert done.returncode == 0, done.stderr
    page = (warm.root / "daeda-report.html").read_text()
    assert "onerror" in page and "<img" not in page and "{{ 7 * 7 }}" in page
    assert page.count("</script>") == 2
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    column = next(column for column in data["columns"] if column["name"] == HOSTILE)
    assert column["top"][0] == [[HOSTILE[:60], 1.0]]


def test_the_command_writes_one_file_and_prints_the_same_numbers(warm):
    found = warm.json("report", "--range", RANGE, "--out", "page.html")
    page = (warm.root / "page.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert {"schema": 1, **data} == found and found["file"] == "page.html"
    assert not re.search(r'(?:src|href)="(?!#|data:,)', page) and "http://" not in page and "https://" not in page
    assert "@import" not in page and "url(" not in page
    done = warm.cli("report", "--range", RANGE)
    assert "14 partitions: 0 read, 14 cached" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80 and "14 fresh" in done.stdout
    assert not list(warm.root.glob(".*.html.*"))


@pytest.mark.parametrize("out", ["nowhere/page.html", "config"])
def test_a_file_that_cannot_be_written_is_refused_before_any_work(warm, out):
    done = warm.cli("report", "--out", out)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert "looking at" not in done.stderr


def test_a_range_that_cannot_be_read_is_refused(warm):
    with pytest.raises(DaedalusError):
        collect(Settings(), "last week")


def test_the_day_that_departs_most():
    days = [f"2026-01-{i:02}" for i in range(1, 11)]
    quiet = [1.0, 1.1, 0.9, 1.0, 1.1, 0.9, 1.0, 1.1, 0.9, 1.0]
    series = [*quiet[:6], 9.0, *quiet[7:]]
    found = departure(days, {"nulls": [0.0] * 10, "mean": series, "p95": [0.0] * 9 + [1e9]})
    assert (found["day"], found["measure"], found["value"], found["usual"]) == ("2026-01-07", "mean", 9.0, 1.0)
    assert found["marked"] and found["times"] > 50
    assert not departure(days, {"mean": quiet})["marked"]
    assert departure(days, {"mean": [2.0] * 10}) is None
    assert departure(days, {"mean": [None] * 8 + [1.0, 2.0]}) is None  # too few to know what is usual
    assert not departure(days, {"distinct": [2] * 9 + [1]})["marked"]


def test_a_chart_says_the_least_and_the_most_of_its_values():
    """A share's axis begins at 0, which was said to be its least."""
    measures = {"top": [0.3, 0.5, None], "nulls": [0.0, 0.0, 0.0], "distinct": [4, 4, 4]}
    column = {"kind": "text", "measures": measures, "departs": None}
    chart = next(
        chart for chart in charts_of(column, ["a", "b", "c"]) if chart.label.startswith("share of the commonest")
    )
    assert (chart.low, chart.high, chart.last) == (0.3, 0.5, 0.5)


def test_charts_break_where_a_day_has_no_value():
    assert line_path([0.0, 1.0, None, 0.5, None], 0.0, 1.0) == "M0.5 34L1.5 6M3.5 20h0"
    assert line_path([None, None], 0.0, 1.0) == ""
    assert band_path([0.0, None, 0.0, 0.0], [1.0, 1.0, None, 1.0], 0.0, 1.0) == "M0.5 6L0.5 34ZM3.5 6L3.5 34Z"
