"""Looks at somebody's feed: its folders, its days, its columns, its events."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError, did_you_mean, seen_from
from daedalus.config import Config
from daedalus.config.partition_pattern import DEFAULT, PartitionPattern
from daedalus.config.schema import Catalog, Feed
from daedalus.init.columns import TIME, Finder, Found, Known, told
from daedalus.init.layout import TEXTS, Layout, layout
from daedalus.init.questions import SURE, Ask, Guess
from daedalus.init.rewrite import feed_line
from daedalus.init.texts import text_sample
from daedalus.init.values import Columns, Sample
from daedalus.inputs.feed import look_at_feed as inputs_feed
from daedalus.inputs.input_file import Inputs
from daedalus.inputs.listing import FeedFolder
from daedalus.sql.column_types import is_text, widen
from daedalus.workspace.bad_files import bad_files

_LATE = 3  # days between a row's folder and its own day, at most
_STRAYS = 0.5  # share of rows in other folders, for a pattern to be doubted
_SOME = 0.005  # share of rows in other folders, for it to be lateness


@dataclass(frozen=True)
class FeedLook:
    """A feed as its files have it, and the keys of the catalog that say so."""

    keys: Feed
    days: tuple[Day, ...]
    kinds: Columns  # of the feed's own columns
    sample: Sample
    found: Found
    lateness: tuple[int, int]  # days before and after
    strays: float  # share of the rows looked at whose folder is farther from their day

    @property
    def pattern(self) -> PartitionPattern:
        return PartitionPattern(self.keys.partition)

    def own(self, column: str) -> str:
        """The feed's own name of a column of the spine."""
        return self.keys.columns.get(column, column)

    def kind(self, column: str) -> str:
        """The type of a column of the spine, in the feed; "" if it has none."""
        return self.kinds.get(self.own(column), "")

    @property
    def events(self) -> Mapping[str, float]:
        """The share of the rows looked at, most first."""
        values = self.sample.table[self.own("event")].cast(pa.string())
        count = Counter({row["values"]: row["counts"] for row in values.value_counts().to_pylist()})
        count.pop(None, None)
        return {event: rows / count.total() for event, rows in count.most_common()}

    @property
    def sessions(self) -> Mapping[frozenset[str], int]:
        """Rows of sessions by the events of a session, in one file; rows without a session have none."""
        own, rows = self.own("feed_session"), Counter[frozenset[str]]()
        if own not in self.sample.kinds:
            return rows
        last = self.sample.files[-1]
        some = self.sample.table.filter(pa.array([file == last for file in self.sample.files]))
        text = pa.table({"event": some[self.own("event")].cast(pa.string()), "session": some[own].cast(pa.string())})
        made = text.group_by("session").aggregate([("event", "distinct"), ([], "count_all")])
        for session, events, count in zip(*(made[name].to_pylist() for name in (
                "session", "event_distinct", "count_all")), strict=True):  # fmt: skip
            rows[frozenset(events if session is not None else ())] += count
        return rows

    def codes(self, column: str) -> list[str]:
        """The names that a column of codes has, most frequent first; none where it has numbers."""
        own = self.own(column)
        if not is_text(self.kinds.get(own, "")):
            return []
        counts = pc.value_counts(self.sample.table[own].drop_null().cast(pa.string())).to_pylist()
        return [row["values"] for row in sorted(counts, key=lambda row: (-row["counts"], row["values"]))]


def look_at_feed(config: Config, path: str, inputs: Inputs, known: Known, ask: Ask) -> FeedLook:
    """Raises DaedalusError (exit 2) for what is no feed: with the DuckDB line that makes one, if there is one."""
    lies = layout(path)
    if lies.problem:
        raise _unfit(lies, path, known, ask)
    look = _look(config, path, lies, inputs, known, ask)
    if look.strays > _STRAYS and "%d" in lies.partition.partition("%m")[0]:  # 05-04-2024 may be in May
        turned = lies.partition.replace("%d", "%%").replace("%m", "%d").replace("%%", "%m")
        with suppress(DaedalusError):
            other = _look(config, path, replace(lies, partition=turned), inputs, known, ask)
            look = min(look, other, key=lambda one: one.strays)
    return look


def _look(config: Config, path: str, lies: Layout, inputs: Inputs, known: Known, ask: Ask) -> FeedLook:
    folder = FeedFolder(_with(config, Feed(path=lies.path, partition=lies.partition)), inputs.files)
    days, files = _files(folder)
    kinds, sample = _kinds(folder, inputs), Sample.of(files)
    if sample.kinds and not sample.table.num_rows:
        raise DaedalusError("the feed has no rows", where=f"--feed {path}", found=f"no row in {len(files)} files",
                            expected="rows to propose windows for")  # fmt: skip
    finder = Finder(kinds, sample, days, known, ask)
    found = finder.find()
    if finder.missing:
        raise _lacking(path, finder)
    if found.added or found.changed:
        raise _to_rewrite(replace(lies, files=files), path, found, told(kinds))
    if not sample.distinct(found.columns["event"]):
        raise DaedalusError("the feed has no rows", where=f"--feed {path}", found=f"no event in {len(files)} files",
                            expected="rows to propose windows for")  # fmt: skip
    keys = Feed(path=lies.path, partition=lies.partition, columns=found.mapped, extra_columns=found.extra,
                timestamp_unit=found.unit)  # fmt: skip
    if lies.partition != DEFAULT:
        shown = PartitionPattern(lies.partition).shown
        found.guesses.insert(0, Guess("catalog.yaml", "feed.partition", lies.partition, f"folders {shown}", SURE))
    look = FeedLook(keys, tuple(sorted(folder.days)), kinds, sample, found, *_lateness(finder))
    _check(_with(config, keys), inputs)
    return look


