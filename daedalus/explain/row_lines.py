"""`daeda explain row` as lines: each event once, with the windows that it is in and why it is not in the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from daedalus.base.terminal_text import counted, cut

_ROWS, _SEEN, _LEFT_OUT = 3, 12, 4  # lines at most; events left out also get the lines that seen ones leave free


@dataclass
class _Event:
    """An event, over all windows of one aggregation."""

    text: str
    seen: list[str] = field(default_factory=list)  # windows in which a value of it counts
    values: dict[str, None] = field(default_factory=dict)  # those that count, in order
    why: dict[str, list[str]] = field(default_factory=dict)  # reason -> windows in which nothing of it counts
    without: dict[str, str] = field(default_factory=dict)  # value that never counts -> reason

    def line(self) -> str:
        left_out = [f"{' '.join(windows)} ({why})" for why, windows in self.why.items()]
        if self.seen:
            head = ", not ".join([" ".join(self.seen), *left_out])
            return f"    + {head} {self.text}{self._values()}" if head else f"    + {self.text}{self._values()}"
        alone = len(self.why) == 1  # in all windows for one reason
        return f"    - {next(iter(self.why)) if alone else ', '.join(left_out)}: {self.text}"

    def _values(self) -> str:
        never = [f"not {value} ({why})" for value, why in self.without.items() if value not in self.values]
        shown = ", ".join([*self.values, *never])
        return f" -> {shown}" if shown else ""


def row_lines(found: dict) -> list[str]:
    """The first rows, each with every aggregation and its events: those seen, then those left out, newest first."""
    lines = []
    for row in found["rows"][:_ROWS]:
        lines.append(
            f"user {found['user_id']}, artwork {found['artwork_id']}, {row['event']} at {row['event_timestamp']}"
        )
        for name, windows in _aggregations(row["columns"]).items():
            lines += _aggregation(name, windows)
        for name, vector in row["vectors"].items():
            lines += _mean(name, vector) if "mean_of" in vector else _of(name, vector)
    if more := len(found["rows"]) - _ROWS:
        lines += [f"and {counted(more, 'row')} more of that user and artwork: --json"] * (more > 0)
    return [cut(line) for line in lines]


def _of(name: str, vector: Mapping) -> list[str]:
    if vector["id"] is None:
        return [f"  {name}: NULL, because {vector['of']} is NULL"]
    if not vector["has_vector"]:
        return [f"  {name}: NULL, because {vector['of']} {vector['id']} has no vector"]
    return [f"  {name}: the vector of {vector['of']} {vector['id']}", *_components(vector)]


def _mean(name: str, vector: Mapping) -> list[str]:
    """The ids by weight, then those that have no vector and those beyond max_items."""
    count = sum(one["times"] for one in vector["counted"])
    head = f"the mean of {counted(count, 'vector')}" if count else "NULL, because no id has a vector"
    lines = [f"  {name}: {head}, of {vector['mean_of']}"]
    ids = sorted(vector["counted"], key=lambda one: -one["times"])
    lines += [f"    + {one['weight']:>6.1%} {one['id']}" + f", {one['times']} times" * (one["times"] > 1)
              for one in ids[:_SEEN]]  # fmt: skip
    lines += [f"      and {counted(len(ids) - _SEEN, 'id')} more: --column {name} --json"] * (len(ids) > _SEEN)
    lines += [f"    - of length {length}, not usable: {one}" for one, length in vector["not_usable"].items()]
    for why, key in (("no vector", "without_vector"), (f"beyond max_items ({vector['max_items']})", "beyond")):
        if left := vector[key]:
            more = ", …" if len(left) > _SEEN else ""
            lines.append(f"    - {why}: {counted(len(left), 'id')}, {', '.join(map(str, left[:_SEEN]))}{more}")
    return lines + (_components(vector) if count else [])


def _components(vector: Mapping) -> list[str]:
    if vector["components"] is None:
        return ["    = not available: the row's session is not in the output, or the day fails"]
    more = ", …" if vector["length"] > len(vector["components"]) else ""
    shown = ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in vector["components"])
    return [f"    = {shown}{more} ({vector['length']} components)"]


def _aggregations(columns: Mapping[str, dict]) -> dict[str, dict[str, dict]]:
    """Columns by aggregation, then by window; "" for those without one. A single column is not split."""
    found: dict[str, dict[str, dict]] = {}
    for column, listed in columns.items():
        match = re.fullmatch(r"(.+)_(\d+[smhdw])", column) if len(columns) > 1 else None
        name, window = match.groups() if match else (column, "")
        found.setdefault(name, {})[window] = listed
    return found


def _aggregation(name: str, windows: Mapping[str, dict]) -> list[str]:
    events = _events(windows)
    seen = [event.line() for event in events if event.seen]
    left_out = [event.line() for event in events if not event.seen]
    sizes = ", ".join(f"{window} {len(listed['counted'])}".strip() for window, listed in windows.items())
    lines = [f"  {name}: {sizes} counted, {counted(len(left_out), 'event')} left out", *seen[:_SEEN],
             *left_out[: max(_SEEN - len(seen), _LEFT_OUT)]]  # fmt: skip
    hidden = len(seen) + len(left_out) - (len(lines) - 1)
    column = f"{name}_{list(windows)[-1]}".rstrip("_")
    return lines + ([f"      and {counted(hidden, 'event')} more: --column {column} --json"] if hidden else [])


def _events(windows: Mapping[str, dict]) -> list[_Event]:
    """The events of all windows, newest first."""
    found: dict[tuple, _Event] = {}
    for window, listed in windows.items():
        for one in (*listed["counted"], *listed["left_out"]):
            event = found.setdefault(_key(one), _Event(_text(one)))
            value = None if one["value"] in (None, one["artwork_id"]) else str(one["value"])
            if "why" in one:
                if value is not None:
                    event.without.setdefault(value, one["why"])
                if window not in event.seen and not any(window in others for others in event.why.values()):
                    event.why.setdefault(one["why"], []).append(window)
            elif window not in event.seen:
                event.seen.append(window)
            if "why" not in one and value is not None:
                event.values[value] = None
    return [found[key] for key in sorted(found, key=lambda key: str(key[0]), reverse=True)]


def _key(event: Mapping) -> tuple:
    """What identifies an event; an exact duplicate is an event beside the one that counts."""
    again = event.get("why") == "an exact duplicate"
    return event["event_timestamp"], event["event"], event["artwork_id"], event["file"], again, event.get("user_id")


def _text(event: Mapping) -> str:
    by = f" by {event['user_id']}" if "user_id" in event else ""
    return f"{event['event_timestamp']} {event['event']} {event['artwork_id']}{by} {event['file']}"
