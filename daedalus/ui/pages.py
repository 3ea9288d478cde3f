"""The pages: for each address what it asks, and the template that shows the answer.

Jinja escapes every name and value. A page's own state is in its address, and each names the command that says the same.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from daedalus.base.days import ONE_DAY, Day
from daedalus.base.errors import LABELS
from daedalus.base.terminal_text import counted, printable
from daedalus.explain.failure_lines import by_error, failure_sentences, failures_of, places_of
from daedalus.report.page import STATES, environment, render
from daedalus.stagecache.walk.outcome import HIT, MAYBE, RUN
from daedalus.statistics.judge import band_of, break_sentence, by_expectation, told, what_of
from daedalus.ui import questions
from daedalus.ui.lineage import HIGH, WIDE
from daedalus.ui.preview import ROWS
from daedalus.ui.questions import Asked

if TYPE_CHECKING:
    import jinja2

    from daedalus.shapes.upkeep import Status

_ORDER = ("failed", "blocked", "unfinished", "stale", "missing", "fresh", "empty")
_SIGNS = {**STATES, "running": ("▸", "in a run that is going on, not finished"), "hit": STATES["fresh"]}
_FIRST = 100  # events of a list that a page shows; the command has all


def start(asked: Asked, base: str) -> str:
    """What needs a look, then all days by month."""
    found = questions.status(asked)
    results = {row["day"]: row["last"] for row in found["days"] if row["last"]}
    tally = {state: sum(_state(row) == state for row in found["days"]) for state in _ORDER}
    failed = [(places_of(alike), alike[0]) for alike in by_error(failures_of(results))]
    blocked = [text for text in failure_sentences(results) if text.startswith("blocked:")]
    expect = found.get("expect")
    return _shown("start.html.j2", asked, base, ("cache", "status"), found=found, tally=tally, failed=failed,
                  blocked=blocked, months=_months(found), work=_work(found, asked), range=asked.span,
                  expect=expect, broken=[*by_expectation(expect["breaks"]).values()] if expect else [])  # fmt: skip


def why(asked: Asked, base: str) -> str:
    """A part of the first page: what a run would do, and why."""
    found = questions.plan(asked)
    states = [row["state"] for row in found["plan"]]
    known = [row["expected_seconds"] for row in found["plan"]]
    cost = None if None in known else sum(one or 0 for one in known)
    words = ["plan"] if asked.settings.output_root is None else ["skeleton", "--plan"]
    words += ["--range", asked.span] if asked.span else []
    return _shown("why.html.j2", asked, base, words, found=found, run=states.count(RUN), maybe=states.count(MAYBE),
                  cost=cost)  # fmt: skip


def going_on(asked: Asked, base: str) -> str:
    """A part of each page: the runs that are going on."""
    return _shown("live.html.j2", asked, base, ("runs",), live=questions.live(asked))


def runs(asked: Asked, base: str) -> str:
    """The last runs."""
    going = {run["id"] for run in questions.live(asked)["runs"]}
    return _shown("runs.html.j2", asked, base, ("runs",), found=questions.runs(asked), going=going)


def report(asked: Asked, base: str) -> str:
    """The report of the range: the very page that `daeda report` writes."""
    return render(questions.report(asked))


def day(asked: Asked, base: str) -> str:
    """A day: what is wrong with it, why, its steps as a graph and as a table, and where its rows went."""
    found, at = questions.day(asked), asked.day
    graph = questions.lineage(asked) if found["steps"] else None
    failures = [(places_of(alike), alike[0]) for alike in by_error(found["last"]["failures"])] if found["last"] else []
    states = [step["state"] for step in found["steps"]]
    now = "stale" if {RUN, MAYBE} & set(states) else "fresh" if states else "empty"
    stages = [stage.name for stage in asked.settings.applied().stages]
    return _shown("day.html.j2", asked, base, ("explain", "day", str(at)), found=found, graph=graph, failures=failures,
                  now=now, before=at - ONE_DAY, after=at + ONE_DAY, run=states.count(RUN), maybe=states.count(MAYBE),
                  stages=stages, replaced=questions.was_replaced(asked), wide=WIDE, high=HIGH)  # fmt: skip


def step(asked: Asked, base: str) -> str:
    """A step of a day: what it runs, what it is made of, and its first rows."""
    found = questions.step(asked)
    words = ("explain", "step", found["day"], found["step"])
    return _shown("step.html.j2", asked, base, words, found=found, made=questions.made(asked), most=ROWS)


def rows(asked: Asked, base: str) -> str:
    """Rows of a day's partition, each a way to its explanation."""
    found = questions.part(asked)
    names = [column["name"] for column in found["preview"]["columns"]] if found["preview"] else []
    keys = {key: names.index(name) for key, name in found["names"].items() if name in names}
    stages = [stage.name for stage in asked.settings.applied().stages]
    return _shown("rows.html.j2", asked, base, ("explain", "row", str(asked.day), "--user", "U", "--artwork", "A"),
                  found=found, keys=keys, day=str(asked.day), stages=stages, most=ROWS)  # fmt: skip


