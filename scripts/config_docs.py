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

*Runs again* says which steps a change of the key makes run, at most: a step that gives the bytes it gave before
stops there, and `daeda skeleton --plan` tells of your very change. "Downstream" of coverage or sessions
is every later step of the day: attributes, rolling, recent_published, content, qids and chunk; of content the last two.
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
    return "\n".join(lines) + "\n"


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
