"""What a run did, as an object, as JSON and as lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from daedalus.base.days import DayRange
from daedalus.base.durable import PARTS
from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_DONE
from daedalus.base.terminal_text import counted, cut, printable, wrapped
from daedalus.config.steps import PARTITION, SKELETON, Stage
from daedalus.objectstore.object_store import is_uri
from daedalus.stagecache.walk.outcome import BLOCKED, FAILED, HIT, STATES, Outcome
from daedalus.workspace.day_results import DayResult, Failure, failure_of, results_of
from daedalus.workspace.day_summary import FUNNEL, feed_rows, funnel_of, left_out

if TYPE_CHECKING:
    from daedalus.shapes.common import DayLeft, Expected, RootCause
    from daedalus.shapes.run import Days, Numbers, Partitions, Plan, Rows, Run, Shared, Steps

_FAILURES_KEPT = 20  # of a run, for `daeda runs`


@dataclass(repr=False)
class RunReport:
    """The outcome of a run; `as_json()` is what `--json` prints, but for `schema`.

    Of a run of several stages `stages` has the report of each, and the numbers here are their sums.
    """

    range: DayRange
    seconds: float = 0.0
    days: dict[str, int] = field(default_factory=dict)  # total, done, empty, failed; blocked, if there are any
    steps: dict[str, int] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=lambda: {"written": 0, "kept": 0})
    rows: dict[str, int] = field(default_factory=dict)
    funnel: dict[str, int] = field(default_factory=dict)  # rows of the days done after each step that drops some
    failures: list[Failure] = field(default_factory=list)  # every step that failed, also on days before the range
    results: dict[str, DayResult] = field(default_factory=dict)  # of the days that failed or are blocked
    plan: list[dict[str, object]] | None = None
    causes: list[RootCause] = field(default_factory=list)
    last: dict[str, DayLeft] = field(default_factory=dict)  # of a plan: what the last run left undone
    empty_days: list[str] = field(default_factory=list)
    unusable_days: list[str] = field(default_factory=list)  # they have feed rows, but none that can be used
    outdated_days: list[str] = field(default_factory=list)  # failed or blocked, with a partition of an earlier run
    removed_days: list[str] = field(default_factory=list)  # their partition went, for they have no rows any more
    changes: list[str] = field(default_factory=list)  # what of the partitions that were there before
    notes: list[str] = field(default_factory=list)
    input_notes: list[str] = field(default_factory=list)  # versions of tables; what is surely not what was meant
    shared: Shared | None = None  # what the shared cache gave and took
    expect: Expected | None = None  # with `expect`, what of the days is not as it should be
    output: str = ""  # where the partitions are
    stages: dict[str, RunReport] = field(default_factory=dict)
    compile: str = ""  # the digest of what the configuration means, where it was worked out
    options: str = ""  # `Settings.options`, for the commands that it names
    command: str = "daeda skeleton"  # that runs the same again, but for the range

    @property
    def exit_code(self) -> int:
        unexpected = self.expect and self.expect["breaks"] and self.expect["on_break"] == "fail"
        return EXIT_DAY_FAILED if self.results or unexpected else EXIT_DONE

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
        counts = ", ".join(f"{days.get(state, 0)} {state}" for state in ("done", "empty", FAILED, BLOCKED))
        return f"<RunReport {self.range}: {counts}; {ran} steps ran, {self.seconds:.1f} s>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"

    def as_json(self) -> Run | Plan:
        found: Run = {
            "range": [str(self.range.first), str(self.range.last)],
            "seconds": round(self.seconds, 3),
            **self.numbers(),
        }
        if self.stages:
            found["stages"] = {name: report.numbers() for name, report in self.stages.items()}
        if self.compile:
            found["compile"] = self.compile
        if self.input_notes:
            found["notes"] = self.input_notes
        if self.shared is not None:
            found["shared"] = self.shared
        if self.expect is not None:
            found["expect"] = self.expect
        if self.plan is None:
            return found
        return cast("Plan", {**found, "plan": self.plan, "causes": self.causes, "last": self.last})

    def numbers(self) -> Numbers:
        """What is counted, and what failed: of all stages, or of one."""
        return {
            "days": cast("Days", self.days),
            "steps": cast("Steps", self.steps),
            "partitions": cast("Partitions", self.partitions),
            "rows": cast("Rows", self.rows),
            "funnel": self.funnel,
            "failures": [failure.as_json() for failure in self.failures],
            "blocked": [
                {
                    "day": day,
                    "by": [{"day": one.day, "step": one.step} for one in result.failures],
                    "through": list(result.through),
                }
                for day, result in self.results.items()
                if result.state == BLOCKED
            ],
        }

    def ended(self) -> dict:
        """What `daeda runs` shows of a run in which something failed, or is not as expected: each day once, whatever
        stages it has."""
        failures = [failure.as_json() for failure in self.failures[:_FAILURES_KEPT]]
        states = Counter(result.state for result in self.results.values())
        breaks = self.expect["breaks"] if self.expect else []
        return {FAILED: states[FAILED], BLOCKED: states[BLOCKED], "failures": failures,
                "unexpected": len({row["day"] for row in breaks}), "breaks": breaks[:_FAILURES_KEPT]}  # fmt: skip

    def lines(self) -> list[str]:
        """The summary that a person reads, at most 80 columns wide where values allow; what failed comes first."""
        lines = self._title()
        if self.failures or self.results:
            from daedalus.explain.failure_lines import failure_lines, next_lines

            found = {day: result.as_json() for day, result in self.results.items()}
            lines += [
                *failure_lines([one.as_json() for one in self.failures], found),
                *next_lines(found, self.command, self.options, str(self.range)),
            ]
        if self.expect is not None:
            from daedalus.statistics.judge import expect_lines

            lines += expect_lines(self.expect, ends=True)
        lines += [*self.changes, *_removed_lines(self.removed_days)]
        lines.append("steps       " + _counts(self.steps))
        lines += _partition_lines(self.stages or {"": self})
        lines += _row_lines(self._first.rows)
        lines += [] if self.failures else _funnel_lines(self.funnel)
        lines += _unusable_lines(self.unusable_days, self.options)
        lines += [line for note in self.input_notes for line in wrapped(note, "inputs      ")]
        lines += self.notes
        if self.output and self.days["done"] and not self.failures:
            last = [*self.stages.values()][-1] if self.stages else self
            lines.append(_reading_line(last.output, enriched=bool(self.stages)))
        return lines

    @property
    def ended_badly(self) -> bool:
        """Whether there is more to tell of the run than what it made."""
        return bool(self.failures or (self.expect and self.expect["breaks"]))

    @property
    def _first(self) -> RunReport:
        """The report of the skeleton."""
        return next(iter(self.stages.values())) if self.stages else self

    def _title(self) -> list[str]:
        """How many days are done: in all stages alike, or a line a stage."""
        said = {name: _days_text(report.days) for name, report in (self.stages or {"": self}).items()}
        took = f"in {self.seconds:.1f} s"
        if len(set(said.values())) > 1:
            return [f"{self.range}, {took}", *(f"{name:<12}{text}" for name, text in said.items())]
        return [f"{self.range}: {next(iter(said.values()))}, {took}"]


def _days_text(days: Mapping[str, int]) -> str:
    also = "".join(f", {days[state]:,} {state}" for state in (FAILED, BLOCKED, "empty") if days.get(state))
    return f"{days['done']:,} of {counted(days['total'], 'day')} done{also}"


def _partition_lines(stages: Mapping[str, RunReport]) -> list[str]:
    """What was published, in each stage that has a name."""
    labels = ["partitions  ", *[" " * 12] * (len(stages) - 1)]
    texts = (
        f"{name}: {_counts(report.partitions)}" if name else _counts(report.partitions)
        for name, report in stages.items()
    )
    outdated = map(_outdated, (report.outdated_days for report in stages.values()))
    return [f"{label}{text}{more}" for label, text, more in zip(labels, texts, outdated, strict=True)]


def _outdated(days: list[str]) -> str:
    return f"; {counted(len(days), 'partition')} of earlier runs left as they were, out of date" if days else ""


def _counts(found: Mapping[str, int]) -> str:
    """The counts that are not 0."""
    return ", ".join(f"{count:,} {what}" for what, count in found.items() if count) or "none"


def _funnel_lines(funnel: Mapping[str, int]) -> list[str]:
    shown = [f"{label} {rows:,}" for label, rows in funnel.items() if label != PARTITION]  # as many as content leaves
    return wrapped(" > ".join(shown), "funnel      ") if shown else []


def _row_lines(rows: Mapping[str, int]) -> list[str]:
    """Feed rows, those left out by reason, and rows of the output."""
    text = f"{rows['read']:,} read, {rows['written']:,} in the output{left_out(rows)}"
    lines = wrapped(text, "rows        ", " " * 12)
    if rows["strays"] * 2 > rows["read"]:
        lines += wrapped("most rows are strays: their times are not of the days that spine.lateness_days allows for "
                         "their partitions", " " * 12)  # fmt: skip
    return lines


def _reading_line(output: str, *, enriched: bool) -> str:
    """How to read the partitions without the qid map, which lies beside them."""
    pattern = "" if is_uri(output) else f", or {output}/dt=*/*.{PARTS.rpartition('.')[2]}"
    call = 'daedalus.load(stage="enrich")' if enriched else "daedalus.load"
    return cut(f"read it     {call}{pattern}")


def _unusable_lines(days: list[str], options: str) -> list[str]:
    text = (
        f"{counted(len(days), 'day')} have feed rows, but none that can be used (NULL keys, strays, later duplicates)"
    )
    return wrapped(f"{text}: daeda explain day {days[0]}{options}", "empty       ") if days else []


def _removed_lines(days: list[str], most: int = 8) -> list[str]:
    lines = [cut(f"removed     dt={day}: its day has no feed rows any more") for day in days[:most]]
    return lines + ([f"            and {len(days) - most} more"] if len(days) > most else [])


def report_run(
    span: DayRange,
    outcomes: Mapping[str, Outcome],
    trusted: Mapping[str, dict],
    read: Mapping[str, dict],
    stage: Stage = SKELETON,
    *,
    days: Iterable[str],
    empty: Iterable[str],
    written: set[str],
    removed: Iterable[str] = (),
) -> RunReport:
    """Sums up a stage of a walk. `trusted` are the days that were not walked, with their summaries; `read` what they
    read."""
    report, everything = RunReport(span), outcomes
    outcomes = {name: outcome for name, outcome in everything.items() if outcome.step in stage.steps}
    tally = Counter(outcome.state for outcome in outcomes.values())
    tally[HIT] += cached_steps(trusted, read, outcomes)[0]
    report.steps = {state: tally[state] for state in STATES}
    chunks = {day: outcomes[f"{stage.partition}@{day}"] for day in days}
    found_empty = [day for day, chunk in chunks.items() if chunk.good and chunk.counts.get("empty")]
    report.empty_days = sorted([*empty, *found_empty, *(d for d, s in trusted.items() if s["empty"])])
    report.results = results_of(everything, chunks, stage)
    states = Counter(result.state for result in report.results.values())
    report.days = {
        "total": len(span),
        "done": len(span) - len(report.empty_days) - len(report.results),
        "empty": len(report.empty_days),
        FAILED: states[FAILED],
    }
    if states[BLOCKED]:
        report.days[BLOCKED] = states[BLOCKED]
    published = [day for day in chunks if day not in report.results and day not in found_empty]
    kept_before = [day for day, summary in trusted.items() if not summary["empty"]]
    report.partitions = {
        "written": len(written & set(published)),
        "kept": len(set(published) - written) + len(kept_before),
    }
    report.unusable_days = found_empty
    report.removed_days = sorted(removed)
    if report.removed_days:
        report.partitions["removed"] = len(report.removed_days)
    report.funnel = _funnel(outcomes, trusted, [*published, *found_empty])
    report.rows = _rows(outcomes, {**read, **trusted}, trusted, chunks.values())
    report.failures = [failure_of(outcome) for outcome in outcomes.values() if outcome.state == FAILED]
    return report


def report_of_stages(reports: dict[str, RunReport]) -> RunReport:
    """The report of a run of some stages: the one's own, or the sums of several."""
    first, *more = reports.values()
    if not more:
        return first
    whole = RunReport(first.range, stages=reports, output=first.output, funnel=first.funnel)
    for report in reports.values():
        for name in ("days", "steps", "partitions", "rows"):
            added = Counter(getattr(whole, name))
            added.update(getattr(report, name))
            setattr(whole, name, dict(added))
        whole.failures += report.failures
        for day, result in report.results.items():
            whole.results.setdefault(day, result)  # what failed in a stage blocks the next
        for name in ("empty_days", "unusable_days", "outdated_days", "removed_days"):
            setattr(whole, name, sorted({*getattr(whole, name), *getattr(report, name)}))
    return whole


def _funnel(outcomes: Mapping[str, Outcome], trusted: Mapping[str, dict], walked: Iterable[str]) -> dict[str, int]:
    """Rows after each step that drops some, over the days that are done."""
    of_day: dict[str, dict] = {day: {} for day in walked}
    for outcome in outcomes.values():
        if outcome.day in of_day:
            of_day[outcome.day][outcome.step] = outcome.counts
    days = [*map(funnel_of, of_day.values()), *(summary.get("funnel", {}) for summary in trusted.values())]
    return {label: sum(day.get(label, 0) for day in days) for label in FUNNEL} if any(days) else {}


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
