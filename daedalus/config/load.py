"""Reads YAML files into frozen structs; errors name the file and key path."""

from __future__ import annotations

import datetime as dt
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from daedalus.base.errors import DaedalusError, did_you_mean, seen_from
from daedalus.config.config import AGGREGATIONS, CATALOG, RUNTIME, Config
from daedalus.config.schema import Aggregation, Aggregations, Catalog, Runtime, View
from daedalus.config.validation import check

_MOST_BYTES, _MOST_DEEP, _MOST_VALUES = 10 << 20, 100, 100_000  # of a file; the values with its aliases written out
_MOST_DIGITS, _MOST_SHOWN = 4_000, 60  # characters of a number, and of a value in a message
_KIND_NAMES = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "timestamp": "a date or time that exists",
}
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
            hint="`daeda init` writes a first one; --config DIR names another",
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


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Rejects what PyYAML accepts silently: equal keys, numbers in base 8 or 60, endless nesting and aliases."""

    _deep = 0

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:
        """Called for each value before it is read; limits the depth, before Python's recursion limit is reached."""
        self._deep += 1
        if self._deep > _MOST_DEEP and parent is not None:
            raise _unfit(f"values nested more than {_MOST_DEEP} deep", parent)

    def ascend_resolver(self) -> None:
        self._deep -= 1

    def get_single_node(self) -> yaml.Node:
        node = super().get_single_node()
        if node is not None:
            _count_values(node, {})
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Refuses text that does not fit the type that it is read as, where PyYAML raises errors of Python's own."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            what = _KIND_NAMES.get(kind, f"a value of the type {kind}")
            text = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            shown = f"{text[:_MOST_SHOWN]}…" if len(text) > _MOST_SHOWN else text or "empty text"
            raise _unfit(f"{shown}, which is not {what}", node, f"{what}, or quotes around text") from None

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Rejects numbers in base 8 or 60: YAML 1.1 reads 0777 as 511, and 1:30 as 90."""
        text = self.construct_scalar(node)
        octal = re.fullmatch(r"[-+]?0[0-7_]+", text)
        if len(text) > _MOST_DIGITS and (octal or ":" in text or not node.tag.endswith(":float")):
            raise _unfit(f"a number of {len(text):,} characters", node, "a shorter number, or quotes around text")
        value = self.construct_yaml_float(node) if node.tag.endswith(":float") else self.construct_yaml_int(node)
        if octal or ":" in text:
            problem = f"{text}, which YAML reads in base {8 if octal else 60}, as {value}"
            raise _unfit(problem, node, "a decimal number, or quotes around text")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            spelled = str(key.value)
            if spelled in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {spelled!r}", key.start_mark)
            seen.add(spelled)
        return super().construct_mapping(node, deep)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def _unfit(problem: str, node: yaml.Node, expected: str | None = None) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark, expected)


def _count_values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node has with its aliases expanded, counted without expanding them."""
    size = known.get(id(node))
    if size is None:
        known[id(node)] = sys.maxsize  # for an alias inside the node that it refers to
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        pairs = isinstance(node, yaml.MappingNode)
        size = 1 + sum(_count_values(child, known) for item in children for child in (item if pairs else [item]))
        known[id(node)] = size
        if size > _MOST_VALUES + len(known):  # without aliases it has at most as many as were seen
            raise _unfit(f"aliases that expand to more than {_MOST_VALUES:,} values", node)
    return size


def read_yaml(path: Path) -> dict[str, Any]:
    """A config file's mapping. Raises DaedalusError if it is no YAML mapping or has a key twice."""
    return _mapping(path, _text(path))


def _mapping(path: Path, text: str) -> dict[str, Any]:
    try:
        raw = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f": line {mark.line + 1}" if mark else ""
        parts = [getattr(error, part, None) for part in ("context", "problem")]
        problem = " ".join(filter(None, parts)) or str(error).splitlines()[0]
        what, expected = "not YAML", "valid YAML"
        if isinstance(error, yaml.constructor.ConstructorError | yaml.composer.ComposerError):
            what, expected = "YAML that is not supported", error.note or "one document of plain values, each key once"
        raise DaedalusError(what, where=f"{path}{line}", found=problem, expected=expected) from None
    if not isinstance(raw, dict):
        raise DaedalusError("wrong type", where=str(path), found=type(raw).__name__, expected="a mapping of keys")
    return raw