def _with(config: Config, feed: Feed) -> Config:
    return replace(config, catalog=Catalog(feed=feed))


def _files(folder: FeedFolder) -> tuple[list[Day], list[str]]:
    """The files of a feed, and the day of each."""
    pairs = [(day, file) for day in sorted(folder.days) for file in folder.paths(day)]
    return [day for day, _ in pairs], [file for _, file in pairs]


def _kinds(folder: FeedFolder, inputs: Inputs) -> Columns:
    """The columns of all files. Raises DaedalusError for one that cannot be read, or types that do not go together."""
    kinds: dict[str, str] = {}
    first: dict[str, str] = {}
    for label in (label for labels in folder.days.values() for label in labels):
        path = folder.path(label)
        file = inputs.look(path, label, lambda path, schema: None)
        if file.error:
            raise refusal(file.error)
        for name, kind in file.schema.items():
            wider = widen(kinds.setdefault(name, kind), kind)
            if wider is None:
                what, where = "a feed column has types that cannot be widened", f"{path}: {name}"
                expected = f"{kinds[name]}, as in {first[name]}"
                raise DaedalusError(what, where=where, found=kind, expected=expected)
            kinds[name] = wider
            first.setdefault(name, path)
    return kinds


def _check(config: Config, inputs: Inputs) -> None:
    """Raises what a run would say of files that do not fit."""
    folder = FeedFolder(config, inputs.files)
    if bad := bad_files(inputs_feed(inputs, folder, sorted(folder.days))):
        raise refusal(bad[0][1])


def _lateness(finder: Finder) -> tuple[tuple[int, int], float]:
    """How many days before and after its own a row's folder is, where that is so of some rows; and the share of rows
    whose folder is farther than that.
    """
    own = finder.sample.days(finder.found.columns[TIME])
    epoch = Day(1970, 1, 1).toordinal()
    count = Counter(finder.days[file].toordinal() - epoch - day
                    for day, file in zip(own, finder.sample.files, strict=True) if day is not None)  # fmt: skip
    least = max(_SOME * count.total(), 2)
    before, after = (max((late for late in range(1, _LATE + 1) if count[sign * late] >= least), default=0)
                     for sign in (-1, 1))  # fmt: skip
    near = sum(count[late] for late in range(-before, after + 1))
    return (before, after), 1 - near / max(count.total(), 1)


def _lacking(path: str, finder: Finder) -> DaedalusError:
    named = {"user_id": "ids of users", "artwork_id": "ids of items", TIME: "times"}
    lacks = " or ".join(named[column] for column in finder.missing)
    close = [did_you_mean(column, finder.kinds) for column in finder.missing]
    return DaedalusError(f"no column of the feed looks like {lacks}", where=f"--feed {path}",
                         found=told(finder.kinds), expected="ids: a column of whole numbers or text; times: a column "
                         "of times, or of whole numbers since 1970", hint=next(filter(None, close), ""))  # fmt: skip


def _unfit(lies: Layout, path: str, known: Known, ask: Ask) -> DaedalusError:
    """Files in folders that no pattern names."""
    if not os.path.exists(path):
        return DaedalusError("the feed folder does not exist", where=f"--feed {path}", found=seen_from(path),
                             expected="a folder")  # fmt: skip
    if not lies.files:
        return DaedalusError("the feed has no partitions", where=f"--feed {path}", found=lies.found,
                             expected="folders of days, such as dt=2026-01-31, with *.parquet files")  # fmt: skip
    sample = text_sample(lies.files[0], lies.format) if lies.format in TEXTS.values() else Sample.of(lies.files)
    found = Finder(sample.kinds, sample, (), known, ask).find()
    return _to_rewrite(lies, path, found, lies.found)


def _to_rewrite(lies: Layout, path: str, found: Found, there: str) -> DaedalusError:
    """What no configuration can name, with the line that makes a feed of it."""
    line, target = feed_line(lies, found.day, found.changed, found.added)
    if lies.problem:
        what = f"not a feed by day: {lies.problem}"
    elif found.added or found.changed.get("event", "CAST")[:4] != "CAST":
        what = "no column of the feed names the kind of event"
    else:
        what = f"a column of the feed needs another type: {', '.join(found.changed)}"
    return DaedalusError(what, where=f"--feed {path}", found=there,
                         expected="folders of days, such as dt=2026-01-31, with parquet files of events",
                         hint=f"run this line in DuckDB, then daeda init --feed {target}: {line}")  # fmt: skip


def refusal(error: DaedalusError) -> DaedalusError:
    """An error that fails a day of a run, as one that init exits with (2)."""
    hint = error.hint or did_you_mean(str(error.expected), str(error.found).split(", "))
    return DaedalusError(error.what, where=error.where, found=error.found, expected=error.expected, hint=hint)
