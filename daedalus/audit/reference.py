"""The skeleton stage by brute force, in plain Python, written from the specification alone.

It shares no code with the rest of the package: it reads the same YAML and parquet files, keeps times as whole
microseconds since 1970 in UTC, and looks at every event of a user for every row. The tests compare the
stage with it; `daeda audit` compares a sample of a user's output with it (see sample.py).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import glob
import math
import os
import re
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as is_a
import yaml

from daedalus.audit.reference_measures import MEASURES

DAY = 86_400_000_000
SPINE = [
    "user_id", "artwork_id", "event_timestamp", "event", "feed_session",
    "current_like_count", "country_code", "platform_code", "retriever_id", "member_source",
]  # fmt: skip
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def micros(text: str) -> int:
    """A duration such as 7d in microseconds."""
    return int(text[:-1]) * SECONDS[text[-1]] * 1_000_000


def day_start(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days * DAY


def days_from(first: str, last: str) -> list[dt.date]:
    """The days of months such as 202602 or 2026-02, or from one day to another, such as 2026-02-01."""
    begin, end = (text.replace("-", "") for text in (first, last))
    day, days = dt.date(int(begin[:4]), int(begin[4:6]), int(begin[6:] or 1)), []
    while day.strftime("%Y%m%d")[: len(end)] <= end:
        days.append(day)
        day += dt.timedelta(days=1)
    return days


def read_yaml(path: Path) -> Any:
    """What a YAML file has, by libyaml where it is there: a tenth of the time."""
    return yaml.load(path.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_rows(
    path: str | Path, columns: Sequence[str] | None = None, keep: Callable[[pa.Table], pa.Array] | None = None
) -> list[dict]:
    """Rows of one parquet file; times become microseconds, whatever their unit and zone.

    `columns` are those to read, of which the file may lack some; `keep` gives a mask of the rows of a batch to keep.
    """
    rows: list[dict] = []
    with open(path, "rb") as opened:  # by Python, which takes any name
        file = pq.ParquetFile(opened, coerce_int96_timestamp_unit="us")
        there = file.schema_arrow.names
        names = None if columns is None else [name for name in columns if name in there]
        for batch in file.iter_batches(columns=names, use_threads=False):
            table = pa.Table.from_batches([batch])
            rows += _as_dicts(table.filter(keep(table)) if keep else table)
    return rows


def day_of_folders(names: Sequence[str], levels: Sequence[str]) -> dt.date | None:
    """The day of folders, a strftime pattern each; None if there is no such day, or its year is not in 1000 to 9000.

    A number that is alone in its level may lack zeros, or have more; those in others are as strftime writes them.
    """
    plain = [re.sub("0+(?=[0-9])", "", name) if len(re.findall("%[mdH]", level)) == level.count("%") == 1 else name
             for name, level in zip(names, levels, strict=True)]  # fmt: skip
    try:
        time = dt.datetime.strptime("/".join(plain), "/".join(levels))
    except ValueError:
        return None
    exact = all(level.count("%") == 1 or f"{time:{level}}" == name for name, level in zip(names, levels, strict=True))
    return time.date() if exact and 1000 <= time.year <= 9000 else None


def partition_files(feed: Path, pattern: str) -> Iterator[tuple[dt.date, Path]]:
    """(partition, file) of a feed in the order of paths: files in folders of days, as deep as the pattern."""
    levels = pattern.split("/")
    for folder in sorted(feed.glob("/".join("*" * len(levels))), key=lambda path: path.relative_to(feed).parts):
        names = folder.relative_to(feed).parts
        if folder.is_dir() and (day := day_of_folders(names, levels)):
            yield from ((day, file) for file in files_of(folder))


def files_of(folder: Path) -> list[Path]:
    """The parquet files in a folder of the feed, without hidden ones such as `._NAME`."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in there if path.suffix.lower() == ".parquet" and path.name[0] not in "_.")


def _same_uuid(found: str, given: object) -> bool:
    try:
        return UUID(found) == UUID(str(given))
    except ValueError:
        return False


def schema_of(path: str | Path) -> pa.Schema:
    with open(path, "rb") as opened:
        return pq.read_schema(opened)


def _as_dicts(table: pa.Table) -> list[dict]:
    columns = {name: values_of(table[name]) for name in table.column_names}
    fine = [field.name for field in table.schema if is_a.is_timestamp(field.type) and field.type.unit == "ns"]
    columns |= {in_full(name): columns[name] for name in fine}
    columns |= {name: [None if value is None else math.floor(value) for value in columns[name]] for name in fine}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def in_full(name: str) -> str:
    """The key of a time column's values in full precision; under the column's own name they are in microseconds."""
    return f"{name}\0"


