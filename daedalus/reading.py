"""Reading the output: the partitions of a range of days as a dataset, a frame or a relation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from daedalus.days import parse_range
from daedalus.errors import DaedalusError, did_you_mean

_KINDS = ("pyarrow", "polars", "duckdb")


def load(
    range: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    output_root: str | Path | None = None,
    config: str | Path = "config",
    to: Literal["pyarrow", "polars", "duckdb"] = "pyarrow",
) -> Any:
    """The output of some days, with the day in the column `dt`; rows keep their order, days ascend.

    `range` is as on the command line; None is all there is. `to` is a `pyarrow.dataset.Dataset` (read
    lazily; `columns` are then for you to choose when you scan it), a `polars.LazyFrame` or a DuckDB
    relation. `output_root` is the config's, where there is one. Raises DaedalusError when no partition lies in
    the range, and for columns that the output does not have.
    """
    if to not in _KINDS:
        raise DaedalusError("load() does not make that", where="load(to)", found=to,
                            expected=" or ".join(_KINDS), hint=did_you_mean(to, _KINDS))  # fmt: skip
    output_root = _output_root(config) if output_root is None else output_root
    span = parse_range(range, "load(range)") if range else None
    parts = sorted(Path(output_root).glob("dt=*/part-*.parquet"), key=_place)
    paths = [path for path in parts if span is None or path.parent.name[3:] in {str(day) for day in span}]
    if not paths:
        found = f"{len(parts)} part files in all"
        raise DaedalusError(
            "no partition lies in the range", where=str(output_root), found=found, hint="daeda skeleton"
        )
    _check_columns(columns or (), paths)
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


def _output_root(config: str | Path) -> str:
    if not Path(config).is_dir():
        return "data/training_output"
    from daedalus.config import load_config

    return load_config(config).runtime.output_root


def _check_columns(columns: Sequence[str], paths: Sequence[Path]) -> None:
    """The last partition has every column that there is, but for those that an edit took away."""
    import pyarrow.parquet as pq

    known = [*pq.read_schema(paths[-1]).names, "dt"] if columns else []
    for name in columns:
        if name not in known:
            raise DaedalusError("a column that the output does not have", where="load(columns)", found=name,
                                expected=f"a column of {paths[-1]}", hint=did_you_mean(name, known))  # fmt: skip


def _place(path: Path) -> tuple[str, int]:
    return path.parent.name, int(path.name.split("-")[1])
