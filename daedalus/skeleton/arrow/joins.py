"""The steps `content` and `attributes`: views joined to the rows of the sessions, as joins_and_filters.py says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.days import DAY_US, Day
from daedalus.skeleton.arrow.views import among, features_by_entity
from daedalus.skeleton.joins_and_filters import Join
from daedalus.sql.text import ROW
from daedalus.tables.artifacts import Files, fits, read_table, rows_of, write_table
from daedalus.tables.sorting import numbers_of, whole
from daedalus.tables.taken import taken

if TYPE_CHECKING:
    import pyarrow as pa

_FAR = 1 << 61  # microseconds: times beyond are infinite


def write_content(join: Join, files: Files, out: Path, day: Day | None = None) -> Mapping[str, int] | None:
    """The step `content`: the positions of the rows that ship. `day` is that of the rows where views are as of it."""
    import numpy as np
    import pyarrow as pa

    joined = _joined(join, list(join.drop), files, day)
    if joined is None:
        return None
    dropped = np.zeros(joined.num_rows, np.bool_)
    for column, values in join.drop.items():
        found = among(joined[column], join.types[column], values)
        if found is None:
            return None
        dropped |= found
    return {"rows": write_table(out, pa.table({ROW.strip('"'): np.flatnonzero(~dropped)}))}


def write_attributes(
    join: Join, outputs: Sequence[str], constants: Callable[[], pa.Table], files: Files, out: Path,
    day: Day | None = None,
) -> Mapping[str, int] | None:  # fmt: skip
    """The step `attributes`; `constants()` has the output columns that no row changes, in its one row. `day` is that
    of the rows where views are as of it."""
    import numpy as np
    import pyarrow as pa

    fixed = constants()
    joined = _joined(join, [column for column in outputs if column not in fixed.column_names], files, day)
    if joined is None:
        return None
    alike = np.zeros(joined.num_rows, np.int64)
    columns = [taken(whole(fixed[c]), alike) if c in fixed.column_names else joined[c] for c in outputs]
    return {"rows": write_table(out, pa.table(dict(zip(outputs, columns, strict=True))))}


def _joined(join: Join, wanted: Sequence[str], files: Files, day: Day | None) -> pa.Table | None:
    """The columns `wanted` of the rows of the sessions, from the feed, from views and ages of them."""
    import pyarrow as pa

    (sessions,) = files["rows"]
    if not fits(rows_of(sessions)):
        return None
    rows = read_table(sessions, join.needs)
    columns: dict[str, pa.Array] = {name: whole(rows[name]) for name in join.needs if name in wanted}
    sources: dict[tuple[str, str], pa.Array] = {}
    for view in join.views:
        ages = [feature for source, feature in join.ages.values() if source == view.name]
        taken = list(dict.fromkeys([*view.features, *ages]))
        found = features_by_entity(view, files[view.bound][0], taken, rows, day)
        if found is None:
            return None
        columns |= {name: found[name] for name in view.features}
        sources |= {(view.name, name): found[name] for name in ages}
    for age, source in join.ages.items():
        made = _age(rows["event_timestamp"], sources[source])
        if made is None:
            return None
        columns[age] = made
    if join.animated:
        columns["model_type"] = _curated(columns, join)
    return pa.table({name: columns[name] for name in wanted}) if wanted else rows


def _age(times: pa.ChunkedArray, source: pa.Array) -> pa.Array | None:
    """Whole days from a time to the event, at least 0."""
    import numpy as np
    import pyarrow as pa

    if source.type == pa.date32():
        source = source.cast(pa.timestamp("us"))
    if source.type != pa.timestamp("us"):
        return None
    born, missing = numbers_of(source)
    if len(born) and max(-int(born.min()), int(born.max())) >= _FAR:
        return None
    days = np.maximum(numbers_of(times)[0] - born, 0) // DAY_US
    return pa.array(days.astype(np.int32), mask=missing)


def _curated(columns: Mapping[str, pa.Array], join: Join) -> pa.Array:
    """The model type, with that of animated artworks replaced."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rule, kind = join.animated, columns["model_type"]
    assert rule is not None
    wrong = pc.and_(pc.equal(columns["artwork_type"], rule.artwork_type), pc.equal(kind, rule.source))
    return pc.if_else(pc.fill_null(wrong, False), pa.scalar(rule.target, kind.type), kind)
