"""What we write reads as what it is by readers that share no code: docs/reading.md is this table.

Where a reader gives another form of a value, `as_read_by` says which.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import math
import shutil
import subprocess
from decimal import Decimal

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT
from lists_file import write_lists

from daedalus.parquet import list_writer as lists_writer
from daedalus.parquet import writer as parquet
from daedalus.parquet.list_writer import Lists, numbered
from daedalus.parquet.splice import Spliced
from daedalus.parquet.writer import write_plain

ROWS = 300
NOON = dt.datetime(2026, 5, 1, 12, 0, 0, 123457)
INF, NAN = math.inf, math.nan
SCALARS = {
    "int64": (pa.int64(), [0, -1, 2**63 - 1, -(2**63), None]),
    "int32": (pa.int32(), [0, -1, 2**31 - 1, -(2**31), None]),
    "int16": (pa.int16(), [0, -5, 32767, None]), "double": (pa.float64(), [0.0, -0.0, NAN, INF, -INF, 0.1, None]),
    "float": (pa.float32(), [0.0, -0.0, NAN, INF, -INF, 0.5, None]), "bool": (pa.bool_(), [True, False, None]),
    "few texts": (pa.string(), ["a", "", "é", None]), "texts": (pa.string(), [f"text {i} é" for i in range(ROWS)]),
    "date": (pa.date32(), [dt.date(2026, 5, 1), dt.date(1969, 12, 31), None]),
    "time": (pa.timestamp("us"), [NOON + dt.timedelta(microseconds=7 * i) for i in range(ROWS)] + [None]),
    "decimal": (pa.decimal128(9, 2), [Decimal("1.25"), Decimal("-0.01"), None]),
    "long decimal": (pa.decimal128(30, 2), [Decimal("1.25"), Decimal("-0.01"), None]),
    "binary": (pa.binary(), [b"\x00\xff", b"", None]),
    "struct": (pa.struct([("a", pa.int64()), ("b", pa.string())]), [{"a": 1, "b": "x"}, {"a": None, "b": None}]),
}  # fmt: skip
ITEMS = ("int64", "int32", "double", "float", "bool", "few texts", "date", "time")
FOR_LISTS = {name: [value for value in SCALARS[name][1][:7] if value is not None] for name in ITEMS}


def scalars() -> pa.Table:
    """Every type of column; lists in it are of features, with NULLs, written by pyarrow."""
    columns = {name: (kind, [values[i % len(values)] for i in range(ROWS)]) for name, (kind, values) in SCALARS.items()}
    lists = [[], [1, None, 2], None, list(range(9))]
    columns["feature"] = pa.list_(pa.int64()), [lists[i % 4] for i in range(ROWS)]
    return pa.table([pa.array(v, k) for k, v in columns.values()], names=list(columns))


def rolled(name: str) -> tuple[pa.Schema, list[Lists], dict[str, list]]:
    """Two row groups of lists over values of a type, as rolling makes them; and what they hold."""
    known = FOR_LISTS[name]
    schema = pa.schema([(c, pa.list_(pa.field("element", SCALARS[name][0]))) for c in ("1d", "7d")])
    held: dict[str, list] = {"1d": [], "7d": []}
    groups = []
    for shift in (0, 1):
        lists = [[(i + shift + k) % len(known) for k in range(i % 6)] for i in range(ROWS // 2)]
        sizes = np.array([[len(codes) // 2, len(codes)] for codes in lists])
        codes = np.array([code for codes in lists for code in codes], np.int32)
        begins = np.cumsum(sizes[:, 1]) - sizes[:, 1]
        groups.append(numbered([Lists(codes, begins, sizes, pa.array(known, SCALARS[name][0]))]))
        held["7d"] += [[known[code] for code in codes] for codes in lists]
        held["1d"] += [[known[code] for code in codes[: len(codes) // 2]] for codes in lists]
    return schema, groups, held


def by_pyarrow(path):
    return pq.ParquetFile(path).read().to_pydict()


def by_polars(path):
    return pl.read_parquet(path).to_dict(as_series=False)


def by_duckdb(path):
    return duckdb.sql(f"FROM '{path}'").to_arrow_table().to_pydict()


def by_datafusion(path):
    context = pytest.importorskip("datafusion").SessionContext()
    return context.read_parquet(str(path)).to_pydict()


def by_fastparquet(path):
    frame = pytest.importorskip("fastparquet").ParquetFile(str(path)).to_pandas()
    return {name: [_of_pandas(value) for value in frame[name].tolist()] for name in frame}


def by_hyparquet(path):
    done = subprocess.run(["node", "read.mjs", path], cwd=_node_folder(), capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else pq.read_schema(path).names)}


READERS = {"pyarrow": by_pyarrow, "polars": by_polars, "duckdb": by_duckdb, "datafusion": by_datafusion,
           "fastparquet": by_fastparquet, "hyparquet": by_hyparquet}  # fmt: skip


def _of_pandas(value):
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    if isinstance(value, (np.ndarray, list)):
        return [_of_pandas(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


_FOLDER: list = []


def _node_folder():
    """Where hyparquet is, as the lock file has it."""
    if not _FOLDER:
        folder = PROJECT / ".readers"
        if shutil.which("npm") is None:
            pytest.skip("no node here, so hyparquet is not asked")
        folder.mkdir(exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # pytest's workers share it, and npm begins by removing what is there
            _install(folder)
        _FOLDER.append(folder)
    return _FOLDER[0]


def _install(folder) -> None:
    """Installs what the lock file says, unless that was done."""
    wanted = (PROJECT / "tests/parquet/readers/package-lock.json").read_bytes()
    for name in ("package.json", "package-lock.json", "read.mjs"):
        shutil.copy(PROJECT / "tests/parquet/readers" / name, folder)
    installed = folder / "installed"
    if installed.exists() and installed.read_bytes() == wanted:
        return
    done = subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"hyparquet cannot be installed: {done.stderr[-200:]}")
    installed.write_bytes(wanted)


def as_read_by(reader: str, value, *, listed: bool = False):
    """A value as a reader gives it: in another form, or with less than there is, where it has no such type."""
    if isinstance(value, list):
        return [as_read_by(reader, item, listed=True) for item in value]
    if isinstance(value, dict):
        return {key: as_read_by(reader, item) for key, item in value.items()}
    time = isinstance(value, dt.datetime)
    if reader == "fastparquet":  # pandas: dates are times, and in lists numbers; NULL is NaN or NA; decimals are floats
        if isinstance(value, dt.date) and not time:
            at = dt.datetime.combine(value, dt.time())
            return (at - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1) * 1000 if listed else at
        nothing = value is None or value != value
        return (None if nothing and not listed else value) if not isinstance(value, Decimal) else float(value)
    if reader == "hyparquet":  # JavaScript's Date has milliseconds, and its texts take what is no UTF-8
        if isinstance(value, dt.date):
            at = value if time else dt.datetime.combine(value, dt.time())
            return {"date": str((at - dt.datetime(1970, 1, 1)) // dt.timedelta(milliseconds=1))}
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if isinstance(value, float):
            exact = {INF: "Infinity", -INF: "-Infinity"}.get(value, "NaN" if value != value else f"{value:g}")
            return exact
        return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value
    return value


def plain_nulls(value):
    return None if value is pd_na() or value != value or str(value) == "NaT" else value


def pd_na():
    return pytest.importorskip("pandas").NA


def check(reader: str, path, expected: dict[str, list]) -> None:
    found = READERS[reader](path)
    for name, values in expected.items():
        if reader == "fastparquet" and isinstance(values[0] if values else None, dict):  # a column a field
            for field in values[0]:
                got = [plain_nulls(value) for value in found[f"{name}.{field}"]]
                assert got == [value[field] for value in values], (name, field)
            continue
        got = [plain_nulls(v) if reader == "fastparquet" and not isinstance(v, list) else v for v in found[name]]
        assert list(map(repr, got)) == [repr(as_read_by(reader, value)) for value in values], name
    assert len(next(iter(found.values()))) == len(next(iter(expected.values())))


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 100)


@pytest.mark.parametrize("reader", READERS)
def test_every_type_of_column_in_several_row_groups(tmp_path, small_groups, reader):
    table = scalars()
    write_plain(tmp_path / "file.parquet", table.schema, [table])
    assert pq.read_metadata(tmp_path / "file.parquet").num_row_groups == 3
    check(reader, tmp_path / "file.parquet", table.to_pydict())


@pytest.mark.parametrize("reader", READERS)
def test_a_spliced_part_that_ends_inside_a_row_group(tmp_path, reader):
    table = scalars()
    schema, groups, held = rolled("int64")
    write_lists(tmp_path / "lists", schema, groups)
    halves = [table.slice(0, ROWS // 2), table.slice(ROWS // 2)]  # in the row groups that the lists have
    with pa.OSFile(str(tmp_path / "scalars"), "wb") as out:
        parquet.write_groups(out, table.schema, halves)
    names = [(name, "scalars") for name in table.column_names] + [(name, "lists") for name in held]
    with Spliced(names, {"scalars": tmp_path / "scalars", "lists": tmp_path / "lists"}) as whole:
        whole.write(tmp_path / "part.parquet", 20, 220)
    held |= table.to_pydict()
    check(reader, tmp_path / "part.parquet", {name: values[20:220] for name, values in held.items()})
    assert pq.read_metadata(tmp_path / "part.parquet").created_by.startswith("daedalus version ")


@pytest.mark.parametrize("pages", ["one page", "pages"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ITEMS)
def test_rolling_lists_of_every_type(tmp_path, monkeypatch, kind, reader, pages):
    monkeypatch.setattr(lists_writer, "_PAGE_VALUES", 50 if pages == "pages" else 1 << 22)
    schema, groups, held = rolled(kind)
    write_lists(tmp_path / "lists.parquet", schema, groups)
    check(reader, tmp_path / "lists.parquet", held)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("most", [1 << 24, 1 << 16])
@pytest.mark.parametrize("count", [(1 << 16), (1 << 16) + 8])
def test_a_row_group_with_many_values(tmp_path, monkeypatch, reader, most, count):
    """Numbers of 16 and of 24 bits, and plain values, where there are too many for these."""
    monkeypatch.setattr(lists_writer, "_MOST_NUMBERED", most)
    sizes = np.full((count // 8, 1), 8, np.int64)
    lists = numbered([Lists(np.arange(count, dtype=np.int32), np.arange(0, count, 8), sizes, pa.array(range(count)))])
    write_lists(tmp_path / "wide.parquet", pa.schema([("v", pa.list_(pa.field("element", pa.int64())))]), [lists])
    check(reader, tmp_path / "wide.parquet", {"v": [list(range(i, i + 8)) for i in range(0, count, 8)]})


@pytest.mark.parametrize("reader", READERS)
def test_a_file_without_rows(tmp_path, reader):
    table = scalars().drop_columns(["struct"]).slice(0, 0)
    write_plain(tmp_path / "file.parquet", table.schema, [])
    with Spliced([(name, "it") for name in table.column_names], {"it": tmp_path / "file.parquet"}) as whole:
        whole.write(tmp_path / "empty.parquet", 0, 0)
    check(reader, tmp_path / "empty.parquet", table.to_pydict())


def test_readers_use_the_statistics_of_files_put_together(tmp_path, small_groups):
    """Some ignore those of a writer that they cannot parse."""
    table = pa.table({"id": range(300), "text": [f"{i:03}" for i in range(300)]})
    write_plain(tmp_path / "whole", table.schema, [table])
    with Spliced([("id", "it"), ("text", "it")], {"it": tmp_path / "whole"}) as whole:
        whole.write(tmp_path / "part.parquet", 0, 300)
    (fragment,) = ds.dataset(tmp_path / "part.parquet").get_fragments()
    for matched in (ds.field("id") == 250, ds.field("text") == "250"):
        assert [group.id for group in fragment.subset(matched).row_groups] == [2]
    told = duckdb.sql(f"SELECT stats_min_value FROM parquet_metadata('{tmp_path}/part.parquet') WHERE row_group_id = 1")
    assert told.fetchall() == [("100",), ("100",)]
