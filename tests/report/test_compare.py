"""What a report says beside its numbers by day: other days to compare with, which step feeds which, and small diffs."""

from __future__ import annotations

import json
import math
from itertools import chain

import pyarrow.parquet as pq
import pytest
import yaml
from small import DAYS, RANGE, edit

from daedalus.base.errors import DaedalusError
from daedalus.explain.cause_lines import with_diff
from daedalus.report.collect import collect
from daedalus.report.page import page_lines, render
from daedalus.workspace.settings import Settings

NOW, THEN = f"{DAYS[7]}..{DAYS[13]}", f"{DAYS[0]}..{DAYS[6]}"


def values_of(world, days, column: str) -> list:
    files = chain.from_iterable(sorted((world.output / f"dt={day}").iterdir()) for day in days)
    return [value for file in files for value in pq.ParquetFile(file).read(columns=[column]).column(0).to_pylist()]


def middle(values: list) -> float:
    numbers = [len(value) if isinstance(value, list) else float(value) for value in values if value is not None]
    return math.fsum(numbers) / len(numbers)


def test_two_ranges_side_by_side(warm):
    found = collect(Settings(), NOW, against=THEN)
    other = found["against"]
    assert (other["range"], other["days"], other["made"]) == ([str(DAYS[0]), str(DAYS[6])], 7, None)
    assert other["rows"] == [sum(found["rows"]), len(values_of(warm, DAYS[:7], "user_id"))]
    assert {row["name"] for row in other["columns"]} == {column["name"] for column in found["columns"]}
    assert [row["moved"] for row in other["columns"]] == sorted(
        (row["moved"] for row in other["columns"]), reverse=True
    )
    by_name = {row["name"]: row for row in other["columns"]}
    for name in ("aes_score", "like_artwork_ids_7d", "blur_nsfw", "current_like_count"):
        pair = [values_of(warm, days, name) for days in (DAYS[7:], DAYS[:7])]
        assert by_name[name]["mean"] == pytest.approx([middle(values) for values in pair], rel=1e-4), name
        nulls = [values.count(None) / len(values) for values in pair]
        assert by_name[name]["nulls"] == pytest.approx(nulls, rel=1e-4, abs=1e-9)
        assert 0 <= by_name[name]["distance"] <= 1
    assert by_name["artwork_id"]["measure"] == "distinct" and by_name["event"]["distance"] is None
    page = render(found)
    assert f"Compared with {DAYS[0]} to {DAYS[6]}" in page
    assert any(line.startswith(f"against     {DAYS[0]}..{DAYS[6]}") for line in page_lines({**found, "file": "x"}))


def test_an_earlier_report_side_by_side(warm):
    """Days that are the same moved nowhere; a column that is new has no other side."""
    whole = warm.json("report", "--range", NOW)
    assert "against" not in whole
    (warm.root / "before.json").write_text(json.dumps(whole))
    columns = yaml.safe_load(warm.runtime.read_text())["output_columns"]
    edit(warm.runtime, output_columns=[*columns, {"name": "fresh_one", "default": 7}])
    warm.run(NOW)
    other = warm.json("report", "--range", NOW, "--against", "before.json")["against"]
    assert other["made"] == whole["made"] and other["rows"][0] == other["rows"][1]
    assert {row["moved"] for row in other["columns"]} == {0.0}
    new = next(row for row in other["columns"] if row["name"] == "fresh_one")
    assert (new["mean"], new["nulls"], new["distance"]) == ([7.0, None], [0.0, None], None)


@pytest.mark.parametrize(("against", "said"), [
    ("last week", "--against"), ("2026-13", "--against"), ("gone.json", "cannot be read"), ("no.json", "no earlier"),
    ("config/catalog.yaml", "no earlier"),
])  # fmt: skip
def test_what_cannot_be_compared_with_is_refused(warm_template, monkeypatch, tmp_path, against, said):
    monkeypatch.chdir(warm_template)
    if against == "no.json":
        against = str(tmp_path / against)
        (tmp_path / "no.json").write_text('{"rows": 1}')
    with pytest.raises(DaedalusError) as refused:
        collect(Settings(), NOW, against=against)
    assert said in refused.value.one_line() and refused.value.exit_code == 2


def test_lineage_is_what_the_steps_read(warm):
    found = collect(Settings(), RANGE)["lineage"]
    named = {step["step"] for step in warm.json("explain", "day", str(DAYS[13]))["steps"]}
    assert named <= {*found, *(name for name in named if name.startswith("history:"))}
    assert found["spine"] == {} and found["coverage"] == {"pool": 1, "spine": 1}
    assert found["rolling:like_artwork_ids"] == {"event_values:like.artwork_id": 8, "sessions": 1}
    assert {"sessions", "content", "rolling:like_artwork_ids", "qids"} <= found["chunk"].keys()
    fed = {name for above in found.values() for name in above}
    assert fed <= found.keys()


def test_long_values_are_told_by_what_came_and_went():
    old, new = (
        json.dumps([[f"column_{i}", "feed"] for i in range(40)]),
        json.dumps([[f"column_{i}", ""] for i in range(1, 41)]),
    )
    cause = {"kind": "config", "what": "output_columns", "old": old, "new": new}
    assert with_diff(cause)["diff"] == ["- column_0", "+ column_40"]
    short = {"kind": "config", "what": "x", "old": "1", "new": "2"}
    assert with_diff(short) == short and with_diff({**cause, "old": None}) == {**cause, "old": None}


def test_each_stage_counts_its_own_days(warm):
    columns = {"image_embedding": {"of": "artwork_id"}}
    edit(warm.runtime, embeddings={"columns": columns, "output_root": "data/enriched"})
    warm.json("enrich", "--range", f"{DAYS[0]}..{DAYS[2]}")
    totals = collect(Settings(), RANGE)["totals"]
    assert {name: of["done"] for name, of in totals["stages"].items()} == {"skeleton": 14, "enrich": 3}
    assert totals["days"]["done"] == 3


def test_breaks_are_in_the_report_as_a_run_has_them(warm):
    edit(warm.runtime, expect={"rows": [None, 1], "columns": {"aes_score": {"null_share": [0, 1]}}})
    run = warm.json("skeleton", "--range", RANGE)["expect"]
    found = collect(Settings(), RANGE)
    assert found["expect"] == run and len(run["breaks"]) == 14
    page = render(found)
    assert "What is not as expected" in page and page.count('class="fresh broken"') == 14
    assert any("14 of 14 days not as expected" in line for line in page_lines({**found, "file": "x"}))
