"""What of a run travels to workers: not its closures, but what the same graph of actions is built from.

A worker names an action, computes its key from code and engines of its own, and runs it only if that is the
coordinator's key. So a worker with other code can never put a wrong result under a key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from daedalus import __version__
from daedalus.base.days import Day
from daedalus.cluster.carrier import Carrier
from daedalus.config import Config
from daedalus.inputs.feed import Feed
from daedalus.inputs.input_file import InputFile
from daedalus.inputs.pool import PoolInput
from daedalus.skeleton.context import Sources
from daedalus.stagecache.action import Manifest, differences

_SHOWN = 3  # differences that a refusal names


@dataclass(frozen=True)
class Job:
    """One run, as it is shipped to each worker once. Paths are absolute: they hold on all machines.

    `staging` is a folder that the coordinator made in the cache: a worker that sees it shares the cache, and
    puts unfinished files below it. Others keep what they make on a disk of their own, and need a `carrier`.
    `duckdb` is how a worker thread opens its DuckDB.
    """

    run: str
    config: Config
    sources: Sources
    numbered: bool
    days: Sequence[Day]
    cache_root: Path
    staging: Path
    duckdb: Mapping[str, Any]
    carrier: Carrier | None = None


@dataclass(frozen=True)
class Refusal:
    """A worker's answer when it must not run a task: why, or the manifest that its own code makes."""

    worker: str
    why: str = ""
    manifest: Manifest | None = None
    versions: str = ""

    def reason(self, wanted: Manifest) -> str:
        """One line about what differs from the coordinator's manifest."""
        if self.manifest is None:
            return self.why
        if self.versions != versions():
            return f"{self.versions} there, {versions()} here"
        found = [str(cause) for cause in differences(self.manifest, wanted)]
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return "; ".join(found[:_SHOWN]) + more


def versions() -> str:
    """What besides the code itself decides how code is read."""
    return f"daedalus {__version__}, Python {sys.version_info.major}.{sys.version_info.minor}"


def absolute(path: str) -> str:
    """A path that does not depend on the working directory; what is no path of this machine stays as it is."""
    return path if "://" in path else os.path.abspath(path)


def settled_sources(sources: Sources) -> Sources:
    """The sources with absolute paths; no key holds a path."""
    feed = Feed({day: _settled(files) for day, files in sources.feed.partitions.items()})
    views = {name: replace(view, files=_settled(view.files)) for name, view in sources.views.items()}
    pool = sources.pool and PoolInput(*_settled([sources.pool.manifest]))
    return replace(sources, feed=feed, views=views, pool=pool)


def _settled(files: Iterable[InputFile]) -> tuple[InputFile, ...]:
    return tuple(replace(file, path=absolute(file.path)) for file in files)


def settled_config(config: Config) -> Config:
    """The config with an absolute path of the pool, the one input that steps open by its name in the config."""
    coverage = config.runtime.embedding_coverage_filter
    coverage = msgspec.structs.replace(coverage, uri=absolute(coverage.uri))
    runtime = msgspec.structs.replace(config.runtime, embedding_coverage_filter=coverage)
    return replace(config, runtime=runtime)
