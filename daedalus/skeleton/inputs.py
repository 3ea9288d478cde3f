"""What the files to read hold: feed partitions, view files and their columns, by digest and schema."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.config import CATALOG, Config
from daedalus.config.columns import REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.config.schema import View
from daedalus.days import ONE_DAY, Day
from daedalus.errors import DaedalusError, DayError, did_you_mean
from daedalus.skeleton.listing import FeedFolder, pattern_of
from daedalus.skeleton.ports import Facts, Files
from daedalus.skeleton.spine import CODES
from daedalus.skeleton.types import canonical, fits, is_integer, is_time, type_name, widen

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_MOST_MILLIS = (2**63 - 1) // 1000
TOO_FAR = "TIMESTAMP in milliseconds, with times that no microseconds can hold"  # in the place of a type
Check = Callable[[str, Mapping[str, str]], None]  # (path, schema); raises DayError


@dataclass(frozen=True)
class InputFile:
    """A parquet file as it was when looked at. `schema` maps columns to DuckDB types."""

    path: str
    label: str
    digest: str
    stamp: Any
    schema: Mapping[str, str]
    error: DaedalusError | None = None
    looked: int = 0  # when, in nanoseconds since 1970

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
            schema = self._schema(path, content)
            checked = (check, *schema.items())
            if checked not in self._checked:
                check(path, schema)
                self._checked.add(checked)
        except DaedalusError as error:
            return InputFile(path, label, content, stamp, {}, error)
        return InputFile(path, label, content, stamp, schema, looked=looked)

    def look_whole(self, path: str, label: str) -> InputFile:
        """Digest alone, of a file that is no parquet. Raises OSError or DaedalusError."""
        looked = time.time_ns()
        content, stamp = self.files.of(path)
        return InputFile(path, label, content, stamp, {}, looked=looked)

    def _schema(self, path: str, content: str) -> dict[str, str]:
        key = f"file:{content}"
        if key not in self._known and (found := self._facts.fact(key)):  # learned meanwhile
            self._known[key] = found
        if key not in self._known:
            with self.files.fetch({path: content}) as local:
                self._learn(path, local[path], content)
        return self._known[key]["columns"]

    @property
    def _known(self) -> dict[str, Any]:
        if self._footers is None:
            self._footers = dict(self._facts.facts("file:"))
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


def _read_footer(path: str, local: str) -> dict:
    """`columns`, name to type, `rows` and `bytes` of a parquet file, whose bytes are in `local`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(local) as file:
            columns = {field.name: type_name(field.type) for field in file.schema_arrow}
            columns |= dict.fromkeys(_beyond_micros(file), TOO_FAR)
            return {"columns": columns, "rows": file.metadata.num_rows, "bytes": os.path.getsize(local)}
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _beyond_micros(file: pq.ParquetFile) -> Iterator[str]:
    """Columns in milliseconds with times that DuckDB, which reads microseconds, fails on; so the statistics say."""
    coarse = {field.name for field in file.schema_arrow if getattr(field.type, "unit", "") in ("s", "ms")}
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups if coarse else 0)]
    for chunk in (group.column(column) for group in groups for column in range(group.num_columns)):
        known = chunk.statistics if chunk.path_in_schema in coarse else None
        if known and known.has_min_max and max(-known.min_raw, known.max_raw) > _MOST_MILLIS:
            yield chunk.path_in_schema


# The feed


@dataclass(frozen=True)
class Feed:
    """The feed's partitions, by day; `ignored` are folders whose name is no day."""

    partitions: Mapping[Day, tuple[InputFile, ...]]
    ignored: tuple[str, ...]

    def files(self, day: Day, lateness_days: int) -> list[list[InputFile]]:
        """Files that may hold rows of `day`: those of its own partition, of the next day's, and so on."""
        return [list(self.partitions.get(day + late * ONE_DAY, ())) for late in range(lateness_days + 1)]

    def with_sessions(self, days: Sequence[Day]) -> Day | None:
        """The first of these partitions that has feed_session."""
        return next((d for d in days for file in self.partitions.get(d, ()) if "feed_session" in file.schema), None)


def look_at_feed(inputs: Inputs, folder: FeedFolder, days: Sequence[Day]) -> Feed:
    """Digests and schemas of the partitions of `days`."""
    inputs.prepare([path for day in days for path in folder.paths(day)])
    partitions = {
        day: tuple(inputs.look(f"{folder.root}/{label}", label, check_feed_schema) for label in folder.days[day])
        for day in days
        if day in folder.days
    }
    return Feed(partitions, tuple(folder.ignored))


def refuse_case_variants(path: str, schema: Mapping[str, str], wanted: Iterable[str]) -> None:
    """DuckDB finds columns without regard to case, so a second spelling could be read for the first."""
    spelled: dict[str, list[str]] = {}
    for column in schema:
        spelled.setdefault(column.casefold(), []).append(column)
    for column in wanted:
        if len(found := spelled.get(column.casefold(), [])) > 1:
            raise DayError("two columns differ only in case", where=f"{path}: {column}", found=", ".join(found),
                           expected=f"only {column}", hint="rename the other")  # fmt: skip


def check_feed_schema(path: str, schema: Mapping[str, str]) -> None:
    """Raises DayError naming file, column and both types when a column cannot be what the spine needs."""
    refuse_case_variants(path, schema, SPINE_COLUMNS)
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
    wanted = [view.entity, view.timestamp_field, *view.features]
    files = [inputs.look(p, os.path.relpath(p, root), partial(_check_view_file, wanted)) for p in paths]
    for file in files:
        if file.error:
            raise DaedalusError(f"the view {name} cannot be read", where=file.error.where, found=file.error.found,
                                expected=file.error.expected, hint=file.error.hint)  # fmt: skip
    types = {view.entity: _view_type(f"{where}.entity", view.entity, files)}
    types |= {column: _view_type(f"{where}.features", column, files) for column in view.features}
    types = {column: _null_type(config, name, column) if kind == "NULL" else kind for column, kind in types.items()}
    _check_view(where, view, types, _view_type(f"{where}.timestamp_field", view.timestamp_field, files))
    return ViewInput(name, view, tuple(files), {column: canonical(types[column]) for column in sorted(types)})


def _check_view_file(wanted: Sequence[str], path: str, schema: Mapping[str, str]) -> None:
    refuse_case_variants(path, schema, wanted)
    for column in wanted:
        if schema.get(column) == TOO_FAR:
            raise DayError("a time that cannot be read", where=f"{path}: {column}", found=TOO_FAR,
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
