"""What is kept of a day that is done: how many steps, what they took, and its rows."""

from __future__ import annotations

from collections.abc import Iterable

from daedalus.skeleton.steps import TILE_STEPS
from daedalus.stagecache.outcome import BLOCKED, FAILED, Outcome


def day_summary(outcomes: Iterable[Outcome]) -> dict | None:
    """What `--resume` needs to know of a finished day; None when the day is not done."""
    found = list(outcomes)
    chunk = next((outcome for outcome in found if outcome.step == "chunk"), None)
    if chunk is None or not chunk.good or any(outcome.state in (FAILED, BLOCKED) for outcome in found):
        return None
    own = [outcome for outcome in found if outcome.step not in TILE_STEPS]
    return {
        "own": len(own),
        "seconds": sum(outcome.seconds for outcome in own),
        "tiles": tile_costs(outcome for outcome in found if outcome.step in TILE_STEPS),
        "written": chunk.counts.get("written", 0),
        "empty": bool(chunk.counts.get("empty")),
        "chunk": chunk.key,
        "rows": spine_rows(found),
    }


def tile_costs(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Seconds of each tile by its name, without the day that it belongs to."""
    return {outcome.name.removesuffix(f"@{outcome.day}"): outcome.seconds for outcome in outcomes}


def spine_rows(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Rows of a feed day's own partition, by what became of them."""
    counts = next((outcome.counts for outcome in outcomes if outcome.step == "spine"), {})
    return {key: counts.get(key, 0) for key in ("read", "null_keys", "duplicates", "strays")}
