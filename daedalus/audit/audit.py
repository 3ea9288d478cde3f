"""`daeda audit`: recomputes sampled output rows from the raw inputs by the reference, and compares them.

Every row of a sampled user on a sampled day is compared, so that missing and extra rows are found as well as
wrong values. The reference uses no event at or after a row's time.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from math import copysign
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from daedalus.audit.crossings import audit_splits, crosses, split_lines
from daedalus.audit.mirror import LocalCopy, local_place
from daedalus.audit.reference import DAY, Reference, as_micros, partition_files, read_rows
from daedalus.audit.reference_measures import About
from daedalus.audit.sample import SampledReference, choose_days, choose_users
from daedalus.audit.vectors import EnrichedAudit
from daedalus.base.days import Day, parse_range
from daedalus.base.durable import part_files
from daedalus.base.errors import DaedalusError, at_least, bare
from daedalus.base.terminal_text import counted, cut, plain
from daedalus.config.reach import Reach
from daedalus.explain.failure_lines import days_text
from daedalus.explain.value_differences import readable
from daedalus.inputs.pool import reading_pool
from daedalus.output.numbers.pieces import map_files
from daedalus.workspace.settings import Settings

if TYPE_CHECKING:
    from daedalus.shapes.runs import Audit

_SHOWN = 20  # differences that are kept
_KEY = ("user_id", "event_timestamp", "artwork_id", "event")
Say = Callable[[str], None]


def audit(settings: Settings, range: str | None, rows: int, seed: int, say: Say = lambda line: None) -> Audit:
    """Compares about `rows` output rows of some days of a range with the reference.

    Raises DaedalusError (exit 2) when there is no output.
    """
    at_least(1, rows, "--rows")
    config, chance = settings.applied(), random.Random(seed)
    with local_place(settings, config) as place:
        days = choose_days(_published(place, range, config.runtime.output_root, settings.run(config)), rows, chance)
        say(f"{counted(len(days), 'day')} of {bare(config.runtime.output_root)}: choosing rows")
        place.bring(days)
        root, share = place.output, -(-rows // len(days))
        named = {name: config.renamed.get(name, name) for name in _KEY}
        own = config.catalog.feed.columns.get("user_id", "user_id")
        files = [*partition_files(place.feed, config.catalog.feed.partition)]
        seen = {day: _seen([file for of, file in files if of == day], own) for day in days}
        chosen = {day: choose_users(_shipped(root, day, named), seen[day], share, chance) for day in days}
        users = {day: with_rows | without for day, (with_rows, without) in chosen.items()}
        say(f"reading the raw feed and views for {counted(len(set().union(*users.values())), 'user')}")
        reach = Reach.of(config)
        late = reach.lateness.partitions
        reference = _Sampled(place.config, users, late, reach.back, reach.endless, _reading_input)
        enriched = EnrichedAudit(config, place.enriched, root, _KEY) if config.runtime.embeddings else None
        comparison = _Comparison(reference, root, enriched, named)
        for day in days:
            say(f"comparing {day}")
            comparison.compare(day, users[day])
        comparison.compare_vectors()
        if config.runtime.splits:
            say("looking for ids in two parts of the splits")
        splits = audit_splits(config, range) if config.runtime.splits else None
        return cast("Audit", {
            "days": [str(day) for day in days], "users": sum(map(len, users.values())), "seed": seed,
            "run": settings.run(config), **comparison.found(), "splits": splits,
        })  # fmt: skip


def _published(place: LocalCopy, range: str | None, shown: str, run: str) -> list[Day]:
    span, there = parse_range(range) if range else None, place.published()
    days = [day for day in there if span is None or day in span]
    if not days:
        found = f"{counted(len(there), 'partition')} in all"
        raise DaedalusError("there is no partition to audit", where=shown, found=found,
                            expected=f"days of {range or 'any range'}",
                            hint=run + (f" --range {range}" if range else ""))  # fmt: skip
    return days


def _rows(part: Path, columns: list[str] | None = None) -> list[dict]:
    with readable([part]):
        return read_rows(part, columns)


class _Sampled(SampledReference):
    """With the words that errors of reading the pool have."""

    def _read_pool(self) -> set[int]:
        with reading_pool(self.coverage["uri"]):
            return super()._read_pool()


def _reading_input(file: str | Path) -> AbstractContextManager[None]:
    """Names a file of the feed or of a view in the errors of reading it."""
    return readable([Path(file)], "an input file", "restore or remove the file, then run again")


def _feed_rows(file: Path, column: str) -> list[dict]:
    with _reading_input(file):
        return read_rows(file, [column])


def _shipped(root: Path, day: Day, named: Mapping[str, str]) -> Counter[int]:
    """Output rows of a day by user; `named` are the names of the key's columns in the output."""
    key = tuple(named.values())
    found: Counter[int] = Counter()
    for part in part_files(root / f"dt={day}"):
        rows = _rows(part, list(key))
        if rows and not set(key) <= set(rows[0]):
            raise DaedalusError("the output lacks a column that identifies rows", where=str(part),
                                found=", ".join(rows[0]), expected=", ".join(key),
                                hint="add them to output_columns in training/runtime.yaml")  # fmt: skip
        found.update(row[named["user_id"]] for row in rows)
    return found


