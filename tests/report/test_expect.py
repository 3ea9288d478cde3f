"""`expect`: every day that breaks it is told on every screen, and no other; it is in no key and runs nothing."""

from __future__ import annotations

import datetime as dt
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import DAYS, RANGE, edit, rewrite
from test_lists import EXAMPLES

from daedalus.base.errors import DaedalusError
from daedalus.config.schema import Expect, ExpectColumn
from daedalus.config.steps import ENRICH, SKELETON
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.statistics.judge import breaks_of
from daedalus.statistics.partition import partition_statistics
from daedalus.workspace.settings import Settings

NUMBERS = st.none() | st.integers(-9, 9) | st.sampled_from([math.nan, math.inf, 0.5])
VALUES = {
    pa.float64(): NUMBERS.map(lambda value: None if value is None else float(value)),
    pa.bool_(): st.none() | st.booleans(),
    pa.list_(pa.int64()): st.none() | st.lists(st.integers(0, 3), max_size=4),
    pa.string(): st.none() | st.sampled_from(["", "a"]),
}
BANDS = st.none() | st.tuples(st.none() | st.floats(-3, 3), st.none() | st.floats(-3, 3)).map(list)


def measured(kind: pa.DataType, values: list) -> dict[str, float | None]:
    """The measures of a column, in plain Python."""
    known = [value for value in values if value is not None]
    found = {
        "null_share": (len(values) - len(known)) / len(values),
        "coverage": sum(value != [] for value in known) / len(values),
        "mean": None,
    }
    if kind != pa.string():
        numbers = [len(value) if isinstance(value, list) else value for value in known]
        finite = [value for value in numbers if math.isfinite(value)]
        found["mean"] = math.fsum(finite) / len(finite) if finite else None
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_breaks_are_those_that_plain_python_finds(data, tmp_path_factory):
    folder, rows, numbers, tables = tmp_path_factory.mktemp("days"), {}, {}, {}
    kinds = data.draw(st.lists(st.sampled_from([*VALUES]), min_size=1, max_size=3))
    for day in ("2026-01-01", "2026-01-02"):
        rows[day] = data.draw(st.integers(0, 5))
        columns = [data.draw(st.lists(VALUES[k], min_size=rows[day], max_size=rows[day])) for k in kinds]
        tables[day] = dict(zip("abc", columns, strict=False))
        if rows[day]:
            arrays = {name: pa.array(v, k) for (name, v), k in zip(tables[day].items(), kinds, strict=True)}
            pq.write_table(pa.table(arrays), folder / f"{day}.parquet")
            numbers[day] = partition_statistics([folder / f"{day}.parquet"], columns=["a", "b"])
    bands = [data.draw(st.fixed_dictionaries(dict.fromkeys(("null_share", "coverage", "mean"), BANDS))) for _ in kinds]
    named = dict(zip(("a", "b"), (ExpectColumn(**one) for one in bands), strict=False))
    expect = Expect(rows=data.draw(BANDS), columns=named)

    def outside(value, band) -> bool:
        low, high = (-math.inf if band[0] is None else band[0], math.inf if band[1] is None else band[1])
        return value is None or not low <= value <= high

    wanted = []
    for day, count in rows.items():
        if expect.rows and outside(count, expect.rows):
            wanted.append((day, None, "rows", count))
        for (name, column), kind in zip(named.items(), kinds, strict=False):
            for measure, band in column.bands.items() if count else ():
                value = measured(kind, tables[day][name])[measure]
                if outside(value, band):
                    wanted.append((day, name, measure, value))
    found = breaks_of(expect, SKELETON, rows, numbers)
    assert [(row["day"], row["column"], row["measure"], row["value"]) for row in found] == [
        (*place, value if value is None else pytest.approx(value, rel=1e-12)) for *place, value in wanted
    ]
    assert breaks_of(expect, ENRICH, rows, numbers) == []


def rows_by_day(output: Path) -> dict[str, int]:
    return {str(day): sum(pq.read_metadata(p).num_rows for p in (output / f"dt={day}").iterdir()) for day in DAYS}


