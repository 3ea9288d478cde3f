"""vectors: the ids that a day's rows use in one embedding column, with their vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daedalus.actions.actions import config_ingredients
from daedalus.actions.unaffected import Keyed
from daedalus.base.days import Day
from daedalus.base.errors import bare
from daedalus.config import Config
from daedalus.config.columns import makers, spine_columns
from daedalus.config.embeddings import id_lists
from daedalus.config.schema import Aggregation, EmbeddingColumn
from daedalus.enrich.lance_rows import OpenFragment, opened
from daedalus.enrich.pool_lookup import Pool, bring, look_up
from daedalus.enrich.rows_at_hand import RowsAtHand
from daedalus.enrich.used_ids import IdSource, used_ids
from daedalus.enrich.vectors_file import NO_VECTOR, usual_length, write_vectors
from daedalus.inputs.files import Files
from daedalus.inputs.pool_fragments import FragmentInput
from daedalus.skeleton.context import Make
from daedalus.sql.text import name, path_literal
from daedalus.stagecache.action import Counts
from daedalus.stagecache.action_name import ActionName
from daedalus.windows.windows_file import ITEMS

Write = Callable[[Pool, IdSource, Path, tuple[Path, Path], Path], Counts]


def build(make: Make, entry: str, day: Day) -> str | None:
    """Reads what the column's ids are in, and the vectors out of the pool. Where in the pool they lie is no ingredient:
    a vector is the same wherever it is."""
    if make.need("spine", day) is None:
        return None
    vectors, places, name = make.need("pool_vectors"), make.need("pool_places"), ActionName("vectors", entry, day)
    column, ingredients, write, pool = make.once(_column, entry)
    source = IdSource(make.need(column.step, day, *column.of), column.name, column.listed, column.max_items)
    keyed = [Keyed(vectors, "id", "id", str(ActionName("vectors", entry)))]
    run = partial(_run, write, pool, source, vectors, places)
    describe = partial(_describe, source, vectors, places, make.context.sources.fragments)
    return make.add(name, run, ingredients, [vectors, source.action], beside=(places,), keyed=keyed, describe=describe)


@dataclass(frozen=True)
class _Ids:
    """Where the ids of an embedding column are: the step, what else than the day `Actions.need` is asked for it by, and
    what `IdSource` has of it."""

    step: str
    of: Sequence[Aggregation]
    name: str
    listed: bool
    max_items: int | None = None


def _column(make: Make, entry: str) -> tuple[_Ids, dict[str, str], Write, Pool]:
    """What all days have alike."""
    context, embeddings = make.context, make.context.runtime.embeddings
    assert embeddings is not None
    column, fragments = embeddings.columns[entry], {one.id: one for one in context.sources.fragments}
    dtype = next((fragment.dtype for fragment in fragments.values()), "float32")
    settings = {f"embeddings.columns.{entry}.{k}": getattr(column, k) for k in ("of", "mean_of", "max_items")}
    ingredients = {
        **config_ingredients(settings),
        "input:type of the vectors": dtype,
        **make.code_of(write := _writer(spine_columns(context.config)["artwork_id"])),
    }
    pool = Pool(partial(_opened, make.files, fragments), embeddings.vector_column, dtype)
    return _ids(context.config, column), ingredients, write, pool


def _writer(kind: str) -> Write:
    """What writes the vectors of ids of a type."""
    if kind == "BIGINT":
        return write_vectors_of_ids
    from daedalus.enrich.text_ids.vectors import write_vectors_of_texts

    return write_vectors_of_texts


def _ids(config: Config, column: EmbeddingColumn) -> _Ids:
    if column.of is not None:
        made = config.made_from(column.of)
        step = "sessions" if makers(config)[made][0].kind == "feed" else "attributes"
        return _Ids(step, (), made, listed=False)
    assert column.mean_of is not None
    aggregation = id_lists(config)[column.mean_of]
    step, of = ("rolling", (aggregation,)) if aggregation else ("recent_published", ())
    return _Ids(step, of, column.mean_of, True, column.max_items)


def _describe(
    source: IdSource, vectors: str, places: str, fragments: Sequence[FragmentInput], upstream: Mapping[str, Path]
) -> str:
    """SQL of the ids and where their vectors lie, and the files that those are read from."""
    ids, most = name(source.column), "" if source.max_items is None else f", {source.max_items}"
    ids = f"unnest({name(ITEMS)}[1:least({ids}{most})])" if source.listed else ids
    used, known, where = (f"read_parquet({path_literal(upstream[one])})" for one in (source.action, vectors, places))
    return "\n".join([
        "-- the ids that are used, with the length of each one's vector and where it lies, to be read there",
        f"SELECT * FROM (SELECT DISTINCT {ids} AS id FROM {used}) LEFT JOIN {known} USING (id)",
        f"    LEFT JOIN {where} USING (id) WHERE id IS NOT NULL ORDER BY id;",
        *(f"-- fragment {one.id}: {bare(file.path)}" for one in fragments for file in one.files),
    ])  # fmt: skip


def _opened(
    files: Files, fragments: Mapping[int, FragmentInput], number: int, folder: Path
) -> AbstractContextManager[OpenFragment]:
    return opened(files, fragments[number], folder)


def _run(
    write: Write, pool: Pool, source: IdSource, vectors: str, places: str, upstream: Mapping[str, Path], out: Path
) -> Counts:  # fmt: skip
    return write(pool, source, upstream[source.action], (upstream[vectors], upstream[places]), out)


def write_vectors_of_ids(pool: Pool, source: IdSource, path: Path, known: tuple[Path, Path], out: Path) -> Counts:
    """Writes the ids that `path` has, and their vectors; `known` are pool_vectors and pool_places."""
    import numpy as np

    ids = used_ids(source, path)
    found = look_up(ids, *known)
    dim = usual_length(found.lengths)
    wanted = np.flatnonzero(found.lengths == dim)
    with RowsAtHand(len(wanted), dim, pool.dtype, out.with_name(f"{out.name}.rows")) as rows:
        bring(pool, found, wanted, dim, rows, out.with_name(f"{out.name}.table"))
        write_vectors(out, ids, found.lengths, pool.dtype, rows.blocks())
    only_null = int(np.count_nonzero(found.known & (found.lengths == NO_VECTOR)))
    return {"rows": len(ids), "ids": len(ids), "found": len(wanted), "null_vectors": only_null}
