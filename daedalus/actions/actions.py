"""Makes actions: turns what a step of a day reads and runs into an `Action` with labelled ingredients.

Ingredients of SQL, config values, input files and versions are built here. This module knows no stage: a stage
passes in its steps and their context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

from daedalus.actions.unaffected import Keyed, Unaffected
from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError, bare
from daedalus.config.duckdb_settings import FIXED
from daedalus.inputs.files import Files
from daedalus.inputs.input_file import InputFile, first_unreadable
from daedalus.objectstore.object_store import is_uri
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.sql.column_types import read_as
from daedalus.sql.constants import constants
from daedalus.sql.duck import Bindings, Duck, Ducks, is_interrupt, is_of_data
from daedalus.sql.own_columns import OwnColumns
from daedalus.sql.text import Sql, literal, normalise_sql, of_sql, parquet, path_literal
from daedalus.sql.text import name as quoted
from daedalus.stagecache.action import Action, Counts, Manifest, Parts, Shelf
from daedalus.stagecache.action_name import ActionName, day_of, kind_of, step_of
from daedalus.stagecache.fingerprint import Fingerprint, of_python, version
from daedalus.stagecache.walk.full_disk import is_out_of_space

_T = TypeVar("_T")
_Context = TypeVar("_Context")


Bound = dict[str, list[Path | str]]
Cut = Callable[[Bound, Path], tuple[Bound, partial | None]]


@cache
def sql_fingerprint(sql: Sql) -> Fingerprint:
    return of_sql(*sql.statements)


@cache
def _settings_fingerprint() -> Fingerprint:
    """Of what every connection is set to: a statement means something else under other settings."""
    text = "\n".join(f"SET {setting} = {value!r}" for setting, value in FIXED.items())
    return Fingerprint(digest.of_text(text), text)


@dataclass(frozen=True)
class Reading:
    """What a `Sql` reads, by the names in it.

    `upstream` are actions, and so are `pieces`, of one step, whose parts say nothing of what they are: the caller has
    an ingredient for their order. `files` are input files, `tables` functions that make Arrow tables when it runs,
    `variables` SQL literals. `lists` are variables that list paths whose order matters. `columns` are the columns that
    are read of `files`, and the types that they are read as.
    """

    upstream: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pieces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Sequence[InputFile]] = field(default_factory=dict)
    tables: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[InputFile]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def kinds(self) -> dict[str, list[str]]:
        """The kinds of actions bound to each name, since upstream digests alone do not say what is bound to what."""
        kinds = {name: sorted({kind_of(action) for action in made}) for name, made in self.upstream.items()}
        return kinds | {name: sorted({step_of(action) for action in made}) for name, made in self.pieces.items()}

    @property
    def actions(self) -> list[tuple[str, Sequence[str]]]:
        """The names of actions by the names in the statement."""
        return [*self.upstream.items(), *self.pieces.items()]


class Actions(Generic[_Context]):
    """Collects the actions of a stage by name; each is made once.

    `steps` are functions by step name, `(actions, *subject) -> action name`. They add their action here, and get the
    names of the actions that they read by `need`. `context` has the stage's config, inputs and output.
    """

    def __init__(
        self,
        steps: Mapping[str, Callable[..., Any]],
        context: _Context,
        store: Shelf,
        ducks: Ducks,
        files: Files,
        unaffected: Unaffected,
        code_digest: Callable[[Callable], str] = lambda function: of_python(function).digest,
    ) -> None:
        self.context, self.unaffected = context, unaffected
        self.actions: dict[str, Action] = {}
        self.texts: dict[str, str] = {}  # source texts by their digest, for explanations
        self._steps, self._code_digest = steps, cache(code_digest)
        self._store, self.ducks, self.files = store, ducks, files
        self._known: dict[tuple, Any] = {}
        self._last: dict[str, str] = {}

    def need(self, step: str, *subject: Any) -> Any:
        """Makes a step's action for a day, a view, an aggregation, …, once; returns its name, or None if there is none.

        None means that there is nothing to read, such as a day without feed files.
        """
        return self.once(self._steps[step], *subject)

    def once(self, function: Callable[..., _T], *subject: Any) -> _T:
        """Calls `function(self, *subject)` once and remembers the result; a subject with a `name` is compared by it."""
        key = (function, *[getattr(one, "name", one) for one in subject])
        if key not in self._known:
            self._known[key] = function(self, *subject)
        return self._known[key]

    def last_of(self, step: str) -> str | None:
        """The name of the step's action that was added last."""
        return self._last.get(step)

    def constants(self, columns: Mapping[str, str]) -> Any:
        """Columns of constants, which are SQL, as an Arrow table of one row."""
        return constants(columns, self.ducks)

    # Ingredients

    def code_of(self, function: Callable) -> dict[str, str]:
        """Ingredients of an artifact that a Python function writes as parquet."""
        return {**self.code_of_input(function), "engine:pyarrow": version("pyarrow")}

    def written_by_duckdb(self) -> dict[str, str]:
        """Ingredients of an artifact whose rows come from DuckDB."""
        settings = self.digest_of(_settings_fingerprint())
        return {**self.code_of(write_parquet), "code:settings": settings, "engine:duckdb": version("duckdb")}

    def code_on_arrow(self, function: Callable) -> dict[str, str]:
        """Ingredients of a function that may make an artifact's rows in place of a statement."""
        return {**self.code_of(function), "engine:numba": version("numba")}

    def code_of_input(self, function: Callable) -> dict[str, str]:
        """Ingredients of a Python function that reads an input."""
        return {f"code:{function.__name__}": self._code_digest(function)}

    def digest_of(self, found: Fingerprint) -> str:
        """The digest of a fingerprint; its text is kept for explanations."""
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
        arrow: partial | None = None,
        parts: Callable[[partial[Counts]], Parts] | None = None,
    ) -> str:
        """Adds an action that runs one `Sql`; returns its name.

        `arrow`, of a function and what it needs, writes the same rows without DuckDB where it can: it is called with
        the files by name and the path to write, and returns the counts, or None where the SQL must run.

        `config` are the values that it depends on, by key path; `keyed` are the tables that it joins by key.
        `watched` are files that must not change while it runs, besides those that it reads. `parts(run)` are the parts
        that it may be computed in, where `run` computes the whole.
        """
        ingredients = {
            "code:sql": self.digest_of(sql_fingerprint(sql)),
            "code:reads": digest.canonical_json(reading.kinds()),
            **self.written_by_duckdb(),
            **(self.code_on_arrow(arrow.func) if arrow else {}),
            **config_ingredients(config),
            **{f"config:variable {key}": value for key, value in reading.variables.items()},
            **(extra or {}),
        }
        inputs = [file for group in reading.files.values() for file in group]
        upstream = [upstream for _, names in reading.actions for upstream in names]
        refusal = DayError if name.day else DaedalusError  # an action that all days need ends the run
        run = partial(_run_sql, self.ducks, self.files, refusal, sql, reading, arrow)
        describe = partial(describe_sql, sql, reading)
        return self.add(
            name, run, ingredients, upstream, files=inputs, watched=watched, describe=describe, keyed=keyed,
            parts=parts(run) if parts else None,
        )  # fmt: skip

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
        """Adds an action, unless there is one of that name; returns the name. `rest` are fields of `Action`."""
        known = str(name)
        if known not in self.actions:
            broken = next((file for file in files if file.error), None)
            self.actions[known] = self.made(
                name,
                partial(_fail, broken) if broken else run,
                {**ingredients, **{f"input:{file.label}": file.digest for file in files}},
                upstream,
                describe=describe,
                is_unaffected=partial(self.unaffected.is_unaffected, day_of(known), keyed) if keyed else _never,
                # Objects are read from copies whose digests were checked, so only local files can change.
                verify=partial(_verify, self.files, [*watched, *(f for f in files if not is_uri(f.path))]),
                **{**rest, **({"parts": None} if broken else {})},
            )
            self._last[name.step] = known
        return known

    def made(
        self,
        name: ActionName,
        run: Callable[[Mapping[str, Path], Path], Counts],
        ingredients: Mapping[str, str],
        upstream: Iterable[str],
        **rest: Any,
    ) -> Action:
        """An action that is not added: one that another is made of."""
        return Action(
            name=str(name), step=name.step, day=str(name.day) if name.day else None, ingredients={**ingredients},
            upstream=tuple(dict.fromkeys(upstream)), run=run, **{"shelf": self._store, **rest},
        )  # fmt: skip


