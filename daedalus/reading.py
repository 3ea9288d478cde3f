"""Reading the output: the partitions of a range of days as a dataset, a frame or a relation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from daedalus.days import parse_range
from daedalus.errors import DaedalusError


def load(
    range: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    output_root: str | Path = "data/training_output",
    to: Literal["pyarrow", "polars", "duckdb"] = "pyarrow",
) -> Any:
    """The output of some days, with the day in the column `dt`; rows keep their order, days ascend.

    `range` is as on the command line; None is all there is. `to` is a `pyarrow.dataset.Dataset` (read
    lazily; `columns` are then for you to choose when you scan it), a `polars.LazyFrame` or a DuckDB
    relation. Raises DaedalusError when no partition lies in the range.
    """
    span = parse_range(range) if range else None
    parts = sorted(Path(output_root).glob("dt=*/part-*.parquet"), key=_place)
    paths = [path for path in parts if span is None or path.parent.name[3:] in {str(day) for day in span}]
    if not paths:
        found = f"{len(parts)} part files in all"
        raise DaedalusError(
            "no partition lies in the range", where=str(output_root), found=found, hint="daeda skeleton"
        )
    if to == "polars":
        import polars as pl

        frame = pl.scan_parquet(paths, hive_partitioning=True)
        return frame.select(columns) if columns else frame
    if to == "duckdb":
        import duckdb

        relation = duckdb.read_parquet([str(path) for path in paths], hive_partitioning=True)
        return relation.project(", ".join('"' + c.replace('"', '""') + '"' for c in columns)) if columns else relation
    import pyarrow.dataset as ds

    return ds.dataset([str(path) for path in paths], format="parquet", partitioning="hive")


def _place(path: Path) -> tuple[str, int]:
    return path.parent.name, int(path.name.split("-")[1])
