"""The rows of one feed file as the spine's columns, held in memory: a day's file is read by the days around it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.base.days import DAY_US, Day
from daedalus.config.columns import CODES, IDS, REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.config.schema import Lateness
from daedalus.inputs.schemas import Group, OwnGroup
from daedalus.skeleton.countries import country_codes
from daedalus.sql.column_types import arrow_type, is_integer, is_nested, is_read_on_arrow
from daedalus.sql.own_columns import TIME, OwnColumns
from daedalus.tables.artifacts import read_file
from daedalus.tables.held import FEED, HELD
from daedalus.tables.sorting import in_one_piece, numbered_text, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_TEXT = "_text"
TEXTS = tuple(code + _TEXT for code in CODES)  # the codes' original values
_NAMED_AS_THE_SPINE = OwnColumns()
_TEXT_IDS = ("VARCHAR", "UUID")  # types of ids that are text


class FileRows(NamedTuple):
    """All rows of a file: the spine's columns and TEXTS, text as numbers of values; which have all keys, and the day
    of each, since 1970."""

    table: pa.Table
    keyed: np.ndarray
    days: np.ndarray


class FeedPart(NamedTuple):
    """What is read for a feed day, apart from how SQL would read it.

    `groups` are files by schema, bound as `feed_i` from i = `first` on; `digests` are those of the files in that order,
    and `rows` all that their footers say. `extra` are the names and types of the columns that are not the spine's. The
    rest is how the day is cleaned.
    """

    groups: Sequence[Group]
    lateness: Lateness
    deduplicate: bool
    platforms: tuple[tuple[str, int], ...]
    day: Day
    digests: Mapping[str, Sequence[str]]
    rows: int
    first: int = 0
    extra: tuple[tuple[str, str], ...] = ()

    def bound(self) -> Iterator[tuple[Group, str]]:
        """The groups, each with the name that its files are bound to."""
        return ((group, f"feed_{i}") for i, group in enumerate(self.groups, self.first))

    @property
    def names(self) -> list[str]:
        """The columns of the day's rows."""
        return [*SPINE_COLUMNS, *(column for column, _ in self.extra)]


class Form(NamedTuple):
    """How files are read: codes `as_text` are compared by their text, since some file has text, platforms by name;
    `extra` columns have these types."""

    as_text: tuple[str, ...]
    platforms: tuple[tuple[str, int], ...]
    extra: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, part: FeedPart) -> Form:
        as_text = tuple(c for c in CODES if any(group.schema.get(c) == "VARCHAR" for group in part.groups))
        return cls(as_text, part.platforms, part.extra)


def is_known(part: FeedPart) -> bool:
    """Whether files of these types are read here."""
    return all(_is_read(group, dict(part.extra)) for group in part.groups)


def _is_read(group: Group, extra: Mapping[str, str]) -> bool:
    schema = group.schema
    if not all(is_read_on_arrow(kind, kind) and not is_nested(kind) for kind in extra.values()):
        return False
    for column, kind in schema.items():
        if column in CODES and not (is_integer(kind) or kind == "VARCHAR"):
            return False
        wanted = SPINE_COLUMNS.get(column) or extra[column]
        if column not in CODES and not (is_read_on_arrow(kind, wanted) or (column in IDS and kind in _TEXT_IDS)):
            return False
    return group.format == "parquet" and set(REQUIRED_COLUMNS) <= set(schema)


def rows_of_file(path: Path | str, digest: str, group: Group, form: Form) -> FileRows | None:
    """The rows of a file of this group and with this digest, by the spine's names; None if only the SQL can read it.

    Ids that are text are numbers of values.
    """
    rows = held_rows(digest, group, form)
    if rows is None:
        own = _own(group)
        texts = [own.own(column) for column, kind in group.schema.items() if kind == "VARCHAR"]
        rows = _rows(read_file(path, _names(group, own), numbered=texts), group.schema, own, form)
        if rows is not None:
            HELD.put(_key(digest, group, form), rows, rows.table.nbytes + rows.days.nbytes + rows.keyed.nbytes, FEED)
    return rows


def held_rows(digest: str, group: Group, form: Form) -> FileRows | None:
    """The same if they are in memory."""
    held: FileRows | None = HELD.get(_key(digest, group, form), FEED)
    return held


