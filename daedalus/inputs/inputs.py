"""What the files to read hold: feed partitions, view files and their columns, by digest and schema."""

from __future__ import annotations

import glob
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.actions.ports import Facts, Files
from daedalus.base.days import ONE_DAY, Day
from daedalus.base.errors import DaedalusError, DayError, did_you_mean
from daedalus.config import CATALOG, Config
from daedalus.config.columns import REQUIRED_COLUMNS, SPINE_COLUMNS, Ref
from daedalus.config.schema import Lateness, View
from daedalus.inputs.listing import FeedFolder, pattern_of
from daedalus.skeleton.steps.spine import CODES
from daedalus.sql.types import canonical, fits, is_integer, is_time, type_name, widen

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MOST = {"ms": (2**63 - 1) // 1000, "day": 106_751_990}  # that microseconds hold
_FORM = 2  # of what is remembered of a footer
_INFINITY = 2**31 - 1  # of days, which a TIMESTAMP has too
# In the place of a type:
TOO_FAR = "TIMESTAMP in milliseconds, with times that no microseconds can hold"
FAR_DATE = "DATE, with days that no TIMESTAMP can hold"
TWICE = "two columns of that name"
Check = Callable[[str, Mapping[str, str]], None]  # (path, schema); raises DayError


@dataclass(frozen=True)
class InputFile:
    """A parquet file as it was when looked at. `schema` maps columns to DuckDB types.

    `times` are (least, most, rows) of event_timestamp in its row groups, in microseconds, as far as it says.
    """

    path: str
    label: str
    digest: str
    stamp: Any
    schema: Mapping[str, str]
    error: DaedalusError | None = None
    looked: int = 0  # when, in nanoseconds since 1970
    times: Sequence[Sequence[int]] = ()

    def check_unchanged(self, files: Files) -> None:
        """Raises DayError when a new look does not find what was looked at."""
        if not files.is_still(self.path, self.digest, self.stamp, self.looked):
            raise DayError("an input file changed while it was being read", where=self.path, hint="run again")


class Inputs:
    """Looks at input files, each at most once a run."""

    def __init__(self, files: Files, facts: Facts) -> None:
        self.files, self._facts = files, facts
        self._footers: dict[str, Any] | None = None
        self._checked: set[tuple] = set()

    def prepare(self, paths: Sequence[str]) -> None:
        """Looks at many files at once, for `look`."""

        def looked(path: str, local: Path, content: str) -> None:
            with suppress(DaedalusError):  # `look` tells of it
                self._learn(path, str(local), content)

        self.files.prepare(paths, looked)

    def look(self, path: str, label: str, check: Check) -> InputFile:
        """Digest and schema of a file; what `check` raises, or an unreadable footer, becomes its `error`."""
        looked = time.time_ns()
        try:
            content, stamp = self.files.of(path)
        except OSError as error:
            return InputFile(path, label, "unreadable", None, {}, _unreadable(path, error.strerror))
        except DaedalusError as error:
            return InputFile(path, label, "unreadable", None, {}, error)
        try:
            footer = self._footer(path, content)
            schema = footer["columns"]
            checked = (check, *schema.items())
            if checked not in self._checked:
                check(path, schema)
                self._checked.add(checked)
        except DaedalusError as error:
            return InputFile(path, label, content, stamp, {}, error)
        return InputFile(path, label, content, stamp, schema, looked=looked, times=footer["times"])

    def look_whole(self, path: str, label: str) -> InputFile:
        """Digest alone, of a file that is no parquet. Raises OSError or DaedalusError."""
        looked = time.time_ns()
        content, stamp = self.files.of(path)
        return InputFile(path, label, content, stamp, {}, looked=looked)

    def _footer(self, path: str, content: str) -> dict[str, Any]:
        key = f"file:{content}"
        if key not in self._known and _is_read(found := self._facts.fact(key)):  # learned meanwhile
            self._known[key] = found
        if key not in self._known:
            with self.files.fetch({path: content}) as local:
                self._learn(path, local[path], content)
        return self._known[key]

    @property
    def _known(self) -> dict[str, Any]:
        if self._footers is None:
            self._footers = {key: found for key, found in self._facts.facts("file:").items() if _is_read(found)}
        return self._footers

    def _learn(self, path: str, local: str, content: str) -> None:
        key = f"file:{content}"
        if key not in self._known:
            self._known[key] = _read_footer(path, local)
            self._facts.remember_fact(key, self._known[key])


def _unreadable(path: str, why: object) -> DayError:
    return DayError(
        "a parquet file cannot be read",
        where=path,
        found=" ".join(str(why).split())[:200],
        expected="a whole parquet file",
        hint="restore or remove the file, then run again",
    )


def _is_read(footer: dict | None) -> bool:
    """Whether what is remembered of a footer was read as `_read_footer` reads it now."""
    return footer is not None and footer.get("form") == _FORM


def _read_footer(path: str, local: str) -> dict:
    """`columns`, name to type, `rows` and `bytes` of a parquet file, whose bytes are in `local`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(local, coerce_int96_timestamp_unit="us") as file:  # as DuckDB reads INT96
            columns = {field.name: type_name(field.type) for field in file.schema_arrow}
            columns |= dict(_beyond_micros(file))
            columns |= {name: TWICE for name, count in Counter(file.schema_arrow.names).items() if count > 1}
            rows, size = file.metadata.num_rows, os.path.getsize(local)
            return {"form": _FORM, "columns": columns, "rows": rows, "bytes": size, "times": list(_event_times(file))}
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _beyond_micros(file: pq.ParquetFile) -> Iterator[tuple[str, str]]:
    """Columns with times that DuckDB, which reads microseconds, fails on; so the statistics say."""
    units = {field.name: _unit(field.type) for field in file.schema_arrow}
    coarse = {name: unit for name, unit in units.items() if unit in _MOST}
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups if coarse else 0)]
    for chunk in (group.column(column) for group in groups for column in range(group.num_columns)):
        unit = coarse.get(chunk.path_in_schema)
        known = chunk.statistics if unit else None
        ends = {-known.min_raw, known.max_raw} - {_INFINITY} if unit and known and known.has_min_max else ()
        if unit and any(end > _MOST[unit] for end in ends):
            yield chunk.path_in_schema, FAR_DATE if unit == "day" else TOO_FAR


def _event_times(file: pq.ParquetFile) -> Iterator[list[int]]:
    """See `InputFile.times`."""
    units = {"s": (1000, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}  # seconds are kept as milliseconds
    kinds = {field.name: field.type for field in file.schema_arrow}
    times, by = units.get(getattr(kinds.get("event_timestamp"), "unit", ""), (0, 1))
    for group in map(file.metadata.row_group, range(file.metadata.num_row_groups if times else 0)):
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema == "event_timestamp" and (known := chunk.statistics) and known.has_min_max:
                yield [known.min_raw * times // by, known.max_raw * times // by, chunk.num_values]


def _unit(kind: pa.DataType) -> str:
    unit = "day" if str(kind) == "date32[day]" else getattr(kind, "unit", "")
    return "ms" if unit == "s" else unit


# The feed


@dataclass(frozen=True)
class Feed:
    """The feed's partitions, by day."""

    partitions: Mapping[Day, tuple[InputFile, ...]]

    def files(self, day: Day, lateness: Lateness) -> dict[int, list[InputFile]]:
        """Files that may hold rows of `day`, by how many days late their partition is; those of its own are 0."""
        return {late: list(self.partitions.get(day + late * ONE_DAY, ())) for late in lateness.partitions}

    def with_sessions(self, days: Sequence[Day]) -> Day | None:
        """The first of these partitions that has feed_session."""
        return next((d for d in days for file in self.partitions.get(d, ()) if "feed_session" in file.schema), None)


def look_at_feed(inputs: Inputs, folder: FeedFolder, days: Sequence[Day]) -> Feed:
    """Digests and schemas of the partitions of `days`."""
    labels = {day: folder.days[day] for day in days if day in folder.days}
    inputs.prepare(
        [f"{folder.root}/{name}" for names in labels.values() for name in names if name not in folder.errors]
    )

    def look(label: str) -> InputFile:
        path = f"{folder.root}/{label}"
        if why := folder.errors.get(label):
            return InputFile(path, label, "unreadable", None, {}, _unreadable(path, why))
        return inputs.look(path, label, check_feed_schema)

    return Feed({day: tuple(map(look, names)) for day, names in labels.items()})


def refuse_other_names(path: str, schema: Mapping[str, str], wanted: Iterable[str]) -> None:
    """A column is found by its name as it is spelt, once: DuckDB, which knows no case, could read another for it."""
    spelled: dict[str, list[str]] = {}
    for column in schema:
        spelled.setdefault(column.casefold(), []).append(column)
    for column in wanted:
        found = spelled.get(column.casefold(), [])
        where = f"{path}: {column}"
        if len(found) > 1:
            raise DayError("two columns differ only in case", where=where, found=", ".join(found),
                           expected=f"only {column}", hint="rename the other")  # fmt: skip
        if found and found != [column]:
            raise DayError("a column is spelt in another case", where=where, found=found[0], expected=column,
                           hint="rename it")  # fmt: skip
        if schema.get(column) == TWICE:
            raise DayError("a column stands twice", where=where, found=TWICE, expected="one", hint="rename the other")
        first, _, number = column.casefold().rpartition("_")  # DuckDB calls a second column x of a file x_1
        if number.isdigit() and _stands_twice(spelled.get(first, []), schema):
            raise DayError("a column that another would be read for", where=where, found=f"two columns {first}",
                           expected="one", hint="rename the other")  # fmt: skip


def _stands_twice(names: Sequence[str], schema: Mapping[str, str]) -> bool:
    return len(names) > 1 or any(schema[name] == TWICE for name in names)


def check_feed_schema(path: str, schema: Mapping[str, str]) -> None:
    """Raises DayError naming file, column and both types when a column cannot be what the spine needs."""
    refuse_other_names(path, schema, SPINE_COLUMNS)
    for column in REQUIRED_COLUMNS:
        if column not in schema:
            found = ", ".join(schema)
            raise DayError("a required feed column is missing", where=f"{path}: {column}", found=found, expected=column)
    for column, wanted in SPINE_COLUMNS.items():
        found = schema.get(column, "NULL")
        coded = column in CODES and (is_integer(found) or found == "VARCHAR")
        if not coded and not fits(found, wanted):
            also = " or VARCHAR" if column in CODES else ""
            raise DayError(
                "a feed column has a type that cannot be widened",
                where=f"{path}: {column}",
                found=found,
                expected=f"{wanted}{also}",
                hint="rewrite the file with that type",
            )


# Views


@dataclass(frozen=True)
class ViewInput:
    """A view's files, in path order, and the types of its entity and features over all of them."""

    name: str
    view: View
    files: tuple[InputFile, ...]
    types: Mapping[str, str]

    def groups(self) -> list[tuple[Mapping[str, str], list[InputFile]]]:
        """Files by the schema of the columns that are read."""
        read = [*self.types, self.view.timestamp_field]
        return group_by_schema(self.files, read)


def group_by_schema(
    files: Sequence[InputFile], columns: Sequence[str]
) -> list[tuple[Mapping[str, str], list[InputFile]]]:
    groups: dict[tuple, list[InputFile]] = {}
    for file in files:
        groups.setdefault(tuple((c, file.schema[c]) for c in columns if c in file.schema), []).append(file)
    return [(dict(schema), files) for schema, files in groups.items()]


def look_at_view(inputs: Inputs, config: Config, name: str, paths: Sequence[str]) -> ViewInput:
    """Raises DaedalusError (exit 2) when the view's files are unreadable or of the wrong types."""
    view = config.catalog.views[name]
    where = config.where(CATALOG, f"views.{name}")
    root = _fixed_prefix(pattern_of(view, inputs.files))
    inputs.prepare(paths)
    check = partial(_check_view_file, view, _times(config, name))
    files = [inputs.look(path, os.path.relpath(path, root), check) for path in paths]
    for file in files:
        if file.error:
            raise DaedalusError(f"the view {name} cannot be read: {file.error.what}", where=file.error.where,
                                found=file.error.found, expected=file.error.expected,
                                hint=file.error.hint)  # fmt: skip
    files = [
        replace(file, schema={c: "DATE" if t == FAR_DATE else t for c, t in file.schema.items()}) for file in files
    ]
    types = {view.entity: _view_type(f"{where}.entity", view.entity, files)}
    types |= {column: _view_type(f"{where}.features", column, files) for column in view.features}
    types = {column: _null_type(config, name, column) if kind == "NULL" else kind for column, kind in types.items()}
    timestamp = _view_type(f"{where}.timestamp_field", view.timestamp_field, files)
    for file, column in ((file, column) for file in files for column in (view.entity, view.timestamp_field)):
        if column not in file.schema:
            raise DaedalusError(f"a file of the view {name} lacks a column", where=f"{file.path}: {column}",
                                found=", ".join(file.schema), expected=column)  # fmt: skip
    _check_view(where, view, types, timestamp)
    return ViewInput(name, view, tuple(files), {column: canonical(types[column]) for column in sorted(types)})


def _times(config: Config, name: str) -> list[str]:
    """The columns of a view that are read as TIMESTAMP, even when they are DATE."""
    runtime = config.runtime
    recent = [runtime.recent_published.published_at] if runtime.recent_published else []
    refs = [ref for text in (*runtime.ages.values(), *recent) if (ref := Ref.parse(text))]
    return [config.catalog.views[name].timestamp_field, *(ref.feature for ref in refs if ref.view == name)]


def _check_view_file(view: View, times: Sequence[str], path: str, schema: Mapping[str, str]) -> None:
    wanted = dict.fromkeys([view.entity, view.timestamp_field, *view.features])
    refuse_other_names(path, schema, wanted)
    for column in wanted:
        if schema.get(column) == TOO_FAR or (schema.get(column) == FAR_DATE and column in times):
            raise DayError("a time that cannot be read", where=f"{path}: {column}", found=schema[column],
                           expected="TIMESTAMP")  # fmt: skip
    if "file_row_number" in schema:  # what DuckDB calls the row number that ties are settled by
        raise DayError("a column name that cannot be read", where=f"{path}: file_row_number", found="file_row_number",
                       expected="another name")  # fmt: skip


def _fixed_prefix(pattern: str) -> str:
    """The folder above the first wildcard: labels below it do not change when the data moves."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[:fixed])) if fixed else "."


def _null_type(config: Config, view: str, column: str) -> str:
    """The type of a column in which every value is NULL: what its use needs."""
    runtime, ref = config.runtime, f"{view}:{column}"
    recent = runtime.recent_published
    if ref in runtime.ages.values() or (recent and ref == recent.published_at):
        return "TIMESTAMP"
    if column == config.catalog.views[view].entity:
        return SPINE_COLUMNS[column]
    if any(a.agg == "flatten_distinct" and a.column == column for a in config.aggregations):
        return "BIGINT[]"
    if any(isinstance(value, str) for value in runtime.content_filter.drop.get(column, [])):
        return "VARCHAR"
    animated = runtime.animated_model_type and column in ("artwork_type", "model_type")
    return "VARCHAR" if animated else "BIGINT" if recent and ref == recent.author else "INTEGER"


def _view_type(where: str, column: str, files: Sequence[InputFile]) -> str:
    kind, first = None, None
    for file in files:
        if column not in file.schema:
            continue
        wider = file.schema[column] if kind is None else widen(kind, file.schema[column])
        if wider is None:
            raise DaedalusError(
                "a view's column has types that cannot be widened",
                where=f"{file.path}: {column}",
                found=file.schema[column],
                expected=f"{kind}, as in {first}",
            )
        kind, first = wider, first or file.path
    if kind is None:
        known = sorted({name for file in files for name in file.schema})
        raise DaedalusError(
            "a view's column is in none of its files", where=where, found=column,
            expected=f"one of {', '.join(known)}", hint=did_you_mean(column, known),
        )  # fmt: skip
    return kind


def _check_view(where: str, view: View, types: Mapping[str, str], timestamp: str) -> None:
    if not is_time(timestamp) and timestamp != "NULL":
        at = f"{where}.timestamp_field: {view.timestamp_field}"
        raise DaedalusError("a view's timestamp field is no time", where=at, found=timestamp, expected="TIMESTAMP")
    wanted, found = SPINE_COLUMNS[view.entity], types[view.entity]
    if not fits(found, wanted):
        at = f"{where}.entity: {view.entity}"
        raise DaedalusError("a view's entity has another type than the feed's", where=at, found=found, expected=wanted)