def _seen(files: Sequence[Path], own: str) -> set[int]:
    """Users of a day's own feed partition, by the feed's name of them, whether or not they have output rows."""
    return {row[own] for file in files for row in _feed_rows(file, own)} - {None}


class _Comparison:
    """Collects what differs, over all days."""

    def __init__(
        self, reference: SampledReference, root: Path, enriched: EnrichedAudit | None, named: Mapping[str, str]
    ) -> None:
        self._reference, self._root, self._enriched, self._named = reference, root, enriched, named
        self._vectors: dict | None = None
        self._names, self._skipped = _compared_columns(reference)
        self._rows = self._values = self._missing = self._extra = 0
        self._wrong: Counter[str] = Counter()
        self._shown: list[dict] = []
        self._younger: dict[str, list[int]] = {name: [] for name in reference.views}
        self._qids: dict[str, int] = {}
        for map_file in map_files(root):
            with readable([map_file], "the qid map", hint=""):
                self._qids |= {row["feed_session"]: row["qid"] for row in read_rows(map_file)}

    def compare(self, day: Day, users: set[int]) -> None:
        """Compares a day's rows of some users with those of the reference."""
        rows = self._reference.day(day) or []
        expected, found = self._by_key(self._expected(rows)), self._by_key(self._found(day, users))
        for key in sorted({*expected, *found}, key=str):
            wants, gots = expected.get(key, []), found.get(key, [])
            for want, got in zip(wants, gots, strict=False):
                self._row(day, want, got)
            self._miss(day, "row missing", wants[len(gots) :])
            self._miss(day, "row not expected", gots[len(wants) :])
        if self._enriched:
            self._enriched.add(day, users, rows)

    def compare_vectors(self) -> None:
        """Compares the vectors of all days' enriched partitions, where there are any."""
        if self._enriched is None:
            return
        self._vectors = self._enriched.compare()
        for one in self._enriched.differences:
            self._wrong[one.column] += 1
            self._show(one.day, one.row, one.column, one.expected, one.found)

    def found(self) -> dict:
        return {
            "rows": self._rows,
            "columns": len(self._names) + bool(self._qids),
            "values": self._values,
            "missing": self._missing,
            "extra": self._extra,
            "by_column": dict(self._wrong.most_common()),
            "differences": self._shown,
            "not_compared": [name for name in self._skipped if not self._enriched or name not in self._enriched.names],
            "leakage": list(self._leakage()),
            "enriched": self._vectors,
        }

    def _expected(self, rows: Iterable[dict]) -> Iterator[dict]:
        for row in rows:
            self._look_at_ages(row)
            output = self._reference.output(row)
            if self._qids:
                output["qid"] = self._qids.get(row["feed_session"]) if row["feed_session"] is not None else None
            yield output

    def _found(self, day: Day, users: set[int]) -> Iterator[dict]:
        for part in part_files(self._root / f"dt={day}"):
            yield from (row for row in _rows(part) if row[self._named["user_id"]] in users)

    def _by_key(self, rows: Iterator[dict]) -> Mapping[tuple, list[dict]]:
        grouped = defaultdict(list)
        for row in rows:
            grouped[tuple(row[name] for name in self._named.values())].append(row)
        return grouped

    def _row(self, day: Day, want: dict, got: dict) -> None:
        self._rows += 1
        for name in [*self._names, *(["qid"] if "qid" in got and self._qids else [])]:
            self._values += 1
            absent = name not in got
            if absent or not _same(want[name], got[name]):
                self._wrong[name] += 1
                self._show(str(day), want, name, want[name], "no such column" if absent else got[name])

    def _miss(self, day: Day, what: str, rows: list[dict]) -> None:
        for row in rows:
            self._missing += what == "row missing"
            self._extra += what != "row missing"
            self._show(str(day), row, what, None, None)

    def _show(self, day: str, row: Mapping, column: str, expected: object, found: object) -> None:
        if len(self._shown) < _SHOWN:
            key = {name: row.get(own) for name, own in self._named.items()}
            self._shown.append(
                {"day": day, **key, "column": column, "expected": plain(expected), "found": plain(found)}
            )

    def _look_at_ages(self, row: dict) -> None:
        """Records how much newer than the event each view's row is; 0 if it is not."""
        for name, ages in self._younger.items():
            feature = self._reference.feature_row(name, row)
            time = as_micros((feature or {}).get(self._reference.catalog["views"][name]["timestamp_field"]))
            ages.append(max(time - row["event_timestamp"], 0) if isinstance(time, int) else 0)

    def _leakage(self) -> Iterator[dict]:
        for name, ages in sorted(self._younger.items()):
            younger = [age for age in ages if age]
            as_of = self._reference.catalog["views"][name].get("as_of", "latest")
            yield {"view": name, "as_of": as_of, "rows": len(ages), "younger": len(younger),
                   "median_days": round(median(younger) / DAY, 3) if younger else None}  # fmt: skip


