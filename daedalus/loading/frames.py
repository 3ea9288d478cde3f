"""The published rows in other libraries' forms: Polars, DuckDB, pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daedalus.loading.published import DAY_IN_PATH, Published

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

_PATH = "daeda:path"


def polars_frame(found: Published, options: Mapping[str, Any] | None) -> Any:
    """A `polars.LazyFrame` of what was found, with all columns, among them `dt`."""
    import polars as pl

    schema = found.schema
    kinds = pl.DataFrame(schema.remove(schema.get_field_index("dt")).empty_table()).schema
    casts = pl.ScanCastOptions(integer_cast=["upcast", "allow-float"], float_cast="upcast",
                               missing_struct_fields="insert", extra_struct_fields="ignore")  # fmt: skip
    frame = pl.scan_parquet(
        list(found.paths), schema=kinds, missing_columns="insert", extra_columns="ignore", cast_options=casts,
        glob=False, hive_partitioning=False, include_file_paths=_PATH,
        storage_options=dict(options) if options else None,
    )  # fmt: skip
    frame = frame.with_columns(pl.col(_PATH).str.extract(DAY_IN_PATH).str.to_date().alias("dt"))
    if (split := found.split) is None:
        return frame
    ids = pl.col(split.columns[0])
    return frame.filter(ids.map_batches(lambda column: pl.Series(split.keeps_ids(column.to_arrow())),
                                        return_dtype=pl.Boolean, is_elementwise=True))  # fmt: skip


def duckdb_relation(paths: Sequence[str]) -> Any:
    """A relation of all columns of local parts, and `dt`."""
    import duckdb

    def read(some: Sequence[str], more: str = "") -> str:
        listed = ", ".join(_text("".join(f"[{c}]" if c in "*?[" else c for c in path)) for path in some)
        return f"read_parquet([{listed}], hive_partitioning = false{more})"

    last: Any = duckdb.sql(f"FROM {read(paths[-1:])}")
    casts = [f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}"
             for name, kind in zip(last.columns, last.types, strict=True)]  # fmt: skip
    casts.append(f"CAST(regexp_extract({quoted(_PATH)}, {_text(DAY_IN_PATH)}, 1) AS DATE) AS dt")
    found = read(paths, f", union_by_name = true, filename = {_text(_PATH)}")
    return duckdb.sql(f"SELECT {', '.join(casts)} FROM {found}")


def pandas_frame(dataset: Dataset) -> Any:
    """A `pandas.DataFrame` of Arrow's types, in which whole numbers stay such beside NULL, and lists are lists."""
    import pandas as pd

    return dataset.to_table().to_pandas(types_mapper=pd.ArrowDtype)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
