"""Renders the numbers of `collect` as one HTML file that needs no network and no other file.

Jinja escapes every name and value; a content policy allows only the page's own script.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.durable import write_file
from daedalus.base.errors import DaedalusError
from daedalus.base.terminal_text import counted, cut
from daedalus.report.charts import HEIGHT, bounds, charts_of, line_path, stretches
from daedalus.report.drift import SHARES
from daedalus.statistics.judge import band_of, by_expectation, expect_lines, told

if TYPE_CHECKING:
    import jinja2

# state -> (sign, meaning); the signs are for people who do not see the colours
STATES = {
    "fresh": ("·", "fresh: cached"),
    "run": ("R", "stale: a run would compute it"),
    "maybe": ("m", "stale: may run, if a step upstream changes"),
    "stale": ("~", "stale day: its partition may change"),
    "missing": ("o", "missing: never computed"),
    "empty": ("–", "empty: no usable rows"),
    "failed": ("x", "failed in the last run"),
    "blocked": ("!", "blocked in the last run: it needs what failed on another day"),
    "unfinished": ("/", "not finished by the last run"),
}
# The parts of the page's script, in order; they are one function.
_SCRIPT = ("page.js", "page.tips.js", "page.filters.js", "page.histograms.js", "page.address.js", "page.start.js")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def check_out(out: str) -> Path:
    """The file to write. Raises DaedalusError, before any work is done, if it cannot be written."""
    path = Path(out)
    if path.is_dir():
        raise DaedalusError("the report's path is a folder", where=f"--out {out}", expected="a file's name")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise DaedalusError("the report cannot be written there", where=f"--out {out}",
                            found="a link, a device or a pipe", expected="a file's name")  # fmt: skip
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        found = "no such folder" if not path.parent.exists() else "not a writable folder"
        raise DaedalusError("the report cannot be written there", where=f"--out {out}",
                            found=f"{path.parent}: {found}", expected="a folder that can be written")  # fmt: skip
    return path


def write_page(found: Mapping[str, Any], out: Path) -> int:
    """Writes the page atomically; returns its size in bytes."""
    page = render(found).encode()
    try:
        write_file(out, page)
    except OSError as error:
        raise DaedalusError("the report cannot be written", where=str(out), found=error.strerror) from None
    return len(page)


def render(found: Mapping[str, Any]) -> str:
    """The page as text."""
    script = "\n".join(['"use strict"; (() => {', *map(_resource, _SCRIPT), "})();"])
    policy = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    charts = {column["name"]: charts_of(column, found["days"]) for column in found["columns"]}
    breaks = found["expect"]["breaks"] if "expect" in found else []
    by_column = {name: [row for row in breaks if row["column"] == name] for name in {row["column"] for row in breaks}}
    return environment("daedalus.report").get_template("page.html.j2").render(
        found=found, states=STATES, shares=SHARES, charts=charts, height=HEIGHT,
        broken=by_expectation(breaks), broken_columns=by_column, unexpected={row["day"] for row in breaks},
        band_of=band_of, told=told,
        funnel=_funnel(found), costs=_costs(found),
        stretches=stretches(found["days"], found["day_states"]),
        months=stretches(found["days"], [day[:7] for day in found["days"]]),
        style=_raw(_resource("page.css")), script=_raw(script), policy=policy,
    )  # fmt: skip


@cache
def environment(package: str, folder: str = "") -> jinja2.Environment:
    """Templates in a folder of a package, which escape what they show, with the report's ways of writing numbers."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"count": count, "size": size, "share": share, "figure": figure, "seconds": seconds}
    made.filters["breakable"] = breakable
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return made


def _resource(name: str) -> str:
    return (resources.files("daedalus.report") / name).read_text(encoding="utf-8")


def breakable(text: str) -> Any:
    """A name that may be broken into lines after each of its parts."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[:_+.@])", text))


def _raw(text: str) -> Any:
    """Marks our own style and script as not to be escaped."""
    from markupsafe import Markup

    return Markup(text)


def _funnel(found: Mapping[str, Any]) -> dict[str, Any]:
    """Lines of the funnel's chart, on one axis that begins at 0."""
    series = {row["step"]: row["rows"] for row in found["funnel"]}
    high = bounds(series.values(), False)[1]
    return {"high": high, "lines": {step: line_path(rows, 0.0, high) for step, rows in series.items()}}


def _costs(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each step's artifacts in the range, with the seconds and bytes that their traces recorded."""
    rows = [
        {
            "step": step["step"],
            "count": sum(state is not None for state in step["states"]),
            "seconds": sum(value or 0 for value in step["seconds"]),
            "bytes": sum(value or 0 for value in step["bytes"]),
        }
        for step in found["steps"]
    ]
    return rows + [
        {"step": row["step"], "count": 1, "seconds": row["seconds"] or 0, "bytes": row["bytes"] or 0}
        for row in found["of_no_day"]
    ]


# How numbers are written; page.js has the same.


def count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    if value is None:
        return "–"
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def share(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:,.2f} s"


def figure(value: float | None) -> str:
    """A value of any size, in few digits."""
    if value is None:
        return "–"
    if value == 0 or 0.01 <= abs(value) < 1e7:
        return f"{value:,.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"
    return f"{value:.2e}"


def page_lines(found: Mapping[str, Any]) -> list[str]:
    """What the command prints: the totals, the columns that depart most, and notes."""
    totals, days = found["totals"], found["totals"]["days"]
    order = ("failed", "blocked", "unfinished", "fresh", "stale", "missing", "empty")
    states = ", ".join(f"{days[state]:,} {state}" for state in order if days[state])
    rows, written = counted(totals["rows"], "row"), size(totals["output_bytes"])
    lines = [
        f"{'..'.join(dict.fromkeys(found['range']))}: {counted(days['total'], 'day')}: {states}",
        f"output      {rows}, {written}; cache {size(totals['cache_bytes'])}",
    ]
    lines += expect_lines(found["expect"]) if "expect" in found else []
    lines += _against_lines(found["against"]) if "against" in found else []
    lines += [cut(f"departs     {_departs(found, name)}") for name in found["departing"][:3]]
    lines += [cut(f"note        {note}") for note in found["notes"][:5]]
    return [*lines, f"written     {found['file']}"]


def _against_lines(other: Mapping[str, Any], most: int = 3) -> list[str]:
    """What moved most between the two ranges."""
    lines = [f"against     {'..'.join(dict.fromkeys(other['range']))}: {counted(other['rows'][1], 'row')}"]
    for row in [row for row in other["columns"] if row["moved"]][:most]:
        pair = [f"{figure(one)} now, {figure(then)} then" for one, then in [row["mean"]]]
        lines.append(cut(f"{'':12}{row['name']}: {share(row['moved'])} moved, {row['measure']} {pair[0]}"))
    return lines


def _departs(found: Mapping[str, Any], name: str) -> str:
    column = next(column for column in found["columns"] if column["name"] == name)
    row = column["departs"]
    written = share if column["kind"] == "boolean" or row["measure"] in SHARES else figure
    return f"{name}: {row['day']} {row['measure']} {written(row['value'])}, usually {written(row['usual'])}"
