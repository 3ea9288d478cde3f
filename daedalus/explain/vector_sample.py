"""The vectors of the first rows of an enriched partition, from the artifacts that a trace names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.explain.earlier import columns_of, renamed_in, sources_of, vector_columns
from daedalus.sql.text import ROW
from daedalus.stagecache.action_name import ActionName
from daedalus.tables.artifacts import read_table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.stagecache.records.artifact_store import ArtifactStore
    from daedalus.stagecache.records.traces import Trace

_ROW = ROW.strip('"')
_SAMPLED = 1000


def sample_of_vectors(store: ArtifactStore, trace: Trace, skeleton: Trace) -> pa.Table | None:
    """The columns of vectors in the first rows that ship; None when an artifact is gone or damaged.

    `trace` is that of the enriched partition, `skeleton` that of the partition which it was made of.
    """
    import pyarrow as pa

    made_of, own = sources_of(skeleton), sources_of(trace)
    home, made_from = dict(columns_of(skeleton)), {name: made for made, name in renamed_in(skeleton).items()}
    columns = {name: of and made_from.get(of, of) for name, of in vector_columns(trace).items()}
    made = {name: own[str(ActionName("means" if of is None else "vectors", name))] for name, of in columns.items()}
    ids = {of: made_of[home[of]] for of in columns.values() if of is not None}
    of_ids, of_means = made_of["content"], own.get("content", made_of["content"])
    paths = store.all_intact([of_ids, of_means, *made.values(), *ids.values()])
    if paths is None:
        return None
    rows = {content: _rows(paths[content]) for content in (of_ids, of_means)}
    found, dtype = {}, json.loads(trace.manifest["config:embeddings.dtype"])
    for name, of in columns.items():
        path = paths[made[name]]
        if of is None:
            found[name] = _means(path, rows[of_means])
        else:
            found[name] = _vectors(path, paths[ids[of]], of, rows[of_ids], dtype)
    return pa.table(found)


def _rows(content: Path) -> np.ndarray:
    """Which rows of its `sessions` ship first. The same partition can be made of sessions with other rows."""
    return read_table(content, [_ROW])[_ROW].to_numpy()[:_SAMPLED]


def _means(path: Path, rows: np.ndarray) -> pa.Array:
    import numpy as np

    from daedalus.enrich.means_file import MeansFile
    from daedalus.parquet.writer import ROWS_PER_GROUP

    pieces, has = [], []
    with MeansFile(path) as file:
        of = rows // ROWS_PER_GROUP
        for group in np.unique(of).tolist():
            means = file.group(group)
            index = means.index[rows[of == group] % ROWS_PER_GROUP]
            has.append(index >= 0)
            if len(means.values):
                pieces.append(means.values[index[index >= 0]])
        return _lists(pieces, np.concatenate(has) if has else np.empty(0, np.bool_), file.dtype)


def _vectors(path: Path, of_ids: Path, column: str, rows: np.ndarray, dtype: str) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from daedalus.enrich.vectors_file import VectorsFile

    ids = read_table(of_ids, [column])[column].combine_chunks().take(pa.array(rows))
    if not pa.types.is_integer(ids.type):
        from daedalus.enrich.text_ids.names import Names

        ids = pa.array(Names(path).numbers(ids))
    ids = ids.cast(pa.int64())
    with VectorsFile(path) as file:
        places = file.find(pc.fill_null(ids, 0).to_numpy())
        has = (places >= 0) & pc.is_valid(ids).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            return _lists([file.take(places[has]).astype(dtype)], has, np.dtype(dtype))


def _lists(pieces: list[Any], has: np.ndarray, dtype: np.dtype) -> pa.Array:
    """Vectors as lists, NULL where a row has none."""
    import numpy as np
    import pyarrow as pa

    values = np.concatenate(pieces) if pieces else np.empty((0, 0), dtype)
    ends = np.concatenate([[0], np.cumsum(has)]) * values.shape[1]
    missing = pa.array(np.append(~has, False))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32(), mask=missing.to_numpy(zero_copy_only=False)),
                                    pa.array(values.reshape(-1)))  # fmt: skip