def _convert(raw: object, kind: type[_T], path: Path, prefix: str = "") -> _T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise _refusal(_named_keys(str(error), raw), kind, path, prefix, raw) from None


def _named_keys(message: str, raw: Any) -> str:
    """msgspec writes `$.platforms[...]` for any key of a mapping; this names the first that does not fit."""
    expected = re.match(r"Expected `([^`]*)`", message)
    while expected and "[...]" in message:
        before = message.partition("$.")[2].partition("[...]")[0]
        inner = raw
        for part in before.split("."):
            inner = inner.get(part, {}) if isinstance(inner, dict) else {}
        after = message.partition("[...]")[2].strip("`")
        wrong = [k for k, v in inner.items() if after or not _is_a(v, expected[1])] if isinstance(inner, dict) else []
        message = message.replace("[...]", f".{wrong[0] if wrong else '?'}", 1)
    return message


_KINDS: dict[str, Any] = {"int": int, "str": str, "float": (int, float), "bool": bool, "array": list, "object": dict}


def _is_a(value: object, spelled: str) -> bool:
    """Whether a YAML value is of a type as msgspec names it, such as `int | str`."""
    kinds = [_KINDS.get(part.strip(), object) for part in spelled.split("|")]
    return any(isinstance(value, kind) and (kind is not int or not isinstance(value, bool)) for kind in kinds)


def _refusal(message: str, kind: type, path: Path, prefix: str, raw: Any) -> DaedalusError:
    """Turns msgspec's sentence, `Expected X, got Y - at $.a.b`, into a DaedalusError."""
    text, _, at = message.partition(" - at ")
    keys = at.strip("`").replace("`key` in `", "a key of ").lstrip("$").lstrip(".")
    value = _value_at(raw, keys)
    keys = ".".join(part for part in (prefix, keys) if part)
    if unknown := re.match(r"Object contains unknown field `(.*)`", text):
        key = ".".join(part for part in (keys, unknown[1]) if part)
        hint = did_you_mean(unknown[1], _all_keys(kind))
        return DaedalusError(
            "an unknown key", where=f"{path}: {key}", found=unknown[1], expected="a known key", hint=hint
        )
    if missing := re.match(r"Object missing required field `(.*)`", text):
        key = ".".join(part for part in (keys, missing[1]) if part)
        return DaedalusError("a required key is missing", where=f"{path}: {key}", expected=f"the key {missing[1]}")
    if "`key` in" in at:
        what = "a key that is not text"
        return DaedalusError(what, where=str(path), found=text, expected="keys that are text; put quotes around others")
    if allowed := _allowed(kind, keys.rpartition(".")[2]):
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


def _allowed(kind: type, key: str) -> str:
    """The choices of a field that has only some."""
    import typing

    for name, hint in typing.get_type_hints(kind).items():
        choices = [c for part in (hint, *typing.get_args(hint)) if typing.get_origin(part) is typing.Literal
                   for c in typing.get_args(part)]  # fmt: skip
        if name == key and choices:
            lists = any(typing.get_origin(part) is list for part in typing.get_args(hint))
            return " or ".join(map(repr, choices)) + (" or a list" if lists else "")
    return ""


def _all_keys(kind: type) -> set[str]:
    """Every key of a struct and of the structs below it, for `did you mean`."""
    import msgspec.inspect

    keys: set[str] = set()
    todo = [msgspec.inspect.type_info(kind)]
    while todo:
        info: Any = todo.pop()
        for field in getattr(info, "fields", ()):
            keys.add(field.encode_name)
            todo.append(field.type)
        todo.extend(getattr(info, "types", ()))
        if isinstance(info, msgspec.inspect.Metadata):
            todo.append(info.type)
    return keys
