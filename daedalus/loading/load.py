"""`daedalus.load`: the partitions of a range of days as a dataset, a frame or a relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.base.installed import check_extra
from daedalus.loading.frames import duckdb_relation, polars_frame, quoted
from daedalus.loading.published import find_published
from daedalus.objectstore.object_store import library_options

if TYPE_CHECKING:
    import duckdb
    import polars
    from pyarrow.dataset import Dataset

_KINDS = ("pyarrow", "polars", "duckdb")


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["pyarrow"] = "pyarrow",
    object_store: Mapping[str, object] | None = None,
) -> Dataset: ...  # fmt: skip


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["polars"],
    object_store: Mapping[str, object] | None = None,
) -> polars.LazyFrame: ...  # fmt: skip


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["duckdb"],
    object_store: Mapping[str, object] | None = None,
) -> duckdb.DuckDBPyRelation: ...  # fmt: skip


def load(
    range: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    stage: Literal["skeleton", "enrich"] = "skeleton",
    output_root: str | Path | None = None,
    config: str | Path = "config",
    to: Literal["pyarrow", "polars", "duckdb"] = "pyarrow",
    object_store: Mapping[str, object] | None = None,
) -> Dataset | polars.LazyFrame | duckdb.DuckDBPyRelation:
    """The published rows of some days. Days ascend, rows keep their order, and the column `dt` has the day as a date.

    `range` is written as on the command line; None means all days. `columns` are the columns to read, in that order;
    None means all. `stage` chooses the skeleton's partitions or the enriched ones. `to` chooses the result: a
    `pyarrow.dataset.Dataset`, a `polars.LazyFrame` or a DuckDB relation; all read lazily. `output_root` defaults to
    that of the config, if there is a config. An output on an object store is read through its manifests, lazily too;
    `object_store` says how to reach it, as in the config. If a partition is replaced while you read it, reading
    fails: load again. Columns and types are those of the last partition, NULL where an older partition lacks a
    column; Polars widens narrower numbers to these types, but converts no other types. Raises DaedalusError if the
    range has no partition, and for columns that the output does not have.
    """
    if to not in _KINDS:
        raise DaedalusError("an unknown format", where="load(to)", found=to,
                            expected=" or ".join(_KINDS), hint=did_you_mean(to, _KINDS))  # fmt: skip
    if to == "polars":
        check_extra("polars", "polars", where="load(to)", what="Polars")
    found = find_published(
        range, stage=stage, output_root=output_root, config=config, object_store=object_store
    )  # fmt: skip
    found.check_columns(columns or (), "load(columns)")
    chosen = list(columns or found.schema.names)
    if to == "polars":
        options = library_options(found.options, found.paths[0]) if found.remote else None
        return polars_frame(found.paths, found.schema, options).select(chosen)
    if to == "duckdb" and not found.remote:
        return duckdb_relation(found.paths).project(", ".join(map(quoted, chosen)))
    dataset = found.dataset(chosen)
    if to == "pyarrow":
        return dataset
    import duckdb

    return duckdb.from_arrow(dataset)  # DuckDB itself reads local files alone
