"""`daeda explain row` as lines: each event once, with the windows that it is in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from daedalus.words import cut


def row_lines(found: dict, most: int = 12) -> list[str]:
    """Of one column every event with its reason; of all columns each aggregation's events once."""
    lines = []
    for row in found["rows"]:
        lines.append(
            f"user {found['user_id']}, artwork {found['artwork_id']}, {row['event']} at {row['event_timestamp']}"
        )
        for name, windows in _aggregations(row["columns"]).items():
            lines += _aggregation(name, windows, most)
    return [cut(line) for line in lines]


def _aggregations(columns: Mapping[str, dict]) -> dict[str, dict[str, dict]]:
    """Columns by aggregation, then by window; "" for those without one. A single column stands for itself."""
    found: dict[str, dict[str, dict]] = {}
    for column, listed in columns.items():
        match = re.fullmatch(r"(.+)_(\d+[smhdw])", column) if len(columns) > 1 else None
        name, window = match.groups() if match else (column, "")
        found.setdefault(name, {})[window] = listed
    return found


def _aggregation(name: str, windows: Mapping[str, dict], most: int) -> list[str]:
    counted: dict[tuple, list[str]] = {}
    left_out: dict[tuple, str] = {}  # why, by the longest window, which stands last
    for window, listed in windows.items():
        for event in listed["counted"]:
            counted.setdefault(_key(event), []).append(window)
        left_out |= {_key(event): event["why"] for event in listed["left_out"]}
    newest = {
        _key(event): event for listed in windows.values() for part in ("counted", "left_out") for event in listed[part]
    }
    left_out = {key: why for key, why in left_out.items() if key not in counted}
    sizes = ", ".join(f"{window} {len(listed['counted'])}".strip() for window, listed in windows.items())
    lines = [f"  {name}: {sizes} counted, {len(left_out)} left out"]
    ordered = sorted(counted, key=lambda key: str(key[0]), reverse=True)
    lines += [f"    + {_in(counted[key])}{_event(newest[key])}" for key in ordered[:most]]
    lines += [f"    - {why}: {_event(newest[key])}" for key, why in list(left_out.items())[:most]]
    hidden = sum(max(len(part) - most, 0) for part in (counted, left_out))
    column = f"{name}_{list(windows)[-1]}".rstrip("_")
    return lines + ([f"      and {hidden} more: --column {column} --json"] if hidden else [])


def _in(windows: Iterable[str]) -> str:
    return " ".join(window for window in windows if window) + " " * any(windows)


def _key(event: Mapping) -> tuple:
    value = event["value"]
    return event["event_timestamp"], event["event"], event["artwork_id"], event["file"], str(value)


def _event(event: Mapping) -> str:
    value = "" if event["value"] in (None, event["artwork_id"]) else f" -> {event['value']}"
    return f"{event['event_timestamp']} {event['event']} {event['artwork_id']}{value} {event['file']}"
