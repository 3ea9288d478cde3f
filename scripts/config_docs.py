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

Made by `scripts/config_docs.py` from the definitions that validate the files (daedalus/config/schema.py); a test
holds it to them. Three files under the config folder (`--config DIR`, default `config`). An unknown key, a wrong
type or a value that cannot be meant is refused before any work, with file, key path, what was found and what was
expected. `daeda config check` shows the value of every key and whether the file or a default says so; `daeda
config schema runtime` prints the JSON Schema that the first line of each file names, for editors.

A column of the feed or of a view is found by its name as it is spelt. A file in which a column that is read stands
twice, or in another case, is refused by file and column (one of the feed fails its day); columns that nothing reads do
not matter. A view's file may lack a feature, but neither entity nor timestamp field. A DATE is its midnight in UTC
wherever a time is wanted.

Your feed's ids, `user_id` and `artwork_id`, are whole numbers or text, each on its own: what the files have is what
comes out, and nothing is configured for it. Text is compared and ordered by its UTF-8 bytes as it stands; parquet's
UUID is text in lower case. What joins an id has its type: entities of views, `recent_published.author`, the pool's
`id_column`.

*Runs again* says which steps a change of the key makes run, at most: a step that gives the bytes it gave before
stops there, and `daeda skeleton --plan` tells of your very change. "Downstream" of coverage or sessions
is every later step of the day: attributes, rolling, recent_published, content, qids and chunk; of content the last two.
"""
EXAMPLES = """
### Whose events: `key` and `match`

A row sees its user's events. With `key` it sees those that have its own value of another column, whoever they are of;
with `match` only those of them that also have its own value of a second column. The row's own values are those that the
feed has, or those that `enrich` gives it; where one is NULL, the row sees nothing. Events at the row's time or later
are never seen, of anybody. `cumulative` reads all events of the key.

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

A column of lists is no key. Values are compared as DuckDB compares them: NaN equals itself, 0.0 equals -0.0. Memory
grows with the events that one value of the key has in the window, up to 200 bytes each. Counts, sums and `std` of whole
numbers, `min`, `max` and `count_distinct` take the same time for a popular key as for others; `top`, and `std` and sums
of floats, look at each event again for each row, which is slow where a third of all events have one value: give those a
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
