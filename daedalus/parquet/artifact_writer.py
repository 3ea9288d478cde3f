"""Writes artifacts: small ones by pyarrow; large ones column by column, by hand where column_chunks.py knows how.

Of a few hundred rows most of the time goes into what is done once a column, which is no less by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.parquet.footer import Assembled, Chunk, in_memory, joined
from daedalus.parquet.list_writer import form_of
from daedalus.parquet.writer import SMALL, artifact_encodings, regrouped, write_small

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.parquet.columns.column_chunks import Form, Packing

_BUFFER = 1 << 16
_BY_COLUMN = ("use_dictionary", "use_byte_stream_split")  # pyarrow's options that name columns


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Writes the rows of all tables as an artifact, in row groups of ROWS_PER_GROUP; returns how many."""
    groups = regrouped(tables)
    first = next(groups, None)
    if first is None or first.num_rows <= SMALL:
        return write_small(path, schema, chain([] if first is None else [first], groups))
    return _write_large(path, schema, chain([first], groups), artifact_encodings(schema, first))


def _write_large(path: Path, schema: pa.Schema, groups: Iterable[pa.Table], options: Mapping[str, Any]) -> int:
    """`options` are pyarrow's, by column: which have a dictionary, and how those are written that are left to it."""
    from daedalus.parquet.columns import column_chunks

    packing, form = column_chunks.zstd_packing(), form_of(schema)
    written = column_chunks.forms(schema, packing.codec)
    with path.open("wb", buffering=_BUFFER) as out:
        file = Assembled(out, joined([(name, form) for name in schema.names]))
        for group in groups:
            file.add(_chunks(group, written, options, packing), group.num_rows)
        return file.finish()


def _chunks(
    group: pa.Table, written: Sequence[Form | None], options: Mapping[str, Any], packing: Packing
) -> Iterator[Chunk]:
    """The column chunks of a row group, in order."""
    from daedalus.parquet.columns.column_chunks import column_chunk

    coded = set(options["use_dictionary"])

    def by_hand(form: Form | None, name: str, column: pa.ChunkedArray) -> Chunk | None:
        if form is None or column.num_chunks != 1:  # text of more than two gigabytes stays in pieces
            return None
        return column_chunk(form, column.chunk(0), name in coded, packing)

    made = [*map(by_hand, written, group.column_names, group.columns)]
    left = [name for name, chunk in zip(group.column_names, made, strict=True) if chunk is None]
    rest = _by_pyarrow(group.select(left), options) if left else {}
    for name, chunk in zip(group.column_names, made, strict=True):
        yield from rest[name] if chunk is None else [chunk]


def _by_pyarrow(group: pa.Table, options: Mapping[str, Any]) -> dict[str, list[Chunk]]:
    """The column chunks by column, one per leaf."""
    names = group.column_names
    own = {key: [name for name in options[key] if name in names] for key in _BY_COLUMN}
    file = in_memory(group.schema, [group], {**options, **own})
    return {name: file.chunks(0, name) for name in names}