def _compared_columns(reference: Reference) -> tuple[list[str], list[str]]:
    """(columns that the reference computes, those filled by default_sql, which plain Python cannot run)."""
    columns = [{"name": c} if isinstance(c, str) else c for c in reference.runtime["output_columns"]]
    by_sql = [column["name"] for column in columns if "default_sql" in column]
    return [column["name"] for column in columns if column["name"] not in by_sql], by_sql


def _enriched_lines(found: Mapping) -> list[str]:
    counts = f"{counted(found['vectors'], 'vector')} of {counted(len(found['days']), 'day')}"
    ids = f"{counted(found['ids'], 'id')}, {found['without_vector']:,} without vector"
    lines = [cut(f"enriched: {counts} recomputed; {ids}")]
    if missing := found["not_enriched"]:
        lines.append(cut(f"  without enriched partition: {days_text(missing)}"))
    return lines


def _same(want: Any, got: Any) -> bool:
    """Whether two values are equal: NaN equals NaN and 1 equals 1.0, but -0.0 is not 0.0, and 1 is not true."""
    if isinstance(want, list | tuple) and isinstance(got, list | tuple):
        return len(want) == len(got) and all(map(_same, want, got))
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(_same(value, got[name]) for name, value in want.items())
    if isinstance(want, About):
        return want == got
    if isinstance(want, float) or isinstance(got, float):
        return _same_number(want, got)
    return as_micros(want) == as_micros(got) and isinstance(want, bool) == isinstance(got, bool)


def _same_number(want: Any, got: Any) -> bool:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (want, got)):
        return False
    if want != want or got != got:
        return want != want and got != got
    signs = {copysign(1, value) for value in (want, got) if isinstance(value, float)}
    return float(want) == float(got) and (want != 0 or len(signs) == 1)


def differs(found: Mapping) -> bool:
    """Whether an audit found a row that is not as it should be."""
    return bool(found["by_column"] or found["missing"] or found["extra"])


def is_wrong(found: Mapping) -> bool:
    """Whether an audit found anything wrong, in rows or in splits."""
    return differs(found) or crosses(found["splits"])


def audit_lines(found: Mapping) -> list[str]:
    """What the terminal shows, at most 80 columns but for values."""
    lines = [
        f"{found['rows']:,} rows x {found['columns']} columns of {counted(len(found['days']), 'day')}, "
        f"{counted(found['users'], 'user')}: " + ("DIFFERENT" if differs(found) else "none differ")
    ]
    lines += [cut(f"  {count:,} rows differ in {column}") for column, count in found["by_column"].items()]
    if found["missing"] or found["extra"]:
        lines.append(f"  {counted(found['missing'], 'row')} missing, {found['extra']:,} not expected")
    for row in found["differences"]:
        which = f"user {row['user_id']} artwork {row['artwork_id']} {row['event']}" if row["event"] else "enriched"
        lines.append(f"{row['day']} {which}: {row['column']}")
        if not row["column"].startswith("row "):
            lines += [cut(f"    expected {row['expected']}"), cut(f"    found    {row['found']}")]
    if differs(found):
        lines.append(f"next: daeda cache status (is the day stale?), then {found['run']}, or")
        lines.append(f"      daeda cache verify; then: daeda audit --seed {found['seed']}")
    lines += _enriched_lines(found["enriched"]) if found["enriched"] else []
    lines += split_lines(found["splits"]) if found["splits"] else []
    lines += [f"not compared, filled by default_sql: {', '.join(found['not_compared'])}"] * bool(found["not_compared"])
    lines.append(f"{'feature rows newer than their event':<40}{'as_of':<8}{'share':>8}{'median days':>14}")
    for row in found["leakage"]:
        share = row["younger"] / row["rows"] if row["rows"] else 0
        middle = "" if row["median_days"] is None else f"{row['median_days']:,.2f}"
        lines.append(f"  {row['view']:<38}{row['as_of']:<8}{share:>8.1%}{middle:>14}")
    if any(row["younger"] and row["as_of"] == "latest" for row in found["leakage"]):
        lines.append("next: `as_of: day` under a view in catalog.yaml uses no rows of later days")
    return lines
