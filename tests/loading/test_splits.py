"""Parts of the output: who is in which is the same everywhere and for good, and no reader sees anybody else."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from drawn import config_with, draw, part_of, published
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small import DAYS, answered, edit, nothing_ran

import daedalus
from daedalus.base.errors import DaedalusError
from daedalus.config import load_config
from daedalus.loading.draws import draws
from daedalus.loading.published import find_published

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
SHARES = {"train": 0.7, "valid": 0.2, "test": 0.1}
DAY = dt.date(2026, 2, 1)
READERS = ("pyarrow", "polars", "duckdb", "pandas", "huggingface")


def table(found) -> pa.Table:
    """What any reader gives, as Arrow's table."""
    if isinstance(found, ds.Dataset):
        return found.to_table()
    if isinstance(found, pl.LazyFrame):
        return found.collect().to_arrow()
    if isinstance(found, duckdb.DuckDBPyRelation):
        return found.to_arrow_table()
    if hasattr(found, "with_format"):
        tables = list(found.with_format("arrow").iter(1000))
        return pa.concat_tables(tables) if tables else pa.table({name: [] for name in found.features})
    return pa.Table.from_pandas(found, preserve_index=False)


def world(rows: int = 400, seed: int = 1, *, text: bool = False) -> dict[dt.date, pa.Table]:
    """Days of rows of many users and sessions; of each day a run of rows of one user, and rows without a session."""
    chance, days = random.Random(seed), {}
    for day in (DAY, DAY + dt.timedelta(1), DAY + dt.timedelta(28)):
        users = sorted(chance.randrange(10**6) for _ in range(rows // 4)) * 3 + [7] * (rows // 4)
        sessions = [chance.choice([None, f"s{user % 50}-{chance.randrange(3)}-é"]) for user in users]
        ids = pa.array([f"user-{user}" for user in users]) if text else pa.array(users)
        number = pa.array(range(rows), pa.int64())
        days[day] = pa.table({"user_id": ids, "visit": sessions, "event": ["like"] * rows, "number": number})
    return days


@pytest.mark.parametrize(
    ("salt", "one", "wanted"),
    [
        ("1", 0, 1541812080387826), ("1", 42, 1070346307657121), ("1", -7, 648187397840840), ("", 0, 6512112115559262),
        ("1", "", 896131353274890), ("1", "a", 8516761139564850), ("1", "user-1234567", 625418736021873),
    ],
)  # fmt: skip
def test_draws_never_change(salt, one, wanted):
    """Else who trained on some users would be judged by them after an upgrade."""
    assert draws(pa.array([one]), salt).tolist() == [wanted] == [draw(one, salt)]


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.one_of(
        st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
        st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)),
    ),
    st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 5),
)  # fmt: skip
@example(["", "\0", "\0\0", "x" * 8, "x" * 9, "é" * 100], "", 0)
def test_draws_are_those_of_plain_python_whatever_the_array(ids, salt, at):
    kind = pa.string() if any(isinstance(one, str) for one in ids) else pa.int64()
    wanted, whole = [draw(one, salt) for one in ids], pa.array(ids, kind)
    chunks = pa.chunked_array([whole[:at], whole[at:]], kind)
    for same in (whole, chunks, whole.dictionary_encode()):
        assert draws(same, salt).tolist() == wanted
    assert draws(whole[at:], salt).tolist() == wanted[at:]
    narrow = pa.string_view() if kind == pa.string() else kind
    assert draws(whole.cast(narrow), salt).tolist() == wanted


def test_shares_are_what_is_drawn():
    drawn = draws(pa.array(range(20_000)), "any") / 2**53
    assert abs((drawn < 0.8).mean() - 0.8) < 0.01 and abs(((drawn >= 0.8) & (drawn < 0.9)).mean() - 0.1) < 0.01


