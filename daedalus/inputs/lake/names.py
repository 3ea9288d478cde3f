"""Whether a table's file holds its columns under the names that the table gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from daedalus.base.errors import DayError
from daedalus.inputs.input_file import UNREADABLE, InputFile, Inputs
from daedalus.inputs.lake.table import Columns, LakeTable


def with_names_checked(inputs: Inputs, table: LakeTable | None, file: InputFile, wanted: Iterable[str]) -> InputFile:
    """The file; with an error, if one of the columns `wanted` would not be read as the table means it.

    That goes before what else is wrong with its columns, which may follow from it.
    """
    if table is None or file.digest == UNREADABLE:
        return file
    columns = table.columns
    own: Mapping[str, int] = {}
    if columns.ids is not None:
        try:
            found = inputs.field_ids(file)
        except DayError as error:
            return file if file.error else replace(file, error=error)
        own = {name: number for name, number in found.items() if number is not None}
        own = own or {name: columns.mapped[name] for name in found if name in columns.mapped}
    for column in wanted:
        if wrong := _problem(columns, own, file, column):
            what, there, expected = wrong
            return replace(file, error=DayError(what, where=f"{file.path}: {column}", found=there, expected=expected,
                                                hint="rewrite the table's data files"))  # fmt: skip
    return file


def _problem(columns: Columns, own: Mapping[str, int], file: InputFile, column: str) -> tuple[str, str, str] | None:
    """(what is wrong, found, expected) of a column; `own` are the ids of the file's columns."""
    there = own.get(column)
    number = columns.ids.get(column) if columns.ids is not None else None
    if there is not None and there != number:
        found = f"field {there}, in the table {'no column' if number is None else f'field {number}'}"
        return "a column of a file that is not the table's of that name", found, "the table's own column"
    if number is not None and (before := next((name for name, one in own.items() if one == number), column)) != column:
        return "a column that a file of the table has under another name", before, f"{column}, field {number}"
    if column in columns.outside and column not in file.schema and column not in own:
        return "a column that is not in the files", columns.outside[column], "a column that each file holds"
    return None
