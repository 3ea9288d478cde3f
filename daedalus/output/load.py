"""Reading the output: the partitions of a range of days as a dataset, a frame or a relation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from daedalus.base.days import DayRange, parse_range
from daedalus.base.durable import day_folders, part_files
from daedalus.base.errors import DaedalusError, did_you_mean, seen_from
from daedalus.base.installed import check_extra
from daedalus.config.steps import STAGES, Stage
from daedalus.objectstore.object_store import (
    SCHEMES,
    ObjectStore,
    arrow_filesystem,
    is_known,
    is_uri,
    known_keys,
    library_options,
)
from daedalus.objectstore.part_list import PartList, manifest_days, read_json

if TYPE_CHECKING:
    import duckdb
    import polars
    from pyarrow.dataset import Dataset

_KINDS = ("pyarrow", "polars", "duckdb")
_PATH = "daeda:path"
_DAY = r"^(?:.*/)?dt=(\d{4}-\d\d-\d\d)/"  # in a part's path; of several the last, for a folder above may have one
_DEFAULTS = {"skeleton": "data/training_output", "enrich": "data/training_enriched"}  # without a configuration
_AT_ONCE = 16  # manifests read


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
    if stage not in STAGES:
        raise DaedalusError("there is no such stage", where="load(stage)", found=stage, expected=" or ".join(STAGES),
                            hint=did_you_mean(stage, STAGES))  # fmt: skip
    if to == "polars":
        check_extra("polars", "polars", where="load(to)", what="Polars")
    root, options = _home(config, STAGES[stage], output_root, object_store)
    span = parse_range(range, "load(range)") if range is not None else None
    paths, found = _remote_parts(root, span, options) if is_uri(root) else _local_parts(Path(root), span)
    if not paths:
        raise DaedalusError("there is no partition in the range", where=root, found=found, hint=f"daeda {stage}")
    import pyarrow as pa
    from pyarrow.fs import LocalFileSystem

    system = arrow_filesystem(root, options) if is_uri(root) else LocalFileSystem()
    last = _schema(paths[-1], system)
    if columns:
        _check_columns(columns, last, paths[-1])
    chosen = list(columns or last.names)
    if to == "polars":
        return _frame(paths, last, library_options(options) if is_uri(root) else None).select(chosen)
    if to == "duckdb" and not is_uri(root):
        return _relation(paths).project(", ".join(map(_quoted, chosen)))
    dataset = _dataset(paths, pa.schema([last.field(name) for name in chosen]), system)
    if to == "pyarrow":
        return dataset
    import duckdb

    return duckdb.from_arrow(dataset)  # DuckDB itself reads local files alone


def _schema(path: str, system: Any) -> Any:
    """The columns of a part, and `dt`."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    return ds.ParquetFileFormat().inspect(_key(path), system).append(pa.field("dt", pa.date32()))


def _key(path: str) -> str:
    """A path as Arrow's file systems have it, without a scheme."""
    return path.partition("://")[2] or path


def _dataset(paths: Sequence[str], schema: Any, system: Any) -> Any:
    """Parts with columns of `schema`. The day is that of the path's last folder with one, whatever stands before."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    format, fragments = ds.ParquetFileFormat(), []
    for path in paths:
        day = pa.scalar(date.fromisoformat(re.match(_DAY, path)[1]), pa.date32())  # type: ignore[index]
        fragments.append(format.make_fragment(_key(path), system, partition_expression=ds.field("dt") == day))
    return ds.FileSystemDataset(fragments, schema, format, system)


def _frame(paths: Sequence[str], schema: Any, options: Mapping[str, Any] | None) -> Any:
    import polars as pl

    kinds = pl.DataFrame(schema.remove(schema.get_field_index("dt")).empty_table()).schema
    casts = pl.ScanCastOptions(integer_cast=["upcast", "allow-float"], float_cast="upcast",
                               missing_struct_fields="insert", extra_struct_fields="ignore")  # fmt: skip
    frame = pl.scan_parquet(
        list(paths), schema=kinds, missing_columns="insert", extra_columns="ignore", cast_options=casts, glob=False,
        hive_partitioning=False, include_file_paths=_PATH, storage_options=dict(options) if options else None,
    )  # fmt: skip
    return frame.with_columns(pl.col(_PATH).str.extract(_DAY).str.to_date().alias("dt"))


def _relation(paths: Sequence[str]) -> Any:
    import duckdb

    def read(some: Sequence[str], more: str = "") -> str:
        listed = ", ".join(_text("".join(f"[{c}]" if c in "*?[" else c for c in path)) for path in some)
        return f"read_parquet([{listed}], hive_partitioning = false{more})"

    last: Any = duckdb.sql(f"FROM {read(paths[-1:])}")
    casts = [f"CAST({_quoted(name)} AS {kind}) AS {_quoted(name)}"
             for name, kind in zip(last.columns, last.types, strict=True)]  # fmt: skip
    casts.append(f"CAST(regexp_extract({_quoted(_PATH)}, {_text(_DAY)}, 1) AS DATE) AS dt")
    found = read(paths, f", union_by_name = true, filename = {_text(_PATH)}")
    return duckdb.sql(f"SELECT {', '.join(casts)} FROM {found}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _home(
    config: str | Path, stage: Stage, output_root: str | Path | None, object_store: Mapping[str, Any] | None
) -> tuple[str, Mapping[str, Any]]:
    """Where the output is, and how to reach it: as given, else as the config says, if there is one."""
    for key in object_store or {}:
        if not any(is_known(key, store) for store in SCHEMES):
            known = sorted({name for store in SCHEMES for name in known_keys(store)})
            raise DaedalusError("an option that no object store has", where="load(object_store)", found=key,
                                expected="one of obstore's", hint=did_you_mean(key, known))  # fmt: skip
    if (output_root is not None and (object_store is not None or not is_uri(output_root))) or not Path(config).is_dir():
        if str(config) != "config" and not Path(config).is_dir():
            raise DaedalusError("there is no config folder", where="load(config)", found=seen_from(config),
                                expected="a folder with catalog.yaml")  # fmt: skip
        return str(output_root or _DEFAULTS[stage.name]), object_store or {}
    from daedalus.config import load_config

    loaded = load_config(config)
    options = loaded.runtime.object_store if object_store is None else object_store
    if output_root is None and stage not in loaded.stages:
        raise DaedalusError("the configuration has no embeddings", where="load(stage)", found=stage.name,
                            expected="skeleton, or embeddings in runtime.yaml")  # fmt: skip
    return str(output_root or loaded.root_of(stage)), options


def _check_columns(columns: Sequence[str], last: Any, path: str) -> None:
    """The last partition has every column that there is, but for those that an edit took away."""
    for name in columns:
        if name not in last.names:
            raise DaedalusError("a column that the output does not have", where="load(columns)", found=name,
                                expected=f"a column of {path}", hint=did_you_mean(name, last.names))  # fmt: skip


def _local_parts(root: Path, span: DayRange | None) -> tuple[list[str], str]:
    """Part files in order, and in words what there is."""
    parts = [part for folder in day_folders(root) for part in part_files(folder)]
    days = {str(day) for day in span} if span else None
    return [
        str(path) for path in parts if days is None or path.parent.name[3:] in days
    ], f"{len(parts)} part files in all"


def _remote_parts(root: str, span: DayRange | None, options: Mapping[str, Any]) -> tuple[list[str], str]:
    """The same of an output on an object store."""
    store = ObjectStore(root, options)

    def parts(day: str) -> list[str]:
        manifest = PartList.of(read_json(store, there[day])[0], store.of(there[day]))
        listed = sorted(manifest.parts, key=lambda part: _number(part.name))
        return [store.of(f"dt={day}/{part.key}") for part in listed]

    try:
        there = manifest_days(store.key(one.uri) for one in store.list())
        wanted = [day for day in there if span is None or day in {str(known) for known in span}]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [uri for found in pool.map(parts, wanted) for uri in found], f"{len(there)} partitions in all"
    except OSError as error:
        hint = "give load() the config's object_store, or set AWS_… in the environment"
        raise DaedalusError("the output cannot be read", where=root, found=error.strerror or error,
                            expected="a bucket that can be listed and read", hint=hint) from None  # fmt: skip


def _number(name: str) -> int:
    return int(name.split("-")[1])
