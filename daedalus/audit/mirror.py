"""Local copies of the remote inputs and output of an audit, laid out as the reference expects.

Only what the sampled days depend on is fetched; a configuration written beside the copies points to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import yaml

from daedalus.base.days import Day
from daedalus.base.durable import day_folders
from daedalus.config import AGGREGATIONS, CATALOG, RUNTIME, Config
from daedalus.config.reach import Reach
from daedalus.config.steps import ENRICH, SKELETON
from daedalus.inputs.file_formats import table_format
from daedalus.inputs.listing import FeedFolder
from daedalus.inputs.local_files import LocalNames
from daedalus.inputs.pool import pool_options, read_pool_ids, reading_pool, table_folder
from daedalus.objectstore.object_store import is_uri
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened


class LocalCopy:
    """Where an audit finds config, feed and output: in place, if all is local."""

    def __init__(self, config: Path, feed: str, output: str, enriched: str) -> None:
        self.config, self.feed, self.output, self.enriched = config, Path(feed), Path(output), Path(enriched)

    def published(self) -> list[Day]:
        """The days that have a partition."""
        return [Day.fromisoformat(path.name[3:]) for path in day_folders(self.output)]

    def bring(self, days: Sequence[Day]) -> None:
        """Makes what these days depend on available."""


class Mirror(LocalCopy):
    """Local copies, in a scratch folder that is removed with the workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._root = workspace, workspace.scratch.path()
        folders = (str(self._root / name) for name in ("feed", "output", ENRICH.name))
        super().__init__(self._root / "config", *folders)

    def published(self) -> list[Day]:
        return [Day.fromisoformat(day) for day in self._workspace.partitions.days()]

    def bring(self, days: Sequence[Day]) -> None:
        workspace, listing = self._workspace, self._workspace.listing()
        self._copy({path: name for day in self._read(days) for path, name in _feed_names(listing.feed, day).items()})
        for name, paths in listing.views.items():
            self._copy({path: f"views/{name}/{place:06}.parquet" for place, path in enumerate(paths)})
        folders = {SKELETON.name: "output", ENRICH.name: ENRICH.name}
        for day, (stage, output) in product(days, workspace.outputs.items()):
            with output.partitions.reading(str(day)) as parts:
                for part in parts:
                    self._link(part, f"{folders[stage]}/dt={day}/{part.name}")
        with workspace.qids.exclusive():
            if (numbers := workspace.qids.file()) is not None:
                self._link(numbers, "output/qid_map.parquet")
        self._write_pool()
        self._write_config(list(listing.views), of_table=listing.feed.table is not None)

    def _read(self, days: Sequence[Day]) -> list[Day]:
        """The feed partitions that days depend on."""
        reach, known = Reach.of(self._workspace.config), sorted(self._workspace.listing().feed.days)
        return [partition for partition in known if any(reach.reads(day, partition) for day in days)]

    def _copy(self, names: Mapping[str, str]) -> None:
        files = self._workspace.files
        files.prepare(list(names), lambda *_: None)
        with files.fetch({path: files.of(path)[0] for path in names}) as local:
            for path, name in names.items():
                self._link(Path(local[path]), name)

    def _link(self, file: Path, name: str) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.is_relative_to(self._workspace.scratch.folder):
            os.link(file, target)  # a copy that will be removed
        else:
            target.symlink_to(file.absolute())

    def _write_pool(self) -> None:
        """Writes a pool table with only the ids."""
        coverage = self._workspace.config.runtime.embedding_coverage_filter
        if not coverage.enabled:
            return
        import lance

        options = pool_options(self._workspace.config)
        with reading_pool(coverage.uri):
            ids = read_pool_ids(coverage.uri, coverage.table, coverage.id_column, "the audit", options).read_all()
        table = table_folder(str(self._root / "pool"), coverage.table)
        lance.write_dataset(ids.rename_columns([coverage.id_column]), table)

    def _write_config(self, views: Sequence[str], *, of_table: bool) -> None:
        files = {file: yaml.safe_load((self._workspace.config.folder / file).read_text("utf-8")) for file in
                 (CATALOG, RUNTIME, AGGREGATIONS)}  # fmt: skip
        catalog = files[CATALOG]
        catalog["feed"] |= {"path": str(self.feed), "version": None}
        if of_table:
            catalog["feed"].pop("partition", None)  # as _feed_names lays it out
        for name in views:
            catalog["views"][name] |= {"source": str(self._root / "views" / name), "version": None}
        if coverage := files[RUNTIME].get("embedding_coverage_filter"):
            coverage["uri"] = str(self._root / "pool")
        for file, value in files.items():
            (self.config / file).parent.mkdir(parents=True, exist_ok=True)
            (self.config / file).write_text(yaml.safe_dump(value, sort_keys=False), "utf-8")


def _feed_names(folder: FeedFolder, day: Day) -> dict[str, str]:
    """Where the copies of a day's files go, by path: as they are in a tree, and in the folder of the day if a table."""
    names = {folder.path(label): label for label in folder.days[day]}
    if folder.table:
        names = {path: f"dt={day}/{place:06}.parquet" for place, path in enumerate(names)}
    return {path: f"feed/{name}" for path, name in names.items()}


@contextmanager
def local_place(settings: Settings, config: Config) -> Iterator[LocalCopy]:
    """The inputs and output of an audit: in place, or local copies if anything is on an object store, or a table.

    `config` is that of the settings.
    """
    feed, output, enriched = config.catalog.feed.path, config.runtime.output_root, config.root_of(ENRICH)
    pool = config.runtime.embedding_coverage_filter.uri
    sources = [feed, *(view.source for view in config.catalog.views.values())]
    tables = any(table_format(LocalNames(), source) for source in sources if not is_uri(source))
    if not tables and not any(map(is_uri, (output, enriched, pool, *sources))):
        yield LocalCopy(config.folder, feed, output, enriched)
        return
    with opened(settings) as workspace:
        yield Mirror(workspace)