def test_what_has_no_draw_is_refused():
    with pytest.raises(DaedalusError, match=r"ids that cannot be split.*found: double"):
        draws(pa.array([0.5]), "")


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("by", ["user", "session"])
def test_every_reader_gives_the_rows_of_a_part_and_no_others(tmp_path, by, text):
    days, config = world(text=text), config_with(tmp_path, by=by, parts=SHARES, salt=3)
    root, id_column = published(tmp_path, days), {"user": "user_id", "session": "visit"}[by]
    whole = pa.concat_tables(rows.append_column("dt", pa.array([day] * len(rows))) for day, rows in days.items())
    where = pa.array([part_of(one, SHARES, "3") for one in whole[id_column].to_pylist()], pa.string())
    assert len(where.unique()) == (4 if by == "session" else 3)
    for name in SHARES:
        wanted = whole.filter(pc.equal(where, name).fill_null(False))
        for to in READERS:
            if to in ("huggingface", "pandas"):
                pytest.importorskip({"huggingface": "datasets"}.get(to, to), reason=f"to={to!r} needs it")
            found = daedalus.load(None, ["dt", "number"], output_root=root, config=config, to=to, split=name)
            assert table(found).to_pydict() == wanted.select(["dt", "number"]).to_pydict(), (name, to)
            alone = daedalus.load("2026-02", [id_column], output_root=root, config=config, to=to, split=name)
            assert table(alone).to_pydict() == {id_column: wanted[id_column].to_pylist()[: table(alone).num_rows]}


def test_parts_are_read_lazily_under_projections_and_further_filters(tmp_path):
    days, config = world(text=True), config_with(tmp_path, by="user", parts=SHARES)
    options = {"output_root": published(tmp_path, days), "config": config, "split": "train"}
    whole = daedalus.load(None, ["number", "event"], **options)
    numbers = whole.to_table()["number"].to_pylist()
    few = [number for number in numbers if number < 40]
    assert whole.count_rows() == len(numbers) and whole.schema.names == ["number", "event"]
    assert whole.filter(ds.field("number") < 40).to_table(columns=["number"])["number"].to_pylist() == few
    assert whole.to_table(filter=ds.field("number") < 40)["number"].to_pylist() == few
    assert whole.to_table(columns={"twice": ds.field("number") * 2})["twice"].to_pylist() == [2 * n for n in numbers]
    assert whole.head(7)["number"].to_pylist() == numbers[:7] and whole.take([3, 0])["number"].to_pylist() == [
        numbers[3],
        numbers[0],
    ]
    assert sum(batch.num_rows for batch in whole.to_batches(batch_size=3)) == len(numbers)
    frame = daedalus.load(None, to="polars", **options)
    assert isinstance(frame, pl.LazyFrame)
    assert frame.filter(pl.col("number") < 40).select("number").collect()["number"].to_list() == few
    assert frame.select(pl.len()).collect().item() == len(numbers)
    assert frame.head(2).collect()["number"].to_list() == numbers[:2]
    assert pl.scan_pyarrow_dataset(whole).filter(pl.col("number") < 40).collect()["number"].to_list() == few
    relation = daedalus.load(None, to="duckdb", **options)
    assert relation.filter("number < 40").project("number").fetchall() == [(number,) for number in few]
    assert relation.count("*").fetchall() == [(len(numbers),)]


def test_what_would_not_see_the_part_fails(tmp_path):
    """Arrow's own joins and scanners read a dataset below Python."""
    config = config_with(tmp_path, by="user", parts=SHARES)
    found = daedalus.load(None, ["number"], output_root=published(tmp_path, world()), config=config, split="test")
    for read in (lambda: found.sort_by("number"), lambda: ds.Scanner.from_dataset(found).to_table(),
                 lambda: found.join(found, "number"), lambda: list(found.get_fragments())):  # fmt: skip
        with pytest.raises((pa.ArrowInvalid, ValueError), match=r"load\(split\)|not allowed"):
            read()


