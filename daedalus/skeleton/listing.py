"""What files there are to read, by name alone: nothing is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.config import CATALOG, RUNTIME, Config
from daedalus.config.columns import referenced_views
from daedalus.config.schema import View
from daedalus.days import Day, parse_day
from daedalus.errors import DaedalusError, seen_from
from daedalus.objects import is_uri
from daedalus.skeleton.pool import newest_manifest

if TYPE_CHECKING:
    from daedalus.skeleton.ports import Files

_PARTITION = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")


class FeedFolder:
    """The hive tree at `feed.path`, listed once; its files are looked at when a day asks for them."""

    def __init__(self, config: Config, files: Files) -> None:
        path = config.catalog.feed.path
        self.root = path.rstrip("/") if is_uri(path) else str(Path(path))
        where, folders = config.where(CATALOG, "feed.path"), files.partitions(self.root)
        if folders is None:
            raise DaedalusError(
                "the feed folder is not there", where=where, found=seen_from(self.root), expected="a folder"
            )
        self.days: dict[Day, list[str]] = {}
        self.ignored: list[str] = []
        for name, members in sorted(folders.items()):
            match = _PARTITION.fullmatch(name)
            day = _date(match[1]) if match else None
            if day is not None and members:
                self.days[day] = [f"{name}/{member}" for member in sorted(members)]
            elif day is None and name.startswith("dt="):
                self.ignored.append(name)
        if not self.days:
            expected = "partitions named dt=YYYY-MM-DD with *.parquet files"
            raise DaedalusError("the feed has no partitions", where=where, found=self.root, expected=expected)

    @property
    def span(self) -> list[str]:
        """The first and the last day."""
        return [str(min(self.days)), str(max(self.days))]

    def paths(self, day: Day) -> list[str]:
        """The files of a day's partition."""
        return [f"{self.root}/{label}" for label in self.days.get(day, [])]


def _date(text: str) -> Day | None:
    try:
        return parse_day(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Listing:
    """What files there are to read, by name alone."""

    feed: FeedFolder
    views: Mapping[str, list[str]]
    pool: str | None  # the newest Lance manifest


def list_inputs(config: Config, files: Files) -> Listing:
    """Raises DaedalusError (exit 2) when the feed, a view or the pool is not there."""
    feed = FeedFolder(config, files)
    views = {name: list_view(config, files, name) for name in referenced_views(config)}
    coverage, pool = config.runtime.embedding_coverage_filter, None
    if coverage.enabled:
        where = config.where(RUNTIME, "embedding_coverage_filter")
        pool = newest_manifest(files, coverage.uri, coverage.table, where)
    return Listing(feed, views, pool)


def list_view(config: Config, files: Files, name: str) -> list[str]:
    """The view's files, in path order. Raises DaedalusError (exit 2) when there are none."""
    view = config.catalog.views[name]
    paths = files.matching(pattern_of(view, files))
    if not paths:
        where, found = config.where(CATALOG, f"views.{name}.source"), f"no file at {seen_from(view.source)}"
        raise DaedalusError(f"the view {name} has no files", where=where, found=found, expected="parquet files")
    return paths


def pattern_of(view: View, files: Files) -> str:
    """What matches a view's files."""
    return f"{view.source.rstrip('/')}/*.parquet" if files.is_folder(view.source) else view.source
