"""`daeda init` accepts what a run takes, and refuses what a run would refuse: for folders of any kind."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daedalus.base.errors import DaedalusError
from daedalus.config import load_config
from daedalus.init.lines import init_lines
from daedalus.init.write import _loaded, init
from daedalus.inputs.listing import list_inputs
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.upkeep.check_config import check_config
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

NOON = dt.datetime(2026, 2, 1, 12)
MICROS = pa.timestamp("us")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def feed(folder="dt=2026-02-01", file="p.parquet", **columns):
    """Two rows of a user each; None takes a column away."""
    base = {"user_id": pa.array([1, 2]), "artwork_id": pa.array([10, 11]), "event": pa.array(["view", "like"]),
            "event_timestamp": pa.array([NOON] * 2, MICROS), "feed_session": pa.array(["a", "a"])}  # fmt: skip
    made = {name: column for name, column in {**base, **columns}.items() if column is not None}
    write(f"feed/{folder}/{file}", pa.table(made))


def view(name="items", file="p.parquet", **columns):
    base = {"artwork_id": pa.array([10]), "updated_at": pa.array([NOON], MICROS)}
    made = {name: column for name, column in {**base, **columns}.items() if column is not None}
    write(f"cat/{name}/{file}", pa.table(made))


def write(path, table):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(table, path)


def runs(pool=None):
    """What init found, once a check and a run have passed on it."""
    found = init("mine", "feed", "cat", pool)
    assert init_lines(found)
    assert check_config(Settings("mine"))["bad_files"] == []
    assert run_skeleton_stage(Settings("mine")).exit_code == 0
    return found


REFUSED = {
    "a numeric event": (lambda: feed(event=pa.array([0, 1])), "needs another type: event",
                        "CAST(\"event\" AS VARCHAR)"),
    "decimal ids": (lambda: feed(user_id=pa.array([decimal.Decimal(1)] * 2, pa.decimal128(20, 0))),
                    "needs another type: user_id", "CAST(\"user_id\" AS BIGINT)"),
    "lists as ids": (lambda: feed(artwork_id=pa.array([["x"], ["y"]])), "ids of items", "artwork_id VARCHAR[]"),
    "numbers that are no times": (lambda: feed(event_timestamp=pa.array([1, 2])), "looks like times",
                                  "event_timestamp BIGINT"),
    "no event": (lambda: feed(event=None), "names the kind of event", "'event' AS \"event\""),
    "a bad file among good ones": (lambda: (feed(), feed("dt=2026-02-02", event=pa.array([0, 1]))), "cannot be widened",
                                   "BIGINT"),
    "files without folders": (lambda: feed("."), "not a feed by day: files without folders of days", "p.parquet"),
    "an empty folder": (lambda: os.makedirs("feed/dt=2026-02-01"), "the feed has no partitions", "dt=2026-02-01"),
    "an empty file": (lambda: (feed(), Path("feed/dt=2026-02-01/q.parquet").touch()), "a parquet file cannot be read",
                      "0 bytes"),
    "no parquet": (lambda: (feed(), Path("feed/dt=2026-02-01/q.parquet").write_text("x" * 99)),
                   "a parquet file cannot be read", "Parquet"),
    "two spellings": (lambda: feed(USER_ID=pa.array([1, 2])), "two columns differ only in case", "USER_ID"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_feed_that_a_run_would_refuse_is_refused(here, kind):
    make, what, found = REFUSED[kind]
    make()
    view(kind=pa.array([1]))
    with pytest.raises(DaedalusError, match=what) as refused:
        init("mine", "feed", "cat", None)
    assert refused.value.exit_code == 2 and found in str(refused.value) and refused.value.expected
    assert sorted(os.listdir()) == ["cat", "feed"]


@pytest.mark.parametrize("name", ["daeda:x", "Daeda:x", "DAEDA:age user", "Qid"])
def test_a_reserved_name_is_left_out_in_any_case(here, name):
    feed()
    view(**{name: pa.array([1]), "kind": pa.array([1])})
    found = runs()
    assert found["left_out"] == [f"items: its column {name} (its name is reserved)"] and found["views"] == ["items"]


@pytest.mark.parametrize("name", ["items", "a[b]*", "deep/er"])
@pytest.mark.parametrize("files", [["a.parquet", "B.PARQUET"], ["A.PARQUET"], ["a.parquet"]])
def test_a_view_is_all_its_parquet_files_in_upper_and_lower_case(here, name, files):
    feed()
    for place, file in enumerate(files):
        view(name, file, kind=pa.array([1]), **{f"only_{place}": pa.array([1])})
    view("one", kind=pa.array([1]))
    os.rename("cat/one/p.parquet", "cat/single.Parquet")
    os.rmdir("cat/one")
    assert runs()["views"] == [name.partition("/")[0], "single"]
    config = load_config("mine")
    with opened(Settings("mine")) as workspace:
        found = list_inputs(config, workspace.files).views[name.partition("/")[0]]
    assert sorted(Path(file).name for file in found) == sorted(files)
    source = config.catalog.views[name.partition("/")[0]].source
    assert source == "cat/items" if name == "items" else source.startswith("cat/")


def test_errors_name_the_folder_that_was_asked_for(here):
    """Not the one in which a proposal is tried."""
    feed()
    view(kind=pa.array([1]))
    init("tried", "feed", "cat", None)
    edits = {"catalog.yaml": ("items:", "items: 3"), "training/runtime.yaml": ("feed_start:", "feed_started:")}
    for file, edit in edits.items():
        whole = Path("tried", file).read_text()
        Path("tried", file).write_text(whole.replace(*edit))
        with pytest.raises(DaedalusError) as refused:
            _loaded(Path("mine"), here / "tried")
        assert refused.value.where.startswith(f"mine/{file}") and str(here) not in str(refused.value)
        Path("tried", file).write_text(whole)


def test_a_view_file_that_is_no_parquet_is_refused(here):
    feed()
    view(kind=pa.array([1]))
    Path("cat/items/q.parquet").write_text("x" * 99)
    with pytest.raises(DaedalusError, match="a parquet file cannot be read") as refused:
        init("mine", "feed", "cat", None)
    assert "cat/items/q.parquet" in refused.value.where and not Path("mine").exists()


@pytest.mark.parametrize("table", [pa.table({"name": ["x"], "vector": [[0.0]]}), None])
def test_a_pool_that_a_run_would_refuse_is_refused(here, table):
    import lancedb

    feed()
    view(kind=pa.array([1]))
    lancedb.connect("pool").create_table("t", table) if table else os.makedirs("pool/t.lance")
    with pytest.raises(DaedalusError, match="the embedding pool") as refused:
        init("mine", "feed", "cat", "pool")
    assert refused.value.exit_code == 2 and sorted(os.listdir()) == ["cat", "feed", "pool"]


def test_hidden_files_are_passed_over(here):
    feed()
    view(kind=pa.array([1]))
    for path in ("feed/dt=2026-02-01/._p.parquet", "cat/items/._p.parquet", "cat/._items.parquet"):
        Path(path).write_bytes(b"\0\5\x16\7" + b"\0" * 100)
    assert runs()["views"] == ["items"]


def test_the_session_filter_is_off_and_said_to_be(here):
    feed(event=pa.array(["view", "view"]))
    view(kind=pa.array([1]))
    runs()
    assert load_config("mine").runtime.session_filter.drop_view_only is False
    assert "100% of the rows" in Path("mine/training/runtime.yaml").read_text()


def test_a_feed_without_rows_is_refused(here):
    feed(**{name: pa.array([], kind) for name, kind in (
        ("user_id", pa.int64()), ("artwork_id", pa.int64()), ("event_timestamp", MICROS), ("event", pa.string()),
        ("feed_session", pa.string()))})  # fmt: skip
    view(kind=pa.array([1]))
    with pytest.raises(DaedalusError, match="no rows") as refused:
        init("mine", "feed", "cat", None)
    assert refused.value.exit_code == 2 and not Path("mine").exists()


def test_views_that_cannot_be_used_are_passed_over_and_named(here):
    feed()
    view("no_entity", artwork_id=None, shop_id=pa.array([1]), kind=pa.array([1]))
    view("no_time", updated_at=None, kind=pa.array([1]))
    view("one_column", updated_at=None)
    view("nothing_else")
    view("nested", point=pa.array([{"x": 1}]), pair=pa.array([[{"x": 1}]]))
    os.makedirs("cat/empty")
    found = runs()
    assert found["views"] == []
    for name in ("no_entity", "no_time", "one_column", "nothing_else", "nested"):
        assert any(line.startswith(f"{name}: ") for line in found["left_out"])


def test_columns_that_cannot_be_features_are_passed_over_and_named(here):
    feed()
    odd = {"event": "x", "dt": "x", "qid": 1, "User_ID": 1, "daeda:x": 1, "Twice": 1, "twice": 2, "point": {"x": 1}}
    view(**{name: pa.array([value]) for name, value in odd.items()}, both=pa.array([1]), good=pa.array([1]))
    view(file="q.parquet", both=pa.array(["x"]), good=pa.array([1.5]))
    found = runs()
    assert load_config("mine").catalog.views["items"].features == ["good"]
    assert all(any(f"items: its column {name} (" in line for line in found["left_out"]) for name in (*odd, "both"))


def test_names_that_two_have_stay_apart(here):
    """Of two views, of a feature and an aggregation or an age, of events that differ in case, a folder and a file."""
    feed(event=pa.array(["like", "Like"]))
    taken = {"like_artwork_ids_1d": 1, "artwork_age": 1, "author_id": 1, "created_at": NOON, "Shared": 1}
    view("one", **{name: pa.array([value]) for name, value in taken.items()})
    view("two", author_id=pa.array([1]), shared=pa.array([1]))
    write("cat/two.parquet", pq.read_table("cat/two/p.parquet"))
    assert runs()["views"] == ["one", "two", "two_"]
    shipped = [column.name for column in load_config("mine").output_columns]
    assert "like_artwork_ids_1d" in shipped and {"author_id", "Shared", "shared"}.isdisjoint(shipped)


NAMES = ["on", "null", "1e3", "1", "a: b", "*a", "&a", "!a", "- a", "# a", "a #b", "'", '"', "a'b\"c", "Ünï ☃ 😀",
         " a ", "a\nb", "[x]", "a*b?", "{a}", "%a", "@a", "`a`", "select", "a\tb", "a\u2028b", "~", "2026-02-01", "=",
         "<<", "a\\b", "{{ a }}"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_written_as_what_it_is(here, name):
    feed(event=pa.array([name, "like"]))
    view(name, **{name: pa.array([1])})
    view_name = name.replace(":", "_")  # view:feature is a reference to it
    assert init("mine", "feed", "cat", None)["views"] == [view_name]
    config = load_config("mine")
    assert config.catalog.views[view_name].features == [name] and config.runtime.feature_refs == [f"{view_name}:{name}"]
    assert name in config.runtime.embedding_coverage_filter.events + [e for a in config.aggregations for e in a.events]
    text = Path("mine/catalog.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)["views"]) == [view_name]


KINDS = [pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float64(), pa.string(), pa.binary(), pa.bool_(),
         pa.null(), pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.time64("us"),
         pa.duration("us"), pa.decimal128(30, 2), pa.decimal256(50, 2), pa.list_(pa.int32()), pa.list_(pa.float32(), 1),
         pa.list_(pa.list_(pa.int64())), pa.struct({"x": pa.int8()}), pa.map_(pa.string(), pa.int8()),
         pa.dictionary(pa.int8(), pa.string()), pa.binary(3)]  # fmt: skip
COLUMNS = ["user_id", "artwork_id", "updated_at", "created_at", "author_id", "tack_ids", "event", "score", "Score",
           "a b", "like_artwork_ids_1d", "artwork_type", "model_type"]  # fmt: skip
FEED = {"user_id": [pa.int32(), pa.int64(), pa.uint32(), pa.float64()],
        "artwork_id": [pa.int64(), pa.uint16(), pa.string()],
        "event_timestamp": [pa.timestamp("ms"), pa.timestamp("ns", "UTC"), pa.date32()],
        "event": [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.int64()]}  # fmt: skip
views = st.dictionaries(
    st.sampled_from(["users", "items", "Items x", "null", "user's"]),
    st.lists(st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from(KINDS), min_size=1), min_size=1, max_size=2),
    min_size=1,
    max_size=3,
)
# The first type of each column mostly: a feed in which every type is drawn evenly is refused nearly always.
columns = st.fixed_dictionaries(
    {name: st.one_of(st.just(kinds[0]), st.just(kinds[0]), st.sampled_from(kinds)) for name, kinds in FEED.items()}
)
days = st.dictionaries(st.sampled_from(["dt=2026-02-01", "dt=2026-02-02", "dt=20260203"]), columns, min_size=1)


def _value(kind, given=None):
    if given is not None and (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    ):
        return pa.array([given], pa.string()).cast(kind)
    if pa.types.is_timestamp(kind):
        return pa.array([NOON], kind)
    return pa.array([NOON.date()] if pa.types.is_date(kind) else [None], kind)


@settings(
    max_examples=int(os.environ.get("DAEDA_EXAMPLES", "15")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(days, views)
def test_whatever_is_accepted_runs(days, views):
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for day, kinds in days.items():
                rows = {name: _value(kind, "like") for name, kind in kinds.items()}
                numbers = {
                    n: pa.array([1], k) for n, k in kinds.items() if pa.types.is_integer(k) or pa.types.is_floating(k)
                }
                write(f"feed/{day}/p.parquet", pa.table(rows | numbers))
            for name, files in views.items():
                for number, kinds in enumerate(files):
                    table = pa.table({column: _value(kind) for column, kind in kinds.items()})
                    write(f"cat/{name}/{number}.parquet", table)
            try:
                init("mine", "feed", "cat", None)
            except DaedalusError as refused:
                assert refused.exit_code == 2 and not os.path.exists("mine")
            else:
                assert check_config(Settings("mine"))["bad_files"] == []
                assert run_skeleton_stage(Settings("mine")).exit_code == 0
        finally:
            os.chdir(before)
