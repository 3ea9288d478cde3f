"""Looks at the user's folders: days, columns, types, events. Reads footers, and two columns of a few files."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.config import Config
from daedalus.inputs.feed import look_at_feed as inputs_feed
from daedalus.inputs.file_formats import FORMATS, format_of
from daedalus.inputs.input_file import Inputs
from daedalus.inputs.lance.table import ERRORS, open_table, said
from daedalus.inputs.listing import FeedFolder
from daedalus.inputs.pool import newest_manifest
from daedalus.sql.column_types import type_name, widen
from daedalus.workspace.bad_files import bad_files

Columns = Mapping[str, str]  # name -> type as DuckDB calls it
_EVENT_FILES = 8  # feed files in which events are counted
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class FeedLook:
    path: str
    days: tuple[Day, ...]
    events: Mapping[str, float]  # share of the rows looked at, most first
    sessions: Mapping[frozenset[str], int]  # rows of sessions, by the events of a session, in one file


@dataclass(frozen=True)
class ViewLook:
    name: str
    source: str  # a folder or a glob
    columns: Columns
    passed_over: Mapping[str, str]  # column -> why it cannot be read


@dataclass(frozen=True)
class PoolLook:
    uri: str
    tables: Mapping[str, Columns]


def look_at_feed(config: Config, inputs: Inputs) -> FeedLook:
    """Raises DaedalusError (exit 2) for a folder that holds no usable feed."""
    path = config.catalog.feed.path
    try:
        folder = FeedFolder(config, inputs.files)
    except DaedalusError as error:
        there = _some(sorted(entry.name for entry in Path(path).iterdir())) if Path(path).is_dir() else "no folder"
        raise DaedalusError(error.what, where=f"--feed {path}", found=there,
                            expected="partitions named dt=YYYY-MM-DD with *.parquet files") from None  # fmt: skip
    days = sorted(folder.days)
    if bad := bad_files(inputs_feed(inputs, folder, days)):
        raise _refusal(bad[0][1])
    files = [file for day in days for file in folder.paths(day)]
    sample = files[:: max(len(files) // _EVENT_FILES, 1)]
    events = _events(sample) or _events(files)
    if not events:
        raise DaedalusError("the feed has no rows", where=f"--feed {path}", found=f"no event in {len(files)} files",
                            expected="rows to propose windows for")  # fmt: skip
    return FeedLook(path, tuple(days), events, _sessions(sample[-1]))


def look_at_views(path: str, inputs: Inputs) -> list[ViewLook]:
    """A view is a folder with parquet files, or a single file. Raises DaedalusError when there is none."""
    root, found = Path(path), dict[str, ViewLook]()
    for entry in sorted(root.iterdir()) if root.is_dir() else []:
        if entry.name.startswith((".", "_")):
            continue
        source, files = _files(entry, inputs)
        name = (entry.stem if entry.is_file() else entry.name).replace(":", "_")  # view:feature is a reference to it
        while name in found:
            name += "_"
        if files and _is_text(name):
            found[name] = ViewLook(name, source, *_columns(files, inputs))
    if not found:
        there = _some(sorted(entry.name for entry in root.iterdir())) if root.is_dir() else "no folder"
        raise DaedalusError("there is no catalog view", where=f"--catalog {path}", found=there,
                            expected="a folder with parquet files for each view")  # fmt: skip
    return list(found.values())


def _files(entry: Path, inputs: Inputs) -> tuple[str, list[str]]:
    """The `source` of the view at a path, and the files that it matches."""
    exact = glob.escape(str(entry))
    if entry.is_file():
        return exact, [str(entry)] * bool(format_of(entry.name))
    kind = FORMATS["parquet"]
    files = inputs.files.matching(f"{exact}/**/{kind.glob}")
    name = f"*{kind.ending}" if all(file.endswith(kind.ending) for file in files) else kind.glob
    if any(Path(file).parent != entry for file in files):
        return f"{exact}/**/{name}", files
    return (f"{exact}/{name}" if glob.has_magic(str(entry)) else exact), files


def look_at_pool(path: str, inputs: Inputs) -> PoolLook:
    """The tables of a Lance database. Raises DaedalusError when there is none."""
    tables = {}
    for folder in sorted(Path(path).glob("*.lance")):
        newest_manifest(inputs.files, path, folder.stem, f"--pool {path}")
        try:
            schema = open_table(str(folder)).schema
        except ERRORS as error:
            found = said(error)
            raise DaedalusError("a Lance table cannot be read", where=f"--pool {path}: {folder.stem}", found=found,
                                expected="a whole table", hint="restore or move it") from None  # fmt: skip
        tables[folder.stem] = {field.name: type_name(field.type) for field in schema}
    if not tables:
        raise DaedalusError("there is no Lance table", where=f"--pool {path}", expected="NAME.lance folders in it")
    return PoolLook(path, tables)


def _refusal(error: DaedalusError) -> DaedalusError:
    """An error that fails a day of a run, as one that init exits with (2)."""
    hint = error.hint or did_you_mean(str(error.expected), str(error.found).split(", "))
    return DaedalusError(error.what, where=error.where, found=error.found, expected=error.expected, hint=hint)


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "") or "nothing"


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False  # bytes that are not UTF-8


def _columns(files: Sequence[str], inputs: Inputs) -> tuple[Columns, Mapping[str, str]]:
    """Columns of a view with a type that holds the values of all its files; and those left out, with reasons."""
    columns, passed_over = dict[str, str](), dict[str, str]()
    inputs.prepare(files)
    for file in files:
        look = inputs.look(file, file, lambda path, schema: None)
        if look.error:
            raise _refusal(look.error)
        for name, kind in look.schema.items():
            if (wider := widen(columns.setdefault(name, kind), kind)) is None:
                passed_over[name] = f"{columns[name]} in one file, {kind} in another"
            columns[name] = wider or columns[name]
    spelled = Counter(name.casefold() for name in columns)
    passed_over |= {name: "another differs only in case" for name in columns if spelled[name.casefold()] > 1}
    return {name: kind for name, kind in columns.items() if name not in passed_over}, passed_over


def _read(file: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(file) as opened:
            yield opened.read(columns=[name for name in columns if name in opened.schema_arrow.names])
    except (pa.ArrowException, OSError):
        return  # a run reports it


def _events(files: Sequence[str]) -> Mapping[str, float]:
    count: Counter[str] = Counter()
    for file in files:
        for table in _read(file, ["event"]):
            column = pa.chunked_array(table["event"]).cast(pa.string())
            count.update({row["values"]: row["counts"] for row in column.value_counts().to_pylist()})
    count.pop(None, None)  # type: ignore[call-overload]
    return {event: rows / count.total() for event, rows in count.most_common()}


def _sessions(file: str) -> Mapping[frozenset[str], int]:
    rows: Counter[frozenset[str]] = Counter()
    for table in _read(file, ["event", "feed_session"]):
        if "feed_session" not in table.column_names:
            continue
        text = pa.table({name: table[name].cast(pa.string()) for name in table.column_names})
        made = text.group_by("feed_session").aggregate([("event", "distinct"), ([], "count_all")])
        for session, events, count in zip(*(made[name].to_pylist() for name in (
                "feed_session", "event_distinct", "count_all")), strict=True):  # fmt: skip
            rows[frozenset(events if session is not None else ())] += count
    return rows