def test_a_break_is_on_every_screen_and_the_partitions_stay(warm):
    rows, before = rows_by_day(warm.output), warm.stamps()
    middle = sorted(rows.values())[6]
    low = [day for day, number in rows.items() if number < middle]
    edit(warm.runtime, expect={"rows": [middle, None]}, feed_start=str(DAYS[0]), feed_end=str(DAYS[-1]))
    done = warm.cli("skeleton", "--range", RANGE)
    assert done.returncode == 0 and f"{len(low)} of 14 days not as expected" in done.stdout, done.stderr
    assert f"rows, expected at least {middle:,}: {low[0]} {rows[low[0]]:,}" in " ".join(done.stdout.split())
    found = warm.json("skeleton", "--range", RANGE)
    assert found["steps"]["computed"] == 0 and "compile" not in found  # not even looked up by key
    assert found["expect"] == {"on_break": "warn", "days": 14, "breaks": [
        {"day": day, "stage": "skeleton", "column": None, "measure": "rows", "value": rows[day], "least": middle,
         "most": None} for day in low
    ]}  # fmt: skip
    assert warm.stamps() == before
    last, _, oldest = warm.json("runs")["runs"]
    assert (last["state"], last["unexpected"], len(last["breaks"])) == ("done", len(low), len(low))
    assert (oldest["unexpected"], oldest["breaks"]) == (0, [])
    told = f"not as expected: {low[0]}: rows {rows[low[0]]:,}, expected at least {middle:,}"
    assert told in warm.cli("runs").stdout
    assert warm.json("cache", "status")["expect"] == found["expect"]
    assert "days not as expected" in warm.cli("cache", "status").stdout
    assert told in warm.cli("explain", "day", low[0]).stdout
    assert "not as expected" not in warm.cli("explain", "day", max(rows, key=rows.__getitem__)).stdout

    edit(warm.runtime, expect={"rows": [middle, None], "on_break": "fail"})
    done = warm.cli("run", "--range", RANGE)
    assert done.returncode == 1 and "on_break: fail, so exit 1" in done.stdout
    assert warm.cli("run", "--range", RANGE, "--plan").returncode == 0  # a plan judges nothing
    edit(warm.runtime, expect={"rows": [0, None], "on_break": "fail"})
    done = warm.cli("pipeline", "train", "m", "--skeleton-only", "--range", RANGE)
    assert done.returncode == 0 and "14 days as expected" in done.stdout


def test_a_run_judges_what_it_wrote_and_what_it_left(warm):
    """Columns are read of the partitions that changed alone."""
    expected = {"columns": {"like_artwork_ids_7d": {"coverage": [0.0, 0.1]}, "aes_score": {"null_share": [0, 1]}}}
    edit(warm.runtime, expect=expected)
    first = warm.run().expect
    assert first["days"] == 14 and {row["measure"] for row in first["breaks"]} == {"coverage"}
    rewrite(warm.feed_file(DAYS[13]), lambda table: table.slice(0, table.num_rows - 5))
    again = warm.run()
    assert again.partitions["written"] == 1 and again.expect["days"] == 14
    table = pq.ParquetFile(warm.output / f"dt={DAYS[13]}/part-0-0.parquet").read(columns=["like_artwork_ids_7d"])
    lists = table.column(0).to_pylist()
    last = next(row for row in again.expect["breaks"] if row["day"] == str(DAYS[13]))
    assert last["value"] == pytest.approx(sum(map(bool, lists)) / len(lists))


def test_a_mean_that_is_not_there_is_a_break(warm):
    """Of text there is none; what has one is judged by it."""
    edit(warm.runtime, expect={"columns": {"model_type": {"mean": [0, 1]}, "like_artwork_cnts_7d": {"mean": [0, 1e9]}}})
    breaks = warm.run().expect["breaks"]
    assert {(row["column"], row["value"]) for row in breaks} == {("model_type", None)} and len(breaks) == 14
    assert "model_type mean, expected 0 to 1: 2026-02-01 has none" in " ".join(
        warm.cli("run", "-r", RANGE).stdout.split()
    )