def test_python_ends_though_a_part_was_not_read_to_its_end(tmp_path):
    config, root = config_with(tmp_path, by="user", parts=SHARES), published(tmp_path, world(40_000))
    script = f"""import daedalus
found = daedalus.load(None, output_root={str(root)!r}, config={str(config)!r}, split="train")
next(iter(found.to_batches())), found.head(3)"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_a_part_added_last_moves_nobody_and_another_salt_moves_many(tmp_path):
    def users(name: str, **splits) -> list:
        config = config_with(tmp_path / name, by="user", **splits)
        return daedalus.load(output_root=root, config=config, split="train").to_table()["user_id"].to_pylist()

    root = published(tmp_path, world())
    before = users("a", parts={"train": 0.5, "test": 0.1})
    assert before and before == users("b", parts={"train": 0.5, "test": 0.1, "more": 0.4})
    assert users("c", parts={"train": 0.5}, salt="x") != before
    assert users("d", parts={"train": 1}) == users("e", parts={"train": 1.0}, salt=7) != before


def test_parts_by_day_and_parts_of_users_on_some_days(tmp_path):
    days = world()
    root = published(tmp_path, days)
    by_day = config_with(tmp_path / "d", by="day", parts={"train": 202602, "valid": "2026-03-01..2026-03-31"})
    found = find_published(None, output_root=root, config=by_day, split="train")
    assert found.split is None and len(found.paths) == 4
    counts = [daedalus.load(r, output_root=root, config=by_day, split=s).count_rows()
              for r, s in ((None, "train"), ("2026-02-02", "train"), (None, "valid"))]  # fmt: skip
    assert counts == [800, 400, 400]
    with pytest.raises(DaedalusError, match=r"no partition of the part valid in the range.*days of 2026-03-01"):
        daedalus.load("2026-02", output_root=root, config=by_day, split="valid")
    parts = {"train": {"share": 0.7, "days": "202602"}, "late": {"share": 0.3, "days": "202603"}}
    both = config_with(tmp_path / "b", by="user", parts=parts)
    late = daedalus.load(output_root=root, config=both, split="late", to="polars").collect()
    wanted = [
        part_of(user, {"train": 0.7, "late": 0.3}, "") == "late" for user in days[max(days)]["user_id"].to_pylist()
    ]
    assert late["number"].to_list() == [number for number, is_in in enumerate(wanted) if is_in]


PARTS = "splits.parts"


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"by": "user", "parts": {}}, "splits without parts"),
        ({"by": "artwork", "parts": {"a": 1}}, "splits.by; found: 'artwork'; expected: 'day' or 'user' or 'session'"),
        ({"by": "user", "parts": {"a": 0}}, f"{PARTS}.a; found: 0.*above 0"),
        ({"by": "user", "parts": {"a": 1.5}}, f"a share that is none.*{PARTS}.a"),
        ({"by": "user", "parts": {"a": float("nan")}}, f"a share that is none.*{PARTS}.a"),
        ({"by": "user", "parts": {"a": -0.1}}, f"a share that is none.*{PARTS}.a"),
        ({"by": "user", "parts": {"a": 0.8, "b": 0.1, "c": 0.11}}, "more than the whole.*1.01 in all"),
        ({"by": "user", "parts": {"a": "202602"}}, f"without a share.*{PARTS}.a; found: 202602.*{{share: 0.1, days"),
        ({"by": "session", "parts": {"a": {"days": 202602}}}, "without a share"),
        ({"by": "session", "parts": {"a": {}}}, "without a share.*no share.*share of the sessions"),
        ({"by": "user", "parts": {"a": True}}, f"{PARTS}.a"),
        ({"by": "user", "parts": {"a": {"share": 0.5, "part": 1}}}, "unknown key"),
        ({"by": "user", "parts": {"": 0.5}}, "an empty name"),
        ({"by": "user", "parts": {"train": 0.5, "Train": 0.5}}, "appears twice"),
        ({"by": "user", "parts": {"a": {"share": 0.5, "days": "Feb"}}}, f"a range that cannot be read.*{PARTS}.a"),
        ({"by": "day", "parts": {"a": 0.5}}, f"not a range of days.*{PARTS}.a; found: the share 0.5"),
        ({"by": "day", "parts": {"a": {"share": 0.5, "days": 202602}}}, "not a range of days"),
        ({"by": "day", "parts": {"a": {}}}, "not a range of days.*no days"),
        ({"by": "day", "parts": {"a": 202613}}, "not a date"),
        ({"by": "day", "parts": {"a": "202602..202603", "b": "2026-03-31..2026-04-02"}},
         f"a day in two parts.*{PARTS}.b; found: 2026-03-31, which is also in a"),
        ({"parts": {"a": 1}}, "a required key is missing"),
    ],
)  # fmt: skip
def test_splits_that_mean_nothing_are_refused(tmp_path, splits, said):
    config = config_with(tmp_path, **splits)
    with pytest.raises(DaedalusError, match="(?s)" + said):
        load_config(config)


def test_the_column_of_a_split_must_be_in_the_output(tmp_path):
    config = config_with(tmp_path, by="session", parts={"a": 1})
    edit(config / "training/runtime.yaml", output_columns=["user_id"])
    answer = answered("config", "check", "--config", str(config))
    assert answer.returncode == 2 and "Traceback" not in answer.stderr
    assert "splits.by" in answer.stderr and "add feed_session to output_columns" in answer.stderr


def test_parts_that_are_not_there_are_refused(warm):
    edit(warm.runtime, splits=None)
    with pytest.raises(DaedalusError, match=r"the configuration has no splits.*load\(split\)"):
        daedalus.load(split="train")
    edit(warm.runtime, splits={"by": "user", "parts": SHARES})
    with pytest.raises(DaedalusError, match=r"no such part.*train or valid or test.*did you mean 'train'"):
        daedalus.load(split="trian")
    assert daedalus.load(split="train", output_root=str(warm.output)).count_rows() > 0
    with pytest.raises(DaedalusError, match=r"no config folder.*load\(split\).*beside output_root"):
        daedalus.load(split="train", output_root=warm.output, config="elsewhere")
    rows = pa.table({"event": ["like"]})
    with pytest.raises(DaedalusError, match=r"a column that the output does not have.*load\(split\); found: user_id"):
        daedalus.load(split="train", output_root=published(warm.root / "old", {DAY: rows}))


def test_splits_are_in_no_key_and_days_stay_fresh(warm):
    warm.run()  # the copy's files have been looked at
    digest = warm.json("compile")["digest"]
    for splits in ({"by": "user", "parts": SHARES}, {"by": "user", "parts": {"train": 1}, "salt": "2"}):
        edit(warm.runtime, splits=splits)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("daedalus.workspace.graph.build_graph", None)  # all days are fresh
            assert nothing_ran(warm.run())
        assert warm.json("compile")["digest"] == digest
    assert daedalus.load(split="train").count_rows() == daedalus.load().count_rows()
    assert len(daedalus.load(split="train", range=str(DAYS[0])).to_table()) > 0


def test_config_check_says_what_each_part_asks_for(warm):
    parts = {"train": 0.8, "valid": {"share": 0.1, "days": 202602}}
    edit(warm.runtime, splits={"by": "user", "parts": parts})
    assert warm.json("config", "check")["splits"] == {
        "by": "user", "rest": 0.1,
        "parts": [{"name": "train", "share": 0.8, "days": None}, {"name": "valid", "share": 0.1, "days": "202602"}],
    }  # fmt: skip
    shown = warm.cli("config", "check").stdout
    assert "\nsplits      by user: train 0.8, valid 0.1 on 202602, in none 0.1\n" in shown
    edit(warm.runtime, splits={"by": "day", "parts": {"a": "2026-02-01..2026-02-03"}})
    assert "\nsplits      by day: a on 2026-02-01..2026-02-03\n" in warm.cli("config", "check").stdout
