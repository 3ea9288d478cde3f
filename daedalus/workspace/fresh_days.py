"""Fresh days: those whose inputs and files have the same stat as after the last run; no key is looked up for them.

A day *asks* for what its bytes follow from: config, code, engines, views, pool, and the feed partitions that
it reads. If it asks for what it asked when it was last done, and nobody touched what was made for it, no
graph is built for it. A touched file with the same bytes is looked up by its digest, as ever.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from daedalus.base import digest
from daedalus.base.days import ONE_DAY, Day
from daedalus.base.file_stat import Stat
from daedalus.config import Config
from daedalus.config.reach import Reach
from daedalus.config.steps import SKELETON
from daedalus.inputs.listing import Listing
from daedalus.stagecache.action_name import day_of, days_of, kind_of, step_of
from daedalus.workspace.code_stamp import code_stamp

if TYPE_CHECKING:
    from daedalus.workspace.workspace import StageOutput, Workspace

QID_MAP = "qid_map"  # kept as if an action had left it
_Look = Callable[[str], Stat | None]  # None: it may have changed unseen


class FreshDays(Struct, frozen=True, dict=True):
    """The fresh days, with their summaries, and the days before them that they read."""

    days: Mapping[str, dict]
    read: Mapping[str, dict]  # also "", for what belongs to no day
    touched: frozenset[str]


NOTHING = FreshDays({}, {}, frozenset())


class Asking:
    """What days ask for, by a look at files: `os.stat` for a question, remembered stamps for the record."""

    def __init__(self, config: Config, listing: Listing, code: str, look: _Look, days: Iterable[Day]) -> None:
        self._config, self._listing, self._code, self._look = config, listing, code, look
        self._reach, self._range = Reach.of(config), set(days)

    def of(self, day: Day, sessions: bool) -> str | None:
        """The digest of all that a day's bytes follow from; None when that cannot be known for good."""
        feed = self._past(day) if self._reach.endless else self._window(day)
        return digest.of_text(f"{self.context} {sessions} {feed}") if self.context and feed else None

    @cached_property
    def context(self) -> str | None:
        """What all days ask for alike; None when that cannot be known for good."""
        paths = sorted(path for paths in self._listing.views.values() for path in paths)
        paths += [self._listing.pool] if self._listing.pool and self._config.reads_pool else []
        stats = [self._look(path) for path in paths]
        typed = self._typed()
        if None in stats or typed is None:
            return None
        config = self._config
        meaning = digest.of_text(config.meaning)
        meaning += self._listing.columns
        return digest.of_json([meaning, self._code, list(zip(paths, stats, strict=True)), *typed])

    def _typed(self) -> list | None:
        """The partitions that decide the types of the feed's extra columns, if it has some."""
        if not self._config.catalog.feed.extra_columns:
            return []
        found = [(str(day), self.feed[day]) for day in self._reach.around(self._range, self._listing.feed.days)]
        return None if any(own is None for _, own in found) else found

    @cached_property
    def feed(self) -> dict[Day, str | None]:
        """The files of each partition, as they are now."""
        found: dict[Day, str | None] = {}
        for day, labels in self._listing.feed.days.items():
            stats = [self._look(path) for path in self._listing.feed.paths(day)]
            found[day] = None if None in stats else digest.of_text(f"{labels} {stats}")
        return found

    def _window(self, day: Day) -> str | None:
        found = [(partition, self.feed[partition]) for partition in self._reach.window(day, self._known)]
        lost = any(own is None for _, own in found)
        return None if lost else digest.of_text(" ".join(f"{partition} {own}" for partition, own in found))

    @cached_property
    def _known(self) -> list[Day]:
        return sorted(self.feed)

    def _past(self, day: Day) -> str | None:
        last = self._reach.last(day)
        while last not in self._pasts:
            last -= ONE_DAY
        return self._pasts[last]

    @cached_property
    def _pasts(self) -> dict[Day, str | None]:
        """All partitions up to a day, for each partition's day, and for the day before the first."""
        past: str | None = ""
        found: dict[Day, str | None] = {}
        for day in sorted(self.feed):
            found.setdefault(day - ONE_DAY, past)
            own = self.feed[day]
            past = None if past is None or own is None else digest.of_text(f"{past} {day} {own}")
            found[day] = past
        return found

    def sessions(self, witness: Mapping | None) -> bool | None:
        """Whether any partition of the range has feed_session, as a record's witness tells; None: it does not."""
        if witness is None:
            return None
        if day := witness["day"]:
            found = Day.fromisoformat(day)
            return True if found in self._range and self.feed.get(found) == witness["feed"] else None
        return False if witness["feed"] == self._all() else None

    def witness(self, day: Day | None) -> dict:
        """What tells later that a partition of the range has feed_session (`day`), or that none has."""
        return {"day": str(day) if day else "", "feed": self.feed[day] if day else self._all()}

    def _all(self) -> str:
        return digest.of_json([[str(day), own] for day, own in sorted(self.feed.items()) if day in self._range])


def fresh_in_all(workspace: Workspace, listing: Listing, days: Sequence[Day]) -> dict[str, FreshDays]:
    """By stage, those of the days with feed rows that are fresh in every stage: any other is walked in all of them."""
    found = {name: fresh_days(workspace, listing, days, output) for name, output in workspace.outputs.items()}
    common = set.intersection(*(set(stands.days) for stands in found.values()))
    return {
        name: replace(stands, days={day: summary for day, summary in stands.days.items() if day in common})
        for name, stands in found.items()
    }


