"""A partition's files, assembled from narrow artifacts that align by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from daedalus.skeleton.splice import Spliced


def write_partition(
    folder: Path, columns: Sequence[tuple[str, str]], artifacts: Mapping[str, Path], chunk_rows: int
) -> int:
    """Writes `part-N-0.parquet` files of `chunk_rows` rows each but the last; returns the rows written.

    `columns` are (name, artifact that holds it), `artifacts` the files by name, aligned row by row.
    """
    folder.mkdir()
    with Spliced(columns, artifacts) as whole:
        for part, begin in enumerate(range(0, max(whole.rows, 1), chunk_rows)):
            whole.write(folder / f"part-{part}-0.parquet", begin, min(begin + chunk_rows, whole.rows))
        return whole.rows
