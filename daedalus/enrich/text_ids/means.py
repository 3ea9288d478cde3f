"""The step `means` of lists of ids that are text."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from daedalus.base.errors import DayError
from daedalus.enrich.list_groups import ListGroup, list_groups
from daedalus.enrich.list_means import ListMeans, _means_of, _Whole
from daedalus.enrich.means_file import write_means
from daedalus.enrich.text_ids.names import Names
from daedalus.enrich.vectors_file import VectorsFile
from daedalus.tables.side_by_side import side_by_side


def mean_text_lists(entry: ListMeans, lists: Path, vectors: Path, out: Path) -> dict[str, int]:
    """As `mean_lists`, of lists of text; `vectors` are those of `write_named_vectors`."""
    import pyarrow.parquet as pq

    rows, names = pq.read_metadata(lists).num_rows, Names(vectors)
    with VectorsFile(vectors) as pool:
        ready = _Whole(pool)
        groups = (_numbered(entry, one, names) for one in list_groups(lists, entry.column, entry.max_items))
        parts = (partial(_means_of, entry, group, pool, ready.prepared(group)) for group in groups)
        return {"rows": write_means(out, side_by_side(parts, rows), pool.dim, entry.dtype)}


def _numbered(entry: ListMeans, group: ListGroup, names: Names) -> ListGroup:
    """The lists of numbers of ids."""
    import pyarrow as pa

    if not pa.types.is_string(group.values.type):
        found = group.values.type
        raise DayError("a list that holds no ids", where=entry.column, found=found, expected="a list of text")
    return replace(group, values=pa.array(names.numbers(group.values)))
