"""The audit finds no user or session in two parts of the splits, and says so when one is, whatever drew it."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pytest
from drawn import config_with, part_of
from hypothesis import given, settings
from hypothesis import strategies as st
from small import DAYS, edit

import daedalus
from daedalus.audit import crossings
from daedalus.audit.crossings import _Ids
from daedalus.audit.reference_splits import ReferenceSplits
from daedalus.config import load_config
from daedalus.loading.splits import Split, split_of

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
SHARES = {"train": 0.7, "valid": 0.2, "test": 0.1}


def by_kind(found: dict) -> dict:
    return {one["kind"]: one for one in found["splits"]["ids"]}


def told(world) -> tuple[int, dict, str]:
    """Exit code, splits by `--json`, and what the terminal shows."""
    answer, shown = world.cli("audit", "--rows", "20", "--json"), world.cli("audit", "--rows", "20")
    assert answer.returncode == shown.returncode and max(map(len, shown.stdout.splitlines())) <= 80
    return answer.returncode, world.json("audit", "--rows", "20") if not answer.returncode else {}, shown.stdout


def test_no_user_is_in_two_parts_and_sessions_of_several_are_told(warm):
    edit(warm.runtime, splits=None)
    assert warm.json("audit", "--rows", "20")["splits"] is None
    edit(warm.runtime, splits={"by": "user", "parts": SHARES, "salt": 3})
    code, found, shown = told(warm)
    rows = daedalus.load(None, ["user_id", "qid"]).to_table().to_pylist()
    where = [part_of(row["user_id"], SHARES, "3") for row in rows]
    assert code == 0 and found["splits"]["rows"] == {name: where.count(name) for name in SHARES}
    assert found["splits"]["left_out"] == 0 == found["splits"]["wrong"] and found["splits"]["sampled"] > 1000
    users, sessions = by_kind(found)["user"], by_kind(found)["session"]
    assert users["ids"] == len({row["user_id"] for row in rows}) and users["in_two_parts"] == 0 and users["share"] == 1
    several = {qid: {w for row, w in zip(rows, where, strict=True) if row["qid"] == qid} for qid in
               {row["qid"] for row in rows} - {None}}  # fmt: skip
    assert sessions["ids"] == len(several) and sessions["in_two_parts"] == sum(len(w) > 1 for w in several.values())
    assert "splits by user, rows: train" in shown and f"of {users['ids']} users none is in two parts" in shown


def test_sessions_that_go_on_after_the_days_of_a_part_are_told(warm):
    edit(warm.runtime, splits={"by": "day", "parts": {"a": f"{DAYS[0]}..{DAYS[5]}", "b": str(DAYS[6])}})
    code, found, shown = told(warm)
    rows = daedalus.load(None, ["qid", "user_id", "dt"]).to_table().to_pylist()
    days = {"a": set(DAYS[:6]), "b": {DAYS[6]}}
    both = set.intersection(*({row["user_id"] for row in rows if row["dt"] in of} for of in days.values()))
    counts = {name: sum(row["dt"] in of for row in rows) for name, of in days.items()}
    assert code == 0 and found["splits"]["rows"] == counts
    assert found["splits"]["left_out"] == len(rows) - sum(counts.values()) and found["splits"]["wrong"] == 0
    assert by_kind(found)["user"]["in_two_parts"] == len(both) > 0
    assert f"{len(both)} are in two parts: what is split are days" in shown


def test_a_draw_by_row_is_found(warm, monkeypatch):
    """As one that forgets the id would be."""
    edit(warm.runtime, splits={"by": "user", "parts": {"train": 0.5, "test": 0.5}})

    def by_row(split: Split, ids) -> pa.Array:
        return pa.array((np.arange(len(ids)) % 2 == 0) == (split.name == "train"))

    monkeypatch.setattr(Split, "keeps_ids", by_row)
    answer = warm.cli("audit", "--rows", "20")
    assert answer.returncode == 1 and "ARE IN TWO PARTS" in answer.stdout and ": train and test" in answer.stdout
    assert "are NOT IN THE PART of their id" in answer.stdout


def test_another_draw_without_crossing_is_found(warm, monkeypatch):
    """Such as one that changes with a version: who trained on a part would be judged by some of it."""
    edit(warm.runtime, splits={"by": "user", "parts": SHARES})
    monkeypatch.setattr("daedalus.loading.draws.sha256", lambda data: __import__("hashlib").sha256(data + b"x"))
    answer = warm.cli("audit", "--rows", "20")
    assert answer.returncode == 1 and "NOT IN THE PART" in answer.stdout and "ARE IN TWO" not in answer.stdout


def test_ids_are_counted_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(crossings, "_MOST_IDS", 2000)
    ids = _Ids(["a", "b"])
    for at in range(0, 40_000, 1000):
        texts = pa.chunked_array([[f"user {n}" for n in range(at, at + 1000)]])
        ids.add("a", texts)
        ids.add("b", texts.slice(0, 250))
        assert sum(map(len, ids._of.values())) <= 2000
    found = ids.found("user")
    assert found["share"] in (1 / 32, 1 / 64) and abs(found["ids"] / found["share"] / 40_000 - 1) < 0.2
    assert abs(found["in_two_parts"] / found["ids"] - 0.25) < 0.06 and len(found["examples"]) == 5


@pytest.mark.parametrize("by", ["user", "session", "day"])
@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(
    ids=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1),
    day=st.sampled_from([*DAYS, DAYS[0].replace(month=1), DAYS[0].replace(month=3), DAYS[0].replace(year=2025)]),
    shares=st.lists(st.integers(1, 25), min_size=1, max_size=4), salt=st.text("ab1", max_size=2), dated=st.booleans(),
)  # fmt: skip
def test_the_reference_and_the_parts_agree(tmp_path_factory, by, ids, day, shares, salt, dated):
    days = ["202602", "2026-03", "2026-02-03..2026-02-09", "2025-12..2026-01"]
    days = days if by != "day" else ["2026-02-01..2026-02-03", "2026-02-04..202603", "202501..2025-12", "2026-01"]
    parts = {f"p{i}": days[i] if by == "day" else {"share": share / 100, "days": days[i]} if dated else share / 100
             for i, share in enumerate(shares)}  # fmt: skip
    config = load_config(config_with(tmp_path_factory.mktemp("splits"), by=by, parts=parts, salt=salt))
    reference = ReferenceSplits({"by": by, "parts": parts, "salt": salt})
    keeping = {name: split_of(config, name, "here") for name in parts}
    array = pa.array(ids, pa.string())
    for row, one in enumerate(ids):
        found = [name for name, (split, of) in keeping.items()
                 if (of is None or day in of) and (split is None or split.keeps_ids(array)[row].as_py())]  # fmt: skip
        expected = reference.part(one, day)
        assert found == [expected] * (expected is not None)