def skeleton_alone(
    workspace: Workspace, listing: Listing, days: Sequence[Day], computed: Iterable[str]
) -> FreshDays | None:
    """How days stand in the skeleton, if all are fresh there and no action of another stage was ever `computed`.

    So what is to do in a stage that never ran is the same in each of them, and to look at one is enough.
    """
    others = {step for output in workspace.outputs.values() if output.stage is not SKELETON
              for step in output.stage.steps}  # fmt: skip
    if not days or not others or any(step_of(name) in others for name in computed):
        return None
    found = fresh_days(workspace, listing, days, workspace.outputs[SKELETON.name])
    return found if len(found.days) == len(days) else None


def fresh_days(workspace: Workspace, listing: Listing, days: Sequence[Day], output: StageOutput) -> FreshDays:
    """Which of the days with feed rows are fresh in a stage. Looks at files by `stat`, opens none."""
    stamps, config = output.day_stamps, workspace.config.of_stage(output.stage)
    code, session_range = code_stamp(workspace.traces), workspace.config.session_range(days)
    asked = stamps.asked(code)
    if not asked:
        return NOTHING
    touched = frozenset(stamps.touched(workspace.files.stat))
    summaries = stamps.summaries(code)
    asking = Asking(config, listing, code, workspace.files.stat, session_range)
    sessions = asking.sessions(summaries.get("", {}).get("witness"))
    if "" in touched or sessions is None:
        return FreshDays({}, {}, touched)
    reach = Reach.of(workspace.config)
    first_touched = min((Day.fromisoformat(day) for day in touched), default=None)
    stands = {}
    for day in days:
        name = str(day)
        if not asked.get(name) or reach.window_holds(day, touched):
            continue
        if reach.endless and first_touched and first_touched <= day:
            continue
        if asked[name] == asking.of(day, sessions):
            stands[name] = summaries[name]
    read = _read_by(stands, {d: s for d, s in summaries.items() if s.get("context") == asking.context}, reach)
    return FreshDays(stands, read, touched)


def read_by_finished(workspace: Workspace, finished: Mapping[str, dict]) -> dict[str, dict]:
    """What days that an unfinished run finished read of days before them, by the traces of those."""
    from daedalus.config.steps import OF_A_FEED_DAY
    from daedalus.workspace.day_summary import of_feed

    known = {tile for summary in finished.values() for tile in summary["tiles"]}
    summaries: dict[str, dict] = {}
    for name, cost in workspace.traces.latest_costs().items():
        tile, when = kind_of(name), day_of(name)
        step = step_of(name)
        if step not in OF_A_FEED_DAY or (tile not in known and step != "history"):
            continue
        first, size = days_of(when) if when else (None, 1)
        day = str(first + (size - 1) * ONE_DAY) if first else ""  # of several days it is the last one's
        summary = summaries.setdefault(day, {"tiles": {}, "rows": {}})
        summary["tiles"][name if size > 1 else tile] = cost.seconds
        summary["rows"] |= of_feed(cost.counts) if step == "spine" else {}
    return _read_by(finished, summaries, Reach.of(workspace.config))


def _read_by(stands: Mapping[str, dict], summaries: Mapping[str, dict], reach: Reach) -> dict[str, dict]:
    """What the days that stand read, of what is known: tiles of the days of their spines, history of those before.

    A tile of history counts where a spine begins after its days: no day reads it as history before that. Nor does one
    whose longest window begins after the tile does. A day of a block that was read at once counts only for spines that
    begin within the block.
    """
    if not stands:
        return {}
    days = sorted(map(Day.fromisoformat, stands))
    window = set(map(str, {day - i * ONE_DAY for i in range(1, reach.lookback + 1) for day in days}))
    blocks = _read_at_once(summaries)

    def is_history(tile: str, day: str) -> bool:
        last, (kind, _, span) = Day.fromisoformat(day), tile.partition("@")
        size = days_of(span)[1] if span else 1
        after = bisect_right(days, last + reach.lookback * ONE_DAY)
        if (block := blocks.get((kind, day))) and not span:
            return after < len(days) and days[after] < block + reach.lookback * ONE_DAY
        reached = last + (reach.back + 1 - size) * ONE_DAY
        return after < len(days) and (reach.endless or days[after] <= reached)

    read = {}
    for day, summary in summaries.items():
        seen = not day or day in window
        tiles = {tile: cost for tile, cost in summary["tiles"].items()
                 if (is_history(tile, day) if tile.startswith("history:") else seen)}  # fmt: skip
        if day not in stands and tiles:
            read[day] = {"tiles": tiles, "rows": summary["rows"] if seen else {}}
    return read


def _read_at_once(summaries: Mapping[str, dict]) -> dict[tuple[str, str], Day]:
    """The day after the last of the block of history that was read at once, by kind and day."""
    found: dict[tuple[str, str], Day] = {}
    for summary in summaries.values():
        for tile in summary["tiles"]:
            if ".." in tile:
                first, size = days_of(day_of(tile))
                end = first + size * ONE_DAY
                found |= {(kind_of(tile), str(first + i * ONE_DAY)): end for i in range(size)}
    return found
