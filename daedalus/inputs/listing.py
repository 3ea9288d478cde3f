"""Lists the files of feed, views and pool by name; nothing is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError, seen_from
from daedalus.base.terminal_text import counted
from daedalus.config import CATALOG, RUNTIME, Config
from daedalus.config.columns import referenced_views
from daedalus.config.partition_pattern import PartitionPattern, day_of
from daedalus.config.schema import Feed, View
from daedalus.inputs.file_formats import FORMATS, format_of, table_format
from daedalus.inputs.files import Tree
from daedalus.inputs.pool import newest_manifest
from daedalus.objectstore.globs import HIDDEN, fixed
from daedalus.objectstore.object_store import is_uri

if TYPE_CHECKING:
    from daedalus.inputs.files import Names
    from daedalus.inputs.lake.table import LakeTable
    from daedalus.sql.own_columns import OwnColumns

_NAMED = 3  # how many ignored names a note has
_IGNORED = {
    "folder": ("folder", "of the feed, not named {}"),
    "inner": ("folder", "inside a day's"),
    "file": ("file", "of the feed, not {}/*.parquet"),
    "partition": ("partition", "of the feed's table, whose values are no day"),
}


class FeedFolder:
    """The tree or the table at `feed.path`, listed once; its files are looked at when a day needs them."""

    def __init__(self, config: Config, files: Names) -> None:
        path = config.catalog.feed.path
        self.root = path.rstrip("/") if is_uri(path) else str(Path(path))
        self.own, self.extra = _own(config.catalog.feed), config.catalog.feed.extra_columns
        where = config.where(CATALOG, "feed.path")
        self.days: dict[Day, list[str]] = {}
        self.errors: dict[str, str] = {}  # labels in `days` that cannot be read as files, and why
        self._others: dict[str, list[str]] = {kind: [] for kind in _IGNORED}
        self._pattern = PartitionPattern(config.catalog.feed.partition)
        self.table = table_at(config, files, "feed.path", self.root, config.catalog.feed.version)
        if self.table:
            from daedalus.inputs.lake.days import days_of

            self.days, self._others["partition"] = days_of(self.table, self._pattern, where)
        else:
            self._list(files, where)
        self.days = {day: sorted(labels) for day, labels in sorted(self.days.items())}
        if not self.days:
            expected = f"partitions named {self._pattern.shown} with *.parquet files"
            found = "; ".join([self.root, *self.notes])
            raise DaedalusError("the feed has no partitions", where=where, found=found, expected=expected)

    def _list(self, files: Names, where: str) -> None:
        """Takes the files of the tree. Raises DaedalusError (exit 2) if there is none."""
        try:
            tree = files.tree(self.root)
        except OSError as error:
            found = f"{seen_from(self.root)}: {error.strerror}"
            raise DaedalusError("the feed folder cannot be listed", where=where, found=found) from None
        if tree is None:
            raise DaedalusError(
                "the feed folder does not exist", where=where, found=seen_from(self.root), expected="a folder"
            )
        self._walk(files, tree, [], where)

    def _walk(self, files: Names, tree: Tree, above: list[str], where: str) -> None:
        """Takes the files of the folders in `tree`, which is below the folders `above`."""
        self._others["file"] += ["/".join([*above, name]) for name in tree.files if not _hidden(name)]
        levels = len(self._pattern.levels)
        for name, members in sorted({**tree.folders, **dict.fromkeys(tree.errors, ())}.items()):
            names, label = [*above, name], "/".join([*above, name])
            numbers = self._pattern.fits(names)
            if numbers is None:
                self._others["folder"] += [] if _hidden(name) else [label]
                continue
            day, last = day_of(numbers), len(names) == levels
            if (why := tree.errors.get(name)) and day:
                self.days.setdefault(day, []).append(label)
                self.errors[label] = why
            elif last and day and (taken := self._take(label, members)):
                self.days.setdefault(day, []).extend(taken)
            elif not last:
                self._walk(files, self._below(files, label, where), names, where)

    def _below(self, files: Names, label: str, where: str) -> Tree:
        """The tree of a folder. Raises DaedalusError (exit 2): it is not known which days would be missing."""
        try:
            return files.tree(f"{self.root}/{label}") or Tree({})
        except OSError as error:
            found = f"{label}: {error.strerror}"
            raise DaedalusError("a folder of the feed cannot be listed", where=where, found=found) from None

    def _take(self, folder: str, members: Sequence[str]) -> list[str]:
        """The labels of a day's parquet files; other names in its folder are noted."""
        taken = []
        for member in sorted(members):
            label = f"{folder}/{member.rstrip('/')}"
            if format_of(label) and not _hidden(member):
                taken.append(label)
                if member.endswith("/"):
                    self.errors[label] = "a folder, not a file"
            elif not _hidden(member):
                self._others["inner" if member.endswith("/") else "file"].append(label)
        return taken

    @property
    def notes(self) -> list[str]:
        """What is ignored although its name is not hidden by `_` or a dot: one line per kind."""
        found = [(kind, sorted(names)) for kind, names in self._others.items() if names]
        return [
            f"ignored {counted(len(names), _IGNORED[kind][0])} {_IGNORED[kind][1].format(self._pattern.shown)}: "
            + ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
            for kind, names in found
        ]  # fmt: skip

    @property
    def span(self) -> list[str]:
        """The first and the last day."""
        return [str(min(self.days)), str(max(self.days))]

    def paths(self, day: Day) -> list[str]:
        """The files of a day's partition."""
        return [self.path(label) for label in self.days.get(day, [])]

    def path(self, label: str) -> str:
        """Where the file of a label is."""
        return self.table.paths[label] if self.table else f"{self.root}/{label}"


