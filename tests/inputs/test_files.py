"""Files as they are found: odd names, links, pipes, types and times. Each is read rightly, or refused by its name."""

from __future__ import annotations

import datetime as dt
import decimal
import glob
import itertools
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Reference, differences, read_output
from small import PROJECT, nothing_ran

from daedalus.base.errors import DaedalusError, DayError
from daedalus.objectstore.globs import find, matches
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.sql.column_types import holds, read_as
from daedalus.upkeep.check_config import check_config
from daedalus.workspace.graph import build_graph
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

ONE, TWO, THREE = "2026-02-01", "2026-02-02", "2026-02-03"
LAST, FIRST = 2**63 - 1, -(2**63) + 1


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def feed_table(*rows: tuple, **types: pa.DataType) -> pa.Table:
    """Rows of (user_id, artwork_id, event_timestamp, event, feed_session); `types` replace the usual ones."""
    kinds = {"user_id": pa.int64(), "artwork_id": pa.int64(), "event_timestamp": pa.timestamp("us"),
             "event": pa.string(), "feed_session": pa.string(), **types}  # fmt: skip
    columns = zip(*(row + (None,) * (5 - len(row)) for row in rows), strict=True)
    return pa.table({name: pa.array(map(_time, values) if name == "event_timestamp" else values, kinds[name])
                     for name, values in zip(kinds, columns, strict=False)})  # fmt: skip


def _time(value: object) -> object:
    return at(value) if isinstance(value, str) else value


def like(day: str, artwork: int = 10, hour: int = 10) -> tuple:
    return (1, artwork, f"{day} {hour:02}:00", "like", "s")


def view_table(**features: list) -> pa.Table:
    count = len(next(iter(features.values())))
    return pa.table({"artwork_id": list(range(10, 10 + count)), "updated_at": [at("2026-01-01")] * count, **features})


class Project:
    """A feed, one view `q` of artworks, and the three config files, in a folder that is the working directory."""

    def __init__(self, root: Path, view: pa.Table | None = None, columns: list | None = None, **runtime) -> None:
        self.root, self.feed, self.views = root, root / "data/feed", root / "data/catalog/q"
        for day in (ONE, TWO):
            self.write(day, feed_table(like(day), like(day, 11, 11)))
        view = view_table(score=[1, 2]) if view is None else view
        self.views.mkdir(parents=True)
        pq.write_table(view, self.views / "a.parquet")
        features = [name for name in view.column_names if name not in ("artwork_id", "updated_at")]
        catalog = {"feed": {"path": "data/feed"}, "views": {"q": {
            "source": "data/catalog/q/*.parquet", "entity": "artwork_id", "timestamp_field": "updated_at",
            "features": features}}}  # fmt: skip
        self.runtime = {
            "feed_start": ONE, "feed_end": THREE, "compute": {"duckdb_config": {"threads": 1}},
            "spine": {"lookback_days": 2}, "feature_refs": [f"q:{features[0]}"],
            "output_columns": ["user_id", "artwork_id", "event_timestamp", "event", *(columns or features)], **runtime,
        }  # fmt: skip
        self.aggregations: list[dict] = []
        self.catalog = catalog
        self.configure()

    def configure(self) -> None:
        (self.root / "config/training").mkdir(parents=True, exist_ok=True)
        files = {"catalog.yaml": self.catalog, "training/runtime.yaml": self.runtime,
                 "training/aggregations.yaml": {"aggregations": self.aggregations}}  # fmt: skip
        for name, value in files.items():
            (self.root / "config" / name).write_text(yaml.safe_dump(value))

    def write(self, day: str, table: pa.Table, name: str = "p.parquet", **options) -> Path:
        path = self.feed / f"dt={day}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
        return path

    def run(self, **settings):
        return run_skeleton_stage(Settings(**settings))

    def cli(self, *arguments: str, timeout: int = 60) -> subprocess.CompletedProcess:
        """In a process of its own: what hangs is told by the timeout."""
        return subprocess.run([sys.executable, "-m", "daedalus", *arguments], cwd=self.root, capture_output=True,
                              text=True, timeout=timeout, env={**os.environ, "PYTHONPATH": str(PROJECT)})  # fmt: skip

    def rows(self, column: str = "artwork_id") -> dict[str, list]:
        found = read_output(self.root / "data/training_output")
        return {str(day): [row[column] for row in rows] for day, rows in found.items()}

    def all_rows(self) -> list:
        return [artwork for artworks in self.rows().values() for artwork in artworks]

    def equals_reference(self) -> None:
        assert differences(Reference("config").run(), read_output("data/training_output")) == []


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **options: Project(tmp_path, *arguments, **options)


# Stamps


def test_a_stamp_ahead_of_the_clock_is_neither_waited_for_nor_trusted(make):
    project = make()
    file = project.write(ONE, feed_table(like(ONE, 10)))
    ahead = time.time_ns() + 86_400 * 10**9 + 1_500_000_001
    os.utime(file, ns=(ahead, ahead))
    done = project.cli("skeleton", "--progress", "none")  # a day's sleep does not end in the timeout
    assert done.returncode == 0, done.stderr
    assert project.rows()[ONE] == [10]
    stat = file.stat()
    project.write(ONE, feed_table(like(ONE, 12)))
    assert file.stat().st_size == stat.st_size
    os.utime(file, ns=(ahead, ahead))
    project.run()
    assert project.rows()[ONE] == [12]
    assert nothing_ran(project.run())


# Times


@pytest.mark.parametrize("int96", [False, True])
@pytest.mark.parametrize("far", ["9999-12-31", "0001-01-01"])
def test_open_ends_read_alike_in_int96_and_in_microseconds(make, int96, far):
    project = make(view_table(valid_to=[at("2026-06-01"), at(far)]))
    for path in project.root.glob("data/**/*.parquet"):
        pq.write_table(pq.ParquetFile(path).read(), path, use_deprecated_int96_timestamps=int96)
    table = feed_table(like(TWO), (1, 11, at(far), "like", "s"), (1, 11, f"{TWO} 11:00", "like", "s"))
    project.write(TWO, table, use_deprecated_int96_timestamps=int96)
    report = project.run()
    assert report.exit_code == 0 and report.rows["strays"] == 1
    project.equals_reference()


