"""Which parts are published, and what columns they have: of a folder, or of an object store by its manifests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from daedalus.base.days import DayRange, parse_range
from daedalus.base.durable import day_folders, part_files
from daedalus.base.errors import DaedalusError, did_you_mean, seen_from
from daedalus.config.steps import STAGES, Stage
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

DAY_IN_PATH = r"^(?:.*/)?dt=(\d{4}-\d\d-\d\d)/"  # of several the last, for a folder above may have one
_DEFAULTS = {"skeleton": "data/training_output", "enrich": "data/training_enriched"}  # without a configuration
_AT_ONCE = 16  # manifests read


@dataclass(frozen=True)
class Published:
    """The parts of some days in order, days ascending: paths, or URIs that `options` says how to reach."""

    paths: Sequence[str]
    options: Mapping[str, Any]

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

    def check_columns(self, columns: Sequence[str], where: str) -> None:
        """Raises the DaedalusError of a column that the output does not have."""
        for name in columns:
            if name not in self.schema.names:
                raise DaedalusError("a column that the output does not have", where=where, found=name,
                                    expected=f"a column of {self.paths[-1]}",
                                    hint=did_you_mean(name, self.schema.names))  # fmt: skip

    def dataset(self, columns: Sequence[str]) -> Any:
        """The parts as an Arrow dataset with these columns."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        format, fragments = ds.ParquetFileFormat(), []
        for path in self.paths:
            day = pa.scalar(day_of(path), pa.date32())
            fragments.append(
                format.make_fragment(key_of(path), self.system, partition_expression=ds.field("dt") == day)
            )
        schema = pa.schema([self.schema.field(name) for name in columns])
        return ds.FileSystemDataset(fragments, schema, format, self.system)


def find_published(
    range: str | None, *, stage: str = "skeleton", output_root: str | Path | None = None,
    config: str | Path = "config", object_store: Mapping[str, Any] | None = None, who: str = "load",
) -> Published:  # fmt: skip
    """What `load` reads for these arguments; `who` is the function that messages name.

    Raises DaedalusError for a stage, range or option that there is not, and for a range without a partition.
    """
    if stage not in STAGES:
        raise DaedalusError("there is no such stage", where=f"{who}(stage)", found=stage,
                            expected=" or ".join(STAGES), hint=did_you_mean(stage, STAGES))  # fmt: skip
    root, options = _home(config, STAGES[stage], output_root, object_store, who)
    check_address(root, f"{who}(output_root)")
    span = parse_range(range, f"{who}(range)") if range is not None else None
    paths, found = _remote_parts(root, span, options) if is_uri(root) else _local_parts(Path(root), span)
    if not paths:
        raise DaedalusError("there is no partition in the range", where=root, found=found, hint=f"daeda {stage}")
    return Published(paths, options)


def key_of(path: str) -> str:
    """A path as Arrow's file systems have it, without a scheme."""
    return path.partition("://")[2] or path


def day_of(path: str) -> date:
    """The day in the path of a part: of its last folder with one, whatever stands before."""
    found = re.match(DAY_IN_PATH, path)
    assert found
    return date.fromisoformat(found[1])


def _home(
    config: str | Path, stage: Stage, output_root: str | Path | None, object_store: Mapping[str, Any] | None,
    who: str,
) -> tuple[str, Mapping[str, Any]]:  # fmt: skip
    """Where the output is, and how to reach it: as given, else as the config says, if there is one."""
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
