"""Reads the config files into frozen structs; errors name the file and key path."""

from __future__ import annotations

import datetime as dt
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, did_you_mean, seen_from
from daedalus.base.file_stat import stat_of
from daedalus.base.installed import installed
from daedalus.base.remembered import recall, remember
from daedalus.config.config import AGGREGATIONS, CATALOG, RUNTIME, Config
from daedalus.config.schema import Aggregation, Aggregations, Catalog, Runtime, View
from daedalus.config.validation import check

_MOST_BYTES = 10 << 20  # of a file
_MOST_NAMED = 8  # keys that a message lists
_NUMBER_AS_TEXT = re.compile(r"([-+]?)(\d+)\.?(\d*)[eE]([-+]?)(\d+)")
_T = TypeVar("_T")


def load_config(folder: Path | str) -> Config:
    """Reads and validates `catalog.yaml`, `training/runtime.yaml` and `training/aggregations.yaml`.

    Raises DaedalusError (exit 2) naming file and key path.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DaedalusError(
            "there is no config folder",
            where=seen_from(folder),
            expected="a folder with catalog.yaml",
            hint="`daeda init` writes a first one; --config DIR uses another",
        )
    catalog, runtime, aggregations = folder / CATALOG, folder / RUNTIME, folder / AGGREGATIONS
    config = Config(
        folder,
        _catalog(catalog, _text(catalog)),
        _runtime(runtime, _text(runtime)),
        _aggregations(aggregations, _text(aggregations)),
    )
    check(config)
    return config


def _text(path: Path) -> str:
    """The text of a config file. Raises DaedalusError."""
    try:
        if not path.is_file() and path.exists():  # opening a pipe would wait for its writer
            raise DaedalusError("a config file is not a plain file", where=str(path), expected="a YAML file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise DaedalusError("a config file that is too large", where=str(path),
                                found=f"more than {_MOST_BYTES:,} bytes", expected="a YAML file")  # fmt: skip
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise DaedalusError("a config file is missing", where=str(path), expected="a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DaedalusError("a config file cannot be read", where=str(path), found=error) from None


# Cached by path and text, so that a process parses a file once.


@lru_cache(maxsize=4)
def _catalog(path: Path, text: str) -> Catalog:
    raw = _mapping(path, text)
    views = raw.pop("views", {})
    if not isinstance(views, dict):
        raise DaedalusError("wrong type", where=f"{path}: views", found=type(views).__name__, expected="a mapping")
    catalog = _convert(raw, Catalog, path)
    typed = {str(name): _convert(view, View, path, f"views.{name}") for name, view in views.items()}
    return msgspec.structs.replace(catalog, views=typed)


@lru_cache(maxsize=4)
def _runtime(path: Path, text: str) -> Runtime:
    return _convert(_mapping(path, text), Runtime, path)


@lru_cache(maxsize=4)
def _aggregations(path: Path, text: str) -> tuple[Aggregation, ...]:
    raw = _mapping(path, text)
    items = [] if raw.get("aggregations") is None else raw["aggregations"]
    if set(raw) - {"aggregations"} or not isinstance(items, list):
        _convert(raw, Aggregations, path)
    return tuple(_convert(item, Aggregation, path, f"aggregations[{i}]") for i, item in enumerate(items))


def read_yaml(path: Path) -> dict[str, Any]:
    """A config file's mapping. Raises DaedalusError if it is no YAML mapping or has a key twice."""
    return _mapping(path, _text(path))


def _mapping(path: Path, text: str) -> dict[str, Any]:
    """The mapping in a file's text; remembered, for the parser takes longer to import than to run."""
    parser = stat_of(os.path.join(os.path.dirname(__file__), "yaml_text.py"))
    key = digest.of_json([text, parser, installed()])
    known = recall("yaml", key)
    if not isinstance(known, dict):
        from daedalus.config.yaml_text import mapping

        known = mapping(path, text)
        if not known.get("object_store"):  # which may hold secrets
            remember("yaml", key, known)
    return known


def _convert(raw: object, kind: type[_T], path: Path, prefix: str = "") -> _T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise _refusal(_named_keys(str(error), raw), kind, path, prefix, raw) from None


def _named_keys(message: str, raw: Any) -> str:
    """msgspec writes `$.platforms[...]` for any key of a mapping; this names the first that does not fit."""
    text, at, path = message.partition(" - at ")
    while "[...]" in path:
        before, _, after = path.partition("[...]")
        inner, below = _value_at(raw, before.strip("`$")), after.strip("`")
        members = inner.items() if isinstance(inner, dict) else ()
        wrong = next((key for key, value in members if _is_meant(text, _value_at(value, below))), "?")
        path = f"{before}.{wrong}{after}"
    return text + at + path


def _is_meant(text: str, value: object) -> bool:
    """Whether a value is such as the sentence of msgspec says."""
    if expected := re.match(r"Expected `([^`]*)`", text):
        return not _is_a(value, expected[1])
    if field := re.match(r"Object (contains unknown|missing required) field `(.*)`", text):
        return isinstance(value, dict) and (field[2] in value) == (field[1] == "contains unknown")
    return True


_KINDS: dict[str, Any] = {
    "int": int, "str": str, "float": (int, float), "bool": bool, "array": list, "object": dict, "null": type(None),
}  # fmt: skip


def _is_a(value: object, spelled: str) -> bool:
    """Whether a YAML value is of a type as msgspec names it, such as `int | str`."""
    kinds = [_KINDS.get(part.strip(), object) for part in spelled.split("|")]
    return any(isinstance(value, kind) and (kind in (bool, object) or not isinstance(value, bool)) for kind in kinds)