def values_of(column: pa.Array | pa.ChunkedArray) -> list:
    """A column's values in Python, whatever its encoding; times as microseconds, also in lists and structs."""
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in values_of(chunk)]
    kind = column.type
    if is_a.is_dictionary(kind):
        return values_of(column.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        stored = values_of(column.storage)
        uuids = kind.extension_name == "arrow.uuid"
        return [value and str(UUID(bytes=value)) for value in stored] if uuids else stored
    if is_a.is_fixed_size_list(kind):
        return values_of(column.cast(pa.list_(kind.value_type)))
    if is_a.is_map(kind):
        pairs = list(zip(values_of(column.keys), values_of(column.items), strict=True))
        return _cut(column, pairs)
    if is_a.is_list(kind) or is_a.is_large_list(kind):
        return _cut(column, values_of(column.values))
    if is_a.is_struct(kind):
        rows = zip(*map(values_of, column.flatten()), strict=True)
        names = [field.name for field in kind]
        return [dict(zip(names, row, strict=True)) if there else None
                for there, row in zip(column.is_valid().to_pylist(), rows, strict=True)]  # fmt: skip
    if is_a.is_timestamp(kind) or is_a.is_time(kind) or is_a.is_duration(kind):
        whole = column.cast(pa.int32()).cast(pa.int64()) if is_a.is_time32(kind) else column.cast(pa.int64())
        return [None if value is None else _micros_of(value, kind.unit) for value in whole.to_pylist()]
    if is_a.is_date(kind):
        return [None if days is None else _date(days) for days in column.cast(pa.date32()).cast(pa.int32()).to_pylist()]
    if is_a.is_float16(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]
    return column.to_pylist()


def _cut(column: pa.Array, members: list) -> list:
    """The lists of a column, cut from the members of all."""
    ends = column.offsets.to_pylist()
    there = column.is_valid().to_pylist()
    return [members[begin:end] if full else None for full, begin, end in zip(there, ends[:-1], ends[1:], strict=True)]


def _micros_of(value: int, unit: str) -> int | Fraction:
    if unit == "ns":
        return Fraction(value, 1000) if value % 1000 else value // 1000
    return value * {"s": 1_000_000, "ms": 1000, "us": 1}[unit]


def _date(days: int) -> dt.date | str:
    try:
        return dt.date(1970, 1, 1) + dt.timedelta(days=days)
    except OverflowError:  # Python's dates end before parquet's do
        return f"day {days}"


def as_micros(value: Any) -> Any:
    """A time in microseconds; a date is its midnight."""
    return day_start(value) if isinstance(value, dt.date) else value


def widened(rows: list[dict]) -> list[dict]:
    """Rows of several files, each column of one type: whole numbers beside others are numbers with a fraction,
    dates beside times are times."""
    for name in {name for row in rows for name in row}:
        kinds = set().union(*(_kinds(row.get(name)) for row in rows))
        to = float if {int, float} <= kinds else as_micros if {int, dt.date} <= kinds else None
        if to:
            for row in rows:
                row[name] = _each(to, row.get(name))
    return rows


def _kinds(value: Any) -> set[type]:
    return set().union(*map(_kinds, value)) if isinstance(value, list) else {type(value)}


def _each(to: Callable, value: Any) -> Any:
    if isinstance(value, list):
        return [_each(to, member) for member in value]
    return value if value is None else to(value)


@cache
def numeric_countries() -> dict[str, int]:
    import pycountry

    return {country.alpha_2: int(country.numeric) for country in pycountry.countries}


class Reference:
    """The expected output of a run over a range."""

    def __init__(self, config: Path | str, days: list[dt.date] | None = None, root: Path | str = ".") -> None:
        self.root = Path(root)
        config = Path(config)
        self.catalog = read_yaml(config / "catalog.yaml")
        self.runtime = read_yaml(config / "training/runtime.yaml")
        self.aggs = read_yaml(config / "training/aggregations.yaml")["aggregations"]
        self.configured = days_from(str(self.runtime["feed_start"]), str(self.runtime["feed_end"]))
        self.range = days or self.configured
        spine = self.runtime.get("spine", {})
        self.lookback = spine.get("lookback_days", 7)
        late = spine.get("lateness_days", 0)
        late = late if isinstance(late, dict) else {"after": late}
        self.before, self.after = late.get("before", 0), late.get("after", 0)
        self.dedup = spine.get("deduplicate", True)
        feed = self.catalog["feed"]
        self.extra = feed.get("extra_columns") or []
        self.names = {column: column for column in [*SPINE, *self.extra]} | (feed.get("columns") or {})
        self.coverage = self.runtime.get("embedding_coverage_filter") or {"enabled": False, "events": []}
        self._read_feed()
        self._read_views()
        self.pool = self._read_pool() if self.coverage.get("enabled", True) else set()

    # Inputs

    def _read_feed(self) -> None:
        self.by_day: dict[dt.date, list[dict]] = defaultdict(list)
        self.counts: dict[dt.date, dict] = defaultdict(
            lambda: {"read": 0, "null_keys": 0, "strays": 0, "duplicates": 0}
        )
        self.session_days: set[dt.date] = set()
        self.partitions: set[dt.date] = set()
        raw: dict[dt.date, list[tuple]] = defaultdict(list)
        for partition, row in self._all_rows():
            self._place(partition, tuple(row.values()), raw)
        for day, rows in raw.items():
            kept = _each_once(rows) if self.dedup else rows
            self.counts[day]["duplicates"] = len(rows) - len(kept)
            self.by_day[day] = [self._clean(row) for row in kept]

    def _all_rows(self) -> list[tuple[dt.date, dict]]:
        """(partition, row by the spine's names) of the whole feed; extra columns are of one type."""
        found: list[tuple[dt.date, dict]] = []
        for partition, file in self.feed_files():
            self.partitions.add(partition)
            if self.names["feed_session"] in self.schema(file).names:
                self.session_days.add(partition)
            for there in self.feed_rows(partition, file):
                row = {column: there.get(own) for column, own in self.names.items()}
                row["event_timestamp"] = self._time(row["event_timestamp"])
                found.append((partition, row))
        extra = widened([{column: row[column] for column in self.extra} for _, row in found])
        return [(partition, {**row, **more}) for (partition, row), more in zip(found, extra, strict=True)]

    def feed_files(self) -> Iterator[tuple[dt.date, Path]]:
        """(partition, file) of all files of the feed; a folder of no day, such as dt=2026-02-30, is no partition."""
        feed = self.catalog["feed"]
        return partition_files(self.root / feed["path"], feed.get("partition", "dt=%Y-%m-%d"))

    def feed_rows(self, partition: dt.date, file: Path) -> list[dict]:
        """The rows of a feed file to use; here all."""
        return read_rows(file)

    def schema(self, file: str | Path) -> pa.Schema:
        """The schema of a feed or view file."""
        return schema_of(file)

    def wanted(self, day: dt.date, row: dict) -> bool:
        """Whether to compute a target row; here always."""
        return True

    def view_rows(self, name: str) -> list[dict]:
        """The rows of a view to use, in path order; here all."""
        return [self.named(name, row) for path in self.view_files(name) for row in read_rows(path)]

    def named(self, name: str, row: dict) -> dict:
        """A row of a view with the entity by the feed's name."""
        view = self.catalog["views"][name]
        own = view.get("entity_column")
        return {**row, view["entity"]: row.get(own)} if own else row

    def view_files(self, name: str) -> list[str]:
        """The files of a view, in path order."""
        source = str(self.root / self.catalog["views"][name]["source"])
        if not os.path.isdir(source):
            start = len(source.partition("*")[0].rpartition("/")[0])
            found = sorted(glob.glob(source, recursive=True))
            return [path for path in found if os.path.isfile(path) and "/_" not in path[start:]]
        names = [name for name in sorted(os.listdir(source)) if name.lower().endswith(".parquet")]
        return [f"{source}/{name}" for name in names if name[0] not in "_."]

    def _time(self, value: Any) -> Any:
        """A time of the feed in microseconds; a whole number is one of timestamp_unit."""
        unit = self.catalog["feed"].get("timestamp_unit")
        if value is None or unit is None:
            return as_micros(value)
        return value // 1000 if unit == "ns" else _micros_of(value, unit)

    def _place(self, partition: dt.date, row: tuple, raw: dict) -> None:
        """Adds a feed row to its day, or counts why it is left out."""
        count = self.counts[partition]
        count["read"] += 1
        if any(value is None for value in row[:4]):
            count["null_keys"] += 1
            return
        try:
            day = dt.date(1970, 1, 1) + dt.timedelta(days=row[2] // DAY)
        except OverflowError:  # of no day that has a partition
            count["strays"] += 1
            return
        if -self.before <= (partition - day).days <= self.after:
            raw[day].append(row)
        else:
            count["strays"] += 1

    def _clean(self, values: tuple) -> dict:
        row = dict(zip(self.names, values, strict=True))
        country, platform = row["country_code"], row["platform_code"]
        if isinstance(country, str):
            country = numeric_countries().get(country.upper(), 0)
        if isinstance(platform, str):
            platform = (self.runtime.get("platforms") or {}).get(platform, 0)
        return {**row, "country_code": country or 0, "platform_code": platform or 0}

    def _read_views(self) -> None:
        self.views: dict[str, list[dict]] = {}
        refs = [
            *self.runtime.get("feature_refs", []),
            *self.runtime.get("enrich", []),
            *(self.runtime.get("ages") or {}).values(),
        ]
        if recent := self.runtime.get("recent_published"):
            refs += [recent["published_at"], recent["author"]]
        kinds: dict[str, set] = defaultdict(set)
        for name in {ref.split(":")[0] for ref in refs}:
            self.views[name] = widened(self.view_rows(name))
            for field in (field for path in self.view_files(name) for field in self.schema(path)):
                kinds[field.name].add(field.type)
        self.singles = {name for name, types in kinds.items() if types <= {pa.float16(), pa.float32(), pa.null()}}
        self.uuids = {name for name, types in kinds.items() if "extension<arrow.uuid>" in map(str, types)}

    def _read_pool(self) -> set[int]:
        import lance

        folder = self.root / self.coverage["uri"] / f"{self.coverage['table']}.lance"
        return set(lance.dataset(str(folder)).to_table([self.coverage.get("id_column", "artwork_id")])[0].to_pylist())

    @cache  # noqa: B019
    def latest(self, name: str, before: int | None) -> dict:
        """The last row per entity among those whose time is before `before` (None: all)."""
        view = self.catalog["views"][name]
        best: dict = {}
        for position, row in enumerate(self.views[name]):
            entity, time = as_micros(row.get(view["entity"])), as_micros(row.get(view["timestamp_field"]))
            if entity is None or (before is not None and time is not None and time >= before):
                continue
            full = row.get(in_full(view["timestamp_field"]), time)
            age = (time is not None, full if full is not None else 0, position)
            if entity not in best or age > best[entity][0]:
                best[entity] = (age, row)
        return {entity: row for entity, (_, row) in best.items()}

    def feature(self, ref: str, row: dict) -> object:
        """`view:feature` of a spine row."""
        name, feature = ref.split(":")
        found = self.feature_row(name, row)
        return found.get(feature) if found else None

    def feature_row(self, name: str, row: dict) -> dict | None:
        """The row of a view that a spine row's features come from."""
        view = self.catalog["views"][name]
        by_day = view.get("as_of", "latest") == "day"
        before = (row["event_timestamp"] // DAY + 1) * DAY if by_day else None
        return self.latest(name, before).get(row[view["entity"]])

    # Steps

    def covered(self, row: dict) -> bool:
        if not self.coverage.get("enabled", True) or row["event"] not in self.coverage["events"]:
            return True
        return row["artwork_id"] in self.pool

    @cache  # noqa: B019
    def events_by(self, keys: tuple[str, ...], day: dt.date | None, back: int) -> dict[tuple | None, list[dict]]:
        """Covered rows of a day and of the days before it that a window reaches, by their keys; of all days for
        None."""
        days = [*self.by_day] if day is None else [day - dt.timedelta(days=i) for i in range(back + 1)]
        found = defaultdict(list)
        for one in days:
            for row in self.by_day.get(one, []):
                if self.covered(row):
                    found[self.keyed(keys, row)].append(row)
        return found

    def keyed(self, keys: tuple[str, ...], row: dict) -> tuple | None:
        """A row's values of columns, in which NaN equals itself and zero is one; None where one is NULL."""
        values = [self._value(key, row) for key in keys]
        return None if None in values else tuple("NaN" if value != value else value for value in values)

    def aggregate(self, agg: dict, day: dt.date, row: dict) -> dict[str, object]:
        """An aggregation's columns for one row."""
        seen = self._seen(agg, day, row)
        if agg["windows"] == "cumulative":
            return {agg["name"]: _aggregated(agg, seen, row["event_timestamp"])}
        found = {}
        for window in agg["windows"]:
            start = row["event_timestamp"] - micros(window)
            found[f"{agg['name']}_{window}"] = _aggregated(
                agg, [(t, v) for t, v in seen if t >= start], row["event_timestamp"]
            )
        return found

    def _seen(self, agg: dict, day: dt.date, row: dict) -> list[tuple]:
        """(time, value) of what a row sees, all of the longest window of its keys, or the whole past."""
        keys = tuple(filter(None, (agg.get("key", "user_id"), agg.get("match"))))
        if agg["windows"] == "cumulative":
            events = self.events_by(keys, None, 0)
        else:
            events = self.events_by(keys, day, max(-(-micros(window) // DAY) for window in agg["windows"]))
        mine = self.keyed(keys, row)
        seen: list[tuple] = []
        for event in events.get(mine, []) if mine else []:
            if event["event"] not in agg["events"] or event["event_timestamp"] >= row["event_timestamp"]:
                continue
            if agg.get("exclude_self") and event["artwork_id"] == row["artwork_id"]:
                continue
            if not self._is_where(agg.get("where") or {}, event):
                continue
            value = self._value(agg["column"], event)
            if value is None:
                continue
            values = [v for v in value if v is not None] if agg["agg"] == "flatten_distinct" else [value]
            seen += [(event["event_timestamp"], v) for v in values]
        return seen

    def _is_where(self, where: dict, event: dict) -> bool:
        """Whether an event has one of the values in every column."""
        found = {column: self._value(column, event) for column in where}
        return all(any(self._is(column, found[column], value) for value in where[column]) for column in where)

    def _value(self, column: str, event: dict) -> Any:
        for ref in self.runtime.get("enrich", []):
            if ref.split(":")[1] == column:
                return self.feature(ref, event)
        return event[column]

    def target_rows(self, day: dt.date) -> list[dict]:
        """The day's covered rows without view-only and single-like sessions."""
        rows = [row for row in self.by_day.get(day, []) if self.covered(row)]
        rule, views = self.runtime.get("session_filter") or {}, self.coverage.get("events", [])
        sessions = defaultdict(list)
        for row in rows:
            if row["feed_session"] is not None:
                sessions[row["feed_session"]].append(row["event"])
        dropped = set()
        for session, events in sessions.items():
            acts = [event for event in events if event not in views]
            if rule.get("drop_view_only") and not acts:
                dropped.add(session)
            if rule.get("drop_single_like") and acts == ["like"]:
                dropped.add(session)
        return [row for row in rows if row["feed_session"] not in dropped]

    @property
    def publications(self) -> dict[int, list[tuple]]:
        """(published_at, artwork) by author, from the latest row of every artwork."""
        if not hasattr(self, "_publications"):
            recent = self.runtime["recent_published"]
            name, published = recent["published_at"].split(":")
            author = recent["author"].split(":")[1]
            self._publications = defaultdict(list)
            for artwork, row in self.latest(name, None).items():
                if row.get(author) is not None and row.get(published) is not None:
                    self._publications[row[author]].append((as_micros(row[published]), artwork))
        return self._publications

    def recent(self, row: dict) -> list[int]:
        rule, t = self.runtime["recent_published"], row["event_timestamp"]
        seen = [(p, a) for p, a in self.publications.get(row["user_id"], []) if t - micros(rule["window"]) <= p < t]
        return [a for _, a in sorted(seen, key=lambda pair: (-pair[0], pair[1]))][: rule.get("max_items")]

    def chunk_row(self, row: dict) -> dict | None:
        """A row with features and ages, or None when the content filter drops it."""
        found = dict(row)
        for name in self.views:
            features = self.feature_row(name, row) or {}
            for feature in self.catalog["views"][name]["features"]:
                found.setdefault(feature, features.get(feature))
        for age, ref in (self.runtime.get("ages") or {}).items():
            source = as_micros(self.feature(ref, row))
            found[age] = None if source is None else max(0, (row["event_timestamp"] - source) // DAY)
        rule = self.runtime.get("animated_model_type")
        if rule and found["artwork_type"] == rule["artwork_type"] and found["model_type"] == rule["from"]:
            found["model_type"] = rule["to"]
        for column, values in ((self.runtime.get("content_filter") or {}).get("drop") or {}).items():
            if any(self._is(column, found[column], value) for value in values):
                return None
        return found

    def _is(self, column: str, found: Any, value: object) -> bool:
        """Whether a column has a value of the configuration, as the column's type holds it."""
        if found is None:
            return False
        if isinstance(value, float) and column in self.singles:
            with contextlib.suppress(OverflowError):
                (value,) = struct.unpack("f", struct.pack("f", value))
        if column in self.uuids:
            return _same_uuid(found, value)
        if isinstance(found, Decimal):
            return found == Decimal(repr(value))
        return bool(found == value or (found != found and value != value))

    # Output

    def day(self, day: dt.date) -> list[dict] | None:
        """The partition's rows in order, without qid; None for a day without rows."""
        if not self.by_day.get(day):
            return None
        rows = []
        for row in sorted(self.target_rows(day), key=self._order):
            if not self.wanted(day, row):
                continue
            found = self.chunk_row(row)
            if found is None:
                continue
            for agg in self.aggs:
                found.update(self.aggregate(agg, day, row))
            if recent := self.runtime.get("recent_published"):
                found[recent["column"]] = self.recent(row)
            rows.append(found)
        return rows

    def _order(self, row: dict) -> list:
        names = ["user_id", "feed_session", "event_timestamp", "artwork_id", "event"]
        names += [name for name in self.names if name not in names]
        return [_rank(row[name]) for name in names]

    def output(self, row: dict) -> dict:
        """The output columns of a row of `day`; a default_sql default is NULL here."""
        found = {}
        for column in self.runtime["output_columns"]:
            column = {"name": column} if isinstance(column, str) else column
            made = column.get("from") or column["name"]
            found[column["name"]] = row[made] if made in row else column.get("default")
        return found

    def run(self) -> dict[dt.date, list[dict]]:
        """Every day's output rows with qids, as one run with an empty qid map gives them."""
        # One run over the range and one run per day must give the same columns, so the config's range counts too.
        with_qid = any(day in self.session_days for day in (*self.range, *self.configured))
        qids: dict[str, int] = {}
        partitions = {}
        for day in self.range:
            rows = self.day(day)
            if rows is None:
                continue
            first: dict[str, int] = {}
            for row in rows:
                session, t = row["feed_session"], row["event_timestamp"]
                if session is not None:
                    first[session] = min(t, first.get(session, t))
            for session in sorted(first, key=lambda s: (first[s], s)):
                qids.setdefault(session, len(qids))
            outputs = [self.output(row) for row in rows]
            if with_qid:
                for output, row in zip(outputs, rows, strict=True):
                    output["qid"] = qids.get(row["feed_session"])
            partitions[day] = outputs
        self.qids = qids
        return partitions


def _each_once(rows: list[tuple]) -> list[tuple]:
    first: dict[tuple, tuple] = {}
    for row in rows:
        first.setdefault(_typed(row), row)
    return list(first.values())


def _typed(row: tuple) -> tuple:
    """A row's values with their types, so that 1, True and '1' are three, NaN is one and 0.0 and -0.0 are two."""
    return tuple(repr(value) if isinstance(value, float) else value for value in row), tuple(map(type, row))


def _rank(value: Any) -> tuple:
    """A place in an order: NaN after numbers, -0.0 before 0.0, NULL last."""
    if isinstance(value, float):
        return (False, value != value, 0 if value != value else value, math.copysign(1, value) if value == 0 else 0)
    return (value is None, False, 0 if value is None else value, 0)


def _aggregated(agg: dict, seen: list[tuple], now: int) -> object:
    """An aggregation's value from the (time, value) pairs that a row, whose time is `now`, sees."""
    if agg["agg"] == "count":
        return len(seen)
    if agg["agg"] == "since_last":
        return (now - max(time for time, _ in seen)) // 1_000_000 if seen else None
    if agg["agg"] in MEASURES:
        return MEASURES[agg["agg"]](seen)
    ordered = [value for _, value in sorted(seen, key=lambda pair: (-pair[0], pair[1] != pair[1], pair[1]))]
    if agg["agg"] != "list":
        first: dict[str, Any] = {}
        for value in ordered:  # by its text: NaN is one value; and there is one zero
            value = value + 0.0 if isinstance(value, float) else value
            first.setdefault(repr(value), value)
        ordered = list(first.values())
    if agg["agg"] == "top":
        times = Counter(repr(value + 0.0 if isinstance(value, float) else value) for _, value in seen)
        ordered.sort(key=lambda value: -times[repr(value)])
    return ordered[: agg.get("max_items")]
