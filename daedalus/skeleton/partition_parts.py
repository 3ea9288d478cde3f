"""A partition in parts: some of its row groups each, cut from the artifacts as the whole is.

Each part begins with the partition's first row group, which is left out when parts are put together: how text is
written in all row groups follows from that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from daedalus.output.cut_partition import SHIPPED, Wanted, cut, shipped_groups
from daedalus.parquet.splice import stacked
from daedalus.stagecache.action import Part

Columns = Sequence[tuple[str, str]]  # (name, the artifact that has it)


def sources_in_parts(columns: Columns) -> list[str]:
    """The artifacts whose columns are cut in parts. What has the rows that ship and no other is cut at the end."""
    return list(dict.fromkeys(source for _, source in columns if source != SHIPPED))


def cut_part(columns: Columns, artifacts: Mapping[str, Path], part: Part, out: Path) -> None:
    """Writes a part of the columns; nothing, if there are none."""
    wanted = [Wanted(artifacts[source], [name for name, of in columns if of == source])
              for source in sources_in_parts(columns)]  # fmt: skip
    if not wanted:
        out.touch()
        return
    groups = shipped_groups(artifacts)
    cut(wanted, [groups[i] for i in (0, *part.of(len(groups)))] if groups else [], out)


def whole_of(parts: Sequence[Path], out: Path) -> Path:
    """Puts parts together to a file with the columns of the rows that ship."""
    stacked(parts, out, skipped=1)
    return out