def _refusal(message: str, kind: type, path: Path, prefix: str, raw: Any) -> DaedalusError:
    """Turns msgspec's sentence, `Expected X, got Y - at $.a.b`, into a DaedalusError."""
    text, _, at = message.partition(" - at ")
    keys = at.strip("`").replace("`key` in `", "a key of ").lstrip("$").lstrip(".")
    value, below = _value_at(raw, keys), keys
    keys = ".".join(part for part in (prefix, keys) if part)
    if unknown := re.match(r"Object contains unknown field `(.*)`", text):
        key = ".".join(part for part in (keys, unknown[1]) if part)
        hint = did_you_mean(unknown[1], _all_keys(kind))
        known = sorted(set().union(*map(_field_names, _types_at(kind, below))))
        expected = f"one of {', '.join(known)}" if len(known) <= _MOST_NAMED else "a known key"
        return DaedalusError("an unknown key", where=f"{path}: {key}", found=unknown[1], expected=expected, hint=hint)
    if missing := re.match(r"Object missing required field `(.*)`", text):
        key = ".".join(part for part in (keys, missing[1]) if part)
        return DaedalusError("a required key is missing", where=f"{path}: {key}", expected=f"the key {missing[1]}")
    if "`key` in" in at:
        what = "a key that is not text"
        return DaedalusError(what, where=str(path), found=text, expected="keys that are text; put quotes around others")
    if allowed := _allowed(kind, keys):
        hint = did_you_mean(str(value), re.findall(r"'(\w+)'", allowed))
        return DaedalusError(
            "a value that is not allowed", where=f"{path}: {keys}", found=repr(value), expected=allowed, hint=hint
        )
    if wrong := re.match(r"Expected `(.*)`, got `(.*)`", text):
        hint = yaml_hint(value)
        hint = "a duration, such as 30d" if re.search(r"windows?(\[\d+\])?$", keys) else hint
        found = f"{value} ({wrong[2]})" if value is not None and not isinstance(value, dict | list) else wrong[2]
        return DaedalusError("wrong type", where=f"{path}: {keys}", found=found, expected=wrong[1], hint=hint)
    return DaedalusError("a value that is not allowed", where=f"{path}: {keys}", found=text, expected=f"a valid {keys}")


def yaml_hint(value: object) -> str:
    """How to write what was probably meant by a value that YAML reads as something else."""
    if isinstance(value, dt.date):
        return "put quotes around it"
    if isinstance(value, bool):
        return "YAML reads yes, no, on and off as true and false; put quotes around text"
    if isinstance(value, str) and (number := _NUMBER_AS_TEXT.fullmatch(value)):
        sign, whole, fraction, raised, power = number.groups()
        return f"YAML reads {value} as text; the number is {sign}{whole}.{fraction or 0}e{raised or '+'}{power}"
    return ""


def _value_at(raw: Any, keys: str) -> Any:
    """The value at a key path such as `spine.lookback_days` or `windows[1]`; None if there is none."""
    for part in re.findall(r"[^.\[\]]+", keys):
        if isinstance(raw, dict):
            raw = raw.get(part)
        elif isinstance(raw, list) and part.isdigit() and int(part) < len(raw):
            raw = raw[int(part)]
        else:
            return None
    return raw


def _allowed(kind: type, keys: str) -> str:
    """The choices of the field at a key path, if it has only some."""
    import typing

    *above, key = keys.split(".")
    for part in above:
        hint = typing.get_type_hints(kind).get(part)  # none for a key of a mapping
        structs = (one for one in (hint, *typing.get_args(hint)) if hasattr(one, "__struct_fields__"))
        kind = next(structs, kind)
    hint = typing.get_type_hints(kind).get(key)
    parts = (hint, *typing.get_args(hint))
    choices = [c for part in parts if typing.get_origin(part) is typing.Literal for c in typing.get_args(part)]
    lists = any(typing.get_origin(part) is list for part in parts[1:])
    return " or ".join(map(repr, choices)) + (" or a list" if lists and choices else "")


def _all_keys(kind: type) -> set[str]:
    """Every key of a struct and of the structs below it, also in mappings, for `did you mean`."""
    import msgspec.inspect

    keys: set[str] = set()
    todo = [msgspec.inspect.type_info(kind)]
    while todo:
        info = todo.pop()
        keys |= _field_names(info)
        todo += [field.type for field in getattr(info, "fields", ())] + _below(info)
    return keys


def _types_at(kind: type, keys: str) -> list[Any]:
    """The types that a value at a key path such as `splits.parts` or `windows[1]` may have."""
    import msgspec.inspect

    found = _alternatives([msgspec.inspect.type_info(kind)])
    for part in re.findall(r"[^.\[\]]+", keys):
        fields = [field.type for info in found for field in getattr(info, "fields", ()) if field.encode_name == part]
        found = _alternatives(fields or [one for info in found for one in _below(info)])
    return found


def _alternatives(infos: list[Any]) -> list[Any]:
    """The types that unions and types with a note stand for."""
    found: list[Any] = []
    for info in infos:
        inner = [*getattr(info, "types", ()), *([info.type] if hasattr(info, "type") else [])]
        found += _alternatives(inner) if inner else [info]
    return found


def _field_names(info: Any) -> set[str]:
    return {field.encode_name for field in getattr(info, "fields", ())}


def _below(info: Any) -> list[Any]:
    """The types inside a type that is no struct: of a union, a note, the values of a mapping, the items of a list."""
    inside = (getattr(info, name, None) for name in ("type", "value_type", "item_type"))
    return [*getattr(info, "types", ()), *(one for one in inside if one is not None)]
