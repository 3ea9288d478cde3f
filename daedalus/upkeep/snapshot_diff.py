"""`daeda snapshot diff`: what differs between two snapshots, or between one and what is published now.

Days of the same digest are not read. Rows of others are told as in `daeda diff`, and compared in DuckDB, which spills
what is large; what a day takes on the disk goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.counted_off import counted_off
from daedalus.base.days import DayRange, parse_range
from daedalus.base.durable import DATASET, remove_folder
from daedalus.base.terminal_text import counted, cut
from daedalus.compile.dataset import noted_sum, parsed
from daedalus.explain.value_differences import KEYS, Version, keys_of, note_of, readable, row_changes
from daedalus.output.part_file import PartitionSum
from daedalus.output.partitions import Partitions
from daedalus.snapshots.commands import find, snapshot_homes
from daedalus.snapshots.record import days_in
from daedalus.statistics.partition import partition_statistics
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import StageOutput, Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.snapshots import Moved, SnapshotDayDiff, SnapshotDiff

_COMMAND = "daeda snapshot diff"
_HINT = "daeda cache verify says which files of snapshots are damaged; a run makes those of the output anew"
NOW = "now"  # the other side where none is named


@dataclass(frozen=True)
class _Side:
    """Days with their rows and digests, and how their parts are read."""

    name: str
    days: Mapping[str, tuple[int, str]]
    reading: Callable[[str], AbstractContextManager[Sequence[Path]]]


def diff_snapshots(
    settings: Settings, name: str, other: str | None = None, say: Callable[[str], None] = lambda line: None
) -> SnapshotDiff:
    """What differs from a snapshot to another, or to what is published now in its range. Raises DaedalusError."""
    with opened(settings) as workspace:
        homes = snapshot_homes(workspace)
        home = find(homes, name, f"{_COMMAND} NAME")
        record = home.read(name)
        old = _Side(
            name, {day: (one.rows, one.digest) for day, one in record.days.items()}, partial(home.reading, record)
        )
        if other is None:
            new = _published(workspace, workspace.outputs[record.stage], parse_range("..".join(record.range)))
        else:
            there = find(homes, other, f"{_COMMAND} OTHER")
            found = there.read(other)
            new = _Side(
                other, {d: (one.rows, one.digest) for d, one in found.days.items()}, partial(there.reading, found)
            )
        return _compared(workspace, old, new, say)


def _published(workspace: Workspace, output: StageOutput, span: DayRange) -> _Side:
    """What lies there now, read where `_dataset.json` does not say what it is."""
    home, days = output.partitions, {}
    dataset, since = _dataset(output)
    noted = parsed(dataset).get("partitions", {})
    for day in days_in(home.days(), span):
        found: PartitionSum | None = home.summed(day, noted_sum(noted.get(day)), since)
        if found is not None:
            days[day] = (sum(part.rows for part in found.parts), found.digest)
    return _Side(NOW, days, home.reading)


def _dataset(output: StageOutput) -> tuple[bytes | None, int]:
    """`_dataset.json` and when it was written."""
    if not isinstance(output.partitions, Partitions):
        from daedalus.output.remote_partitions import RemotePartitions

        assert isinstance(output.partitions, RemotePartitions)
        read = output.partitions.output.bytes_now(DATASET)
        return (read[0], 0) if read else (None, 0)
    path = output.partitions.root / DATASET
    try:
        since = path.stat().st_mtime_ns  # before it is read: one that is replaced meanwhile is younger
        return path.read_bytes(), since
    except OSError:
        return None, 0


def _compared(workspace: Workspace, old: _Side, new: _Side, say: Callable[[str], None]) -> SnapshotDiff:
    days: dict[str, SnapshotDayDiff] = {}
    moves = _Moves()
    differing = [day for day in sorted({*old.days, *new.days}) if old.days.get(day) != new.days.get(day)]
    for day in counted_off(differing, len(differing), say, "compared {done:,} of {total:,} days"):
        rows = [side.days.get(day, (0, ""))[0] for side in (old, new)]
        columns: dict[str, float] = {}
        if day in old.days and day in new.days:
            with old.reading(day) as then, new.reading(day) as now, readable([*then, *now], hint=_HINT):
                columns = _columns(workspace, then, now)
                moves.add(then, now, columns)
        days[day] = {"rows": rows, "columns": columns}
    return {"name": old.name, "other": new.name, "same_days": len({*old.days, *new.days}) - len(days), "days": days,
            "moved": moves.found()}  # fmt: skip


def _columns(workspace: Workspace, then: Sequence[Path], now: Sequence[Path]) -> dict[str, float]:
    """The columns that differ, each with the share of the rows of both in which it does."""
    made = {name: own for own, name in workspace.config.renamed.items() if own in KEYS}
    versions = Version.of(then, made), Version.of(now, made)
    found: dict[str, float] = {}
    for key in keys_of(*versions):
        names = [version.columns[key] for version in versions]
        found |= dict.fromkeys(names if names[0] != names[1] else (), 1.0)
    with _below(workspace) as scratch, workspace.ducks.lease() as duck:
        changes = row_changes(duck, scratch, *versions)
        for name in dict.fromkeys([*versions[1].columns, *versions[0].columns]):
            shown = versions[1].columns.get(name) or versions[0].columns[name]
            if note_of(versions[0].types.get(name), versions[1].types.get(name)):
                found[shown] = 1.0
            elif rows := changes.differing.get(name):
                found[shown] = rows / changes.counts["both"]
    return found


class _Below:
    """A folder for what one comparison leaves."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def path(self, suffix: str = "") -> Path:
        self._count += 1
        return self._folder / f"{self._count}{suffix}"