def row(asked: Asked, base: str) -> str:
    """A row: the events that its lists are made of, and those left out."""
    found = questions.row(asked)
    at = asked.query.get("at", "").replace(" ", "T")
    shown = [one for one in found["rows"] if one["event_timestamp"] == at] or found["rows"]
    words = ["explain", "row", found["day"], "--user", str(found["user_id"]), "--artwork", str(found["artwork_id"])]
    if column := asked.query.get("column"):
        words += ["--column", column]
    others = len(found["rows"]) - len(shown)
    return _shown("row.html.j2", asked, base, words, found=found, rows=shown, others=others, first=_FIRST)


def diff(asked: Asked, base: str) -> str:
    """What a run changed in a day's partitions."""
    found = questions.diff(asked)
    words = ["diff", str(asked.day)]
    for option in ("against", "stage"):
        if value := asked.query.get(option):
            words += [f"--{option}", value]
    stages: Mapping[str, object] = found.get("stages") or {"": found}
    return _shown("diff.html.j2", asked, base, words, found=found, stages=stages)


PAGES: Mapping[str, Callable[[Asked, str], str]] = {
    "/": start,
    "/why": why,
    "/going-on": going_on,
    "/runs": runs,
    "/report": report,
    "/day/{day}": day,
    "/day/{day}/step": step,
    "/day/{day}/rows": rows,
    "/day/{day}/row": row,
    "/day/{day}/diff": diff,
}


def error_page(asked: Asked, base: str, problem: Mapping[str, str | None]) -> str:
    """An error as the command line tells it."""
    return _shown("error.html.j2", asked, base, (), problem=problem)


def _resource(room: str, name: str) -> str:
    return (resources.files(room) / name).read_text(encoding="utf-8")


# The other files: the report's style, whose colours and tables are ours too, then our own.
FILES: Mapping[str, tuple[Callable[[], str], str]] = {
    "report.css": (partial(_resource, "daedalus.report", "page.css"), "text/css"),
    "ui.css": (partial(_resource, "daedalus.ui", "templates/ui.css"), "text/css"),
    "icon.svg": (partial(_resource, "daedalus.ui", "templates/icon.svg"), "image/svg+xml"),
    "ui.js": (partial(_resource, "daedalus.ui", "templates/ui.js"), "text/javascript"),
}


def _shown(template: str, asked: Asked, base: str, command: Iterable[str], **values: Any) -> str:
    words = tuple(command)
    line = asked.command(*words) if words else ""
    return _templates().get_template(template).render(base=base, command=line, signs=_SIGNS, labels=LABELS, **values)


@cache
def _templates() -> jinja2.Environment:
    found = environment("daedalus.ui", "templates")
    found.filters |= {"counted": counted, "printable": printable, "query": _query, "duration": _duration}
    found.filters |= {"what_of": what_of, "told": told, "band_of": band_of, "break_sentence": break_sentence}
    return found


def _query(values: Mapping[str, object]) -> str:
    """The query of an address, of the values that are given."""
    return urlencode({key: value for key, value in values.items() if value is not None})


def _duration(value: float) -> str:
    """Seconds as people count a run's: `1 h 05 min`."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _state(row: Mapping[str, Any]) -> str:
    """What the calendar shows of a day: what the last run left of it, if that was not all."""
    return row["last"]["state"] if row["last"] else row["state"]


def _months(found: Status) -> list[dict[str, Any]]:
    """The days by month, in weeks from Monday; None for days that are not in the month or in the range."""
    months: dict[str, dict[int, dict[str, Any]]] = {}
    for row in found["days"]:
        at = Day.fromisoformat(row["day"])
        told = {"day": row["day"], "number": at.day, "state": _state(row), "stages": _by_stage(row)}
        months.setdefault(row["day"][:7], {})[at.day] = told
    weeks = calendar.Calendar().monthdayscalendar
    return [
        {"name": f"{calendar.month_name[int(month[5:])]} {month[:4]}", "month": month,
         "weeks": [[days.get(number) for number in week] for week in weeks(int(month[:4]), int(month[5:]))]}
        for month, days in months.items()
    ]  # fmt: skip


def _by_stage(row: Mapping[str, Any]) -> str:
    """Of a day that is not all fresh: what there is of each stage, where there are two."""
    steps = {name: row["steps"].get(step) for name, step in (("skeleton", "chunk"), ("enrich", "enriched"))}
    if row["state"] in ("fresh", "empty") or steps["enrich"] is None:
        return ""
    words = {HIT: "there", RUN: "would run", MAYBE: "may run"}
    return ", ".join(f"{name} {words[state]}" for name, state in steps.items() if state in words)


def _work(found: Status, asked: Asked) -> str:
    """The command that makes what is not fresh."""
    return f"{found['run']}{f' --range {asked.span}' if asked.span else ''}"
