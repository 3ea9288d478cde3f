"""The embedding pool's fragments: the files of its table that hold ids and vectors, as they were looked at."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.config import RUNTIME, Config
from daedalus.inputs.lance.layout import FLOATS, Column, Layout, TableFragment, layout_by_pylance
from daedalus.inputs.lance.manifest import table_layout
from daedalus.inputs.lance.table import ERRORS, said
from daedalus.inputs.pool import pool_options
from daedalus.objectstore.object_store import is_uri

if TYPE_CHECKING:
    from daedalus.inputs.files import Files
    from daedalus.inputs.input_file import InputFile, Inputs
    from daedalus.inputs.pool import PoolInput


class FragmentInput(Struct, frozen=True):
    """A fragment of the pool's table.

    `files` are those of its files that hold the id or the vector, and last, if it has one, that of its deleted rows;
    `places` are their paths in the table's folder, "" for a file that lies elsewhere. `holds` says where in the files
    the two columns are, as JSON. `dtype` is numpy's name of the type of a vector's components.
    """

    id: int
    files: tuple[InputFile, ...]
    places: tuple[str, ...]
    holds: str
    dtype: str
    manifest: InputFile

    @property
    def name(self) -> str:
        return str(self.id)


def look_at_fragments(inputs: Inputs, config: Config, pool: PoolInput, files: Files) -> tuple[FragmentInput, ...]:
    """The fragments in the order of the table's rows.

    Raises DaedalusError (exit 2) for a table without such a vector column, or one that cannot be looked at. The id
    column is one that `check_pool` lets pass.
    """
    layout = _layout(inputs, config, pool, files)
    coverage = config.runtime.embedding_coverage_filter
    vector = _vector_column(config, layout.columns)
    columns = (layout.columns[coverage.id_column], vector)
    folder = pool.manifest.path.rpartition("/_versions/")[0]
    found = [_Wanted(fragment, columns, folder) for fragment in layout.fragments]
    paths = [path for one in found for path in one.paths]
    _refuse_elsewhere(config, folder, paths)
    if is_uri(folder):
        for below in ("data", "_deletions"):  # one listing, in place of a request a file
            files.matching(f"{glob.escape(folder)}/{below}/*")
    files.prepare(paths, lambda *_: None)
    try:
        return tuple(one.looked_at(inputs, FLOATS[vector.items], pool.manifest) for one in found)
    except OSError as error:
        raise _unreadable(config, f"{error.filename}: {error.strerror}") from None


class _Wanted:
    """Which files of a fragment are wanted, by their labels in ingredients."""

    def __init__(self, fragment: TableFragment, columns: tuple[Column, Column], folder: str) -> None:
        fields = {field for column in columns for field in column.fields}
        held = [file for file in fragment.files if fields.intersection(file.fields)]
        self.id = fragment.id
        self.places = [file.path for file in held] + [fragment.deletions] * bool(fragment.deletions)
        self.labels = [f"data file {number}" for number in range(1, len(held) + 1)] + ["deleted rows"]
        self.paths = [place if _is_absolute(place) else f"{folder}/{place}" for place in self.places]
        where = [{str(field): file.places[i] if file.places else None for i, field in enumerate(file.fields)
                  if field in fields} for file in held]  # fmt: skip
        self.holds = digest.canonical_json([[column.kind, column.items, *column.fields] for column in columns] + where)

    def looked_at(self, inputs: Inputs, dtype: str, manifest: InputFile) -> FragmentInput:
        """Raises OSError for a file that is gone."""
        files = tuple(inputs.look_whole(*one) for one in zip(self.paths, self.labels, strict=False))
        places = tuple("" if _is_absolute(place) else place for place in self.places)
        return FragmentInput(self.id, files, places, self.holds, dtype, manifest)


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or "://" in path


def _layout(inputs: Inputs, config: Config, pool: PoolInput, files: Files) -> Layout:
    """The table's layout, by its manifest; where that is not understood by Lance's library, which is remembered."""
    try:
        with files.fetch({pool.manifest.path: pool.manifest.digest}) as local:
            layout = table_layout(Path(local[pool.manifest.path]).read_bytes())
    except OSError as error:
        raise _unreadable(config, f"{pool.manifest.path}: {error.strerror}") from None
    if layout is not None:
        return layout
    key = f"pool layout:{pool.digest}"
    known = inputs.facts.fact(key)
    if known is None:
        known = msgspec.to_builtins(_by_library(config, pool))
        inputs.facts.remember_fact(key, known)
    return msgspec.convert(known, Layout)


def _by_library(config: Config, pool: PoolInput) -> Layout:
    folder = pool.manifest.path.rpartition("/_versions/")[0]
    try:
        layout = layout_by_pylance(folder, pool.version, pool_options(config))
    except ERRORS as error:
        raise _unreadable(config, said(error)) from None
    if layout is None:
        raise DaedalusError(
            "the embedding pool's table has rows that lie over others, or in other folders",
            where=config.where(RUNTIME, "embedding_coverage_filter"),
            found=config.runtime.embedding_coverage_filter.table,
            expected="a table whose files are its own",
            hint="table.optimize() rewrites these rows",
        )
    return layout


def _vector_column(config: Config, columns: Mapping[str, Column]) -> Column:
    """Raises DaedalusError (exit 2) for a column that holds no vectors."""
    assert config.runtime.embeddings is not None
    wanted, table = config.runtime.embeddings.vector_column, config.runtime.embedding_coverage_filter.table
    column = columns.get(wanted)
    if column is not None and column.items in FLOATS:
        return column
    vectors = [name for name, one in columns.items() if one.items in FLOATS]
    raise DaedalusError(
        "a column that holds no vectors" if column else "the embedding pool has no such vector column",
        where=config.where(RUNTIME, "embeddings.vector_column"),
        found=f"{wanted}: {_said(column) if column else 'missing'}",
        expected=f"a list of FLOAT, HALFFLOAT or DOUBLE of {table}: {', '.join(vectors) or 'it has none'}",
        hint=did_you_mean(wanted, vectors),
    )


def _said(column: Column) -> str:
    return f"{column.kind} of {column.items}" if column.items and ":" not in column.kind else column.kind


def _refuse_elsewhere(config: Config, folder: str, paths: list[str]) -> None:
    """Raises DaedalusError (exit 2) for a file of another bucket, which a copy of the table would not have."""
    away = next((path for path in paths if is_uri(path) and not path.startswith(f"{folder}/")), None)
    if away is not None:
        raise DaedalusError(
            "the embedding pool's table has files in other folders of an object store",
            where=config.where(RUNTIME, "embedding_coverage_filter"), found=away, expected=f"files below {folder}",
            hint="use a full copy of the table instead of a shallow clone",
        )  # fmt: skip


def _unreadable(config: Config, found: str) -> DaedalusError:
    return DaedalusError("the embedding pool cannot be read", where=config.where(RUNTIME, "embedding_coverage_filter"),
                         found=found, hint="if it was being written, run again")  # fmt: skip
