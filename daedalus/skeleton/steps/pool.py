"""pool: the ids of the embedding pool. Vectors are never read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.actions.actions import Reading
from daedalus.config import RUNTIME
from daedalus.config.columns import spine_columns
from daedalus.inputs.pool import pool_options, read_pool_ids, read_text_pool_ids
from daedalus.skeleton.context import Make
from daedalus.sql.text import Sql
from daedalus.stagecache.action_name import ActionName
from daedalus.stagecache.fingerprint import version
from daedalus.tables.artifacts import Files, write_table
from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import pyarrow as pa

# Distinct and sorted: a pool rewritten with the same ids gives the same bytes.
POOL_IDS = Sql("SELECT DISTINCT CAST(id AS BIGINT) AS id FROM pool_ids WHERE id IS NOT NULL ORDER BY id")
_TIMES = 8  # the bytes of ids that are in memory at once, for each byte of ids that was read
TEXT_POOL_IDS = Sql("SELECT DISTINCT id FROM pool_ids WHERE id IS NOT NULL ORDER BY id")


def write_pool(read: Callable[[], pa.RecordBatchReader], files: Files, out: Path) -> Mapping[str, int] | None:
    """The same on Arrow, of the ids that `read` gives; None where they do not fit into memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found, size, reader = [], 0, read()
    for batch in reader:
        ids = batch.column(0)
        found.append(ids)
        size += ids.nbytes
        if size * _TIMES > HELD.each:
            return None
    kind = pa.int64() if pa.types.is_integer(reader.schema.field(0).type) else pa.string()
    ids = pc.unique(pa.chunked_array(found, reader.schema.field(0).type)).drop_null().cast(kind)
    return {"rows": write_table(out, pa.table({"id": ids.take(pc.sort_indices(ids))}))}


def build(make: Make) -> str:
    """Reads the ids of the table, in the version that was looked at. Needed only if the coverage filter is enabled."""
    config, pool = make.context.config, make.context.sources.pool
    coverage = config.runtime.embedding_coverage_filter
    assert pool is not None
    where = config.where(RUNTIME, "embedding_coverage_filter")
    text = spine_columns(config)["artwork_id"] == "VARCHAR"
    reader, sql = (read_text_pool_ids, TEXT_POOL_IDS) if text else (read_pool_ids, POOL_IDS)
    read = partial(reader, coverage.uri, coverage.table, coverage.id_column, where, pool_options(config), pool.version)
    extra = {
        "input:newest Lance manifest": pool.digest,
        **make.code_of_input(reader),
        "engine:pylance": version("pylance"),
    }
    settings = {f"embedding_coverage_filter.{k}": getattr(coverage, k) for k in ("table", "id_column")}
    reading = Reading(tables={"pool_ids": read})
    return make.sql(ActionName("pool"), sql, reading, settings, extra=extra, watched=[pool.manifest],
                    arrow=partial(write_pool, read))  # fmt: skip
