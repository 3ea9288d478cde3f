"""What a version of a Lance table consists of: its columns, and the files of its fragments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from daedalus.inputs.lance.table import open_table

if TYPE_CHECKING:
    import pyarrow as pa

FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # Lance's types by numpy's names


class Column(Struct, frozen=True):
    """A top column: its type as Lance names it, the ids of its fields, its own first, and the type of its items if it
    is a list."""

    kind: str
    fields: tuple[int, ...]
    items: str = ""


class DataFile(Struct, frozen=True):
    """A file with some columns of a fragment's rows: fields, and where in the file each is; none in old formats.

    `path` is below the table's folder unless it is absolute or a URI.
    """

    path: str
    fields: tuple[int, ...]
    places: tuple[int, ...] = ()


class TableFragment(Struct, frozen=True):
    """A piece of a table's rows. `deletions` is the path of the file of deleted rows, "" for none."""

    id: int
    files: tuple[DataFile, ...]
    deletions: str = ""


class Layout(Struct, frozen=True):
    """A version of a table: its top columns by name, and its fragments in the order of its rows."""

    columns: Mapping[str, Column]
    fragments: tuple[TableFragment, ...] = ()


def items_of(kind: str, child: str) -> str:
    """The type of a list's items, "" for what is no list; `child` is the type of the column's only child, if any."""
    name, _, rest = kind.partition(":")
    if name == "fixed_size_list":
        return rest.rpartition(":")[0]
    return child if name in ("list", "large_list") else ""


def layout_by_pylance(folder: str, version: int, options: Mapping[str, str]) -> Layout | None:
    """The layout as Lance's own library reads it, which takes most of a second to import.

    None for a table with values that lie over those of other files, or with files outside of its folder. Raises what
    `open_table` does for a table that cannot be read.
    """
    table = open_table(folder, version, options)
    fields = {field.name(): field for field in table.lance_schema.fields()}
    columns = {field.name: _column(field.type, _ids(fields[field.name])) for field in table.schema}
    found = [fragment.metadata.to_json() for fragment in table.get_fragments()]
    if any(one["overlays"] or any(file["base_id"] is not None for file in one["files"]) for one in found):
        return None
    return Layout(columns, tuple(map(_fragment, found)))


def _fragment(found: Mapping[str, Any]) -> TableFragment:
    files = (DataFile(f"data/{file['path']}", tuple(file["fields"]), tuple(file["column_indices"]))
             for file in found["files"])  # fmt: skip
    deletions, gone = "", found["deletion_file"]
    if gone:
        suffix = {"array": "arrow", "bitmap": "bin"}[gone["file_type"]]
        deletions = f"_deletions/{found['id']}-{gone['read_version']}-{gone['id']}.{suffix}"
    return TableFragment(found["id"], tuple(files), deletions)


def _ids(field: Any) -> tuple[int, ...]:
    return (field.id(), *(deeper for child in field.children() for deeper in _ids(child)))


def _column(kind: pa.DataType, ids: tuple[int, ...]) -> Column:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return Column(f"fixed_size_list:{kind.value_type}:{kind.list_size}", ids, str(kind.value_type))
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return Column(str(kind), ids, str(kind.value_type) if lists else "")
