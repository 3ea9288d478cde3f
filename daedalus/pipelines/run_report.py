"""What a run did, as an object, as JSON and as lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct, structs

from daedalus.base.days import DayRange
from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_DONE
from daedalus.base.terminal_text import counted, cut, printable, wrapped
from daedalus.config.steps import PARTITION
from daedalus.objectstore.object_store import is_uri
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.outcome import FAILED, HIT, STATES, Outcome
from daedalus.workspace.day_summary import feed_rows


class Failure(Struct, frozen=True):
    day: str
    step: str
    error: str


@dataclass(repr=False)
class RunReport:
    """The outcome of `run_skeleton_stage`; `as_json()` is what `--json` prints."""

    range: DayRange
    seconds: float = 0.0
    days: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=lambda: {"written": 0, "kept": 0})
    rows: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    plan: list[dict] | None = None
    causes: list[dict] = field(default_factory=list)
    empty_days: list[str] = field(default_factory=list)
    unusable_days: list[str] = field(default_factory=list)  # they have feed rows, but none that can be used
    removed_days: list[str] = field(default_factory=list)  # their partition went, for they have no rows any more
    notes: list[str] = field(default_factory=list)
    input_notes: list[str] = field(default_factory=list)  # what of the inputs is surely not what was meant
    shared: dict | None = None  # what the shared cache gave and took
    output: str = ""  # where the partitions are

    @property
    def exit_code(self) -> int:
        return EXIT_DAY_FAILED if self.days.get("failed") else EXIT_DONE

    def __str__(self) -> str:
        return "\n".join(map(printable, self.shown()))

    def shown(self) -> list[str]:
        """What a person reads: the summary of a run, or of a plan what would run."""
        if self.plan is None:
            return self.lines()
        from daedalus.pipelines.plan_lines import plan_lines

        return plan_lines(self.range, self.plan, self.causes, self.notes)

    def __repr__(self) -> str:
        if self.plan is not None:
            return f"<RunReport {self.range}: a plan of {counted(len(self.plan), 'step-day')}; print() shows it>"
        days, ran = self.days, self.steps.get("computed", 0) + self.steps.get("unchanged", 0)
        counts = ", ".join(f"{days.get(state, 0)} {state}" for state in ("done", "empty", "failed"))
        return f"<RunReport {self.range}: {counts}; {ran} steps ran, {self.seconds:.1f} s>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"

    def as_json(self) -> dict:
        found = {
            "range": [str(self.range.first), str(self.range.last)],
            "seconds": round(self.seconds, 3),
            "days": self.days,
            "steps": self.steps,
            "partitions": self.partitions,
            "rows": self.rows,
            "failures": [structs.asdict(failure) for failure in self.failures],
        }
        if self.input_notes:
            found["notes"] = self.input_notes
        if self.shared is not None:
            found["shared"] = self.shared
        return found if self.plan is None else {**found, "plan": self.plan, "causes": self.causes}

    def lines(self) -> list[str]:
        """The summary that a person reads, at most 80 columns wide where values allow."""
        days, steps, rows = self.days, self.steps, self.rows
        lines = [
            f"{self.range}: {days['done']} of {counted(days['total'], 'day')} done, "
            f"{days['empty']} empty, {days['failed']} failed, in {self.seconds:.1f} s",
            "steps       " + (", ".join(f"{count:,} {state}" for state, count in steps.items() if count) or "none"),
            "partitions  " + ", ".join(f"{count} {what}" for what, count in self.partitions.items()),
            *_removed_lines(self.removed_days),
            f"rows        {rows['read']:,} read, {rows['written']:,} in the output; left out: "
            f"{rows['null_keys']:,} null keys,",
            f"            {rows['duplicates']:,} duplicates, {rows['strays']:,} strays",
        ]
        if rows["strays"] * 2 > rows["read"]:
            lines += wrapped("most rows are strays: they lie in partitions that spine.lateness_days does not allow for "
                             "the days of their times", " " * 12)  # fmt: skip
        lines += _unusable_lines(self.unusable_days)
        lines += [line for note in self.input_notes for line in wrapped(note, "inputs      ")]
        lines += self.notes
        for error, failed in self._by_error().items():
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            lines.append(f"failed      {failed[0].day} {failed[0].step}{more}")
            lines += wrapped(error, " " * 12)
        if blocked := days["failed"] - len({failure.day for failure in self.failures}):
            lines.append(f"blocked     {counted(blocked, 'more day')}, which need what failed")
        if self.failures:
            lines.append(f"next        fix what failed, then run again; daeda explain day {self.failures[0].day}")
        if self.output and days["done"]:
            lines.append(_reading_line(self.output))
        return lines

    def _by_error(self) -> dict[str, list[Failure]]:
        """Failures that say the same, together: one bad file fails several steps."""
        found: dict[str, list[Failure]] = {}
        for failure in self.failures:
            found.setdefault(failure.error, []).append(failure)
        return found


def _reading_line(output: str) -> str:
    """How to read the partitions without the qid map, which lies beside them."""
    pattern = "" if is_uri(output) else f", or {output}/dt=*/*.parquet"
    return cut(f"read it     daedalus.load{pattern}")


def _unusable_lines(days: list[str]) -> list[str]:
    text = f"{counted(len(days), 'day')} with feed rows of which none can be used (NULL keys, strays, later duplicates)"
    return wrapped(f"{text}: daeda explain day {days[0]}", "empty       ") if days else []


def _removed_lines(days: list[str], most: int = 8) -> list[str]:
    lines = [cut(f"removed     dt={day}: its day has no feed rows any more") for day in days[:most]]
    return lines + ([f"            and {len(days) - most} more"] if len(days) > most else [])


def report_run(
    span: DayRange,
    outcomes: Mapping[str, Outcome],
    trusted: Mapping[str, dict],
    read: Mapping[str, dict],
    *,
    days: Iterable[str],
    empty: Iterable[str],
    written: set[str],
    removed: Iterable[str] = (),
) -> RunReport:
    """Sums up a walk. `trusted` are the days that were not walked, with their summaries; `read` what they read."""
    report = RunReport(span)
    tally = Counter(outcome.state for outcome in outcomes.values())
    tally[HIT] += cached_steps(trusted, read, outcomes)[0]
    report.steps = {state: tally[state] for state in STATES}
    chunks = {day: outcomes[f"{PARTITION}@{day}"] for day in days}
    found_empty = [day for day, chunk in chunks.items() if chunk.good and chunk.counts.get("empty")]
    report.empty_days = sorted([*empty, *found_empty, *(d for d, s in trusted.items() if s["empty"])])
    failed = [day for day, chunk in chunks.items() if not chunk.good]
    report.days = {
        "total": len(span),
        "done": len(span) - len(report.empty_days) - len(failed),
        "empty": len(report.empty_days),
        "failed": len(failed),
    }
    published = [day for day in chunks if day not in failed and day not in found_empty]
    kept_before = [day for day, summary in trusted.items() if not summary["empty"]]
    report.partitions = {
        "written": len(written & set(published)),
        "kept": len(set(published) - written) + len(kept_before),
    }
    report.unusable_days = found_empty
    report.removed_days = sorted(removed)
    if report.removed_days:
        report.partitions["removed"] = len(report.removed_days)
    report.rows = _rows(outcomes, {**read, **trusted}, trusted, chunks.values())
    report.failures = [
        Failure(outcome.day or "", kind_of(outcome.name), outcome.error)
        for outcome in outcomes.values()
        if outcome.state == FAILED
    ]
    return report


def _rows(
    outcomes: Mapping[str, Outcome],
    known: Mapping[str, dict],
    trusted: Mapping[str, dict],
    chunks: Iterable[Outcome],
) -> dict[str, int]:
    """Feed rows of every partition in the range's windows, each counted once, and the rows of the output."""
    spines = {day: summary["rows"] for day, summary in known.items()}
    spines |= {outcome.day or "": outcome.counts for outcome in outcomes.values() if outcome.step == "spine"}
    written = sum(summary["written"] for summary in trusted.values())
    written += sum(chunk.counts.get("written", 0) for chunk in chunks if chunk.good)
    return {**feed_rows(spines), "written": written}


