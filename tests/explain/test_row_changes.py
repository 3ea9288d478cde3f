"""Which rows and values of a partition changed: what a plain comparison in Python finds, and the same as a file."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import DAYS, EMBEDDINGS, edit

from daedalus.explain.value_differences import KEYS, Version, row_changes, told
from daedalus.sql.duck import Duck

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "40"))
TYPES = {
    "user_id": pa.int64(), "artwork_id": pa.int64(), "event_timestamp": pa.timestamp("us"), "event": pa.string(),
    "score": pa.float32(), "ids": pa.list_(pa.int64()), "vector": pa.list_(pa.float32()), "an 'odd\" name": pa.string(),
    "half": pa.list_(pa.float16()),
}  # fmt: skip
FLOATS = st.sampled_from([None, 0.0, 1.5, math.nan, math.inf])
VALUES = {
    "user_id": st.sampled_from([1, 2, None]), "artwork_id": st.sampled_from([1, 2]),
    "event_timestamp": st.sampled_from([0, 1]), "event": st.sampled_from(["like", "click"]),
    "score": FLOATS, "ids": st.sampled_from([None, [], [1], [1, 2], [2, 1], [None]]),
    "vector": st.one_of(st.none(), st.lists(FLOATS, max_size=2)), "an 'odd\" name": st.sampled_from([None, "", "x"]),
    "half": st.sampled_from([None, [], [1.0], [1.5], [None]]),
}  # fmt: skip
VALUE_COLUMNS = [name for name in TYPES if name not in KEYS]


@st.composite
def partition(draw) -> tuple[pa.Table, int]:
    """Rows of a partition with some of the columns, and of how many rows a part is."""
    columns = [name for name in TYPES if name in KEYS[1:] or draw(st.integers(0, 5))]
    types = {name: TYPES[name] for name in columns}
    if draw(st.integers(0, 5)) == 0:
        types = {name: pa.string() if name == "score" else kind for name, kind in types.items()}
    rows = draw(st.lists(st.fixed_dictionaries({name: VALUES[name] for name in columns}), max_size=7))
    arrays = {name: pa.array([row[name] for row in rows], TYPES[name]).cast(kind) for name, kind in types.items()}
    return pa.table(arrays), draw(st.integers(1, 4))


def written(folder: Path, table: pa.Table, rows: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"part-{i}-0.parquet" for i in range(max(1, -(-table.num_rows // rows)))]
    for i, path in enumerate(paths):
        pq.write_table(table.slice(i * rows, rows), path)
    return paths


def shown(value: object) -> str:
    """A value as text, so that NaN is NaN; of zeros the sign is told."""
    return repr(value)


def plainly(old: pa.Table, new: pa.Table) -> dict:
    """What differs, row by row."""
    keys = [name for name in KEYS if name in old.column_names and name in new.column_names]

    def keyed(table: pa.Table) -> dict[tuple, dict]:
        seen: Counter = Counter()
        found = {}
        for row in table.to_pylist():
            key = tuple(row[name] for name in keys)
            found[(*key, seen[key])] = row
            seen[key] += 1
        return found

    left, right = keyed(old), keyed(new)
    both = [key for key in right if key in left]
    alike = [name for name in new.column_names if name not in keys and name in old.column_names
             and old.schema.field(name).type == new.schema.field(name).type]  # fmt: skip
    differ = {key: [name for name in alike if shown(left[key][name]) != shown(right[key][name])] for key in both}
    return {
        "keys": keys, "both": len(both), "differ": {key: names for key, names in differ.items() if names},
        "added": [right[key] for key in right if key not in left], "new": right,
        "removed": [left[key] for key in left if key not in right], "old": left,
        "whole": {*old.column_names} ^ {*new.column_names}
        | ({*old.column_names} & {*new.column_names} - {*alike, *keys}),
    }  # fmt: skip


@given(partition(), partition())
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_differs_is_what_a_plain_comparison_finds(duck, one, other):
    with tempfile.TemporaryDirectory() as folder:
        compare(duck, Path(folder), one, other)


@pytest.fixture(scope="module")
def duck():
    found = Duck({"memory_limit": "200MB"})
    yield found
    found.close()


class Scratch:
    def __init__(self, folder: Path) -> None:
        self.folder, self.paths = folder, 0

    def path(self, suffix: str = "") -> Path:
        self.paths += 1
        return self.folder / f"{self.paths}{suffix}"


def compare(duck: Duck, folder: Path, one: tuple[pa.Table, int], other: tuple[pa.Table, int]) -> None:
    expected = plainly(one[0], other[0])
    versions = [Version.of(written(folder / side, *table), {}) for side, table in {"then": one, "now": other}.items()]
    found = row_changes(duck, Scratch(folder), versions[0], versions[1])
    summary = told(found, versions[0], versions[1])
    assert summary["before"] == one[0].num_rows and summary["after"] == other[0].num_rows
    for kind in ("added", "removed"):
        rows = [[str(row[key]) for key in expected["keys"]] for row in expected[kind]]
        assert summary[kind] == len(rows) and [row["row"] for row in summary["examples"][kind]] == rows[:3]
    assert summary["changed"] == len(expected["differ"])
    counts = Counter(name for names in expected["differ"].values() for name in names)
    noted = {name for name, column in summary["columns"].items() if "note" in column}
    assert noted == (expected["whole"] if expected["both"] else set())
    assert {name: row["rows"] for name, row in summary["columns"].items() if name not in noted} == counts
    for name, count in counts.items():
        first = [key for key, names in expected["differ"].items() if name in names][:3]
        examples = summary["columns"][name]["examples"]
        assert summary["columns"][name]["share"] == round(count / expected["both"], 4)
        assert [(shown(row["old"]), shown(row["new"])) for row in examples] == [
            (shown(expected["old"][key][name]), shown(expected["new"][key][name])) for key in first
        ]
    exported(folder, found, expected, one[0], other[0])


def exported(folder: Path, found, expected: dict, old: pa.Table, new: pa.Table) -> None:
    """The file has each row that differs once, with the columns of both."""
    changed_type = {name for name in expected["whole"] if name in old.column_names and name in new.column_names}
    rows = found.export(folder / "out.parquet", changed_type)
    table = pq.read_table(folder / "out.parquet")
    names = [*dict.fromkeys([*new.column_names, *old.column_names])]
    assert sorted(table.column_names) == sorted(["daeda:change", "daeda:columns", *names])
    assert table.column_names[:2] == ["daeda:change", "daeda:columns"] and table.num_rows == rows
    differing = [expected["new"][key] for key in expected["differ"]]
    assert rows == len(expected["added"]) + len(expected["removed"]) + len(differing)
    for kind, wanted in {"added": expected["added"], "removed": expected["removed"], "changed": differing}.items():
        here = [row for row in table.to_pylist() if row["daeda:change"] == kind]
        same = [name for name in names if name not in changed_type]
        columns = [*expected["differ"].values()] if kind == "changed" else [[] for _ in wanted]
        assert sorted((sorted(row["daeda:columns"]), *(shown(row[name]) for name in same)) for row in here) == sorted(
            (sorted(one), *(shown(row.get(name)) for name in same)) for one, row in zip(columns, wanted, strict=True)
        )


def test_the_rows_of_a_diff_are_exported(warm):
    day, before = str(DAYS[5]), pq.read_table(warm.output / f"dt={DAYS[5]}").to_pylist()
    edit(warm.runtime, recent_published__max_items=1, content_filter__drop={"model_type": ["FLUX_MODEL"]})
    warm.run()
    found = warm.json("diff", day, "-o", "rows.parquet")
    rows = pq.read_table("rows.parquet").to_pylist()
    assert Counter(row["daeda:change"] for row in rows) == Counter(
        {kind: found[kind] for kind in ("added", "removed", "changed") if found[kind]}
    )
    assert found["removed"] and found["changed"] and found["exported"] == len(rows)
    gone = [row for row in rows if row["daeda:change"] == "removed"]
    assert all({name: row[name] for name in before[0]} in before for row in gone)
    assert found["examples"]["removed"][0]["row"] == [str(gone[0][name]) for name in KEYS]
    text = warm.cli("diff", day, "--out", "rows.parquet").stdout
    assert f"      - {'/'.join(found['examples']['removed'][0]['row'])}" in text
    assert f"{found['removed']:,} removed" in text and f"  {len(rows)} rows written" in text
    assert [path.name for path in Path().iterdir() if path.name.startswith(".daeda")] == []


@pytest.mark.parametrize("out", ["", "nowhere/rows.parquet", "data"])
def test_a_place_that_rows_cannot_go_to_is_refused_first(warm, out):
    done = warm.cli("diff", str(DAYS[5]), "--out", out)
    assert done.returncode == 2 and "the rows cannot be written there" in done.stderr


def test_of_two_stages_one_is_exported(warm):
    edit(warm.runtime, embeddings={"columns": EMBEDDINGS})
    done = warm.cli("diff", str(DAYS[5]), "--out", "rows.parquet", "--json")
    told = json.loads(done.stdout)["error"]
    assert done.returncode == 2 and told["what"] == "one file for two stages" and "--stage" in told["expected"]
    assert not Path("rows.parquet").exists()
