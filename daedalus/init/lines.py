"""What init found, as a person reads it on 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

from daedalus.base.terminal_text import wrapped
from daedalus.init.propose import CACHE_ROOT, OUTPUT_ROOT

_NOTHING = "nothing had to be guessed; `as_of`, `windows` and `output_columns` are for you to choose"


def init_lines(found: Mapping) -> list[str]:
    """What was found, what to check, and the next commands, at most 80 columns where names allow."""
    events = ", ".join(f"{event} {share:.0%}" for event, share in found["events"].items())
    lines = [
        *wrapped(", ".join(found["files"]), "wrote       "),
        *wrapped(f"{found['days'][0]} to {found['days'][1]}; {events}", "feed        "),
        *wrapped(", ".join(found["views"]) or "none", "views       "),
        *wrapped(", ".join(found["aggregations"]), "windows     "),
        *wrapped(f"{found['output_root']}, cache {found['cache_root']}{_why_other_roots(found)}", "output      "),
        *(text for guess in found["guesses"] for text in _guessed(guess)),
        *(text for line in found["left_out"] for text in wrapped(line, "left out    ")),
    ]
    for place, edit in enumerate(found["edits"], 1):
        lines += [
            f"look at {place:<4}{edit['file']}: {edit['key']}",
            *wrapped(f"{edit['why']}; put {edit['put']}", " " * 12),
        ]
    if not found["edits"]:
        lines += wrapped("nothing is in doubt" if found["guesses"] else _NOTHING, "look at     ")
    option = "" if found["config"] == "config" else f" --config {found['config']}"
    day = found["days"][1]
    return [*lines, f"next        daeda config check{option}", f"            daeda run --range {day}{option}"]


def _guessed(guess: Mapping) -> list[str]:
    return wrapped(f"{guess['key']}: {guess['value']} ({guess['sure']}, by {guess['by']})", "found       ")


def _why_other_roots(found: Mapping) -> str:
    return "" if found["output_root"] == OUTPUT_ROOT else f"; {OUTPUT_ROOT} or {CACHE_ROOT} is not empty"
