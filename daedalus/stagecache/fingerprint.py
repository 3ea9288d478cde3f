"""Fingerprints of what runs: normalised SQL, and the syntax trees of Python that computes.

A comment, a docstring or a line break changes neither; a changed helper, constant or default of
the project, however far down, changes the fingerprint of all that reach it.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from daedalus import digest

_SQL_TOKEN = re.compile(r"""('(?:[^']|'')*')|("(?:[^"]|"")*")|((?:--[^\n]*|/\*.*?\*/|\s)+)""", re.DOTALL)


def normalise_sql(sql: str) -> str:
    """The statement without comments, its white space folded; literals and quoted names are kept to the letter."""
    return _SQL_TOKEN.sub(lambda match: match[0] if match[3] is None else " ", sql).strip()


@dataclass(frozen=True)
class Fingerprint:
    """The digest of what runs, and the text that it is the digest of, for people to compare."""

    digest: str
    text: str


def of_sql(*statements: str) -> Fingerprint:
    text = ";\n".join(normalise_sql(statement) for statement in statements)
    return Fingerprint(digest.of_text(text), text)


@cache
def of_python(function: Callable) -> Fingerprint:
    """A function's syntax tree, with all project code and constants that it reaches."""
    module = sys.modules[function.__module__]
    seen: dict[str, list[ast.stmt]] = {}
    _collect(module, function.__qualname__.split(".")[0], seen, module.__name__.split(".")[0])
    text = "\n\n".join(f"# {label}\n" + "\n".join(map(ast.unparse, seen[label])) for label in sorted(seen))
    return Fingerprint(digest.of_json({label: [ast.dump(n) for n in nodes] for label, nodes in seen.items()}), text)


@cache
def of_packages(*names: str) -> str:
    """Digest of every module of some packages: whether any code at all that renders or computes has changed."""
    trees = {}
    for name in names:
        package = importlib.import_module(name)
        for found in pkgutil.iter_modules(package.__path__, f"{name}."):
            trees[found.name] = ast.dump(_without_docstrings(_tree(importlib.import_module(found.name))))
    return digest.of_json(trees)


def _collect(module: ModuleType, name: str, seen: dict[str, list[ast.stmt]], project: str) -> None:
    """Adds the definition of `name` in `module`, and of every project name that it uses, to `seen`."""
    label = f"{module.__name__}:{name}"
    if label in seen:
        return
    definitions, imports = _names(module)
    if name in imports:
        source, original = imports[name]
        if source.split(".")[0] == project:
            _collect(importlib.import_module(source), original, seen, project)
        return
    nodes = definitions.get(name, [])
    if nodes:
        seen[label] = nodes
    for used in sorted({n for node in nodes for n in _used(node)}):
        _collect(module, used, seen, project)
    for alias, attribute in sorted({pair for node in nodes for pair in _attributes(node)}):
        source, original = imports.get(alias, ("", ""))
        submodule = sys.modules.get(f"{source}.{original}")
        if submodule and source.split(".")[0] == project:
            _collect(submodule, attribute, seen, project)


def _used(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def _attributes(node: ast.AST) -> set[tuple[str, str]]:
    """(name, attribute) of every `name.attribute`."""
    found = (child for child in ast.walk(node) if isinstance(child, ast.Attribute))
    return {(child.value.id, child.attr) for child in found if isinstance(child.value, ast.Name)}


@cache
def _names(module: ModuleType) -> tuple[dict[str, list[ast.stmt]], dict[str, tuple[str, str]]]:
    """Top-level definitions of a module by name, and its imports as name -> (module, original name)."""
    definitions: dict[str, list[ast.stmt]] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in _without_docstrings(_tree(module)).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in _used(target):
                    definitions.setdefault(name, []).append(node)
    for found in ast.walk(_tree(module)):
        if isinstance(found, ast.ImportFrom) and found.module:
            imports.update({alias.asname or alias.name: (found.module, alias.name) for alias in found.names})
    return definitions, imports


def _tree(module: ModuleType) -> ast.Module:
    loader = module.__spec__.loader if module.__spec__ else None
    source = loader.get_source(module.__name__)  # type: ignore[union-attr]
    return ast.parse(source)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree
