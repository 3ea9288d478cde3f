"""`daeda config check` and `config schema`: validation with every value, and JSON Schemas for editors."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from daedalus.base.errors import bare
from daedalus.base.terminal_text import counted, room, wrapped
from daedalus.config import AGGREGATIONS, CATALOG, RUNTIME
from daedalus.config.load import read_yaml
from daedalus.config.schema import Aggregations, Catalog, Runtime
from daedalus.objectstore.object_store import shown
from daedalus.upkeep.warnings import doubts
from daedalus.workspace.bad_files import bad_files, days_that_fail
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

if TYPE_CHECKING:
    from daedalus.config.schema import Splits
    from daedalus.shapes.upkeep import Checked, CheckedPart, CheckedSplits, ConfigValue

_FILES: dict[str, type] = {"catalog": Catalog, "runtime": Runtime, "aggregations": Aggregations}
_ADDRESSES = {  # beside the views' sources
    ("feed", "path"),
    ("embedding_coverage_filter", "uri"),
    ("output_root",),
    ("cache_root",),
    ("cache_remote",),
    ("cache_remote_key_file",),
}


def schema(file: str) -> dict:
    """JSON Schema of one of the three files, from the definitions that validate it."""
    return msgspec.json.schema(_FILES[file])


def check_config(settings: Settings) -> Checked:
    """Validates config and inputs without running anything, and lists every value with its origin.

    Raises the DaedalusError (exit 2) that a run would raise.
    """
    with opened(settings) as workspace:
        config, span = workspace.config, list(workspace.config.range(None))
        listing = workspace.listing()
        from daedalus.compile.resolve import compiled_for
        from daedalus.workspace.graph import build_graph

        graph = build_graph(workspace, span, reconcile=False, listing=listing)
        parts = {CATALOG: config.catalog, RUNTIME: config.runtime, AGGREGATIONS: Aggregations(
            aggregations=list(config.aggregations))}  # fmt: skip
        values = [row for file, part in parts.items() for row in _values(file, part, read_yaml(config.folder / file))]
        failing = days_that_fail(config, graph.feed, graph.days)
        return {
            "config": str(config.folder),
            "days": {"total": len(span), "with_rows": len(graph.days), "empty": len(graph.empty)},
            "feed": {"partitions": len(listing.feed.days), "first": str(min(listing.feed.days)),
                     "last": str(max(listing.feed.days))},
            "views": {name: len(paths) for name, paths in listing.views.items()},
            "bad_files": [{"day": str(day), "error": error.one_line()} for day, error in bad_files(graph.feed)],
            "failing_days": [str(day) for day in failing],
            "notes": [*doubts(config), *graph.notes],
            "splits": _splits(config.runtime.splits) if config.runtime.splits else None,
            "steps": len(graph.actions),
            "digest": compiled_for(workspace, graph, workspace.stages[-1])["digest"],
            "values": values,
        }  # fmt: skip


def _splits(splits: Splits) -> CheckedSplits:
    parts: list[CheckedPart] = [
        {"name": name, "share": part.share, "days": None if part.days is None else str(part.days)}
        for name, part in splits.named.items()
    ]
    rest = float(1 - sum(Decimal(repr(part["share"])) for part in parts if part["share"]))
    return {"by": splits.by, "parts": parts, "rest": None if splits.by == "day" else rest}


def _split_text(splits: CheckedSplits) -> str:
    parts = [
        " ".join([part["name"], *([f"{part['share']:.4g}"] if part["share"] else []),
                  *([f"on {part['days']}"] if part["days"] else [])])
        for part in splits["parts"]
    ]  # fmt: skip
    rest = [f"in none {splits['rest']:.4g}"] if splits["rest"] else []
    return f"by {splits['by']}: {', '.join([*parts, *rest])}"


def _values(file: str, part: msgspec.Struct, raw: dict) -> Iterator[ConfigValue]:
    """Each leaf of a file: key path, value, and whether it is from the file or the default."""
    for key, value in _leaves(msgspec.to_builtins(part)):
        origin = file if _is_in(raw, key) else "default"
        yield {"file": file, "key": ".".join(key), "value": _without_secrets(key, value), "origin": origin}


def _without_secrets(key: tuple[str, ...], value: Any) -> Any:
    """The value as it may be shown: credentials under object_store are masked, and taken out of addresses."""
    if key[0] == "object_store" and len(key) > 1:
        return shown(key[1], value)
    is_address = key in _ADDRESSES or (key[0] == "views" and key[2:] == ("source",))
    return bare(value) if is_address and isinstance(value, str) else value


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


def _value_lines(key: str, value: Any, text: str) -> list[str]:
    """A value beside its key, or below it when it is long; never cut."""
    if len(line := f"{key:<47} {text}") <= (room() or 80):
        return [line]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [key, *(line for item in value for line in wrapped(_item(item), " " * 6 + "- ", " " * 8))]
    shown = ", ".join(map(_json, value)) if isinstance(value, list) else text
    return [key, *wrapped(shown, " " * 6)]


def _item(item: Any) -> str:
    """An item of a list of mappings, of which some may be plain values."""
    return (
        ", ".join(f"{name}: {_json(inner)}" for name, inner in item.items()) if isinstance(item, dict) else _json(item)
    )


def _json(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def check_lines(found: Checked) -> list[str]:
    """What `config check` prints, at most 80 columns."""
    days, feed = found["days"], found["feed"]
    lines = [
        f"{found['config']}: " + ("valid, but some input files are not usable" if found["bad_files"] else "valid"),
        f"feed        {counted(feed['partitions'], 'partition')}, {feed['first']} to {feed['last']}",
        *wrapped(", ".join(f"{name} {count}" for name, count in found["views"].items()), "view files  "),
        f"range       {counted(days['total'], 'day')}, {days['with_rows']} with rows, "
        f"{counted(found['steps'], 'step')}",
        f"digest      {found['digest']}",
    ]
    lines += wrapped(_split_text(found["splits"]), "splits      ") if found["splits"] else []
    lines += [line for row in found["bad_files"] for line in wrapped(f"{row['day']}: {row['error']}", "bad file    ")]
    if found["failing_days"]:
        lines += wrapped(
            f"{counted(len(found['failing_days']), 'day')} would fail, first {found['failing_days'][0]}",
            " " * 12,
        )
    file = ""
    for row in found["values"]:
        if row["file"] != file:
            file = row["file"]
            lines.append(f"{file}")
        value = msgspec.json.encode(row["value"]).decode()
        sign = " " if row["origin"] == file else "~"
        lines += _value_lines(f" {sign} {row['key']}", row["value"], value)
    return [*lines, "~ default, not in the file"]