def config_ingredients(config: Mapping[str, object]) -> dict[str, str]:
    """Ingredients of config values by key path."""
    return {f"config:{key}": digest.canonical_json(value) for key, value in config.items()}


# The `run` functions of actions: (upstream paths by action name, output path) are the last arguments.


def _run_sql(
    ducks: Ducks, files: Files, refusal: type[DaedalusError], sql: Sql, reading: Reading, arrow: partial | None,
    upstream: Mapping[str, Path], out: Path, cut: Cut | None = None,
) -> Counts:  # fmt: skip
    """`cut` says what is read in place of the files, and what may run in place of the statement."""
    wanted = {file.path: file.digest for members in reading.files.values() for file in members}
    aside = TemporaryDirectory(prefix="cut-", dir=out.parent) if cut else nullcontext("")
    with files.fetch(wanted) as local, aside as folder, _naming(local, refusal):
        bound = _bound(reading, upstream, local)
        if cut:
            bound, arrow = cut(bound, Path(folder))
        if arrow and (counts := _on_arrow(arrow, bound, out)) is not None:
            return counts
        tables = {table: make() for table, make in reading.tables.items()}
        with ducks.lease() as duck:
            try:
                return duck.copy(sql, Bindings(bound, tables, _variables(reading, local)), out)
            except Exception as error:
                if is_of_data(error):
                    _blame(duck, reading, local, out.with_name(f"{out.name}.column"), refusal)
                raise


