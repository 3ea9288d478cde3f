"""A day's sessions, numbered by several machines: what can be done on any of them, and the files between them.

    write_sessions   the sessions, without what is known of them, in the order in which new ones are numbered
    QidMap.number    their numbers, in the same order: on the machine that has the map
    write_numbers    the column `qid`, as `QidMap.assign` would write it

A file between them says which one it is, and in which folder it was written, which is the run's own: so its bytes are
those of no other file, for who is done with it removes it from where files are called by what is in them; and made a
second time, since a worker died, it is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.output.numbers.number_sessions import DAY_QIDS, SESSIONS_IN_ORDER, sessions_in_memory
from daedalus.sql.duck import Bindings, Ducks
from daedalus.tables.artifacts import write_table
from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import pyarrow as pa


def write_sessions(artifacts: Mapping[str, Path], ducks: Ducks, name: str, out: Path) -> dict[str, int]:
    """`artifacts` as in `QidMap.assign`; `name` is that of the file, among all of a run."""
    import numpy as np

    day = sessions_in_memory(artifacts)
    if day is None:
        with ducks.lease() as duck:
            added = duck.table(SESSIONS_IN_ORDER, _bound(artifacts))
    else:
        added, _ = day.numbered(np.full(len(day.names), -1), 0)
    write_column(out, name, whole(added["feed_session"]))
    return {"sessions": added.num_rows}


def write_numbers(
    artifacts: Mapping[str, Path], sessions: Path, numbers: Path, ducks: Ducks, out: Path
) -> dict[str, int]:  # fmt: skip
    """`sessions` is what `write_sessions` wrote, and `numbers` what `QidMap.number` did."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names, found = read_column(sessions), read_column(numbers)
    day = sessions_in_memory(artifacts)
    if day is None:
        numbered = pa.table({"feed_session": names, "qid": found})
        with ducks.lease() as duck:
            return duck.copy(DAY_QIDS, _bound(artifacts, {"numbered": numbered}), out)
    _, qids = day.numbered(found.take(pc.index_in(day.names, value_set=names)).to_numpy(), 0)
    return {"rows": write_table(out, qids)}


def _bound(artifacts: Mapping[str, Path], tables: Mapping[str, pa.Table] | None = None) -> Bindings:
    return Bindings({name: [path] for name, path in artifacts.items()}, tables or {})


def write_column(path: Path, name: str, column: pa.Array) -> None:
    import pyarrow as pa

    table = pa.table({"column": column}).replace_schema_metadata({"file": f"{path.parent}/{name}"})
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table)


def read_column(path: Path) -> pa.Array:
    import pyarrow as pa

    options = pa.ipc.IpcReadOptions(use_threads=False)
    with pa.OSFile(str(path), "rb") as source:
        return whole(pa.ipc.open_file(source, options=options).read_all()["column"])
