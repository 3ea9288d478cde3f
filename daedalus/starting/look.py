"""What lies in the user's folders: days, columns, types, events. Reads footers and one column of a few files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from daedalus.days import Day
from daedalus.errors import DaedalusError, did_you_mean
from daedalus.skeleton.types import type_name

Columns = Mapping[str, str]  # name -> type as DuckDB calls it
REQUIRED = ("user_id", "artwork_id", "event_timestamp", "event")
_EVENT_FILES = 8  # of the feed, that events are counted in


@dataclass(frozen=True)
class FeedLook:
    path: str
    days: tuple[Day, ...]
    columns: Columns
    events: Mapping[str, float]  # share of the rows looked at, most first


@dataclass(frozen=True)
class ViewLook:
    name: str
    source: str  # a glob
    columns: Columns


@dataclass(frozen=True)
class PoolLook:
    uri: str
    tables: Mapping[str, Columns]


def look_at_feed(path: str) -> FeedLook:
    """Raises DaedalusError (exit 2) for a folder that holds no usable feed."""
    days = {}
    for folder in sorted(Path(path).glob("dt=*")):
        try:
            day = Day.fromisoformat(folder.name[3:])
        except ValueError:
            continue
        if files := sorted(folder.glob("*.parquet")):
            days[day] = files
    if not days:
        raise DaedalusError("there is no feed", where=f"--feed {path}", expected="dt=YYYY-MM-DD/*.parquet below it")
    files = [file for found in days.values() for file in found]
    columns = _columns([files[0], files[len(files) // 2], files[-1]])
    for name in REQUIRED:
        if name not in columns:
            raise DaedalusError("the feed lacks a column", where=f"--feed {path}", found=", ".join(columns),
                                expected=name, hint=did_you_mean(name, columns))  # fmt: skip
    return FeedLook(path, tuple(days), columns, _events(files))


def look_at_views(path: str) -> list[ViewLook]:
    """A view is a folder with parquet files, or a single file. Raises DaedalusError when there is none."""
    root, found = Path(path), []
    for entry in sorted(root.iterdir()) if root.is_dir() else []:
        files = sorted(entry.rglob("*.parquet")) if entry.is_dir() else [entry] * (entry.suffix == ".parquet")
        if not files:
            continue
        deep = any(file.parent != entry for file in files)
        source = str(entry) if entry.is_file() else f"{entry}/**/*.parquet" if deep else f"{entry}/*.parquet"
        found.append(ViewLook(entry.stem if entry.is_file() else entry.name, source, _columns([files[0], files[-1]])))
    if not found:
        raise DaedalusError("there is no catalog view", where=f"--catalog {path}",
                            expected="a folder with parquet files for each view")  # fmt: skip
    return found


def look_at_pool(path: str) -> PoolLook:
    """The tables of a Lance database. Raises DaedalusError when there is none."""
    tables = {}
    if sorted(Path(path).glob("*.lance")):
        import lancedb

        database = lancedb.connect(path)
        for folder in sorted(Path(path).glob("*.lance")):
            schema = database.open_table(folder.stem).schema
            tables[folder.stem] = {field.name: type_name(field.type) for field in schema}
    if not tables:
        raise DaedalusError("there is no Lance table", where=f"--pool {path}", expected="NAME.lance folders in it")
    return PoolLook(path, tables)


def _columns(files: Sequence[Path]) -> Columns:
    columns: dict[str, str] = {}
    for file in dict.fromkeys(files):
        try:
            schema = pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            first = str(error).splitlines()[0]
            raise DaedalusError("not a parquet file", where=str(file), found=first, expected="parquet") from None
        columns |= {field.name: type_name(field.type) for field in schema if columns.get(field.name, "NULL") == "NULL"}
    return columns


def _events(files: Sequence[Path]) -> Mapping[str, float]:
    count: Counter[str] = Counter()
    step = max(len(files) // _EVENT_FILES, 1)
    for file in files[::step]:
        try:
            column = pq.ParquetFile(file).read(columns=["event"])["event"]
        except (pa.ArrowException, OSError, KeyError):
            continue  # a run tells of it
        count.update({row["values"]: row["counts"] for row in column.value_counts().to_pylist()})
    count.pop(None, None)  # type: ignore[call-overload]
    return {event: rows / count.total() for event, rows in count.most_common()}
