"""What rows see, kept in memory for the aggregations that come next: several kinds of the same events, keys and windows
find it once.

Each still has its own action, and finds it itself where nothing is kept: what is kept decides no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.windows.kinds.seen import Seen


def seen_by_batch(
    rows: Path, what: str, batches: Iterable[pa.RecordBatch], find: Callable[[pa.RecordBatch], tuple[Seen, pa.Array]]
) -> Iterator[tuple[pa.RecordBatch, Seen, pa.Array]]:
    """Each batch of the rows of a file, with what `find` gives for it; `what` says all that this depends on."""
    held = HELD.get(rows, what)
    kept: list[tuple[Seen, pa.Array]] = []
    size = 0
    for i, batch in enumerate(batches):
        seen, values = held[i] if held else find(batch)
        yield batch, seen, values
        size += seen.nbytes + values.nbytes
        if HELD.takes(size):
            kept.append((seen, values))
        else:
            kept.clear()
    if kept and not held:
        HELD.put(rows, kept, size, what)
