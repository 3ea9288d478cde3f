"""`daeda config check` and `config schema`: what the configuration says, and what an editor needs to know of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import msgspec

from daedalus.config import AGGREGATIONS, CATALOG, RUNTIME
from daedalus.config.load import read_yaml
from daedalus.config.schema import Aggregations, Catalog, Runtime
from daedalus.pipelines.workspace import Settings, opened

_FILES: dict[str, type] = {"catalog": Catalog, "runtime": Runtime, "aggregations": Aggregations}


_SECRET = re.compile("secret|token|key|password|credential|sas")  # of object_store's names; values are not shown


def schema(file: str) -> dict:
    """JSON Schema of one of the three files, made of the definitions that validate it."""
    return msgspec.json.schema(_FILES[file])


def check_config(settings: Settings) -> dict:
    """Validates config and inputs without running anything, and lists every value with where it comes from.

    Raises DaedalusError (exit 2) for what a run would refuse.
    """
    with opened(settings) as workspace:
        config, span = workspace.config, list(workspace.range(None))
        listing = workspace.listing()
        graph = workspace.graph(span, reconcile=False, listing=listing)
        parts = {CATALOG: config.catalog, RUNTIME: config.runtime, AGGREGATIONS: Aggregations(
            aggregations=list(config.aggregations))}  # fmt: skip
        values = [row for file, part in parts.items() for row in _values(file, part, read_yaml(config.folder / file))]
        bad = [(str(day), file.error) for day, files in graph.feed.partitions.items() for file in files if file.error]
        return {
            "config": str(config.folder),
            "days": {"total": len(span), "with_rows": len(graph.days), "empty": len(graph.empty)},
            "feed": {"partitions": len(listing.feed.days), "first": str(min(listing.feed.days)),
                     "last": str(max(listing.feed.days))},
            "views": {name: len(paths) for name, paths in listing.views.items()},
            "bad_files": [{"day": day, "error": error.one_line()} for day, error in bad],
            "steps": len(graph.actions),
            "values": values,
        }  # fmt: skip


def _values(file: str, part: msgspec.Struct, raw: dict) -> Iterator[dict]:
    """Each leaf of a file: key path, value, and whether the file or the default says so."""
    for key, value in _leaves(msgspec.to_builtins(part)):
        shown = "***" if key[0] == "object_store" and _SECRET.search(key[-1].lower()) else value
        yield {"file": file, "key": ".".join(key), "value": shown, "origin": file if _is_in(raw, key) else "default"}


def _leaves(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*above, str(key)))
    else:
        yield above, value


def _is_in(raw: Any, key: tuple[str, ...]) -> bool:
    for part in key:
        if not isinstance(raw, dict) or part not in {str(name) for name in raw}:
            return False
        raw = next(inner for name, inner in raw.items() if str(name) == part)
    return True


def check_lines(found: dict) -> list[str]:
    """What `config check` prints, at most 80 columns."""
    days, feed = found["days"], found["feed"]
    lines = [
        f"{found['config']}: valid",
        f"feed        {feed['partitions']} partitions, {feed['first']} to {feed['last']}",
        *wrap(
            ", ".join(f"{name} {count}" for name, count in found["views"].items()),
            80,
            initial_indent="view files  ",
            subsequent_indent=" " * 12,
        ),
        f"range       {days['total']} days, {days['with_rows']} with rows, {found['steps']:,} steps",
    ]
    lines += [f"bad file    {row['day']}: {row['error']}" for row in found["bad_files"]]
    file = ""
    for row in found["values"]:
        if row["file"] != file:
            file = row["file"]
            lines.append(f"{file}")
        value = msgspec.json.encode(row["value"]).decode()
        sign = " " if row["origin"] == file else "~"
        lines.append(f" {sign} {row['key']:<44} {value}"[:80])
    return [*lines, "~ default, not in the file"]
