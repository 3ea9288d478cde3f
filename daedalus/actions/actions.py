"""Making actions: what a step of a day reads and runs becomes an `Action` with labelled ingredients.

The only place that builds ingredients from SQL, config values, input files and versions. It knows no stage: a stage
hands in its steps, and what they know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from daedalus.actions.unaffected import Keyed, Unaffected
from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError
from daedalus.inputs.files import Files
from daedalus.inputs.input_file import InputFile
from daedalus.objectstore.object_store import is_uri
from daedalus.parquet.writer import write_parquet
from daedalus.sql.duck import Bindings, Duck, Ducks, is_of_data
from daedalus.sql.text import Sql, literal, parquet, path_literal
from daedalus.sql.text import name as quoted
from daedalus.sql.types import read_as
from daedalus.stagecache.action import Action, Counts, Manifest, Shelf
from daedalus.stagecache.action_name import ActionName, kind_of
from daedalus.stagecache.fingerprint import Fingerprint, normalise_sql, of_python, of_sql, version

_T = TypeVar("_T")
_Context = TypeVar("_Context")


@cache
def sql_fingerprint(sql: Sql) -> Fingerprint:
    return of_sql(*sql.statements)


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
        return {name: sorted({kind_of(action) for action in made}) for name, made in self.upstream.items()}


class Actions(Generic[_Context]):
    """Collects the actions of a stage by name; each is made once.

    `steps` are functions by the step's name, `(actions, *subject) -> name`, that ask here for what they read, by
    name as well. `context` is what the stage knows: its config, its inputs, its output.
    """

    def __init__(
        self,
        steps: Mapping[str, Callable[..., Any]],
        context: _Context,
        store: Shelf,
        ducks: Ducks,
        files: Files,
        unaffected: Unaffected,
        fingerprint: Callable[[Callable], Fingerprint] = of_python,
    ) -> None:
        self.context, self.unaffected = context, unaffected
        self.actions: dict[str, Action] = {}
        self.texts: dict[str, str] = {}  # what code digests are digests of, for explanations
        self._steps, self._fingerprint = steps, cache(fingerprint)
        self._store, self._ducks, self._files = store, ducks, files
        self._known: dict[tuple, Any] = {}
        self._last: dict[str, str] = {}

    def need(self, step: str, *subject: Any) -> Any:
        """The name of a step's action for a day, a view, an aggregation, …; None when there is nothing to make."""
        return self.once(self._steps[step], *subject)

    def once(self, function: Callable[..., _T], *subject: Any) -> _T:
        """What a function of these actions gives, computed once; a subject that has a name is known by it."""
        key = (function, *(getattr(one, "name", one) for one in subject))
        if key not in self._known:
            self._known[key] = function(self, *subject)
        return self._known[key]

    def last_of(self, step: str) -> str | None:
        """The action of a step that was added last."""
        return self._last.get(step)

    # What ingredients are made of

    def code_of(self, function: Callable) -> dict[str, str]:
        """Ingredients of what a function writes, which reaches the writer of parquet."""
        written = self.digest_of(self._fingerprint(function))
        return {f"code:{function.__name__}": written, "engine:pyarrow": version("pyarrow")}

    def written_by_duckdb(self) -> dict[str, str]:
        """Ingredients of every artifact that DuckDB's rows are written to."""
        return {**self.code_of(write_parquet), "engine:duckdb": version("duckdb")}

    def code_of_input(self, function: Callable) -> dict[str, str]:
        """Ingredients of what a function reads without writing it."""
        return {f"code:{function.__name__}": self.digest_of(self._fingerprint(function))}

    def digest_of(self, found: Fingerprint) -> str:
        """The digest of a fingerprint, whose text is kept for explanations."""
        self.texts[found.digest] = found.text
        return found.digest

    # Actions

    def sql(
        self,
        name: ActionName,
        sql: Sql,
        reading: Reading,
        config: Mapping[str, object],
        *,
        extra: Mapping[str, str] | None = None,
        keyed: Sequence[Keyed] = (),
        watched: Sequence[InputFile] = (),
    ) -> str:
        """An action that is one `Sql`. `config` are the values that it depends on, by key path; `keyed` its joins.

        `watched` are files that tell whether what is read stays as it was looked at.
        """
        ingredients = {
            "code:sql": self.digest_of(sql_fingerprint(sql)),
            "code:reads": digest.canonical_json(reading.kinds()),
            **self.written_by_duckdb(),
            **config_ingredients(config),
            **{f"config:variable {key}": value for key, value in reading.variables.items()},
            **(extra or {}),
        }
        inputs = [file for group in reading.files.values() for file in group]
        upstream = [upstream for names in reading.upstream.values() for upstream in names]
        refusal = DayError if name.day else DaedalusError  # what no day can do without ends the run
        run = partial(_run_sql, self._ducks, self._files, refusal, sql, reading)
        describe = partial(describe_sql, sql, reading)
        return self.add(name, run, ingredients, upstream, files=inputs, watched=watched, describe=describe, keyed=keyed)

    def add(
        self,
        name: ActionName,
        run: Callable[[Mapping[str, Path], Path], Counts],
        ingredients: Mapping[str, str],
        upstream: Iterable[str],
        *,
        files: Sequence[InputFile] = (),
        watched: Sequence[InputFile] = (),
        keyed: Sequence[Keyed] = (),
        describe: Callable[[Mapping[str, Path]], str] = lambda upstream: "",
        **rest: Any,
    ) -> str:
        """Adds an action, if there is none of that name yet, and returns its name; `rest` are fields of `Action`."""
        known = str(name)
        if known not in self.actions:
            broken = next((file for file in files if file.error), None)
            fields: dict[str, Any] = {"shelf": self._store, **rest}
            self.actions[known] = Action(
                name=known,
                step=name.step,
                day=str(name.day) if name.day else None,
                ingredients={**ingredients, **{f"input:{file.label}": file.digest for file in files}},
                upstream=tuple(dict.fromkeys(upstream)),
                run=partial(_fail, broken) if broken else run,
                describe=describe,
                is_unaffected=partial(self.unaffected.is_unaffected, str(name.day), keyed) if keyed else _never,
                # Of an object what is read is a copy, which is held to the digest.
                verify=partial(_verify, self._files, [*watched, *(f for f in files if not is_uri(f.path))]),
                **fields,
            )
            self._last[name.step] = known
        return known


def config_ingredients(config: Mapping[str, object]) -> dict[str, str]:
    """Values of the configuration that an action depends on, by key path, as ingredients."""
    return {f"config:{key}": digest.canonical_json(value) for key, value in config.items()}


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
