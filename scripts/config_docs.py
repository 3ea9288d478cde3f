"""Writes the pages of docs/ that are tables of definitions, and config/.schema, from those definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pages import json_objects, your_data

from daedalus.init.write import write_schemas
from daedalus.upkeep.check_config import schema

PROJECT = Path(__file__).parent.parent
FILES = {"catalog": "catalog.yaml", "runtime": "training/runtime.yaml", "aggregations": "training/aggregations.yaml"}
HEAD = """# Every key of the configuration

The configuration is three YAML files in one folder (`--config DIR`, default `config`). An unknown key, a wrong type
or an impossible value is refused before any work; the error names the file, the key path, what was found and what was
expected. `daeda config check` prints the value of every key, and whether it comes from a file or is a default. `daeda
config schema runtime` prints a JSON Schema; the first line of each file points editors to it. Values are written as
`view:feature` where they name a column of a view. A default of none means that the key is left out; a type such as
`name: text` is a mapping with names of your choice.

Column names are matched exactly. A file in which a column that is read appears twice, or in another case, is refused
by file and column (a feed file fails its day); columns that nothing reads do not matter. A file of a view may lack a
feature, but not the entity or the timestamp field. Where a time is needed, a DATE counts as midnight UTC.

`user_id` and `artwork_id` may each be whole numbers or text. Nothing is configured for this: the output has the type
that the feed has. Text is compared and sorted by its UTF-8 bytes; parquet's UUID type becomes text in lower case.
Whatever is joined to an id must have its type: entities of views, `recent_published.author`, the pool's `id_column`.

The column *runs again* lists the most that a change of the key can make run. Often less runs: when a step gives the
same bytes as before, the steps after it do not run. `daeda plan` shows what your own change would run. The steps are
described in [model.md](model.md); `chunk` is the step that writes the partition. "Downstream" of coverage or sessions
means attributes, rolling, recent_published, content, qids and chunk; downstream of content means qids and chunk.

`scripts/config_docs.py` makes this page from the definitions that validate the files (daedalus/config/schema.py).
"""
EXAMPLES = """
### Whose events: `key` and `match`

By default a row sees the earlier events of its own user. With `key` it sees the events, of any user, that have the
row's value in another column; `match` narrows these to the events that also have the row's value in a second column.
The row's values come from the feed, or from the views under `enrich`; if one is NULL, the row sees nothing. Whatever
the key, a row never sees events at its own time or later. `cumulative` reads all earlier events of the key.

```yaml
aggregations:
  # popularity: likes of this artwork by anybody
  - {name: artwork_likes, events: [like], column: user_id, agg: count, key: artwork_id, windows: [1d, 7d]}
  # click-through of this artwork is artwork_clicks over artwork_views; and how many people clicked it
  - {name: artwork_clicks, events: [click], column: user_id, agg: count, key: artwork_id, windows: [7d]}
  - {name: artwork_views, events: [reco_artwork_view], column: user_id, agg: count, key: artwork_id, windows: [7d]}
  - {name: artwork_viewers, events: [click], column: user_id, agg: count_distinct, key: artwork_id, windows: [7d]}
  # the author's likes, without those of this artwork
  - {name: author_likes, events: [like], column: user_id, agg: count, key: author_id, windows: [7d], exclude_self: true}
  # affinity: what this user did with this author before, and how long ago
  - {name: author_affinity, events: [like], column: artwork_id, agg: count, match: author_id, windows: [7d]}
  - {name: since_author, events: [like], column: artwork_id, agg: since_last, match: author_id, windows: cumulative}
```

A list column cannot be a key. Values are compared as in DuckDB: NaN equals NaN, and 0.0 equals -0.0. Memory grows
with the number of events that one value of the key has in the window, up to 200 bytes per event. Counts, sums and `std`
of whole numbers, `min`, `max` and `count_distinct` are as fast for a popular value as for a rare one; `top`, and `std`
and sums of floats, revisit each event for each row, which is slow if one value has a third of all events: give these a
shorter window.
"""


def main() -> None:
    for name, make in PAGES.items():
        (PROJECT / "docs" / name).write_text(make())
    write_schemas(PROJECT / "config")


def page() -> str:
    """The page, from the schemas alone."""
    lines = [HEAD]
    for kind, file in FILES.items():
        whole = schema(kind)
        lines += [f"\n## {file}", *tables(whole, whole["$ref"].rpartition("/")[2], "")]
    return "\n".join(lines) + "\n" + EXAMPLES


def tables(whole: dict, name: str, above: str) -> Iterator[str]:
    """A table of a mapping's keys, and one for each mapping below it."""
    mapping = whole["$defs"][name]
    yield f"\n### `{above or 'top level'}`\n"
    yield "| key | type | default | meaning | runs again |\n|---|---|---|---|---|"
    below = []
    for key, told in mapping["properties"].items():
        default = "required" if key in mapping["required"] else default_of(told)
        cells = [f"`{key}`", type_of(whole, told), default, told["description"], told["x-recomputes"]]
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in cells) + " |"
        below += [(inner, f"{above}.{key}{places}".lstrip(".")) for inner, places in mappings(told)]
    for inner, path in below:
        yield from tables(whole, inner, path)


def mappings(told: dict, places: str = "") -> Iterator[tuple[str, str]]:
    """(definition, how its place is written) of the mappings that a value is made of."""
    if "$ref" in told:
        yield told["$ref"].rpartition("/")[2], places
    for choice in told.get("anyOf", []):
        yield from mappings(choice, places)
    if isinstance(told.get("items"), dict):
        yield from mappings(told["items"], f"{places}[]")
    if isinstance(told.get("additionalProperties"), dict):
        yield from mappings(told["additionalProperties"], f"{places}.NAME")


def type_of(whole: dict, told: dict) -> str:
    """The type in a person's words."""
    if "$ref" in told:
        return "mapping"
    if "anyOf" in told:
        return " or ".join(dict.fromkeys(type_of(whole, choice) for choice in told["anyOf"]))
    if "enum" in told:
        return " or ".join(f"`{value}`" for value in told["enum"])
    kind = told.get("type", "any")
    if kind == "array":
        return f"list of {type_of(whole, told['items'])}" if isinstance(told.get("items"), dict) else "list"
    if kind == "object":
        inner = told.get("additionalProperties")
        return f"name: {type_of(whole, inner)}" if isinstance(inner, dict) else "mapping"
    return {"string": "text", "integer": "number", "boolean": "true or false", "null": "none"}.get(kind, kind)


def default_of(told: dict) -> str:
    if "$ref" in told or "default" not in told:
        return "see below" if "$ref" in told else ""
    return "none" if told["default"] is None else f"`{json.dumps(told['default'])}`"


PAGES = {"config.md": page, "your_data.md": your_data.page, "json.md": json_objects.page}

if __name__ == "__main__":
    main()
