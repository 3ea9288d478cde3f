"""Whether what a command prints with --json is of the shape that daedalus/shapes says: these fields, these types."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from daedalus.cli.output import SCHEMA
from daedalus.shapes.commands import PRINTED, REFUSED


def shape_of(arguments: Sequence[str]) -> type:
    """The shape of what a command line prints."""
    arguments = ["--plan" if one == "-n" else one for one in arguments]
    fitting = [name for name in PRINTED if _fits(name.split(), arguments)]
    return PRINTED[max(fitting, key=len)]


def _fits(name: Sequence[str], arguments: Sequence[str]) -> bool:
    words = [word for word in name if not word.startswith("-")]
    return list(arguments[: len(words)]) == words and all(word in arguments for word in name)


def check_printed(text: str, arguments: Sequence[str]) -> None:
    """Fails unless a command line printed one object of its shape."""
    found = json.loads(text)
    assert found.pop("schema") == SCHEMA
    wrong = list(unlike(found, REFUSED if "error" in found else shape_of(arguments)))
    assert not wrong, "\n".join(wrong)


def unlike(value: Any, shape: Any, at: str = "") -> Iterator[str]:
    """What of a value is not as its shape says."""
    while get_origin(shape) in (Annotated, NotRequired):
        shape = get_args(shape)[0]
    origin, inner = get_origin(shape), get_args(shape)
    if shape is Any:
        return
    if is_typeddict(shape):
        yield from _unlike_fields(value, shape, at)
    elif origin in (Union, types.UnionType):
        tried = [list(unlike(value, choice, at)) for choice in inner]
        yield from min(tried, key=len)
    elif origin in (list, dict):
        if not isinstance(value, origin):
            yield f"{at}: {value!r} is no {origin.__name__}"
            return
        items = value.items() if origin is dict else enumerate(value)
        for key, one in items:
            yield from unlike(one, inner[-1], f"{at}[{key}]")
    elif not _is_a(value, shape):
        yield f"{at}: {value!r} is no {shape}"


def _unlike_fields(value: Any, shape: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at}: {value!r} is no object"
        return
    fields = get_type_hints(shape, include_extras=True)
    yield from (f"{at}.{name} is in no shape" for name in value if name not in fields)
    for name, inner in fields.items():
        if name in value:
            yield from unlike(value[name], inner, f"{at}.{name}")
        elif not _optional(inner):
            yield f"{at}.{name} is missing"


def _optional(shape: Any) -> bool:
    return get_origin(shape) is NotRequired or (get_origin(shape) is Annotated and _optional(get_args(shape)[0]))


def _is_a(value: Any, shape: Any) -> bool:
    if shape is None or shape is type(None):
        return value is None
    if shape is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
