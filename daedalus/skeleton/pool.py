"""The embedding pool: ids only, out of a LanceDB table. Vectors are never read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daedalus.config import RUNTIME, Config
from daedalus.errors import DaedalusError, did_you_mean, seen_from
from daedalus.skeleton.ports import Facts
from daedalus.skeleton.sql import Sql

# Distinct and sorted: a pool rewritten with the same ids gives the same bytes.
POOL_IDS = Sql("SELECT DISTINCT CAST(id AS BIGINT) AS id FROM pool_ids WHERE id IS NOT NULL ORDER BY id")


def newest_manifest(uri: str, table: str, where: str) -> Path:
    """The Lance manifest of the table's newest version. Raises DaedalusError when there is none.

    Lance names manifests either by version, or by 2^64-1 minus the version in 20 digits so that the newest sorts first.
    """
    folder = Path(uri) / f"{table}.lance" / "_versions"
    versions = [path for path in folder.glob("*.manifest") if path.stem.isdigit()]
    if not versions:
        raise DaedalusError(
            "the embedding pool is not there",
            where=where,
            found=f"no Lance table at {seen_from(folder.parent)}",
            expected="a LanceDB folder with that table",
        )
    return max(versions, key=lambda path: _version(path.stem))


def _version(stem: str) -> int:
    return (1 << 64) - 1 - int(stem) if len(stem) == 20 else int(stem)


def check_pool(config: Config, pool: str | None, facts: Facts) -> None:
    """Raises DaedalusError (exit 2) for an id column that the pool, told by its digest, lacks. A pass is remembered."""
    coverage = config.runtime.embedding_coverage_filter
    key = f"pool id:{pool}:{coverage.id_column}"
    if pool is None or facts.fact(key):
        return
    import lancedb

    where = config.where(RUNTIME, "embedding_coverage_filter")
    _id_type(lancedb.connect(coverage.uri).open_table(coverage.table), coverage.table, coverage.id_column, where)
    facts.remember_fact(key, True)


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


def read_pool_ids(uri: str, table: str, id_column: str, where: str) -> Any:
    """A stream of record batches with one column, `id`."""
    import lancedb
    import pyarrow as pa

    pool = lancedb.connect(uri).open_table(table)
    schema = pa.schema([pa.field("id", _id_type(pool, table, id_column, where))])
    count = pool.count_rows()
    stream = pool.search().select([id_column]).limit(count).to_batches() if count else ()  # no limit of 0
    batches = (pa.record_batch([batch.column(id_column)], schema=schema) for batch in stream)
    return pa.RecordBatchReader.from_batches(schema, batches)
