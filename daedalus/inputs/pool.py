"""The embedding pool: reads the ids of a Lance table, never the vectors."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError, bare, did_you_mean, seen_from
from daedalus.config import RUNTIME, Config
from daedalus.config.columns import spine_columns
from daedalus.inputs.lance.manifest import column_types
from daedalus.inputs.lance.table import ERRORS, open_table, said
from daedalus.objectstore.object_store import is_uri, library_options

if TYPE_CHECKING:
    from daedalus.base.ports import Facts
    from daedalus.inputs.files import Files, Names
    from daedalus.inputs.input_file import InputFile


_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_TEXTS = {"string", "large_string"}


class PoolInput(Struct, frozen=True):
    """The pool as it was looked at: the manifest of the table's newest version, which names all its files."""

    manifest: InputFile

    @property
    def version(self) -> int:
        return _version(_stem(self.manifest.path))

    @property
    def digest(self) -> str:
        """A digest that changes with the version, also when the table was dropped and created again."""
        return digest.of_json([PurePosixPath(self.manifest.path).name, self.manifest.digest])


def table_folder(uri: str, table: str) -> str:
    """Where the table lies."""
    return f"{uri.rstrip('/')}/{table}.lance"


def newest_manifest(files: Names, uri: str, table: str, where: str) -> str:
    """The Lance manifest of the table's newest version. Raises DaedalusError when there is none.

    Lance names manifests either by version, or by 2^64-1 minus the version in 20 digits so that the newest sorts first.
    """
    folder = table_folder(uri, table)
    versions = {path: _stem(path) for path in files.matching(f"{glob.escape(folder)}/_versions/*.manifest")}
    versions = {path: stem for path, stem in versions.items() if stem.isdigit()}
    if not versions:
        raise DaedalusError(
            "the embedding pool does not exist",
            where=where,
            found=f"no Lance table at {seen_from(folder)}",
            expected="a LanceDB folder with that table",
            hint="restore it, or correct uri and table; enabled: false turns the filter off",
        )
    return max(versions, key=lambda path: _version(versions[path]))


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _version(stem: str) -> int:
    return (1 << 64) - 1 - int(stem) if len(stem) == 20 else int(stem)


def check_pool(config: Config, pool: PoolInput | None, files: Files, facts: Facts) -> None:
    """Raises DaedalusError (exit 2) if the pool has no such id column, of the type of artwork_id. A pass is remembered.

    The manifest tells that a column fits; Lance, which takes a while to import, is asked about any other.
    """
    coverage = config.runtime.embedding_coverage_filter
    text = spine_columns(config)["artwork_id"] == "VARCHAR"
    key = f"pool id:{pool.digest if pool else ''}:{coverage.id_column}{':VARCHAR' * text}"
    if pool is None or facts.fact(key):
        return
    if _types_in(pool.manifest, files).get(coverage.id_column) not in (_TEXTS if text else _INTEGERS):
        where = config.where(RUNTIME, "embedding_coverage_filter")
        opened = _open(coverage.uri, coverage.table, pool.version, where, pool_options(config))
        (text_id_type if text else _id_type)(opened, coverage.table, coverage.id_column, where)
    facts.remember_fact(key, True)


def _types_in(manifest: InputFile, files: Files) -> Mapping[str, str]:
    """Lance's types by column; none for a manifest that cannot be read or is not understood."""
    try:
        with files.fetch({manifest.path: manifest.digest}) as local:
            return column_types(Path(local[manifest.path]).read_bytes()) or {}
    except (OSError, DaedalusError):  # Lance says why
        return {}


def pool_options(config: Config) -> dict[str, str]:
    """The options with which Lance reaches a pool on an object store."""
    uri = config.runtime.embedding_coverage_filter.uri
    return library_options(config.runtime.object_store, uri) if is_uri(uri) else {}


def _open(uri: str, table: str, version: int | None, where: str, options: Mapping[str, str] | None) -> Any:
    """Opens a version of the table, the newest for None. Raises DayError."""
    try:
        return open_table(table_folder(uri, table), version, options)
    except ERRORS as error:
        raise DayError("the embedding pool cannot be read", where=where, found=said(error),
                       hint="if it was being written, run again") from None  # fmt: skip


@contextmanager
def reading_pool(uri: str) -> Iterator[None]:
    """Turns Lance's errors, such as for a missing file of the table, into a DaedalusError (exit 2)."""
    try:
        yield
    except ERRORS as error:
        raise DaedalusError("the embedding pool cannot be read", where=bare(uri), found=said(error),
                            hint="restore the table") from None  # fmt: skip


def _id_type(pool: Any, table: str, id_column: str, where: str) -> Any:
    import pyarrow as pa

    kinds = {field.name: field.type for field in pool.schema}
    if id_column not in kinds or not pa.types.is_integer(kinds[id_column]):
        raise DaedalusError(
            "the embedding pool has no such id column",
            where=f"{where}.id_column",
            found=f"{id_column}: {kinds.get(id_column, 'missing')}",
            expected=f"an integer column of {table}: {', '.join(kinds)}",
            hint=did_you_mean(id_column, kinds),
        )
    return kinds[id_column]


def read_pool_ids(
    uri: str, table: str, id_column: str, where: str, options: Mapping[str, str] | None = None,
    version: int | None = None,
) -> Any:  # fmt: skip
    """A stream of record batches with one column, `id`. `options` are for a database on an object store.

    `version` is the table's version; None is the newest.
    """
    import pyarrow as pa

    pool = _open(uri, table, version, where, options)
    schema = pa.schema([pa.field("id", _id_type(pool, table, id_column, where))])
    stream = pool.scanner(columns=[id_column], batch_readahead=1).to_batches()
    batches = (pa.record_batch([batch.column(0)], schema=schema) for batch in stream)
    return pa.RecordBatchReader.from_batches(schema, batches)


def text_id_type(pool: Any, table: str, id_column: str, where: str) -> Any:
    """The type of an id column of text. Raises DaedalusError (exit 2)."""
    import pyarrow.types as t

    kinds = {field.name: field.type for field in pool.schema}
    if id_column not in kinds or not (t.is_string(kinds[id_column]) or t.is_large_string(kinds[id_column])):
        raise DaedalusError(
            "the embedding pool has no such id column",
            where=f"{where}.id_column",
            found=f"{id_column}: {kinds.get(id_column, 'missing')}",
            expected=f"a column of text of {table}, as the feed's artwork_id: {', '.join(kinds)}",
            hint=did_you_mean(id_column, kinds),
        )
    return kinds[id_column]


def read_text_pool_ids(
    uri: str, table: str, id_column: str, where: str, options: Mapping[str, str] | None = None,
    version: int | None = None,
) -> Any:  # fmt: skip
    """As `read_pool_ids`, of ids that are text; apart from it, since its code is in keys."""
    import pyarrow as pa

    pool = _open(uri, table, version, where, options)
    schema = pa.schema([pa.field("id", text_id_type(pool, table, id_column, where))])
    stream = pool.scanner(columns=[id_column], batch_readahead=1).to_batches()
    batches = (pa.record_batch([batch.column(0)], schema=schema) for batch in stream)
    return pa.RecordBatchReader.from_batches(schema, batches)
