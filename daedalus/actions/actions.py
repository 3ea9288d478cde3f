"""Making actions: what a step of a day reads and runs becomes an `Action` with labelled ingredients.

This is the only place that builds ingredients from SQL, config values, input files and versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any, TypeVar

from daedalus.actions.ports import Files
from daedalus.actions.unaffected import Keyed, Untouched
from daedalus.base import digest
from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError, DayError
from daedalus.config import Config
from daedalus.inputs.inputs import Feed, InputFile, ViewInput
from daedalus.inputs.pool import PoolInput
from daedalus.objectstore.store import is_uri
from daedalus.parquet.writer import write_parquet
from daedalus.sql.duck import Bindings, Duck, Ducks, is_of_data
from daedalus.sql.text import Sql, literal, parquet, path_literal
from daedalus.sql.text import name as quoted
from daedalus.sql.types import read_as
from daedalus.stagecache.action import Action, Counts, Manifest, Shelf
from daedalus.stagecache.fingerprint import Fingerprint, normalise_sql, of_python, of_sql

_T = TypeVar("_T")


@cache
def version(package: str) -> str:
    """The installed version of a package whose bytes an artifact holds."""
    from importlib import metadata

    return metadata.version(package)


@cache
def sql_fingerprint(sql: Sql) -> Fingerprint:
    return of_sql(*sql.statements)


@dataclass(frozen=True)
class Sources:
    """All that a run reads, looked at once."""

    feed: Feed
    feed_days: Sequence[Day]  # every partition there is, looked at or not
    views: Mapping[str, ViewInput]
    pool: PoolInput | None


@dataclass(frozen=True)
class Place:
    """Where an action stands: its step, the part of it, and its day or span of days."""

    step: str
    part: str = ""
    day: Day | None = None
    span: str = ""

    @property
    def name(self) -> str:
        """Such as `rolling:like_artwork_ids@2026-05-15`."""
        at = self.span or (str(self.day) if self.day else "")
        part = escaped(self.part, "@")
        return f"{self.step}{':' if part else ''}{part}{'@' if at else ''}{at}"


def escaped(text: str, separators: str) -> str:
    """A part of a name in which none of the `separators` occurs: parts that differ make names that differ."""
    return "".join(f"%{ord(c):02X}" if c in separators or c == "%" else c for c in text)


@dataclass(frozen=True)
class Reading:
    """What a `Sql` reads: files of upstream actions and of the feed or a view, tables made when it runs, variables.

    `lists` are variables that list paths in an order that means something. `columns` are those read of `files`, and as
    what.
    """

    upstream: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Sequence[InputFile]] = field(default_factory=dict)
    tables: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[InputFile]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def kinds(self) -> dict[str, list[str]]:
        """Which steps' outputs stand behind each name: what a digest of each upstream alone would not tell."""
        return {name: sorted({action.partition("@")[0] for action in made}) for name, made in self.upstream.items()}


def once(method: Callable[..., _T]) -> Callable[..., _T]:
    """Remembers what a method of an ActionMaker gave for the same arguments; what has a name is told by it."""

    @wraps(method)
    def remembered(self: ActionMaker, *arguments: Any) -> _T:
        key = (method.__name__, *(getattr(argument, "name", argument) for argument in arguments))
        if key not in self.made:
            self.made[key] = method(self, *arguments)
        return self.made[key]

    return remembered


class ActionMaker:
    """Collects actions by name; each is made once."""

    def __init__(
        self,
        config: Config,
        sources: Sources,
        store: Shelf,
        ducks: Ducks,
        files: Files,
        untouched: Untouched,
        fingerprint: Callable[[Callable], Fingerprint] = of_python,
    ) -> None:
        self._untouched = untouched
        self._fingerprint = cache(fingerprint)
        self._config, self._runtime, self._sources = config, config.runtime, sources
        self._store, self._ducks, self._input_files = store, ducks, files
        self._coverage = self._runtime.embedding_coverage_filter
        self._sql: dict[object, Sql] = {}
        self.texts: dict[str, str] = {}  # what code digests are digests of, for explanations
        self.actions: dict[str, Action] = {}
        self.made: dict[tuple, Any] = {}  # see `once`

    def _once(self, key: object, make: Callable[[], Sql]) -> Sql:
        """The rendered statement of a step, which is the same on all days."""
        if key not in self._sql:
            self._sql[key] = make()
        return self._sql[key]

    def _writer(self) -> dict[str, str]:
        """Ingredients of every artifact that DuckDB's rows are written to."""
        return {**self._python(write_parquet), "engine:duckdb": version("duckdb")}

    def _python(self, function: Callable) -> dict[str, str]:
        """Ingredients of what a function writes, which reaches the writer of parquet."""
        written = self._code(self._fingerprint(function))
        return {f"code:{function.__name__}": written, "engine:pyarrow": version("pyarrow")}

    def _code(self, found: Fingerprint) -> str:
        """The digest of a fingerprint, whose text is kept for explanations."""
        self.texts[found.digest] = found.text
        return found.digest

    def _add_sql(
        self,
        place: Place,
        sql: Sql,
        reading: Reading,
        config: Mapping[str, object],
        extra: Mapping[str, str] | None = None,
        keyed: Sequence[Keyed] = (),
        watched: Sequence[InputFile] = (),
    ) -> str:
        """An action that is one `Sql`. `config` are the values that it depends on, by key path; `keyed` its joins.

        `watched` are files that tell whether what is read stays as it was looked at.
        """
        ingredients = {
            "code:sql": self._code(sql_fingerprint(sql)),
            "code:reads": digest.canonical_json(reading.kinds()),
            **self._writer(),
            **{f"config:{key}": digest.canonical_json(value) for key, value in config.items()},
            **{f"config:variable {key}": value for key, value in reading.variables.items()},
            **(extra or {}),
        }
        inputs = [file for group in reading.files.values() for file in group]
        upstream = [name for names in reading.upstream.values() for name in names]
        refusal = DayError if place.day else DaedalusError  # what no day can do without ends the run
        run = partial(_run_sql, self._ducks, self._input_files, refusal, sql, reading)
        describe = partial(describe_sql, sql, reading)
        return self._add(
            place, run, ingredients, upstream, files=inputs, watched=watched, describe=describe, keyed=keyed
        )

    def _add(
        self,
        place: Place,
        run: Callable[[Mapping[str, Path], Path], Counts],
        ingredients: Mapping[str, str],
        upstream: Iterable[str],
        *,
        files: Sequence[InputFile] = (),
        watched: Sequence[InputFile] = (),
        shelf: Shelf | None = None,
        after: tuple[str, ...] = (),
        guards: tuple[str, ...] = (),
        describe: Callable[[Mapping[str, Path]], str] = lambda upstream: "",
        keyed: Sequence[Keyed] = (),
    ) -> str:
        """The name of the action at a place, made if it is not there yet."""
        if place.name not in self.actions:
            broken = next((file for file in files if file.error), None)
            self.actions[place.name] = Action(
                name=place.name,
                step=place.step,
                day=str(place.day) if place.day else None,
                ingredients={**ingredients, **{f"input:{file.label}": file.digest for file in files}},
                upstream=tuple(dict.fromkeys(upstream)),
                run=partial(_fail, broken) if broken else run,
                describe=describe,
                shelf=shelf or self._store,
                after=after,
                guards=guards,
                spared=partial(self._untouched.spares, str(place.day), keyed) if keyed else _never,
                # Of an object what is read is a copy, which is held to the digest.
                verify=partial(_verify, self._input_files, [*watched, *(f for f in files if not is_uri(f.path))]),
            )
        return place.name