@contextmanager
def _naming(files: Mapping[str, str], refusal: type[DaedalusError]) -> Iterator[None]:
    """Raises `refusal` for a file, local ones by the path to name, that is damaged: the libraries name none."""
    try:
        yield
    except Exception as error:
        told = isinstance(error, DaedalusError) or is_out_of_space(error) or is_interrupt(error)
        if not told and (damaged := first_unreadable(files, refusal)):
            raise damaged from error
        raise


def _on_arrow(arrow: partial, bound: Mapping[str, Sequence[Path | str]], out: Path) -> Counts | None:
    """The counts of what `arrow` wrote; None where the SQL must run, also to say what is wrong with a file."""
    import pyarrow as pa

    try:
        return arrow(bound, out)
    except (pa.ArrowException, OSError):
        out.unlink(missing_ok=True)
        return None


def _blame(
    duck: Duck, reading: Reading, local: Mapping[str, str], out: Path, refusal: type[DaedalusError]
) -> None:  # fmt: skip
    """Finds the column that a failed statement could not read, by reading each alone. Raises `refusal` for it."""
    columns = [(file, column, kind) for members in reading.files.values() for file in members
               for column, kind in reading.columns.items() if column in file.schema]  # fmt: skip
    for file, column, kind in columns:
        own = file.own or OwnColumns()
        source = own.scan(parquet("file"), [column]) if file.own else parquet("file")
        read = read_as(column, own.kind(column, file.schema[column]), kind)
        one = Sql(f"SELECT {read} AS value FROM {source}")
        try:
            duck.copy(one, Bindings({"file": [local[file.path]]}), out)
        except Exception as error:
            if not is_of_data(error):
                raise
            raise refusal("a column cannot be read", where=f"{file.path}: {own.told(column)}", expected=kind,
                           found=_said(error, file.schema[column]),
                           hint="rewrite the file with values of that type") from error  # fmt: skip
        finally:
            out.unlink(missing_ok=True)


def _said(error: Exception, kind: str) -> str:
    """What DuckDB said of a column's values, without the name of its error, and the column's type."""
    text = re.sub(r"^[A-Z][\w ]* Error: ", "", " ".join(str(error).split()))
    return f"{kind}, {text[:200]}"


def _bound(reading: Reading, upstream: Mapping[str, Path], local: Mapping[str, str]) -> dict[str, list[Path | str]]:
    """Paths by the names in the statement; `local` maps paths of input files to local files with their bytes."""
    bound: dict[str, list[Path | str]] = {view: [upstream[name] for name in names] for view, names in reading.actions}
    bound.update({view: [local.get(f.path, f.path) for f in members] for view, members in reading.files.items()})
    return bound


def _variables(reading: Reading, local: Mapping[str, str]) -> dict[str, str]:
    lists = {n: literal([local.get(file.path, file.path) for file in files]) for n, files in reading.lists.items()}
    return {**reading.variables, **lists}


def describe_sql(sql: Sql, reading: Reading, upstream: Mapping[str, Path]) -> str:
    """A script for DuckDB that returns the action's rows."""
    seen = _as_shown(reading)
    files = {
        name: f"[{', '.join(map(path_literal, paths))}]" for name, paths in _bound(reading, upstream, seen).items()
    }
    lines = [f"SET VARIABLE {quoted(n)} = {value};" for n, value in {**files, **_variables(reading, seen)}.items()]
    lines += [f"-- {table}: made by Python when the step runs" for table in reading.tables]
    lines += [f"CREATE TEMP TABLE {quoted(table)} AS {normalise_sql(select)};" for table, select in sql.tables]
    return "\n".join([*lines, f"{normalise_sql(sql.select)};"])


def _as_shown(reading: Reading) -> dict[str, str]:
    """The addresses of the objects that are read, as they may be shown."""
    members = [file for files in (*reading.files.values(), *reading.lists.values()) for file in files]
    return {file.path: bare(file.path) for file in members if is_uri(file.path)}


def _fail(broken: InputFile, upstream: Mapping[str, Path], out: Path) -> Counts:
    """The `run` of an action with an unreadable input file: raises its error."""
    assert broken.error is not None
    raise broken.error


def _never(old: Manifest, new: Manifest) -> bool:
    return False


def _verify(files: Files, looked_at: Sequence[InputFile]) -> None:
    for file in looked_at:
        file.check_unchanged(files)