@pytest.mark.parametrize("zone", [None, "Asia/Taipei"])
def test_nanoseconds_lie_in_the_microsecond_below_them(tmp_path, zone):
    import duckdb

    nanos = [LAST, FIRST, -1, -999, -1000, -1001, 0, 1, 999, 1000, 1999, None]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"t": pa.array(nanos, pa.int64()).cast(pa.timestamp("ns", zone))}), path)
    kind = "TIMESTAMPTZ_NS" if zone else "TIMESTAMP_NS"
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        found = duck.sql(f"SELECT {read_as('t', kind, 'TIMESTAMP')} AS t FROM '{path}'").to_arrow_table()["t"]
    assert found.cast(pa.int64()).to_pylist() == [n if n is None else n // 1000 for n in nanos]


def test_nanoseconds_before_1970_are_floored_in_memory_as_in_files():
    from daedalus import aggregate_pit_table

    def table(nanos: list[int], **more) -> pa.Table:
        times = pa.array(nanos, pa.int64()).cast(pa.timestamp("ns"))
        return pa.table({"user_id": [1] * len(nanos), "artwork_id": [7] * len(nanos), "event_timestamp": times, **more})

    spec = {"name": "n", "events": ["like"], "column": "artwork_id", "agg": "count", "windows": "cumulative"}
    events = table([-1001, -1000, FIRST], event=["like"] * 3)  # microseconds -2, -1 and the first
    found = aggregate_pit_table(table([-500, -1000, -1001, LAST]), events, [spec])["n"].to_pylist()
    assert found == [2, 2, 1, 3]
    far = table([0]).set_column(2, "event_timestamp", pa.array([LAST], pa.int64()).cast(pa.timestamp("ms")))
    with pytest.raises(DaedalusError, match="event_timestamp"):
        aggregate_pit_table(far, events, [spec])


def test_a_day_is_its_midnight_wherever_a_time_is_wanted(make):
    days = [dt.date(2026, 1, 30), dt.date(1969, 7, 20), None]
    table = view_table(author_id=[1, 1, 1], published_on=pa.array(days, pa.date32()))
    table = table.set_column(1, "updated_at", pa.array([dt.date(2026, 1, 1)] * 3, pa.date32()))
    project = make(
        table, columns=["published_on", "age", "pub", "days_2d"], ages={"age": "q:published_on"},
        enrich=["q:published_on"],
        recent_published={"column": "pub", "published_at": "q:published_on", "author": "q:author_id", "window": "30d"},
    )  # fmt: skip
    project.aggregations = [
        {"name": "days", "events": ["like"], "column": "published_on", "agg": "list", "windows": ["2d"]}
    ]
    project.configure()
    assert project.run().exit_code == 0
    assert (project.rows("pub")[ONE], project.rows("age")[ONE]) == ([[10], [10]], [2, 20650])
    project.equals_reference()


FAR = {
    "milliseconds": pa.array([LAST // 1000 + 1] * 2, pa.int64()).cast(pa.timestamp("ms")),
    "days as a time": pa.array([200_000_000] * 2, pa.int32()).cast(pa.date32()),
}


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("kind", FAR)
def test_times_that_nothing_holds_are_refused_by_file_and_column(make, kind, statistics):
    project = make()
    table = feed_table(like(TWO), like(TWO, 11))
    project.write(TWO, table.set_column(2, "event_timestamp", FAR[kind]), write_statistics=statistics)
    report = project.run()
    assert [failure.day for failure in report.failures] == [TWO]
    assert "dt=2026-02-02/p.parquet: event_timestamp" in report.failures[0].error
    project.write(TWO, table)
    view = view_table(score=[1, 2]).set_column(1, "updated_at", FAR[kind])
    pq.write_table(view, project.views / "a.parquet", write_statistics=statistics)
    with pytest.raises(DaedalusError, match=r"q/a\.parquet: updated_at") as refused:
        project.run()
    assert refused.value.exit_code == 2


# Columns


def renamed(table: pa.Table, **names: str) -> pa.Table:
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def doubled(table: pa.Table, name: str) -> pa.Table:
    return pa.Table.from_arrays([*table.columns, table[name]], names=[*table.column_names, name])


BAD_COLUMNS = {
    "twice": (lambda t, name: doubled(t, name), "a duplicate column"),
    "twice in other cases": (lambda t, name: t.append_column(name.upper(), t[name]), "differ only in case"),
    "in another case": (lambda t, name: renamed(t, **{name: name.upper()}), "another case"),
}


@pytest.mark.parametrize("how", BAD_COLUMNS)
@pytest.mark.parametrize("column", ["user_id", "feed_session"])
def test_a_feed_column_is_one_and_spelt_as_it_is_or_its_day_fails(make, how, column):
    change, told = BAD_COLUMNS[how]
    project = make()
    project.write(TWO, change(feed_table(like(TWO)), column))
    report = project.run()
    assert [failure.day for failure in report.failures] == [TWO]
    error = report.failures[0].error
    if how == "in another case" and column == "user_id":
        assert column.upper() in error
    assert "dt=2026-02-02/p.parquet" in error and (told in error or column.upper() in error)
    assert list(project.rows()) == [ONE]


@pytest.mark.parametrize("how", [*BAD_COLUMNS, "missing"])
@pytest.mark.parametrize("column", ["artwork_id", "updated_at", "score"])
def test_a_view_column_is_one_and_spelt_as_it_is_or_the_view_is_refused(make, how, column):
    project, table = make(), view_table(score=[1, 2])
    changed = table.drop_columns([column]) if how == "missing" else BAD_COLUMNS[how][0](table, column)
    pq.write_table(changed, project.views / "b.parquet")
    if how == "missing" and column == "score":
        assert project.run().exit_code == 0  # a file may lack a feature
        return
    with pytest.raises(DaedalusError, match=rf"q/b\.parquet: {column}") as refused:
        project.run()
    assert refused.value.exit_code == 2 and not (project.root / "data/training_output").exists()


def test_columns_that_nobody_reads_do_not_matter(make):
    project = make()
    table = feed_table(like(TWO)).append_column("x", pa.array([dt.timedelta(1)]))
    project.write(TWO, doubled(table.append_column("Y", pa.array([1])).append_column("y", pa.array([2])), "x"))
    assert project.run().exit_code == 0
    table = doubled(view_table(score=[1, 2], x_=[{"a": 1}] * 2), "x_")
    pq.write_table(table, project.views / "a.parquet")
    assert project.run().exit_code == 0
    copies = pa.Table.from_arrays([*table.columns, *[pa.array([5, 6])] * 2], names=[*table.column_names, "z", "z"])
    pq.write_table(renamed(copies, score="z_1"), project.views / "a.parquet")  # so DuckDB calls the second z
    project.catalog["views"]["q"]["features"] = ["z_1"]
    project.runtime |= {"feature_refs": ["q:z_1"], "output_columns": ["z_1"]}
    project.configure()
    with pytest.raises(DaedalusError, match=r"a\.parquet: z_1"):
        project.run()


# Types: what a feature of each may be used for; what may not is refused by key path or by file and column

REFUSED = ("", DaedalusError)
TYPES = {
    "UUID": ("uuid()", "ship list count filter"),
    "ENUM": ("'a'::ENUM('a', 'b')", "ship list count filter"),
    "TIME": ("TIME '10:00'", "ship list count"),
    "BIT": ("'101'::BIT", "ship list count filter"),
    "JSON": ("'{}'::JSON", "ship list count filter"),
    "BLOB": ("'x'::BLOB", "ship list count"),
    "GEOMETRY": ("'POINT(1 2)'::GEOMETRY", "ship list count"),
    "HUGEINT": ("1::HUGEINT", "ship list count"),
    "DECIMAL": ("1::DECIMAL(38, 2)", "ship list count"),
    "DATE": ("DATE '2026-01-01'", "ship list count age"),
    "TIMESTAMP_NS": ("TIMESTAMP_NS '2026-01-01'", "ship list count age"),
    "TIMESTAMPTZ": ("TIMESTAMPTZ '2026-01-01 00:00+01'", "ship list count age"),
    "MAP": ("MAP {'a': 1}", "ship count"),
    "STRUCT": ("{'a': 1}", "ship count"),
    "UNION": ("union_value(a := 1)", "ship count"),
    "VARIANT": ("42::VARIANT", "ship count"),
    "lists": ("[[1]]", "ship count"),
    "INTERVAL": ("INTERVAL 1 DAY", ""),
}
USES = {
    "ship": {"output_columns": ["x"]},
    "list": {"enrich": ["q:x"], "output_columns": ["xs_2d"]},
    "count": {"enrich": ["q:x"], "output_columns": ["n_2d"]},
    "age": {"ages": {"age": "q:x"}, "output_columns": ["age"]},
    "filter": {"content_filter": {"drop": {"x": ["a"]}}},
}
SUMS = {"list": {"name": "xs", "agg": "distinct"}, "count": {"name": "n", "agg": "count"}}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    """A view file with a column `x` of each type."""
    import duckdb

    root, found = tmp_path_factory.mktemp("types"), {}
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        for kind, (value, _) in TYPES.items():
            row = f"SELECT 10::BIGINT AS artwork_id, TIMESTAMP '2026-01-01' AS updated_at, {value} AS x, 1 AS score"
            duck.execute(f"COPY ({row}) TO '{root}/{kind}.parquet' (FORMAT parquet)")
            found[kind] = root / f"{kind}.parquet"
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_a_type_works_where_it_may_and_is_refused_by_name_elsewhere(make, written, kind):
    project = make()
    (project.views / "a.parquet").write_bytes(written[kind].read_bytes())
    (project.feed / f"dt={TWO}/p.parquet").unlink()
    plain, works = dict(project.runtime), []
    assert project.run().exit_code == 0  # nobody reads x
    project.catalog["views"]["q"]["features"] = ["x"]
    for use, values in USES.items():
        project.runtime = {**plain, "feature_refs": ["q:x"], "output_columns": ["user_id"], **values}
        project.aggregations = (
            [{**SUMS[use], "events": ["like"], "column": "x", "windows": ["2d"]}] if use in SUMS else []
        )
        project.configure()
        try:
            assert project.run().exit_code == 0
            works.append(use)
        except DaedalusError as error:
            assert error.exit_code == 2, use
            assert ": x" in error.where or "yaml: " in error.where, use
    assert " ".join(works) == TYPES[kind][1]


def as_json(*texts: str | None) -> pa.ExtensionArray:
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts))


@pytest.mark.parametrize("first", ["json", "text"])
def test_json_is_text_whichever_file_of_a_view_has_it(make, first):
    """DuckDB casts what meets JSON to JSON: the texts of other files, and the values of filters and rules."""
    tables = {"json": view_table(kind=as_json('{"a": 1}', '"b"')), "text": view_table(kind=["hello", "ANIMATED"])}
    tables["text"] = tables["text"].set_column(0, "artwork_id", [[12, 13]])
    tables = {name: table.append_column("many", [[["x"]] * 2]) for name, table in tables.items()}
    many = pa.ListArray.from_arrays([0, 1, 2], as_json("[]", "{}"))
    tables["json"] = tables["json"].set_column(3, "many", many)
    project = make(tables[first], content_filter={"drop": {"kind": ["hello", '"b"']}})
    pq.write_table(tables["text" if first == "json" else "json"], project.views / "b.parquet")
    project.write(ONE, feed_table(*(like(ONE, artwork) for artwork in range(10, 14))))
    assert project.run().exit_code == 0
    found = list(zip(project.rows()[ONE], project.rows("kind")[ONE], project.rows("many")[ONE], strict=True))
    assert found == [(10, '{"a": 1}', ["[]"]), (13, "ANIMATED", ["x"])]
    project.equals_reference()


def test_json_is_text_in_the_feed(make):
    project = make(columns=["country_code", "platform_code", "member_source"], platforms={"1": 5, "web": 6})
    plain = feed_table(like(TWO), like(TWO, 11))
    for name, kind in {"a.parquet": as_json, "b.parquet": lambda *texts: pa.array(texts)}.items():
        table = plain.append_column("country_code", kind('"JP"', None)).append_column("member_source", kind("[]", "{}"))
        project.write(TWO, table.append_column("platform_code", kind("1", '"web"')), name)
    assert project.run().exit_code == 0
    assert sorted(project.rows("platform_code")[TWO]) == [0, 0, 0, 5]  # a row of both files is one row
    project.equals_reference()


@pytest.mark.parametrize("place", ["entity", "timestamp_field", "feed"])
@pytest.mark.parametrize("kind", ["UUID", "INTERVAL", "STRUCT", "BLOB", "HUGEINT"])
def test_a_key_of_another_type_is_refused_by_file_and_column(make, written, kind, place):
    project = make()
    odd = pq.ParquetFile(written[kind]).read()["x"]
    if place == "feed":
        table = feed_table(like(TWO))
        project.write(TWO, table.set_column(3, "event", odd))
        assert "p.parquet: event" in project.run().failures[0].error
        return
    column = {"entity": "artwork_id", "timestamp_field": "updated_at"}[place]
    table = view_table(score=[1])
    pq.write_table(table.set_column(table.column_names.index(column), column, odd), project.views / "a.parquet")
    with pytest.raises(DaedalusError, match=f"{place}: {column}"):
        project.run()


# Names


def pipe(path: Path) -> None:
    os.mkfifo(path)


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket is short
        one.bind(path.name)
        os.chdir(here)


NO_FILES = {
    "a pipe": (pipe, "a named pipe"),
    "a socket": (socket_at, "a socket"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "a folder": (lambda path: path.mkdir(), "a folder"),
    "a broken link": (lambda path: path.symlink_to("/store/not-fetched"), "No such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_fails_its_day_by_name(make, kind):
    project, (lay, told) = make(), NO_FILES[kind]
    lay(project.feed / f"dt={TWO}/q.parquet")
    done = project.cli("skeleton", "--json", "--progress", "none")
    assert done.returncode == 1 and told in done.stdout and f"dt={TWO}/q.parquet" in done.stdout
    assert list(project.rows()) == [ONE]


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_no_part_of_a_view(make, kind):
    project, (lay, told) = make(), NO_FILES[kind]
    lay(project.views / "b.parquet")
    done = project.cli("skeleton", "--progress", "none")
    assert done.returncode == 2 and told in done.stderr and "q/b.parquet" in done.stderr
    assert not project.rows()


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["catalog.yaml", "training/aggregations.yaml"])
def test_a_config_file_is_a_file(make, kind, name):
    project = make()
    path = project.root / "config" / name
    path.unlink()
    NO_FILES[kind][0](path)
    done = project.cli("config", "check")
    assert done.returncode == 2 and name in done.stderr and "Traceback" not in done.stderr


def test_a_config_file_has_a_size_that_files_of_people_have(make):
    project = make()
    with (project.root / "config/catalog.yaml").open("r+b") as file:
        file.truncate(1 << 34)
    assert "too large" in project.cli("config", "check").stderr


PASSED_OVER = {
    "000001_0": ("dt=2026-02-01/000001_0", "file"),
    "part.parquet.tmp": ("dt=2026-02-01/part.parquet.tmp", "file"),
    "hour=11/b.parquet": ("dt=2026-02-01/hour=11", "folder"),
    "../dt=20260201/b.parquet": ("dt=20260201", "folder"),
    "../DT=2026-02-01/b.parquet": ("DT=2026-02-01", "folder"),
    "../dt=2026-2-1/b.parquet": ("dt=2026-2-1", "folder"),
    "../dt=2026-02-01 /b.parquet": ("dt=2026-02-01 ", "folder"),
    "../dt=2026-02-30/b.parquet": ("dt=2026-02-30", "folder"),
    "../b.parquet": ("b.parquet", "file"),
}
HIDDEN = ["_SUCCESS", ".p.parquet.crc", "_temporary/0/b.parquet", "_b.parquet", ".b.parquet", "../_delta/b.parquet",
          "../dt=2026-02-01_$folder$"]  # fmt: skip


@pytest.mark.parametrize("name", PASSED_OVER)
def test_what_is_passed_over_is_named_once_in_notes(make, name):
    project, (told, kind) = make(), PASSED_OVER[name]
    path = project.feed / f"dt={ONE}" / name
    path.parent.mkdir(exist_ok=True)
    pq.write_table(feed_table(like(ONE, 99)), path)
    report = project.run()
    assert project.all_rows() == [10, 11, 10, 11]
    assert [note for note in report.input_notes if f"1 {kind} " in note and note.endswith(f": {told}")]
    assert len(report.input_notes) == 1 and report.as_json()["notes"] == report.input_notes
    assert check_config(Settings())["notes"] == report.input_notes
    again = project.run()
    assert nothing_ran(again) and again.input_notes == report.input_notes
    assert f"ignored 1 {kind}" in " ".join(" ".join(again.lines()).split())


def test_many_that_are_passed_over_are_counted(make):
    project = make()
    for i in range(12):
        (project.feed / f"dt={ONE}/{i:06}_0").touch()
    (note,) = project.run().input_notes
    assert "12 files" in note and note.endswith("dt=2026-02-01/000002_0 and 9 more")


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_names_are_never_read_nor_told_of(make, name):
    project = make()
    path = project.feed / f"dt={ONE}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(feed_table(like(ONE, 99)), path)
    inside = project.views / "_temporary"
    inside.mkdir()
    for hidden in (project.views / "_b.parquet", project.views / ".b.parquet", inside / "b.parquet"):
        pq.write_table(view_table(score=[8, 9]), hidden)
    project.catalog["views"]["q"]["source"] = "data/catalog/q/**/*.parquet"
    project.configure()
    report = project.run()
    assert report.input_notes == [] and project.all_rows() == [10, 11, 10, 11]
    assert project.rows("score")[ONE] == [1, 2]
    project.equals_reference()


def test_an_ending_in_capitals_is_read(make):
    project = make()
    project.write(ONE, feed_table(like(ONE, 12, 12)), "B.PARQUET")
    (project.views / "a.parquet").rename(project.views / "A.Parquet")
    project.catalog["views"]["q"]["source"] = "data/catalog/q"
    project.configure()
    assert project.run().input_notes == [] and project.rows()[ONE] == [10, 11, 12]
    assert project.rows("score")[TWO] == [1, 2]
    project.equals_reference()


def test_a_feed_of_other_names_is_refused_with_what_was_found(make):
    project = make()
    for day in (ONE, TWO):
        (project.feed / f"dt={day}").rename(project.feed / f"dt={day.replace('-', '')}")
    with pytest.raises(DaedalusError, match="2 folders") as refused:
        project.run()
    assert "dt=20260201, dt=20260202" in refused.value.one_line()


def test_a_partition_that_is_a_broken_link_fails_its_day(make):
    project = make()
    (project.feed / f"dt={TWO}/p.parquet").unlink()
    (project.feed / f"dt={TWO}").rmdir()
    (project.feed / f"dt={TWO}").symlink_to("/store/not-fetched")
    report = project.run()
    assert [failure.day for failure in report.failures] == [TWO] and f"dt={TWO}" in report.failures[0].error


def test_trees_are_listed_alike_on_a_disk_and_in_a_store(objects, tmp_path, store_options):
    from daedalus.inputs.local_files import LocalFiles
    from daedalus.inputs.remote_files import RemoteFiles

    names = ["dt=2026-02-01/a.parquet", "dt=2026-02-01/B.PARQUET", "dt=2026-02-01/hour=1/c.parquet", "x.txt",
             "dt=2026-02-01/_SUCCESS", "other/a"]  # fmt: skip
    for name in names:
        objects.put(f"feed/{name}", b"")
        (tmp_path / "feed" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "feed" / name).touch()
    local = LocalFiles(None, None).tree(str(tmp_path / "feed"))
    remote = RemoteFiles(store_options, None, None, None).tree(f"{objects.uri}/feed")
    shown = [({name: sorted(members) for name, members in tree.folders.items()}, sorted(tree.files))
             for tree in (local, remote)]  # fmt: skip
    assert shown[0] == shown[1]
    assert shown[0][0]["dt=2026-02-01"] == ["B.PARQUET", "_SUCCESS", "a.parquet", "hour=1/"]


def test_a_pattern_walks_no_circle_and_finds_what_it_matches(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x.parquet").touch()
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/beside").symlink_to(tmp_path / "a/b")
    found = [path[len(str(tmp_path)) + 1 :] for path in find(f"{tmp_path}/**/*.parquet")]
    assert found == ["a/b/x.parquet", "a/beside/x.parquet"]
    assert all(matches(path.split("/"), ["**", "*.parquet"]) for path in found)


def test_a_pattern_finds_what_glob_finds(tmp_path, monkeypatch):
    """Of every pattern of up to three such segments, relative and absolute, with a slash at the end and without."""
    inside = tmp_path / "1/2/3/4"  # deeper than any pattern goes up: what lies above is the other tests' own
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for path in ("a/b/x", "a/b/c/x", "a/c/x", "a/x", "x", "a/.h/x", "c/y"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    segments = ["*", "**", ".", "..", "a", "b", "x", "[xc]"]
    patterns = [p for count in (1, 2, 3) for p in itertools.product(segments, repeat=count) if p[-1] != "**"]
    found = 0
    for pattern in patterns:
        for text in ("/".join(pattern), "/".join(("a", *pattern, ""))):
            expected = set(glob.glob(text, recursive=True))
            assert set(find(text)) == expected, text
            found += len(expected)
    assert found > 500
    assert set(find(f"{inside}/*/../a/./*/")) == set(glob.glob(f"{inside}/*/../a/./*/"))


@pytest.mark.parametrize("source", ["data/*/../catalog/q/*.parquet", "data/catalog/*/./*.parquet", "data/*/q/../*/a.*"])
def test_a_view_is_read_by_a_pattern_with_steps_up(make, source):
    project = make()
    project.catalog["views"]["q"]["source"] = source
    project.configure()
    assert project.run().exit_code == 0 and project.rows("score")[ONE] == [1, 2]
    project.equals_reference()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_of_a_view_that_cannot_be_listed_is_named(make):
    project = make()
    project.catalog["views"]["q"]["source"] = "data/catalog/q/**/*.parquet"
    project.configure()
    (project.views / "closed").mkdir(mode=0o000)
    with pytest.raises(DaedalusError, match="closed"):
        project.run()


# Years ago


def test_a_partition_of_long_ago_costs_what_it_holds(make, monkeypatch):
    from daedalus.skeleton.context import Skeleton

    project = make()
    project.aggregations = [
        {"name": "all", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": "cumulative"}
    ]
    project.runtime["output_columns"] = ["user_id", "artwork_id", "event_timestamp", "all"]
    project.configure()
    project.write("1000-01-01", feed_table((1, 77, "1000-01-01 10:00", "like", "s")))
    project.write("9000-12-31", feed_table((1, 78, "9000-12-31 10:00", "like", "s")))
    asked = []
    real = Skeleton.next_with_files
    monkeypatch.setattr(Skeleton, "next_with_files", lambda context, day: asked.append(day) or real(context, day))
    assert project.run().exit_code == 0
    assert len(asked) < 200
    assert project.rows("all")[ONE] == [[77], [10, 77]]
    project.equals_reference()


# The content filter


def test_a_filter_compares_as_the_column_holds_its_values(make):
    values = [0.1, float("nan"), 16777216.0, 1.0, None]
    project = make(view_table(
        f32=pa.array(values, pa.float32()), f64=pa.array(values), small=pa.array([1, 2, 3, 4, None], pa.int8()),
        dec=pa.array([decimal.Decimal("0.10"), None, None, decimal.Decimal("1"), None], pa.decimal128(5, 2)),
    ), columns=["small"])  # fmt: skip
    for day in (ONE, TWO):
        project.write(day, feed_table(*(like(day, artwork) for artwork in range(10, 15))))
    cases = [
        ({"f32": [0.1]}, [10]), ({"f64": [0.1]}, [10]), ({"dec": [0.1]}, [10]), ({"f32": [float("nan")]}, [11]),
        ({"f64": [float("nan"), 1]}, [11, 13]), ({"f32": [1e300, 1, 0.1]}, [10, 13]), ({"f32": [1e-300]}, []),
        ({"small": [1.0, 300, 2.5, 2**200]}, [10]), ({"dec": [0.101, 10**6, 1]}, [13]),
        ({"f64": [10**400, 10**50, 1]}, [13]),
        ({"dec": [float("nan")], "small": [float("inf"), 2]}, [11]), ({"f32": [16777216]}, [12]),
    ]  # fmt: skip
    for drop, gone in cases:
        project.runtime["content_filter"] = {"drop": drop}
        project.configure()
        assert project.run().exit_code == 0, drop
        assert project.rows()[ONE] == [artwork for artwork in range(10, 15) if artwork not in gone], drop
        project.equals_reference()


KEY = "550e8400-e29b-41d4-a716-446655440000"


@pytest.mark.parametrize("given", [KEY, KEY.upper(), f"{{{KEY}}}", KEY.replace("-", ""), f"urn:uuid:{KEY}"])
def test_a_filter_on_a_uuid_takes_any_spelling_of_it(make, given):
    column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(KEY).bytes, bytes(16)], pa.binary(16)))
    project = make(view_table(key=column), content_filter={"drop": {"key": [given, "abc"]}})
    report = project.run()
    assert report.exit_code == 0 and project.rows()[ONE] == [11]
    assert report.input_notes == ["content_filter.drop.key: no UUID is 'abc', so it drops nothing"]
    project.equals_reference()


@pytest.mark.parametrize("name", ["file_row_number", "File_Row_Number"])
def test_a_column_that_hides_the_row_number_is_refused(make, name):
    project = make(view_table(**{name: [1, 2]}))
    done = project.cli("skeleton", "--progress", "none")
    assert done.returncode == 2 and f": {name}" in done.stderr and "Traceback" not in done.stderr, done.stderr


WHOLE = {"BIGINT": 2**53, "UBIGINT": 2**63, "DECIMAL(20,0)": 2**53, "DECIMAL(38,2)": 2**53, "DECIMAL(38,30)": 2**25}


@pytest.mark.parametrize("other", [[], [5], [0.5]])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_filter_drops_what_is_equal_and_not_what_is_as_double(make, kind, other):
    base, step = WHOLE[kind], decimal.Decimal("1e-19" if kind == "DECIMAL(38,30)" else "1")
    values = [base - step, decimal.Decimal(base), base + step]
    types = {"BIGINT": pa.int64(), "UBIGINT": pa.uint64()}
    parts = [int(part) for part in kind[8:-1].split(",")] if kind not in types else []
    column = pa.array(values, pa.decimal128(*parts)) if parts else pa.array(map(int, values), types[kind])
    project = make(view_table(n=column))
    for day in (ONE, TWO):
        project.write(day, feed_table(*(like(day, artwork) for artwork in (10, 11, 12))))
    for value in (base, float(base)):
        project.runtime["content_filter"] = {"drop": {"n": [value, *other]}}
        project.configure()
        assert project.run().exit_code == 0
        assert project.rows()[ONE] == [10, 12], value
        project.equals_reference()


def test_a_filter_value_that_no_column_of_its_type_has_is_told_of(make):
    project = make(view_table(score=pa.array([1, 2], pa.int8())), content_filter={"drop": {"score": [1, 300]}})
    told = "content_filter.drop.score: no TINYINT is 300, so it drops nothing"
    assert check_config(Settings())["notes"] == project.run().input_notes == [told]


@given(
    st.one_of(st.integers(-300, 300), st.integers(-(2**70), 2**70)),
    st.sampled_from(["TINYINT", "USMALLINT", "INTEGER", "UBIGINT", "DECIMAL(9,4)"]),
)
@settings(deadline=None)
def test_a_whole_number_is_held_if_duckdb_casts_it(number, kind):
    import duckdb

    with duckdb.connect() as duck:
        cast = duck.execute(f"SELECT TRY_CAST(CAST({number} AS HUGEINT) AS {kind})").fetchone()[0]
    assert holds(kind, number) == (cast is not None)


# Lateness


def test_a_number_of_lateness_means_what_it_meant(make):
    project = make(spine={"lookback_days": 2, "lateness_days": 1})
    project.run()
    project.runtime["spine"]["lateness_days"] = {"after": 1}
    project.configure()
    assert nothing_ran(project.run())


def test_a_feed_cut_by_local_time_loses_nothing(make):
    """Days of UTC-8 under their local names: a partition's last hours are of the next day."""
    project = make()
    for day, after in ((ONE, TWO), (TWO, THREE)):
        project.write(day, feed_table(like(day, 10, 9), like(day, 11, 23), like(after, 12, 7)))
    report = project.run()
    assert report.rows["strays"] == 2 and THREE not in project.rows()
    project.runtime["spine"]["lateness_days"] = {"before": 1}
    project.configure()
    report = project.run()
    assert report.rows | {"written": 6} == {"read": 6, "null_keys": 0, "duplicates": 0, "strays": 0, "written": 6}
    assert project.rows() == {ONE: [10, 11], TWO: [12, 10, 11], THREE: [12]}
    project.equals_reference()
    assert nothing_ran(project.run())
    project.write(TWO, feed_table(like(THREE, 13, 6)))  # a partition touches the day after it
    project.run()
    assert project.rows() == {ONE: [10, 11], TWO: [12], THREE: [13]}
    project.write(TWO, renamed(feed_table(like(TWO)), event="EVENT"))
    assert {failure.day for failure in project.run().failures} == {TWO, THREE}


@pytest.mark.parametrize(
    "late, setting", [(1, "1 in"), (-1, "{before: 1, after: 0}"), (2, "2 in"), (-400, "the unit and the time zone")]
)
def test_a_feed_of_strays_is_told_of_with_the_setting_that_takes_them(make, late, setting):
    project = make()
    for day in (ONE, TWO):
        own = str(dt.date.fromisoformat(day) - dt.timedelta(days=late))
        project.write(day, feed_table(like(own, 10, 1), like(own, 11, 20)))
    (note,) = check_config(Settings())["notes"]
    assert "4 of 4 feed rows are strays" in note and setting in note
    report = project.run()
    assert report.input_notes == [note]
    if abs(late) < 31:
        project.runtime["spine"]["lateness_days"] = {"before": max(-late, 0), "after": max(late, 0)}
        project.configure()
        assert project.run().input_notes == []


def test_a_look_at_a_view_tells_a_day_error_from_a_refusal(make):
    project = make()
    with opened(Settings()) as workspace, pytest.raises(DaedalusError) as refused:
        (project.views / "b.parquet").write_bytes(b"no parquet")
        build_graph(workspace, list(workspace.config.range(None)), reconcile=False)
    assert not isinstance(refused.value, DayError)


@pytest.mark.parametrize("as_of", ["latest", "day"])
@pytest.mark.parametrize("times", [[2, 1], [-1, -2], [1999, 1001], [1000, 999]], ids=str)
def test_the_latest_row_of_a_view_is_so_by_nanoseconds(tmp_path, monkeypatch, times, as_of):
    monkeypatch.chdir(tmp_path)
    view = pa.table({"artwork_id": [10, 10], "updated_at": pa.array(times, pa.timestamp("ns")), "score": [2, 1]})
    project = Project(tmp_path, view)
    project.catalog["views"]["q"]["as_of"] = as_of
    project.configure()
    assert not project.run().failures
    assert {row for rows in project.rows("score").values() for row in rows} == {2, None}