# What actions run: each takes (upstream paths by action name, output path) last, and returns counts.


def _run_sql(
    ducks: Ducks, files: Files, refusal: type[DaedalusError], sql: Sql, reading: Reading,
    upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    tables = {table: make() for table, make in reading.tables.items()}
    wanted = {file.path: file.digest for members in reading.files.values() for file in members}
    with files.fetch(wanted) as local, ducks.lease() as duck:
        try:
            return duck.copy(sql, Bindings(_bound(reading, upstream, local), tables, _variables(reading, local)), out)
        except Exception as error:
            if is_of_data(error):
                _blame(duck, reading, local, out.with_name(f"{out.name}.column"), refusal)
            raise


def _blame(
    duck: Duck, reading: Reading, local: Mapping[str, str], out: Path, refusal: type[DaedalusError]
) -> None:  # fmt: skip
    """Reads each column of each file by itself. Raises `refusal` for the first that cannot be read."""
    columns = [(file, column, kind) for members in reading.files.values() for file in members
               for column, kind in reading.columns.items() if column in file.schema]  # fmt: skip
    for file, column, kind in columns:
        one = Sql(f"SELECT {read_as(column, file.schema[column], kind)} AS value FROM {parquet('file')}")
        try:
            duck.copy(one, Bindings({"file": [local[file.path]]}), out)
        except Exception as error:
            if not is_of_data(error):
                raise
            raise refusal("a column cannot be read", where=f"{file.path}: {column}", expected=kind,
                           found=f"{file.schema[column]}: {' '.join(str(error).split())[:200]}") from error  # fmt: skip
        finally:
            out.unlink(missing_ok=True)


def _bound(reading: Reading, upstream: Mapping[str, Path], local: Mapping[str, str]) -> dict[str, list[Path | str]]:
    """Files by the names that the statement has for them; `local` are those with the bytes of input files."""
    bound: dict[str, list[Path | str]] = {
        view: [upstream[name] for name in names] for view, names in reading.upstream.items()
    }
    bound.update({view: [local.get(f.path, f.path) for f in members] for view, members in reading.files.items()})
    return bound


def _variables(reading: Reading, local: Mapping[str, str]) -> dict[str, str]:
    lists = {n: literal([local.get(file.path, file.path) for file in files]) for n, files in reading.lists.items()}
    return {**reading.variables, **lists}


def describe_sql(sql: Sql, reading: Reading, upstream: Mapping[str, Path]) -> str:
    """A script for DuckDB that gives the action's rows."""
    files = {name: f"[{', '.join(map(path_literal, paths))}]" for name, paths in _bound(reading, upstream, {}).items()}
    lines = [f"SET VARIABLE {quoted(n)} = {value};" for n, value in {**files, **_variables(reading, {})}.items()]
    lines += [f"-- {table}: made by Python when the step runs" for table in reading.tables]
    lines += [f"CREATE TEMP TABLE {quoted(table)} AS {normalise_sql(select)};" for table, select in sql.tables]
    return "\n".join([*lines, f"{normalise_sql(sql.select)};"])


def _fail(broken: InputFile, upstream: Mapping[str, Path], out: Path) -> Counts:
    """What an action with a bad input file does instead of running."""
    assert broken.error is not None
    raise broken.error


def _never(old: Manifest, new: Manifest) -> bool:
    return False


def _verify(files: Files, looked_at: Sequence[InputFile]) -> None:
    for file in looked_at:
        file.check_unchanged(files)
