"""YAML as plain values: a mapping of keys, each once, and nothing that YAML 1.1 reads otherwise than people do."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from daedalus.base.errors import DaedalusError

_MOST_DEEP, _MOST_VALUES = 100, 100_000  # of a file; the values with its aliases written out
_MOST_DIGITS, _MOST_SHOWN = 4_000, 60  # characters of a number, and of a value in a message
_KIND_NAMES = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "timestamp": "a date or time that exists",
}


def mapping(path: Path, text: str) -> dict[str, Any]:
    """The mapping in the text of a file. Raises DaedalusError."""
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
