"""SQL statements as values, and the helpers that all steps share: quoting, literals, bound files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from daedalus.base import digest
from daedalus.stagecache.fingerprint import Fingerprint

# Position of a row in the artifact that it is read from.
POSITION = '"file_row_number"'
# Our own columns, in statements and artifacts that also have columns named by the user.
ROW = '"daeda:row"'  # position among the rows of the day's sessions
PLACE = '"daeda:place"'  # a view file's position in path order
LINE = '"daeda:line"'  # a view row's number in its file
NANOS = '"daeda:nanos"'  # the nanoseconds of a view row's timestamp beyond whole microseconds
FILE = '"daeda:file"'
TIME = '"daeda:time"'  # a view row's own timestamp, in UTC


@dataclass(frozen=True)
class Sql:
    """What one action executes: temporary `tables` first, then the SELECT whose rows are its output.

    `counts` is a SELECT of one row, whose columns become the action's counts by name.
    """

    select: str
    tables: tuple[tuple[str, str], ...] = ()  # (name, SELECT), in order
    counts: str = ""

    @property
    def statements(self) -> tuple[str, ...]:
        return (*(f"{table}: {select}" for table, select in self.tables), self.counts, self.select)


def parquet(bound: str, *, positions: bool = False, files: bool = False) -> str:
    """SQL that reads the parquet files bound as `bound`. The paths are in a variable, so the statement has none.

    With `positions` it adds POSITION, a row's number in its file; with `files` FILE, the file's path.
    """
    options = ["hive_partitioning = false"]
    options += ["file_row_number = true"] if positions else []
    options += [f"filename = {literal(FILE.strip(chr(34)))}"] if files else []
    return f"read_parquet(getvariable({literal(bound)}), {', '.join(options)})"


def path_literal(path: object) -> str:
    """A SQL literal of a path, with `*`, `?` and `[` escaped: in a list of files DuckDB takes them for patterns."""
    return literal("".join(f"[{c}]" if c in "*?[" else c for c in str(path)))


def name(identifier: str) -> str:
    """The identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A SQL literal of a YAML scalar or list. Raises TypeError for anything else."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    raise TypeError(f"no literal for {type(value).__name__}")


def in_list(column: str, values: Iterable[object]) -> str:
    return f"{column} IN ({', '.join(literal(value) for value in values)})"


def columns(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name(n)}" for n in names)


_SQL_TOKEN = re.compile(r"""('(?:[^']|'')*')|("(?:[^"]|"")*")|((?:--[^\n]*|/\*.*?\*/|\s)+)""", re.DOTALL)


def normalise_sql(sql: str) -> str:
    """The statement without comments and with white space folded; literals and quoted names stay as they are."""
    return _SQL_TOKEN.sub(lambda match: match[0] if match[3] is None else " ", sql).strip()


def of_sql(*statements: str) -> Fingerprint:
    text = ";\n".join(normalise_sql(statement) for statement in statements)
    return Fingerprint(digest.of_text(text), text)
