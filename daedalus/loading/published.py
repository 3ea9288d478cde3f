"""Which parts are published, and what columns they have: of a folder, or of an object store by its manifests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from daedalus.base.days import DayRange, parse_range
from daedalus.base.durable import day_folders, part_files
from daedalus.base.errors import DaedalusError, did_you_mean, seen_from
from daedalus.config.steps import STAGES, Stage
from daedalus.loading.splits import Split, split_of
from daedalus.objectstore.address import check_address
from daedalus.objectstore.object_store import (
    SCHEMES,
    ObjectStore,
    arrow_filesystem,
    is_known,
    is_uri,
    known_keys,
    variables,
)
from daedalus.objectstore.part_list import PartList, manifest_days, read_json
from daedalus.snapshots.parts import snapshot_parts

DAY_IN_PATH = r"^(?:.*/)?dt=(\d{4}-\d\d-\d\d)/"  # of several the last, for a folder above may have one
_DEFAULTS = {"skeleton": "data/training_output", "enrich": "data/training_enriched"}  # without a configuration
_AT_ONCE = 16  # manifests read


@dataclass(frozen=True)
class Published:
    """The parts of some days in order, days ascending: paths, or URIs that `options` says how to reach."""

    paths: Sequence[str]
    options: Mapping[str, Any]
    split: Split | None = None  # which of their rows, where not all

    @property
    def remote(self) -> bool:
        return is_uri(self.paths[0])

    @cached_property
    def system(self) -> Any:
        """The Arrow file system that has the parts, under `key_of` their paths."""
        from pyarrow.fs import LocalFileSystem

        return arrow_filesystem(self.paths[0], self.options) if self.remote else LocalFileSystem()

    @cached_property
    def schema(self) -> Any:
        """The columns of the last part, and `dt`: the last partition has every column, but for those edited away."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        found = ds.ParquetFileFormat().inspect(key_of(self.paths[-1]), self.system)
        return found.append(pa.field("dt", pa.date32()))

    def of_parts(self, paths: Sequence[str]) -> Published:
        """Some of its parts, with the columns and types of all."""
        found = replace(self, paths=paths)
        found.__dict__["schema"] = self.schema
        return found

    def check_columns(self, columns: Sequence[str], where: str) -> None:
        """Raises the DaedalusError of a column that the output does not have."""
        for name in columns:
            if name not in self.schema.names:
                raise DaedalusError("a column that the output does not have", where=where, found=name,
                                    expected=f"a column of {self.paths[-1]}",
                                    hint=did_you_mean(name, self.schema.names))  # fmt: skip

    def dataset(self, columns: Sequence[str]) -> Any:
        """The parts as an Arrow dataset with these columns, and with the rows of the split alone."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        format, fragments = ds.ParquetFileFormat(), []
        for path in self.paths:
            day = pa.scalar(day_of(path), pa.date32())
            fragments.append(
                format.make_fragment(key_of(path), self.system, partition_expression=ds.field("dt") == day)
            )
        needed = dict.fromkeys([*columns, *(self.split.columns if self.split else ())])
        schema = pa.schema([self.schema.field(name) for name in needed])
        whole = ds.FileSystemDataset(fragments, schema, format, self.system)
        if self.split is None:
            return whole
        from daedalus.loading.some_rows import some_rows

        return some_rows(whole, self.split, columns)


def find_published(
    range: str | None, *, stage: str = "skeleton", output_root: str | Path | None = None,
    config: str | Path = "config", object_store: Mapping[str, Any] | None = None, split: str | None = None,
    snapshot: str | None = None, who: str = "load",
) -> Published:  # fmt: skip
    """What `load` reads for these arguments; `who` is the function that messages name.

    With `snapshot` it is what that one holds, whatever its stage. Raises DaedalusError for a stage, range, snapshot,
    part or option that there is not, and for a range without a partition.
    """
    if stage not in STAGES:
        raise DaedalusError("there is no such stage", where=f"{who}(stage)", found=stage,
                            expected=" or ".join(STAGES), hint=did_you_mean(stage, STAGES))  # fmt: skip
    part, days = _part(split, config, f"{who}(split)")
    span = parse_range(range, f"{who}(range)") if range is not None else None
    if snapshot is not None:
        homes = _homes(config, output_root, object_store, who)
        paths, options = snapshot_parts(homes, snapshot, span, f"{who}(snapshot)")
    else:
        root, options = _home(config, STAGES[stage], output_root, object_store, who)
        paths, found = _remote_parts(root, span, options) if is_uri(root) else _local_parts(Path(root), span)
        if not paths:
            raise DaedalusError("there is no partition in the range", where=root, found=found, hint=f"daeda {stage}")
    if days is not None:
        paths = _of_part(paths, days, split, f"{who}(split)")
    published = Published(paths, options, part)
    published.check_columns(part.columns if part else (), f"{who}(split)")
    return published


def _of_part(paths: Sequence[str], days: DayRange, split: str | None, where: str) -> list[str]:
    """The paths of a part's days. Raises DaedalusError if there are none."""
    there = [day_of(path) for path in paths]
    found = [path for path, day in zip(paths, there, strict=True) if day in days]
    if not found:
        raise DaedalusError(f"there is no partition of the part {split} in the range", where=where,
                            found=f"days from {there[0]} to {there[-1]}", expected=f"days of {days}")  # fmt: skip
    return found


