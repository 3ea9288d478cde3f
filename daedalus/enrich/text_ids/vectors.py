"""The step `vectors` of ids that are text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.errors import DayError
from daedalus.enrich.pool_lookup import Found, Pool, _pieces, bring
from daedalus.enrich.rows_at_hand import RowsAtHand
from daedalus.enrich.text_ids.names import as_text, write_named_vectors
from daedalus.enrich.used_ids import IdSource, _in_column, _in_lists
from daedalus.enrich.vectors_file import NO_VECTOR, usual_length
from daedalus.stagecache.action import Counts

if TYPE_CHECKING:
    import pyarrow as pa


def write_vectors_of_texts(pool: Pool, source: IdSource, path: Path, known: tuple[Path, Path], out: Path) -> Counts:
    """As `write_vectors_of_ids`, of ids that are text."""
    import numpy as np

    names = used_texts(source, path)
    found = look_up_texts(names, *known)
    dim = usual_length(found.lengths)
    wanted = np.flatnonzero(found.lengths == dim)
    with RowsAtHand(len(wanted), dim, pool.dtype, out.with_name(f"{out.name}.rows")) as rows:
        bring(pool, found, wanted, dim, rows, out.with_name(f"{out.name}.table"))
        write_named_vectors(out, names, found.lengths, pool.dtype, rows.blocks())
    only_null = int(np.count_nonzero(found.known & (found.lengths == NO_VECTOR)))
    return {"rows": len(names), "ids": len(names), "found": len(wanted), "null_vectors": only_null}


def used_texts(source: IdSource, path: Path) -> pa.Array:
    """The distinct ids, ascending by their bytes. Raises DayError for a column that holds no text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    used = pa.array([], pa.string())
    for piece in _in_lists(source, path) if source.listed else _in_column(source, path):
        kind = piece.type.value_type if pa.types.is_dictionary(piece.type) else piece.type
        if not pa.types.is_string(kind):
            raise DayError("a column that holds no ids", where=source.column, found=piece.type, expected="text")
        used = pc.unique(pa.concat_arrays([used, as_text(pc.unique(piece)).drop_null()]))
    return used.take(pc.array_sort_indices(used))


def look_up_texts(names: pa.Array, vectors: Path, places: Path) -> Found:
    """As `look_up`, of ids that are text."""
    import numpy as np
    import pyarrow.compute as pc

    count = len(names)
    found = Found(np.zeros(count, np.bool_), np.full(count, NO_VECTOR), np.full(count, None, object),
                  np.zeros(count, np.int64), np.zeros(count, np.int64))  # fmt: skip
    for of_vectors, of_places in _pieces(vectors, places):
        at = pc.index_in(as_text(of_vectors["id"]), value_set=names)
        rows, into = np.flatnonzero(np.asarray(at.is_valid())), at.drop_null().to_numpy()
        of_vectors, of_places = of_vectors.take(rows), of_places.take(rows)
        found.known[into] = True
        found.lengths[into] = of_vectors["length"].cast("int64").fill_null(NO_VECTOR).to_numpy()
        found.digests[into] = of_vectors["digest"].to_numpy()
        found.fragments[into] = of_places["fragment"].to_numpy()
        found.places[into] = of_places["place"].to_numpy()
    return found
