"""What is sent to workers of a run: not closures, but the values that the same graph of actions is built from.

A worker computes an action's key from its own code and engines, and runs the action only if that is the
coordinator's key. So a worker with other code can never put a wrong result under a key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from daedalus import __version__
from daedalus.base.days import Day
from daedalus.cluster.carrier import Carrier
from daedalus.cluster.delivery import Place
from daedalus.config import Config
from daedalus.inputs.feed import Feed
from daedalus.inputs.input_file import InputFile
from daedalus.inputs.pool import PoolInput
from daedalus.skeleton.context import Sources
from daedalus.stagecache.action import Manifest, differences

_SHOWN = 3  # how many differences a refusal names


@dataclass(frozen=True)
class Job:
    """One run, as it is sent to each worker once. Paths are absolute, so that they are valid on all machines.

    `staging` is a folder that the coordinator made in the cache: a worker that sees it shares the cache, and
    puts unfinished files below it. Other workers keep what they make on their own disk, and need a `carrier`.
    `numbered` says whether partitions have qids. `duckdb` are the settings of a worker's DuckDB. `places` are the
    outputs by the step that makes their partitions.
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
    places: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class Unread:
    """A worker's answer when it cannot read the published partition that a task reads, and why."""

    worker: str
    why: str


@dataclass(frozen=True)
class Refusal:
    """A worker's answer when it must not run a task: why, or the manifest by its own code."""

    worker: str
    why: str = ""
    manifest: Manifest | None = None
    versions: str = ""

    def reason(self, wanted: Manifest) -> str:
        """One line: what differs from the coordinator's manifest."""
        if self.manifest is None:
            return self.why
        if self.versions != versions():
            return f"{self.versions} there, {versions()} here"
        found = [str(cause) for cause in differences(self.manifest, wanted)]
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return "; ".join(found[:_SHOWN]) + more


def versions() -> str:
    """The versions of daedalus and of Python, which syntax trees depend on too."""
    return f"daedalus {__version__}, Python {sys.version_info.major}.{sys.version_info.minor}"


def absolute(path: str) -> str:
    """The absolute path; a URI stays as it is."""
    return path if "://" in path else os.path.abspath(path)


def settled_sources(sources: Sources) -> Sources:
    """The sources with absolute paths; no key holds a path."""
    feed = Feed({day: _settled(files) for day, files in sources.feed.partitions.items()})
    views = {name: replace(view, files=_settled(view.files)) for name, view in sources.views.items()}
    pool = sources.pool and PoolInput(*_settled([sources.pool.manifest]))
    fragments = tuple(
        msgspec.structs.replace(one, files=_settled(one.files), manifest=_settled([one.manifest])[0])
        for one in sources.fragments
    )
    return replace(sources, feed=feed, views=views, pool=pool, fragments=fragments)


def _settled(files: Iterable[InputFile]) -> tuple[InputFile, ...]:
    return tuple(replace(file, path=absolute(file.path)) for file in files)


def settled_config(config: Config) -> Config:
    """The config with an absolute path of the pool, the one input that steps open by its path in the config."""
    coverage = config.runtime.embedding_coverage_filter
    coverage = msgspec.structs.replace(coverage, uri=absolute(coverage.uri))
    runtime = msgspec.structs.replace(config.runtime, embedding_coverage_filter=coverage)
    return replace(config, runtime=runtime)