def key_of(path: str) -> str:
    """A path as Arrow's file systems have it, without a scheme."""
    return path.partition("://")[2] or path


def day_of(path: str) -> date:
    """The day in the path of a part: of its last folder with one, whatever stands before."""
    found = re.match(DAY_IN_PATH, path)
    assert found
    return date.fromisoformat(found[1])


def _homes(
    config: str | Path, output_root: str | Path | None, object_store: Mapping[str, Any] | None, who: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """Where a snapshot may be: in the root that is given, else in that of any stage there is."""
    first, *others = STAGES.values()
    homes = [_home(config, first, output_root, object_store, who)]
    for stage in others if output_root is None else ():
        with suppress(DaedalusError):  # without embeddings
            homes.append(_home(config, stage, output_root, object_store, who))
    return homes


def _part(split: str | None, config: str | Path, where: str) -> tuple[Split | None, DayRange | None]:
    """The rows and the days of a part of the config's splits; None for all of them."""
    if split is None:
        return None, None
    if not Path(config).is_dir():
        raise DaedalusError("splits are in the config, and there is no config folder", where=where,
                            found=seen_from(config), expected="a folder with training/runtime.yaml",
                            hint="give its path as config=, beside output_root too")  # fmt: skip
    from daedalus.config import load_config

    return split_of(load_config(config), split, where)


def _home(
    config: str | Path, stage: Stage, output_root: str | Path | None, object_store: Mapping[str, Any] | None,
    who: str,
) -> tuple[str, Mapping[str, Any]]:  # fmt: skip
    """Where the output is, and how to reach it: as given, else as the config says, if there is one."""
    if output_root is not None:
        check_address(str(output_root), f"{who}(output_root)")
    for key in object_store or {}:
        if not any(is_known(key, store) for store in SCHEMES):
            known = sorted({name for store in SCHEMES for name in known_keys(store)})
            raise DaedalusError("an option that no object store has", where=f"{who}(object_store)", found=key,
                                expected="one of obstore's", hint=did_you_mean(key, known))  # fmt: skip
    if (output_root is not None and (object_store is not None or not is_uri(output_root))) or not Path(config).is_dir():
        if str(config) != "config" and not Path(config).is_dir():
            raise DaedalusError("there is no config folder", where=f"{who}(config)", found=seen_from(config),
                                expected="a folder with catalog.yaml")  # fmt: skip
        return str(output_root or _DEFAULTS[stage.name]), object_store or {}
    from daedalus.config import load_config

    loaded = load_config(config)
    options = loaded.runtime.object_store if object_store is None else object_store
    if output_root is None and stage not in loaded.stages:
        raise DaedalusError("the configuration has no embeddings", where=f"{who}(stage)", found=stage.name,
                            expected="skeleton, or embeddings in runtime.yaml")  # fmt: skip
    return str(output_root or loaded.root_of(stage)), options


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
        hint = f"give load() the config's object_store, or set {variables(root)} in the environment"
        raise DaedalusError("the output cannot be read", where=root, found=error.strerror or error,
                            expected="a bucket that can be listed and read", hint=hint) from None  # fmt: skip


def _number(name: str) -> int:
    return int(name.split("-")[1])
