"""Failed and blocked days as lines for people, the same on every screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from daedalus.base.days import Day
from daedalus.base.errors import problem_lines
from daedalus.base.terminal_text import counted, printable, wrapped
from daedalus.stagecache.walk.outcome import BLOCKED, FAILED

_ROOTS = 4  # that a line names, and groups of days that are listed
_INDENT = " " * 12


def failure_lines(failures: Iterable[Mapping], results: Mapping[str, Mapping]) -> list[str]:
    """What failed, each error once, as a refusal has it; then which days that blocks, through what.

    `failures` and `results` (by day) are as `Failure.as_json` and `DayResult.as_json` give them.
    """
    lines: list[str] = []
    groups = by_error(failures)
    for alike in groups[:_ROOTS]:
        lines += wrapped(places_of(alike), "failed      ", _INDENT)
        lines += problem_lines(alike[0], _INDENT)
    if len(groups) > _ROOTS:
        lines.append(f"{_INDENT}and {counted(len(groups) - _ROOTS, 'other error')}: daeda explain day DAY")
    return [*lines, *_blocked_lines(results)]


def by_error(failures: Iterable[Mapping]) -> list[list[Mapping]]:
    """The failures that say the same together: one bad file fails several steps."""
    found: dict[str, list[Mapping]] = {}
    for failure in failures:
        found.setdefault(failure["error"], []).append(failure)
    return list(found.values())


def failures_of(results: Mapping[str, Mapping]) -> list[Mapping]:
    """What the results name as failed, each once."""
    return list({place_of(one): one for result in results.values() for one in result["failures"]}.values())


def places_of(failures: Iterable[Mapping]) -> str:
    """Where the same went wrong, in few words."""
    return _named(list(map(place_of, failures)))


def place_of(failure: Mapping) -> str:
    """Such as `2026-05-15 spine`."""
    return f"{failure['day']} {failure['step']}".strip()


def failure_sentences(results: Mapping[str, Mapping]) -> list[str]:
    """The same as sentences, for lists: what failed, then what that blocks."""
    failed = [f"{places_of(alike)} failed: {alike[0]['error']}" for alike in by_error(failures_of(results))]
    return [*failed, *(f"blocked: {text}" for text in _blocked_texts(results))]


def _blocked_lines(results: Mapping[str, Mapping]) -> list[str]:
    lines: list[str] = []
    for text in _blocked_texts(results):
        lines += wrapped(text, _INDENT if lines else "blocked     ", _INDENT)
    return lines


def _blocked_texts(results: Mapping[str, Mapping]) -> list[str]:
    """Blocked days by what they need, and through what; the largest groups first."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for day, result in results.items():
        if result["state"] == BLOCKED:
            groups.setdefault(tuple(map(place_of, result["failures"])), []).append(day)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    texts = []
    for places, days in ordered[:_ROOTS]:
        through = dict.fromkeys(name for day in days for name in results[day]["through"])
        need = "need" if len(days) > 1 else "needs"
        texts.append(f"{days_text(days)} {need} {_named(places)}{_through(list(through))}")
    rest = sum(len(days) for _, days in ordered[_ROOTS:])
    return [*texts, f"and {counted(rest, 'more day')}"] if rest else texts


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _ROOTS} more" if len(names) > _ROOTS else ""
    return ", ".join(names[:_ROOTS]) + more


def _through(names: Sequence[str]) -> str:
    return f", through {_named(names)}" if names else ""


def days_text(days: Sequence[str]) -> str:
    """Days in few words: `2026-05-16`, or `21 days from 2026-05-16 to 2026-06-05`."""
    if len(days) == 1:
        return days[0]
    first, last = min(days), max(days)
    whole = (Day.fromisoformat(last) - Day.fromisoformat(first)).days + 1 == len(days)
    span = f"from {first} to {last}" if whole else f"between {first} and {last}"
    return f"{counted(len(days), 'day')} {span}"


def next_lines(results: Mapping[str, Mapping], run: str, options: str, span: str = "") -> list[str]:
    """What to do about days that the last run did not finish.

    `run` is the command that makes them, `options` are `Settings.options`, `span` is the run's range.
    """
    states: dict[str, str] = {}
    for day, result in results.items():
        states.setdefault(result["state"], day)
    again = f"{_INDENT}{run}{span and f' --range {span}'}"
    if shown := states.get(FAILED) or states.get(BLOCKED):
        more = f"{_INDENT}daeda explain day {shown}{options}"
        return ["next        fix what failed and run again, or look closer:", again, more]
    return ["next        continue the unfinished run:", f"{again} --resume"] if states else []


def refusal_lines(refused: Mapping | None) -> list[str]:
    """What the last run was refused for."""
    if refused is None:
        return []
    head = f"refused     the last run, {refused['run'][:8]} of {refused['started']} UTC"
    return [head, *problem_lines(refused, _INDENT)]


def result_lines(day: str, last: Mapping, run: str) -> list[str]:
    """What `explain day` says of a day that the last run did not finish; `last` is `DayResult.as_json`, `run` the
    command that makes the day."""
    when = f"in run {last['run'][:8]} of {last['started']} UTC"
    if last["state"] not in (FAILED, BLOCKED):
        return [*wrapped(f"{day}: unfinished {when}, which was interrupted or is still running", "", "  "),
                f"  to continue: {run} --resume"]  # fmt: skip
    if last["state"] == FAILED:
        lines = [f"{day}: failed {when}"]
    else:
        places = list(map(place_of, last["failures"]))
        lines = wrapped(f"{day}: blocked {when}: it needs {_named(places)}{_through(last['through'])}", "", "  ")
    for alike in by_error(last["failures"])[:_ROOTS]:
        lines += [printable(f"  {places_of(alike)} failed"), *problem_lines(alike[0], "    ")]
    return lines