def _key(digest: str, group: Group, form: Form) -> str:
    return f"{digest} {form} {_own(group)}"


def rows_of_files(paths: Sequence[Path | str], group: Group, form: Form) -> tuple[FileRows, list[int]] | None:
    """The rows of several files of this group, few together, and how many each has. Nothing is held."""
    import pyarrow as pa

    own = _own(group)
    tables = [read_file(path, _names(group, own)) for path in paths]
    rows = _rows(pa.concat_tables(tables, promote_options="default"), group.schema, own, form)
    return rows and (rows, [table.num_rows for table in tables])


def _own(group: Group) -> OwnColumns:
    return group.own if isinstance(group, OwnGroup) else _NAMED_AS_THE_SPINE


def _names(group: Group, own: OwnColumns) -> list[str]:
    """The columns of the spine as files of a group call them."""
    return [own.own(column) for column in group.schema]


def _rows(table: pa.Table, schema: Mapping[str, str], own: OwnColumns, form: Form) -> FileRows | None:
    """The rows of what was read of files."""
    import numpy as np
    import pyarrow as pa

    found = {column: in_one_piece(table[own.own(column)]) for column in schema}
    texts = [column for column in IDS if schema[column] in _TEXT_IDS]
    if own.unit or texts:
        from daedalus.skeleton.arrow import own_forms

        if own.unit and (times := own_forms.times_of(found[TIME], own.unit)) is not None:
            found[TIME] = times
        found |= {column: own_forms.numbered_ids(found[column]) for column in texts}
    time = found[TIME].type
    if not pa.types.is_timestamp(time) or time.unit not in ("us", "ms"):
        return None
    rows = _typed(found, table.num_rows, form)
    if rows is None:
        return None
    keyed = np.ones(rows.num_rows, np.bool_)
    for column in REQUIRED_COLUMNS:
        if rows[column].null_count:
            keyed &= np.asarray(rows[column].is_valid())
    return FileRows(rows, keyed, numbers_of(rows[TIME])[0] // DAY_US)


def _typed(read: Mapping[str, pa.Array], rows: int, form: Form) -> pa.Table | None:
    """The spine's columns and TEXTS of what was read of a file; None where only the SQL knows a code."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for column, kind in (SPINE_COLUMNS | dict(form.extra)).items():
        found = read[column] if column in read else pa.nulls(rows, arrow_type(kind))
        if column not in CODES:
            text = kind == "VARCHAR" or pa.types.is_dictionary(found.type)
            found = numbered_text(found) if text else _one_nan(found).cast(arrow_type(kind))
        columns[column] = found
    for code in CODES:
        found = columns[code]
        numbers = _numbers(found, _platform(dict(form.platforms)) if code == "platform_code" else _country)
        if numbers is None:
            return None
        columns[code] = numbers
        columns[code + _TEXT] = numbered_text(found) if code in form.as_text else found.cast(pa.int64())
    return pa.table(columns)


def _one_nan(column: pa.Array) -> pa.Array:
    """The column with one form of NaN, whatever bits it has in the file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(float("nan"), column.type), column)


def _numbers(code: pa.Array, number_of: Callable[[str], int | None]) -> pa.Array | None:
    """A code's numbers, 0 for what is not known; None where only the SQL knows."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_integer(code.type):
        numbers = numbers_of(code)[0]  # NULL is 0
        return pa.array(np.where(numbers == numbers.astype(np.int32), numbers, 0).astype(np.int32))
    coded = numbered_text(code)
    known = [number_of(name) for name in coded.dictionary.to_pylist()]
    return None if None in known else pa.array(known, pa.int32()).take(coded.indices).fill_null(0)


def _platform(platforms: Mapping[str, int]) -> Callable[[str], int]:
    return lambda name: platforms.get(name, 0)


def _country(name: str) -> int | None:
    """None for letters whose upper case is DuckDB's own."""
    return _countries().get(name.upper(), 0) if name.isascii() else None


@cache
def _countries() -> Mapping[str, int]:
    table = country_codes()
    return dict(zip(table["alpha2"].to_pylist(), table["code"].to_pylist(), strict=True))
