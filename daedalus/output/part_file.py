"""A partition's part file, as the rest reads it. cut_partition.py writes it; base/durable.py has its name (`PART`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base import digest
from daedalus.base.digest import Sums
from daedalus.sql.duck import Bindings
from daedalus.sql.text import parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.objectstore.part_list import PartList


@dataclass(frozen=True)
class PartSum:
    """A part's name, rows, size and SHA-256."""

    name: str
    rows: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class PartitionSum:
    """SHA-256 of a partition's parts joined in order, and its parts."""

    digest: str
    parts: tuple[PartSum, ...]

    @classmethod
    def of(cls, parts: Sequence[Path], known: Sums | None = None) -> PartitionSum | None:
        """Reads all bytes of some parts, unless their sums are known; None where one is gone or no parquet file."""
        import pyarrow as pa

        try:
            sums = known or digest.sums_of(parts)
            found = [
                PartSum(part.name, rows_of(part), part.stat().st_size, one)
                for part, one in zip(parts, sums.sha256_each, strict=True)
            ]
        except (OSError, pa.ArrowException):
            return None
        return cls(sums.sha256, tuple(found))

    @classmethod
    def of_list(cls, parts: PartList) -> PartitionSum | None:
        """As a list of parts has it; None where it is of an older version, or empty."""
        if not parts.sha256:
            return None
        whole, *each = parts.sha256
        found = zip(parts.parts, each, strict=True)
        return cls(whole, tuple(PartSum(part.name, part.rows, part.bytes, one) for part, one in found))


def listed(parts: Sequence[Path]) -> PartList:
    """The list of the parts of a partition, by their names."""
    from daedalus.objectstore.part_list import PartFile, PartList

    sums = digest.sums_of(parts)
    digests = {part.name: content for part, content in zip(parts, sums.contents, strict=True)}
    found = [PartFile(part.name, part.stat().st_size, digests[part.name], rows_of(part)) for part in parts]
    return PartList(digest.of_json(digests), tuple(found), (sums.sha256, *sums.sha256_each))


def parts_with_qids(paths: Iterable[Path]) -> list[tuple[Path, bool]]:
    """(file, whether it carries feed_session) of every part that has a qid; unreadable parts are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for path in paths:
        try:
            part = pq.ParquetFile(path)
        except (OSError, pa.ArrowException):
            continue
        if _numbers(part.metadata):
            found.append((path, "feed_session" in part.schema_arrow.names))
    return found


def _numbers(metadata: Any) -> bool:
    """Whether a part has any qid that is not NULL, by its footer."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(j) for group in groups for j in range(group.num_columns)]
    qids = [chunk for chunk in chunks if chunk.path_in_schema == "qid"]
    return any(
        not c.is_stats_set or c.statistics.null_count is None or c.statistics.null_count < c.num_values for c in qids
    )


def rows_of(part: Path) -> int:
    """How many rows a part has, by its footer."""
    import pyarrow.parquet as pq

    return pq.read_metadata(part).num_rows


def schema_of(part: Path) -> pa.Schema:
    """The columns of a part."""
    import pyarrow.parquet as pq

    return pq.read_schema(part)


def read_parts(parts: Sequence[Path], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of some parts as one table, with all or some of their columns. Raises OSError or ArrowException."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.ParquetFile(part).read(columns=columns) for part in parts])


def bound_parts(name: str, parts: Sequence[Path], others: Bindings | None = None) -> tuple[str, Bindings]:
    """(SQL that reads some parts, the bindings of a statement with them under `name`, and with `others`)."""
    others = others or Bindings()
    return parquet(name), replace(others, files={**others.files, name: list(parts)})