def cached_steps(
    trusted: Mapping[str, dict], read: Mapping[str, dict], walked: Container[str] = ()
) -> tuple[int, float]:
    """(how many, their seconds when they ran) of the steps of days not walked and of the tiles they read.

    `trusted` and `read` are the summaries of either by day; steps in `walked` were looked up by name.
    """
    count, seconds = 0, 0.0
    for day, summary in [*trusted.items(), *read.items()]:
        if day in trusted:
            count, seconds = count + summary["own"], seconds + summary["seconds"]
        for tile, cost in summary["tiles"].items():
            if (f"{tile}@{day}" if day and "@" not in tile else tile) not in walked:
                count, seconds = count + 1, seconds + cost
    return count, seconds


def cached_note(outcomes: Mapping[str, Outcome], hits: int, seconds: float) -> list[str]:
    """What all `hits` took when they ran; `seconds` are those of the hits that were not walked."""
    seconds += sum(outcome.seconds for outcome in outcomes.values() if outcome.state == HIT)
    return [f"saved       {seconds:,.1f} s ({hits:,} steps cached)"] if hits else []


def no_feed_note(span: list[str], found: bool) -> list[str]:
    """Which days the feed has, for a range that has none of them."""
    return [] if found else [f"note        the feed has no day of the range; it has {span[0]} to {span[1]}"]