def _own(feed: Feed) -> OwnColumns | None:
    """What the feed calls the spine's columns; None if all is as the spine has it."""
    if not feed.columns and not feed.timestamp_unit:
        return None
    from daedalus.sql.own_columns import OwnColumns

    return OwnColumns.of(feed)


def _hidden(name: str) -> bool:
    """Whether a name is of a kind that other tools give to files that are no data."""
    return name.startswith(HIDDEN) or name.endswith("_$folder$")


class Listing(Struct, frozen=True):
    """The files to read, by name."""

    feed: FeedFolder
    views: Mapping[str, list[str]]
    pool: str | None  # the newest Lance manifest
    tables: Mapping[str, LakeTable] = {}  # views that are tables of Delta Lake or Iceberg

    @property
    def _named(self) -> dict[str, LakeTable]:
        """The tables that are read, by what they are to the config."""
        feed = {"feed": self.feed.table} if self.feed.table else {}
        return {**feed, **{f"view {name}": table for name, table in self.tables.items()}}

    @property
    def versions(self) -> list[str]:
        """The tables that are read, each with its version."""
        return [f"{name}: {table.note}" for name, table in self._named.items()]

    @property
    def columns(self) -> str:
        """What the tables say of their columns, which may change while their files do not; "" without any."""
        return "".join(f"{name}: {table.columns}" for name, table in self._named.items())

    @property
    def notes(self) -> list[str]:
        """The tables, and what of the feed is ignored."""
        return [*self.versions, *self.feed.notes]


def list_inputs(config: Config, files: Names) -> Listing:
    """Lists all inputs. Raises DaedalusError (exit 2) when the feed, a view or the pool does not exist."""
    feed = FeedFolder(config, files)
    tables = {name: found for name in referenced_views(config) if (found := _view_table(config, files, name))}
    views = {name: _paths(config, files, name, tables.get(name)) for name in referenced_views(config)}
    coverage, pool = config.runtime.embedding_coverage_filter, None
    if config.reads_pool:
        where = config.where(RUNTIME, "embedding_coverage_filter")
        pool = newest_manifest(files, coverage.uri, coverage.table, where)
    return Listing(feed, views, pool, tables)


def table_at(config: Config, files: Names, key: str, folder: str, version: int | None) -> LakeTable | None:
    """The table of Delta Lake or Iceberg at the folder that a key names, in the version beside it; None if it is none.

    Raises DaedalusError (exit 2) for one that cannot be read as it is meant, and for a version of no table.
    """
    files.many_in(folder)
    try:
        kind = table_format(files, folder)
    except OSError:  # who lists the folder says why
        return None
    if not kind and version is None:
        return None
    from daedalus.inputs.lake.open import open_table  # not above: without a table, none of it is imported

    return open_table(config, files, key, folder, kind)


def _view_table(config: Config, files: Names, name: str) -> LakeTable | None:
    """The table at a view's source, if that is a folder."""
    view, key = config.catalog.views[name], f"views.{name}.source"
    if not _is_pattern(view.source) or view.version is not None:
        return table_at(config, files, key, view.source.rstrip("/"), view.version)
    return None


def _is_pattern(source: str) -> bool:
    return fixed(segments := source.split("/")) < len(segments)


def _refuse_pattern(config: Config, files: Names, name: str) -> None:
    """Raises DaedalusError (exit 2) for a pattern of files in a table: it would match those of old versions, too."""
    source = config.catalog.views[name].source
    folder = "/".join(source.split("/")[: fixed(source.split("/"))])
    if _is_pattern(source) and folder and (kind := table_format(files, folder)):
        raise DaedalusError(f"files of a {kind} table by their names, not by its list",
                            where=config.where(CATALOG, f"views.{name}.source"), found=source, expected="the table",
                            hint=f"source: {folder}")  # fmt: skip


def _paths(config: Config, files: Names, name: str, table: LakeTable | None) -> list[str]:
    """The view's files, sorted by path. Raises DaedalusError (exit 2) when there are none."""
    view = config.catalog.views[name]
    try:
        patterns = [] if table else patterns_of(view, files)
        paths = sorted(table.labels if table else {path for one in patterns for path in files.matching(one)})
        _refuse_pattern(config, files, name)
    except OSError as error:
        raise DaedalusError(f"the view {name} cannot be read", where=str(error.filename or view.source),
                            found=error.strerror, expected="a folder that can be listed") from None  # fmt: skip
    if not paths:
        where, found = config.where(CATALOG, f"views.{name}.source"), f"no file at {seen_from(view.source)}"
        raise DaedalusError(f"the view {name} has no files", where=where, found=found, expected="parquet files")
    return paths


def patterns_of(view: View, files: Names) -> list[str]:
    """The patterns of a view's files: of a folder, one for each format."""
    folder = files.is_folder(view.source)
    return [f"{view.source.rstrip('/')}/{known.glob}" for known in FORMATS.values()] if folder else [view.source]
