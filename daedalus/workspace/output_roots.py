"""Where output and cache may go: nowhere that files of theirs would be read as input, or take an input's place."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator, Sequence
from itertools import permutations

from daedalus.base.durable import SNAPSHOTS
from daedalus.base.errors import DaedalusError, bare
from daedalus.base.terminal_text import is_utf8
from daedalus.config import CATALOG, RUNTIME, Config
from daedalus.config.partition_pattern import PartitionPattern
from daedalus.objectstore.address import check_address
from daedalus.objectstore.globs import matches
from daedalus.objectstore.object_store import is_uri

_PARTITION = "dt=2026-05-15/part-0-0.parquet"
_WRITTEN = {  # a file of each kind, below its root
    "output_root": (_PARTITION, "qid_map.parquet"),
    "embeddings.output_root": (_PARTITION,),
    "cache_root": ("artifacts/00/0.parquet",),
}


def check_roots(config: Config, options: Collection[str] = ()) -> None:
    """Raises DaedalusError (exit 2) for a root that is empty, or among the inputs. `options`: keys given as such."""
    read = [(at, _segments(folder), pattern) for at, folder, pattern in _inputs(config)]
    _check_apart(config, options)
    for key, root in _roots(config).items():
        files, where = _WRITTEN[key], _where(config, key, options)
        if not root.strip():
            hint = "maybe a shell variable is not set" if key in options else ""
            raise DaedalusError("an empty path", where=where, found=repr(root), expected="a folder", hint=hint)
        check_address(root, where)
        if key == "cache_root" and is_uri(root):
            raise DaedalusError("a cache that is not local", where=where, found=bare(root), expected="a folder",
                                hint="cache_remote in training/runtime.yaml shares a cache")  # fmt: skip
        if not is_utf8(full := root if is_uri(root) else os.path.abspath(root)):
            raise DaedalusError("a path that is not UTF-8", where=where, found=full,
                                expected="a folder whose name, and those above it, are UTF-8")  # fmt: skip
        written = [[*_segments(root), *file.split("/")] for file in files]
        for at, folder, pattern in read:
            below = [names[len(folder) :] for names in written if names[: len(folder)] == folder]
            if any(matches(names, pattern) for names in below):
                raise DaedalusError(
                    "output would be read as input, or overwrite it",
                    where=where,
                    found=f"{root}, which {at} reads",
                    expected="a folder of its own",
                )


def _where(config: Config, key: str, options: Collection[str]) -> str:
    return "--" + key.rpartition(".")[2].replace("_", "-") if key in options else config.where(RUNTIME, key)


def _roots(config: Config) -> dict[str, str]:
    """The roots by key."""
    runtime = config.runtime
    roots = {"output_root": runtime.output_root, "cache_root": runtime.cache_root}
    if runtime.embeddings:
        roots["embeddings.output_root"] = runtime.embeddings.output_root
    return roots


def _check_apart(config: Config, options: Collection[str]) -> None:
    """Rejects one output root for two stages, or one's in a partition of the other's, which is replaced whole, or among
    its snapshots."""
    roots = _roots(config)
    if "embeddings.output_root" not in roots:
        return
    outputs = {key: _segments(roots[key]) for key in ("output_root", "embeddings.output_root")}
    for (outer, above), (inner, names) in permutations(outputs.items()):
        below = names[len(above) :]
        if names[: len(above)] == above and (not below or below[0].startswith(("dt=", SNAPSHOTS))):
            found = f"{roots[inner]}, which is {f'in {below[0]} of ' if below else ''}{outer}"
            where = _where(config, "embeddings.output_root", options)
            raise DaedalusError(
                "one output root for two stages", where=where, found=found, expected="a folder of its own"
            )


def _inputs(config: Config) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(key path, folder, segments of a pattern below it) of all that is read."""
    levels = PartitionPattern(config.catalog.feed.partition).wild
    yield config.where(CATALOG, "feed.path"), config.catalog.feed.path, [*levels, "*.parquet"]
    for name, view in config.catalog.views.items():
        folder, wild = view.source, list[str]()
        while glob.has_magic(folder):
            folder, _, last = folder.rpartition("/")
            wild.insert(0, last)
        at = config.where(CATALOG, f"views.{name}.source")
        yield at, folder, wild
        yield at, view.source, ["*.parquet"]  # when it is a folder
    coverage = config.runtime.embedding_coverage_filter
    if coverage.uri:
        at = config.where(RUNTIME, "embedding_coverage_filter.uri")
        yield at, f"{coverage.uri}/{coverage.table}.lance", ["**"]


def _segments(path: str) -> list[str]:
    """The names along a path: of a local one from the disk's root on, and without links."""
    return [name for name in (path if is_uri(path) else os.path.realpath(path)).split("/") if name]
