"""What is kept of a day that is done: how many steps, what they took, and its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from daedalus.base.days import ONE_DAY, Day
from daedalus.base.terminal_text import counted
from daedalus.config.steps import OF_A_FEED_DAY, PARTITION, SKELETON, Stage
from daedalus.stagecache.walk.outcome import BLOCKED, FAILED, Outcome

LEFT_OUT = {"null_keys": "null key", "duplicates": "duplicate", "strays": "stray"}  # rows, as people call one
FEED_ROWS = ("read", *LEFT_OUT)  # of a feed's rows: all, and those left out

FUNNEL = {
    "spine": ("spine", "spine"),
    "coverage": ("sessions", "target"),
    "sessions": ("sessions", "rows"),
    "content": ("content", "rows"),
    "chunk": (PARTITION, "written"),
}  # label -> (step, count)


def day_summary(outcomes: Iterable[Outcome], stage: Stage = SKELETON) -> dict | None:
    """What `--resume` needs to know of a day that is finished in a stage; None when it is not done."""
    found = [outcome for outcome in outcomes if outcome.step in stage.steps]
    chunk = next((outcome for outcome in found if outcome.step == stage.partition), None)
    if chunk is None or not chunk.good or any(outcome.state in (FAILED, BLOCKED) for outcome in found):
        return None
    own = [outcome for outcome in found if outcome.step not in OF_A_FEED_DAY]
    return {
        "own": len(own),
        "seconds": sum(outcome.seconds for outcome in own),
        "tiles": tile_costs(outcome for outcome in found if outcome.step in OF_A_FEED_DAY),
        "written": chunk.counts.get("written", 0),
        "empty": bool(chunk.counts.get("empty")),
        "chunk": chunk.key,
        "rows": spine_rows(found),
        "funnel": funnel_of({outcome.step: outcome.counts for outcome in found}),
    }


def run_summary(outcomes: Iterable[Outcome], stages: Iterable[Stage]) -> dict | None:
    """The day's summaries in all stages in one, as a run keeps it: see `summary_of`. None when one is not done."""
    found, whole = list(outcomes), dict[str, Any]()
    for stage in stages:
        summary = day_summary(found, stage)
        if summary is None:
            return None
        whole |= summary if stage is SKELETON else {stage.name: summary}
    return whole


def summary_of(summary: Mapping[str, Any], stage: Stage) -> dict:
    """A stage's part of a summary in all stages."""
    return {**(summary if stage is SKELETON else summary[stage.name])}


def funnel_of(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """A day's rows after each step that drops some, by FUNNEL's labels, of the counts of its steps."""
    return {label: counts[step][count] for label, (step, count) in FUNNEL.items() if count in counts.get(step, {})}


def tile_costs(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Seconds of each tile by its name, without the day that it belongs to."""
    return {outcome.name.removesuffix(f"@{outcome.day}"): outcome.seconds for outcome in outcomes}


def spine_rows(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """What a feed day's spine counted of the rows in its partitions."""
    return of_feed(next((outcome.counts for outcome in outcomes if outcome.step == "spine"), {}))


def of_feed(counts: Mapping[str, int]) -> dict[str, int]:
    """Of a spine's counts those that `feed_rows` adds up."""
    return {key: count for key, count in counts.items() if key.partition("+")[0] in FEED_ROWS}


def left_out(rows: Mapping[str, int]) -> str:
    """Of `feed_rows` what was left out, such as `; left out: 1 null key, 28 duplicates`; "" for nothing."""
    parts = [counted(rows[key], noun) for key, noun in LEFT_OUT.items() if rows[key]]
    return f"; left out: {', '.join(parts)}" if parts else ""


def feed_rows(spines: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """FEED_ROWS over what the spines of feed days counted, each partition once, whichever of them read it.

    A spine's `read` is of its day's partition, `read+1` of the next day's, where late rows may lie.
    """
    partitions: dict[tuple[str, str], int] = {}
    for day, counts in spines.items():
        for key, count in counts.items():
            kind, _, late = key.partition("+")
            if kind in FEED_ROWS:
                partitions[kind, str(Day.fromisoformat(day) + int(late) * ONE_DAY) if late else day] = count
    rows = dict.fromkeys(FEED_ROWS, 0)
    for (kind, _), count in partitions.items():
        rows[kind] += count
    return rows
