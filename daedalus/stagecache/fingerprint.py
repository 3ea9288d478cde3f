"""Fingerprints of what runs: normalised SQL, and the syntax trees of Python that computes.

A comment, a docstring or a line break changes neither; a changed helper, constant or default of
the project, however far down, changes the fingerprint of all that reach it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

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
    seen: dict[str, list[ast.stmt]] = {}
    _collect(function.__module__, function.__qualname__.split(".")[0], seen, function.__module__.split(".")[0])
    text = "\n\n".join(f"# {label}\n" + "\n".join(map(ast.unparse, seen[label])) for label in sorted(seen))
    return Fingerprint(digest.of_json({label: [ast.dump(n) for n in nodes] for label, nodes in seen.items()}), text)


@cache
def of_packages(*names: str) -> str:
    """Digest of every module of some packages: whether any code at all that renders or computes has changed."""
    trees = {}
    for name in names:
        package = importlib.import_module(name)
        for found in pkgutil.iter_modules(package.__path__, f"{name}."):
            trees[found.name] = ast.dump(_without_docstrings(ast.parse(_source(found.name))))
    return digest.of_json(trees)


def _collect(module: str, name: str, seen: dict[str, list[ast.stmt]], project: str) -> None:
    """Adds the definition of `name` in `module`, and of every project name that it uses, to `seen`."""
    label = f"{module}:{name}"
    if label in seen:
        return
    definitions, imports = _names(_source(module))
    if name in imports:
        source, original = imports[name]
        if source.split(".")[0] == project and not _is_module(f"{source}.{original}"):
            _collect(source, original, seen, project)
        return
    nodes = definitions.get(name, [])
    if nodes:
        seen[label] = nodes
    for used in sorted({n for node in nodes for n in _used(node)}):
        _collect(module, used, seen, project)
    for alias, attribute in sorted({pair for node in nodes for pair in _attributes(node)}):
        source, original = imports.get(alias, ("", ""))
        if source.split(".")[0] == project and _is_module(f"{source}.{original}"):
            _collect(f"{source}.{original}", attribute, seen, project)


def _used(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def _attributes(node: ast.AST) -> set[tuple[str, str]]:
    """(name, attribute) of every `name.attribute`."""
    found = (child for child in ast.walk(node) if isinstance(child, ast.Attribute))
    return {(child.value.id, child.attr) for child in found if isinstance(child.value, ast.Name)}


@cache
def _names(source: str) -> tuple[dict[str, list[ast.stmt]], dict[str, tuple[str, str]]]:
    """Top-level definitions of a module by name, and its imports as name -> (module, original name)."""
    definitions: dict[str, list[ast.stmt]] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in _without_docstrings(ast.parse(source)).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in _used(target):
                    definitions.setdefault(name, []).append(node)
    for found in ast.walk(ast.parse(source)):
        if isinstance(found, ast.ImportFrom) and found.module:
            imports.update({alias.asname or alias.name: (found.module, alias.name) for alias in found.names})
    return definitions, imports


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _source(module: str) -> str:
    """A module's source; it need not be imported for that."""
    loaded = sys.modules.get(module)
    spec = loaded.__spec__ if loaded else importlib.util.find_spec(module)
    return spec.loader.get_source(module)  # type: ignore[union-attr]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree
