"""Reading the output: the partitions of a range of days as a dataset, a frame or a relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from daedalus.days import DayRange, parse_range
from daedalus.errors import DaedalusError, did_you_mean, seen_from
from daedalus.manifests import Manifest, manifest_days, read_json
from daedalus.objects import ObjectStore, arrow_filesystem, is_uri, library_options

_KINDS = ("pyarrow", "polars", "duckdb")
_AT_ONCE = 16  # manifests read


def load(
    range: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    output_root: str | Path | None = None,
    config: str | Path = "config",
    to: Literal["pyarrow", "polars", "duckdb"] = "pyarrow",
    object_store: Mapping[str, Any] | None = None,
) -> Any:
    """The output of some days, with the day in the column `dt`; rows keep their order, days ascend.

    `range` is as on the command line; None is all there is. `to` is a `pyarrow.dataset.Dataset` (read
    lazily; `columns` are then for you to choose when you scan it), a `polars.LazyFrame` or a DuckDB
    relation. `output_root` is the config's, where there is one. An output on an object store is read by its
    manifests, lazily too; `object_store` says how to reach it, as in the config. A partition that is replaced
    meanwhile fails the reading: load again. Columns are those of the last partition, NULL where an older one
    lacks them. Raises DaedalusError when no partition lies in the range, and for
    columns that the output does not have.
    """
    if to not in _KINDS:
        raise DaedalusError("load() does not make that", where="load(to)", found=to,
                            expected=" or ".join(_KINDS), hint=did_you_mean(to, _KINDS))  # fmt: skip
    root, options = _home(config, output_root, object_store)
    span = parse_range(range, "load(range)") if range is not None else None
    paths, found = _remote_parts(root, span, options) if is_uri(root) else _local_parts(Path(root), span)
    if not paths:
        raise DaedalusError("no partition lies in the range", where=root, found=found, hint="daeda skeleton")
    last = _dataset(root, paths[-1:], options, None).schema
    if columns:
        _check_columns(columns, last, paths[-1])
    if to == "polars":
        import polars as pl

        frame = pl.scan_parquet(
            paths, hive_partitioning=True, storage_options=library_options(options) if is_uri(root) else None,
            schema=pl.DataFrame(last.empty_table()).schema, missing_columns="insert", extra_columns="ignore",
        )  # fmt: skip
        return frame.select(columns) if columns else frame
    if to == "duckdb":
        quoted = ('"' + c.replace('"', '""') + '"' for c in columns or [*last.names, "dt"])
        return _relation(root, paths, options).project(", ".join(quoted))
    return _dataset(root, paths, options, "hive")


def _relation(root: str, paths: list[str], options: Mapping[str, Any]) -> Any:
    import duckdb

    if not is_uri(root):
        return duckdb.read_parquet(paths, hive_partitioning=True, union_by_name=True)
    import pyarrow as pa
    import pyarrow.dataset as ds

    days = ds.partitioning(pa.schema([("dt", pa.date32())]), flavor="hive")
    return duckdb.from_arrow(_dataset(root, paths, options, days))  # DuckDB itself reads local files alone


def _home(
    config: str | Path, output_root: str | Path | None, object_store: Mapping[str, Any] | None
) -> tuple[str, Mapping[str, Any]]:
    """Where the output is, and how to reach it: as given, else as the config says, if there is one."""
    if (output_root is not None and (object_store is not None or not is_uri(output_root))) or not Path(config).is_dir():
        if str(config) != "config" and not Path(config).is_dir():
            raise DaedalusError("there is no config folder", where="load(config)", found=seen_from(config),
                                expected="a folder with catalog.yaml")  # fmt: skip
        return str(output_root or "data/training_output"), object_store or {}
    from daedalus.config import load_config

    runtime = load_config(config).runtime
    return str(output_root or runtime.output_root), runtime.object_store if object_store is None else object_store


def _check_columns(columns: Sequence[str], last: Any, path: str) -> None:
    """The last partition has every column that there is, but for those that an edit took away."""
    known = [*last.names, "dt"]
    for name in columns:
        if name not in known:
            raise DaedalusError("a column that the output does not have", where="load(columns)", found=name,
                                expected=f"a column of {path}", hint=did_you_mean(name, known))  # fmt: skip


def _dataset(root: str, paths: list[str], options: Mapping[str, Any], partitioning: Any) -> Any:
    """With the columns of the last part: by itself a dataset has those of the first, and drops newer ones."""
    import pyarrow.dataset as ds

    system = arrow_filesystem(root, options) if is_uri(root) else None
    there = [path.partition("://")[2] for path in paths] if system else paths
    last = ds.dataset(there[-1:], filesystem=system, format="parquet", partitioning=partitioning)
    return ds.dataset(there, last.schema, filesystem=system, format="parquet", partitioning=partitioning)


def _local_parts(root: Path, span: DayRange | None) -> tuple[list[str], str]:
    """Part files in order, and in words what there is."""
    parts = sorted(root.glob("dt=*/part-*.parquet"), key=lambda path: (path.parent.name, _number(path.name)))
    days = {str(day) for day in span} if span else None
    return [
        str(path) for path in parts if days is None or path.parent.name[3:] in days
    ], f"{len(parts)} part files in all"


def _remote_parts(root: str, span: DayRange | None, options: Mapping[str, Any]) -> tuple[list[str], str]:
    """The same of an output on an object store."""
    store = ObjectStore(root, options)

    def parts(day: str) -> list[str]:
        manifest = Manifest.of(read_json(store, there[day])[0], store.of(there[day]))
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
