"""`daedalus.load`: the partitions of a range of days as a dataset, a frame or a relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.base.installed import check_extra
from daedalus.loading.frames import duckdb_relation, pandas_frame, polars_frame, quoted
from daedalus.loading.published import Published, find_published
from daedalus.objectstore.object_store import library_options

if TYPE_CHECKING:
    import datasets
    import duckdb
    import pandas
    import polars
    import ray.data
    from pyarrow.dataset import Dataset

_KINDS = ("pyarrow", "polars", "duckdb", "pandas", "ray", "huggingface")


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["pyarrow"] = "pyarrow",
    object_store: Mapping[str, object] | None = None, split: str | None = None, snapshot: str | None = None,
) -> Dataset: ...  # fmt: skip


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["polars"],
    object_store: Mapping[str, object] | None = None, split: str | None = None, snapshot: str | None = None,
) -> polars.LazyFrame: ...  # fmt: skip


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["duckdb"],
    object_store: Mapping[str, object] | None = None, split: str | None = None, snapshot: str | None = None,
) -> duckdb.DuckDBPyRelation: ...  # fmt: skip


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["pandas"],
    object_store: Mapping[str, object] | None = None, split: str | None = None, snapshot: str | None = None,
) -> pandas.DataFrame: ...  # fmt: skip


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["ray"],
    object_store: Mapping[str, object] | None = None, split: str | None = None, snapshot: str | None = None,
) -> ray.data.Dataset: ...  # fmt: skip


@overload
def load(
    range: str | None = None, columns: Sequence[str] | None = None, *, stage: Literal["skeleton", "enrich"] = ...,
    output_root: str | Path | None = None, config: str | Path = ..., to: Literal["huggingface"],
    object_store: Mapping[str, object] | None = None, split: str | None = None, snapshot: str | None = None,
) -> datasets.IterableDataset: ...  # fmt: skip


def load(
    range: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    stage: Literal["skeleton", "enrich"] = "skeleton",
    output_root: str | Path | None = None,
    config: str | Path = "config",
    to: Literal["pyarrow", "polars", "duckdb", "pandas", "ray", "huggingface"] = "pyarrow",
    object_store: Mapping[str, object] | None = None,
    split: str | None = None,
    snapshot: str | None = None,
) -> (
    Dataset
    | polars.LazyFrame
    | duckdb.DuckDBPyRelation
    | pandas.DataFrame
    | ray.data.Dataset
    | datasets.IterableDataset
):
    """The published rows of some days. Days ascend, rows keep their order, and the column `dt` has the day as a date.

    `range` is written as on the command line; None means all days. `columns` are the columns to read, in that order;
    None means all. `stage` chooses the skeleton's partitions or the enriched ones. `to` chooses the result: a
    `pyarrow.dataset.Dataset`, a `polars.LazyFrame`, a DuckDB relation, a `ray.data.Dataset` or, of Hugging Face, a
    `datasets.IterableDataset`, which read lazily, or a `pandas.DataFrame`, which is in memory. `output_root` defaults
    to that of the config, if there is a config. An output on an object store is read through its manifests, lazily too;
    `object_store` says how to reach it, as in the config. `split` chooses a part of the config's `splits`, such as
    `train`; the config is read for it even if `output_root` is given. With `snapshot`, the rows are those that this
    snapshot holds, of its own stage, whatever `stage` says, and nothing replaces them. If a partition is replaced while
    you read it, reading fails: load again. Columns and types are those of the last partition, NULL where an older
    partition lacks a column; Polars widens narrower numbers to these types, but converts no other types. Raises
    DaedalusError if the range has no partition, for columns that the output does not have, and for a part that the
    config does not have.
    """
    if to not in _KINDS:
        raise DaedalusError("an unknown format", where="load(to)", found=to,
                            expected=" or ".join(_KINDS), hint=did_you_mean(to, _KINDS))  # fmt: skip
    _check_installed(to)
    found = find_published(
        range, stage=stage, output_root=output_root, config=config, object_store=object_store, split=split,
        snapshot=snapshot,
    )  # fmt: skip
    found.check_columns(columns or (), "load(columns)")
    return _given_to(to, found, list(columns or found.schema.names))


def _check_installed(to: str) -> None:
    if to == "polars":
        check_extra("polars", "polars", where="load(to)", what="Polars")
    elif to == "pandas":
        check_extra("pandas", "pandas", where="load(to)", what="pandas")
    elif to == "ray":
        check_extra("ray", "ray.data", where="load(to)", what="Ray")
    elif to == "huggingface":
        check_extra("huggingface", "datasets", where="load(to)", what="Hugging Face's datasets")


def _given_to(to: str, found: Published, columns: list[str]) -> Any:
    if to == "polars":
        options = library_options(found.options, found.paths[0]) if found.remote else None
        return polars_frame(found, options).select(columns)
    if to == "duckdb" and not found.remote and found.split is None:
        return duckdb_relation(found.paths).project(", ".join(map(quoted, columns)))
    if to in ("ray", "huggingface"):
        from daedalus.loading.elsewhere import hugging_face_dataset, ray_dataset

        return (ray_dataset if to == "ray" else hugging_face_dataset)(found, columns)
    dataset = found.dataset(columns)
    if to == "duckdb":
        import duckdb

        return duckdb.from_arrow(dataset)  # DuckDB itself reads local files alone, and knows no splits
    return pandas_frame(dataset) if to == "pandas" else dataset
