"""docs/json.md: every object that commands print with --json, from the shapes that mypy holds the code to."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from jinja2 import StrictUndefined, Template

from daedalus.cli.output import SCHEMA
from daedalus.shapes.commands import PRINTED, REFUSED

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any", type(None): "null"}


def page() -> str:
    """The page, from the shapes."""
    text = (Path(__file__).parent / "json.md.j2").read_text()
    made = "\n".join([*_commands(), *_parts()])
    return Template(text, keep_trailing_newline=True, undefined=StrictUndefined).render(schema=SCHEMA, objects=made)


def _commands() -> Iterator[str]:
    """A table for each object, under the commands that print it."""
    for shape in dict.fromkeys(PRINTED.values()):
        names = ", ".join(f"`{name}`" for name, printed in PRINTED.items() if printed is shape)
        yield _table(shape, f"## {names}")
    yield _table(REFUSED, "## Any command that was refused or interrupted")


def _parts() -> Iterator[str]:
    """A table for each object within others, by name."""
    top, found = {*PRINTED.values(), REFUSED}, dict[str, type]()
    for shape in top:
        _collect(shape, found)
    yield "## Objects used in these\n"
    for name in sorted(found):
        if found[name] not in top:
            yield _table(found[name], f"### {name}")


def _collect(shape: Any, found: dict[str, type]) -> None:
    """Adds the objects that a shape is made of."""
    if is_typeddict(shape):
        if shape.__name__ in found:
            assert found[shape.__name__] is shape, f"two shapes are called {shape.__name__}"
            return
        found[shape.__name__] = shape
        for inner in get_type_hints(shape).values():
            _collect(inner, found)
    for inner in get_args(shape):
        _collect(inner, found)


def _table(shape: type, head: str) -> str:
    lines = [f"{head}\n", f"{shape.__doc__}\n", "| field | type | meaning |", "|---|---|---|"]
    for name, told in get_type_hints(shape, include_extras=True).items():
        optional = get_origin(told) is NotRequired
        kind, meaning = get_args(get_args(told)[0] if optional else told)
        lines.append(
            f"| `{name}` | {_words(kind)}{', or left out' * optional} | {meaning.replace('|', chr(92) + '|')} |"
        )
    return "\n".join([*lines, ""])


def _words(kind: Any) -> str:
    """A type in a person's words; an object by its name, with a link."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(inner[0])
    if origin is list:
        return f"list of {_words(inner[0])}"
    if origin is dict:
        return f"{_words(inner[1])} by name"
    if origin is types.UnionType:
        return " or ".join(map(_words, inner))
    if is_typeddict(kind):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return WORDS[kind]
