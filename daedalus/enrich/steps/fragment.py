"""fragment: the ids of one fragment of the pool, with the lengths and digests of their vectors.

Vectors are read here once and not kept: they are long, and what later steps need to know is which of them changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.actions.actions import config_ingredients
from daedalus.base.errors import bare
from daedalus.config.columns import spine_columns
from daedalus.enrich.lance_rows import OpenFragment, opened, vectors_of
from daedalus.enrich.vectors_file import NO_VECTOR
from daedalus.inputs.files import Files
from daedalus.inputs.pool_fragments import FragmentInput
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.skeleton.context import Make
from daedalus.stagecache.action import Counts
from daedalus.stagecache.action_name import ActionName
from daedalus.stagecache.fingerprint import version
from daedalus.tables.ids import as_ids

if TYPE_CHECKING:
    import pyarrow as pa


def build(make: Make, fragment: FragmentInput) -> str:
    """Reads the fragment's own files."""
    runtime = make.context.runtime
    assert runtime.embeddings is not None
    columns = (runtime.embedding_coverage_filter.id_column, runtime.embeddings.vector_column)
    ingredients = {
        **config_ingredients(
            {"embedding_coverage_filter.id_column": columns[0], "embeddings.vector_column": columns[1]}
        ),
        "input:columns in the files": fragment.holds,
        "engine:pylance": version("pylance"),
        **make.code_of(write := _writer(spine_columns(make.context.config)["artwork_id"])),
    }
    run = partial(_run, make.files, write, fragment, columns)
    name = ActionName("fragment", str(fragment.id))
    coverage = runtime.embedding_coverage_filter
    describe = partial(_describe, f"{bare(coverage.uri)}/{coverage.table}.lance", fragment, columns)
    return make.add(name, run, ingredients, (), files=fragment.files, watched=[fragment.manifest], describe=describe)


def _writer(kind: str) -> Callable[[OpenFragment, tuple[str, str], Path], int]:
    """What writes the rows of ids of a type."""
    return write_fragment if kind == "BIGINT" else write_text_fragment


def _describe(table: str, fragment: FragmentInput, columns: tuple[str, str], upstream: Mapping[str, Path]) -> str:
    """Python that reads the rows, and their files."""
    return "\n".join([
        "# of each row that has an id: its place, the length of its vector, and a digest of that",
        "import lance",
        f"lance.dataset({table!r}).get_fragment({fragment.id}).to_table({list(columns)})",
        *(f"# reads {bare(file.path)}" for file in fragment.files),
    ])  # fmt: skip


def _run(
    files: Files, write: Callable[[OpenFragment, tuple[str, str], Path], int], fragment: FragmentInput,
    columns: tuple[str, str], upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    with opened(files, fragment, out.with_name(f"{out.name}.table")) as found:
        return {"rows": write(found, columns, out)}


def write_fragment(fragment: OpenFragment, columns: tuple[str, str], out: Path) -> int:
    """Writes a row for each row that has an id: `id`, `place` among the rows that are not deleted, `length` (NULL: no
    vector; -1 - length: a component is NULL), `digest` of the vector. Returns the number of rows."""
    import pyarrow as pa

    schema = pa.schema([("id", pa.int64()), ("place", pa.int64()), ("length", pa.int32()), ("digest", pa.binary(16))])

    def tables() -> Iterator[pa.Table]:
        count = 0
        for batch in fragment.rows(columns):
            yield _rows(batch, count, schema)
            count += batch.num_rows

    return write_parquet(out, schema, tables())


def _rows(batch: pa.RecordBatch, count: int, schema: pa.Schema) -> pa.Table:
    """The rows of a batch, before which there are `count` others."""
    import numpy as np
    import pyarrow as pa

    ids, vectors = as_ids(batch.column(0)), vectors_of(batch.column(1))
    missing = vectors.lengths == NO_VECTOR
    lengths = pa.array(np.where(missing, 0, vectors.lengths), pa.int32(), mask=missing)
    columns = [ids, np.arange(count, count + len(ids)), lengths, pa.array(vectors.digests(), pa.binary(16))]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema).filter(ids.is_valid())


def write_text_fragment(fragment: OpenFragment, columns: tuple[str, str], out: Path) -> int:
    """As `write_fragment`, with ids that are text."""
    import numpy as np
    import pyarrow as pa

    from daedalus.enrich.text_ids.names import as_text

    kinds = [("place", pa.int64()), ("length", pa.int32()), ("digest", pa.binary(16))]
    schema, numbered = (pa.schema([("id", kind), *kinds]) for kind in (pa.string(), pa.int64()))

    def tables() -> Iterator[pa.Table]:
        count = 0
        for batch in fragment.rows(columns):
            ids = as_text(batch.column(0))
            places = pa.array(np.arange(len(ids)), mask=np.asarray(ids.is_null()))
            rows = _rows(pa.record_batch([places, batch.column(1)], ["id", "vector"]), count, numbered)
            yield rows.set_column(0, schema.field(0), ids.take(rows["id"]))
            count += batch.num_rows

    return write_parquet(out, schema, tables())