@contextmanager
def _below(workspace: Workspace) -> Iterator[_Below]:
    folder = workspace.scratch.path()
    folder.mkdir()
    try:
        yield _Below(folder)
    finally:
        remove_folder(folder)


class _Moves:
    """How columns moved over the days in which they differ: shares of NULL, and means of numbers or lengths."""

    def __init__(self) -> None:
        self._sums: dict[str, list[list[float]]] = {}  # by column and side: rows, nulls, values with a mean, their sum

    def add(self, then: Sequence[Path], now: Sequence[Path], columns: Mapping[str, float]) -> None:
        for side, parts in enumerate((then, now) if columns else ()):
            found = partition_statistics(parts, {*columns})
            for one in found["columns"]:
                sums = self._sums.setdefault(one["name"], [[0.0] * 4, [0.0] * 4])[side]
                values = one.get("finite", found["rows"] - one["nulls"])
                mean = one.get("mean") if one["kind"] != "time" else None
                for place, value in enumerate((found["rows"], one["nulls"], values if mean is not None else 0,
                                               values * mean if mean is not None else 0)):  # fmt: skip
                    sums[place] += value

    def found(self) -> dict[str, Moved]:
        return {
            name: {"null_share": [_ratio(side[1], side[0]) for side in sides],
                   "mean": [_ratio(side[3], side[2]) for side in sides]}
            for name, sides in sorted(self._sums.items())
        }  # fmt: skip


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def diff_lines(found: SnapshotDiff) -> list[str]:
    """A line a day, with its columns below, those that differ most first; then how columns moved."""
    names = f"{found['name']} -> {found['other']}"
    same = counted(found["same_days"], "day")
    if not found["days"]:
        return [f"{names}: no difference in {same}"]
    lines = [f"{names}: {counted(len(found['days']), 'day')} of {len(found['days']) + found['same_days']:,} differ"]
    for day, one in found["days"].items():
        old, new = one["rows"]
        lines.append(f"  {day}  {old:>11,} -> {new:,} rows{_what(one)}")
        columns = sorted(one["columns"].items(), key=lambda item: (-item[1], item[0]))
        lines += [cut(f"      {_percent(share)}  {name}") for name, share in columns]
    if found["moved"]:
        lines.append("how columns moved, over the days in which they differ:")
    lines += [cut(f"  {name:<34} {_moved(one)}".rstrip()) for name, one in found["moved"].items()]
    return lines


def _what(one: SnapshotDayDiff) -> str:
    if not all(one["rows"]):
        return "" if one["rows"][0] == one["rows"][1] else f", {'only there' if one['rows'][1] else 'only here'}"
    same = one["rows"][0] == one["rows"][1] and not one["columns"]
    return "; values are the same, bytes or order are not" if same else ""


def _percent(share: float) -> str:
    return "  <0.1%" if share < 0.0005 else f"{share:>7.1%}"


def _moved(one: Moved) -> str:
    """Only what moved, as far as it can be seen."""
    told = []
    for what, kind in (("mean", "{:.4g}"), ("null_share", "{:.2%}")):
        old, new = (("none" if value is None else kind.format(value)) for value in one[what])  # type: ignore[literal-required]
        if old != new:
            told.append(f"{what.partition('_')[0]} {old} -> {new}")
    return ", ".join(told)
