"""Shared by feed and views: refuses ambiguous column names, and groups files by schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from daedalus.base.errors import DayError
from daedalus.inputs.file_formats import FORMATS
from daedalus.inputs.footers import TWICE
from daedalus.inputs.input_file import InputFile, Inputs
from daedalus.sql.own_columns import OwnColumns

if TYPE_CHECKING:
    from daedalus.inputs.lake.table import LakeTable


def refuse_other_names(
    path: str, schema: Mapping[str, str], wanted: Iterable[str], told: Callable[[str], str] = str
) -> None:
    """Raises DayError if DuckDB, which ignores case, could read another column for one of `wanted`.

    `told` is how an error names a column.
    """
    spelled: dict[str, list[str]] = {}
    for column in schema:
        spelled.setdefault(column.casefold(), []).append(column)
    for column in wanted:
        found = spelled.get(column.casefold(), [])
        where = f"{path}: {told(column)}"
        if len(found) > 1:
            raise DayError("two columns differ only in case", where=where, found=", ".join(found),
                           expected=f"only {column}", hint="rename the other")  # fmt: skip
        if found and found != [column]:
            raise DayError("a column is spelt in another case", where=where, found=found[0], expected=column,
                           hint="rename it")  # fmt: skip
        if schema.get(column) == TWICE:
            raise DayError("a duplicate column", where=where, found=TWICE, expected="one", hint="rename the other")
        first, _, number = column.casefold().rpartition("_")  # DuckDB renames a second column x to x_1
        if number.isdigit() and _is_duplicate(spelled.get(first, []), schema):
            raise DayError("a column that DuckDB cannot tell from a duplicate", where=where,
                           found=f"two columns {first}", expected="one", hint="rename the other")  # fmt: skip


def _is_duplicate(names: Sequence[str], schema: Mapping[str, str]) -> bool:
    return len(names) > 1 or any(schema[name] == TWICE for name in names)


def checked_names(inputs: Inputs, table: LakeTable | None, file: InputFile, wanted: Iterable[str]) -> InputFile:
    """The file; of a table, with an error if a column of `wanted` would not be read as the table means it."""
    if table is None:
        return file
    from daedalus.inputs.lake.names import with_names_checked

    return with_names_checked(inputs, table, file, wanted)


class Group(Struct, frozen=True):
    """Input files that one scan reads: of one format, with equal types of the columns that are read.

    Of a feed day `late` says how many days after it the files' partition is, negative for an earlier one.
    """

    columns: tuple[tuple[str, str], ...]
    format: str
    late: int = 0

    @property
    def schema(self) -> Mapping[str, str]:
        return dict(self.columns)

    def scan(self, bound: str, *, positions: bool = False, files: bool = False) -> str:
        """SQL that reads the group's files, bound as `bound`."""
        return FORMATS[self.format].scan(bound, positions=positions, files=files)


class OwnGroup(Group, frozen=True):
    """Files of a feed with names or times of its own: `columns` are the spine's, with the files' types.

    Apart from `Group`, which is in the keys of the steps that read feeds and views.
    """

    own: OwnColumns = OwnColumns()

    @property
    def schema(self) -> Mapping[str, str]:
        """The types of the columns as `scan` gives them."""
        return {column: self.own.kind(column, kind) for column, kind in self.columns}

    def scan(self, bound: str, *, positions: bool = False, files: bool = False) -> str:
        source = FORMATS[self.format].scan(bound, positions=positions, files=files)
        return self.own.scan(source, (column for column, _ in self.columns), files=files)


def group_by_schema(
    files: Sequence[InputFile], columns: Sequence[str], late: int = 0
) -> list[tuple[Group, list[InputFile]]]:
    """(group, files that belong to it) by the types of `columns`, in the order of the files."""
    groups: dict[Group, list[InputFile]] = {}
    for file in files:
        schema = tuple((column, file.schema[column]) for column in columns if column in file.schema)
        own = file.own
        group = OwnGroup(schema, file.format, late, own) if own else Group(schema, file.format, late)
        groups.setdefault(group, []).append(file)
    return list(groups.items())