REFUSED = {
    "rows": [
        ([5, 1], "rows", "[5, 1]"),
        ([1], "rows", "[1]"),
        ([None, None], "rows", "[null, null]"),
        ([-1, None], "rows", "[-1, null]"),
        ([math.nan, 1], "rows", "nan"),
        ([0, math.inf], "rows", "inf"),
        ("many", "rows", "str"),
        ([True, 2], "rows", "bool"),
    ],
    "columns": [
        ({"aes_scor": {"mean": [0, 1]}}, "columns.aes_scor", "aes_score"),
        ({"qid": {"null_share": [0, 0]}}, "columns.qid", "qid"),
        ({"aes_score": {}}, "columns.aes_score", "nothing is expected"),
        ({"aes_score": {"mean": [1, 0]}}, "columns.aes_score.mean", "[1, 0]"),
        ({"aes_score": {"null_share": [0, 1.5]}}, "columns.aes_score.null_share", "1.5"),
        ({"aes_score": {"nulls": [0, 1]}}, "columns.aes_score.nulls", "unknown key"),
        ({"artwork_id": {"mean": [0, 1]}}, "columns.artwork_id.mean", "names things"),
        ({"event": {"mean": [0, 1]}}, "columns.event.mean", "VARCHAR"),
    ],
    "on_break": [("stop", "on_break", "'warn' or 'fail'")],
}


@pytest.mark.parametrize(("key", "value", "at", "said"), [(k, *one) for k, each in REFUSED.items() for one in each])
def test_what_cannot_be_expected_is_refused(warm_template, tmp_path, key, value, at, said):
    config = shutil.copytree(warm_template / "config", tmp_path / "config")
    edit(config / "training/runtime.yaml", expect={key: value})
    with pytest.raises(DaedalusError) as refused:
        Settings(config=str(config)).applied()
    text = str(refused.value.one_line())
    assert f"runtime.yaml: expect.{at}" in text and said in text, text


def test_expect_is_in_no_key(warm, monkeypatch):
    """Adding it builds no graph: the days stay fresh by their stats, and what the configuration means is the same."""
    before = warm.json("skeleton", "--range", RANGE)["compile"]  # which has the stats of this copy of the world
    edit(warm.runtime, expect={"rows": [1, None], "columns": {"aes_score": {"mean": [0, 10]}}})
    assert before == warm.json("compile")["digest"]
    monkeypatch.setattr("daedalus.workspace.graph.build_graph", lambda *_, **__: pytest.fail("a graph was built"))
    report = run_skeleton_stage(Settings(), RANGE)
    assert report.steps["hit"] and report.expect["days"] == 14
    edit(warm.runtime, expect={"rows": [5, 1]})
    done = warm.cli("run")
    assert done.returncode == 2 and "expect.rows" in done.stderr and "Traceback" not in done.stderr


def test_columns_of_vectors_are_judged_in_their_own_stage(warm):
    """An expectation of such a column says nothing of its placeholder in the skeleton."""
    expected = {"columns": {"image_embedding": {"coverage": [0.5, None]}}}
    columns = {"image_embedding": {"of": "artwork_id"}}
    edit(warm.runtime, expect=expected, embeddings={"columns": columns, "output_root": "data/enriched"})
    assert warm.run("2026-02-01..2026-02-02").expect == {"on_break": "warn", "days": 2, "breaks": []}
    found = warm.json("enrich", "--range", "2026-02-01..2026-02-02")
    table = pq.read_table(warm.root / "data/enriched/dt=2026-02-01").column("image_embedding")
    share = 1 - table.null_count / len(table)
    assert found["expect"]["breaks"] == [] and share >= 0.5
    expected["columns"]["image_embedding"] = {"coverage": [None, share / 2]}
    edit(warm.runtime, expect=expected)
    first = warm.json("enrich", "--range", "2026-02-01..2026-02-02")["expect"]["breaks"][0]
    assert (first["stage"], first["value"]) == ("enrich", pytest.approx(share))
    edit(warm.runtime, expect={"columns": {"image_embedding": {"mean": [0, 1]}}})
    assert "a column of vectors" in warm.cli("run").stderr


def test_a_day_of_which_no_row_can_be_used_has_no_rows(warm):
    edit(warm.runtime, expect={"rows": [1, None], "columns": {"aes_score": {"mean": [0, 10]}}})
    for file in warm.feed_file(DAYS[5]).parent.iterdir():
        rewrite(file, lambda table: table.set_column(
            table.schema.get_field_index("user_id"), "user_id", pa.nulls(table.num_rows, pa.int64())))  # fmt: skip
    found = warm.run(f"{DAYS[5]}..{DAYS[5] + dt.timedelta(1)}").expect
    assert [(row["day"], row["value"]) for row in found["breaks"]] == [(str(DAYS[5]), 0)] and found["days"] == 2
