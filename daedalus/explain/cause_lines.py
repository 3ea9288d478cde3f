"""Causes as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from daedalus.base.terminal_text import cut, room, shown_apart

_SHORT = 60  # characters of a value that are shown whole beside another


def headline(cause: Mapping) -> str:
    """A cause in a few words, without its values."""
    if cause["kind"] == "missing":
        return cause["what"]
    note = "" if not _is_feed_day(cause) else ": gone" if cause["new"] is None else ": new"
    return f"{cause['kind']} {cause['what']}{note}"


def _is_feed_day(cause: Mapping) -> bool:
    return cause["kind"] == "input" and str(cause["what"]).startswith("feed ")


def cause_lines(cause: Mapping) -> list[str]:
    """A root cause with the steps that it affects, old and new value."""
    steps = cause["steps"]
    affected = steps[0] + (f" and {len(steps) - 1:,} more" if len(steps) > 1 else "")
    cached = ", all cached" if cause.get("cached") else ""
    lines = [f"  {headline(cause)} ({affected}{cached})"]
    if cause["kind"] == "code" and cause.get("diff"):
        lines += [f"      {line}" for line in cause["diff"]]
    elif _is_feed_day(cause):
        lines += [f"    - {cause['old']}"] if cause["old"] else []
    elif cause["kind"] != "missing":
        lines += value_lines(cause)
    return [cut(line) for line in lines]


def with_diff(cause: Mapping) -> dict:
    """A cause whose `diff` says what came and went, where its values are too long to stand beside each other."""
    long = max(len(cause["old"] or ""), len(cause["new"] or "")) > _SHORT
    if not long or cause.get("diff") or None in (cause["old"], cause["new"]):
        return {**cause}
    return {**cause, "diff": [line.strip() for line in value_lines(cause)]}


def value_lines(cause: Mapping) -> list[str]:
    """Old and new value; of lists that are too long for a line only the members removed and added."""
    pair = [_listed(cause, value) for value in (cause["old"], cause["new"])]
    texts = [_text(items, value) for items, value in zip(pair, (cause["old"], cause["new"]), strict=True)]
    old, new = pair
    if old is not None and new is not None and max(map(len, texts)) > (room() or 80) - 6:
        removed, added = ([item for item in one if item not in other] for one, other in ((old, new), (new, old)))
        lines = [f"    {sign} {', '.join(items)}" for sign, items in (("-", removed), ("+", added)) if items]
        if lines:
            return lines
    shown = shown_apart(*texts)
    return [f"    {sign} {text}" for sign, text in zip("-+", shown, strict=True)]


def _listed(cause: Mapping, value: str | None) -> list[str] | None:
    """The members of a list as the config has them: windows without their aggregation, columns without their makers."""
    try:
        items = json.loads(value or "null")
    except ValueError:
        return None
    if not isinstance(items, list):
        return None
    names = [item[0] if isinstance(item, list) and item else item for item in items]
    aggregation = cause["what"].removeprefix("aggregations.").removesuffix(".windows")
    return [str(name).removeprefix(f"{aggregation}_") for name in names]


def _text(items: Iterable[str] | None, value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if items is None else f"[{', '.join(items)}]"
