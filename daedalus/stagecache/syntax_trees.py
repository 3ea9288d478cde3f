"""The definitions that a function reaches through a project's modules, as syntax trees without locations.

In a tree, a name that the project defines is replaced by the number of its definition, in the order in which they are
reached, and an imported name by what it is imported from: neither moving a file nor renaming a definition changes a
tree. Nor does the text of an error: of a `raise` only the name of the exception counts.
"""

from __future__ import annotations

import ast
import builtins
import copy
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_DEFINING = (ast.Assign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.TryStar)
_NAMING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


@dataclass(frozen=True)
class Definition:
    """A name that a module of the project defines at its top level."""

    module: str
    name: str

    def nodes(self) -> list[ast.stmt]:
        return _contents(self.module).definitions[self.name]

    def is_exception(self) -> bool:
        """Whether this is an exception class: it stays in trees by name, and its body is not followed."""
        bases = [base for node in self.nodes() if isinstance(node, ast.ClassDef) for base in node.bases]
        return any(_is_exception(self.module, base.id) for base in bases if isinstance(base, ast.Name))


@dataclass(frozen=True)
class _Module:
    """A module of the project, whose attributes are resolved to definitions."""

    name: str


@dataclass(frozen=True)
class _Contents:
    """The top-level definitions of a module by name, and its imports as name -> (module, original name or "")."""

    definitions: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, tuple[str, str]]


@dataclass
class Reached:
    """The definitions that a function reaches, in the order in which they are found, with their trees."""

    project: str
    numbers: dict[Definition, int] = field(default_factory=dict)
    trees: list[Any] = field(default_factory=list)

    def add(self, definition: Definition) -> int:
        """Adds a definition and all that it uses; returns its number."""
        if definition not in self.numbers:
            self.numbers[definition] = len(self.trees)
            self.trees.append(None)
            nodes = definition.nodes()
            tree = _Anonymous(self, definition, nodes)
            dumped = [ast.dump(tree.visit(_nameless(node))) for node in nodes]
            self.trees[self.numbers[definition]] = [dumped, tree.ambiguous]
        return self.numbers[definition]

    def texts(self) -> Iterator[tuple[str, str]]:
        """(name, source) of each definition."""
        for definition in self.numbers:
            yield definition.name, "\n".join(map(ast.unparse, definition.nodes()))

    def resolve(self, module: str, name: str, local: Mapping[str, tuple[str, str]]) -> Definition | _Module | str:
        """What a name in a module refers to: something of the project, or its full name elsewhere.

        `local` are the imports inside the definition.
        """
        contents = _contents(module)
        if name not in local and name not in contents.imports:
            return Definition(module, name) if name in contents.definitions else name
        source, original = local.get(name) or contents.imports[name]
        if source.split(".")[0] != self.project:
            return f"{source}:{original}" if original else source
        if not original:
            return _Module(source)
        return self.attribute(_Module(source), original)

    def attribute(self, module: _Module, name: str) -> Definition | _Module | str:
        """What an attribute of a module of the project refers to."""
        inside = f"{module.name}.{name}"
        return _Module(inside) if _is_module(inside) else self.resolve(module.name, name, {})


class _Anonymous(ast.NodeTransformer):
    """Turns the tree of a definition into one without the names that only say where something is.

    A name that is also bound inside the definition is kept; `ambiguous` has what it refers to outside.
    """

    def __init__(self, reached: Reached, definition: Definition, nodes: Sequence[ast.stmt]) -> None:
        self._reached, self._definition = reached, definition
        self._imports = _imports(nodes)
        self._bound = {name for node in nodes for name in _bound(node)}
        self.ambiguous: dict[str, str] = {}

    def _token(self, name: str) -> str:
        return self._named(name, self._reached.resolve(self._definition.module, name, self._imports))

    def _named(self, name: str, found: Definition | _Module | str) -> str:
        if isinstance(found, str):
            return found
        if isinstance(found, _Module):
            return f"module {found.name}"
        return found.name if found.is_exception() else f"#{self._reached.add(found)}"

    def visit_Name(self, node: ast.Name) -> ast.AST:
        token = self._token(node.id)
        if node.id in self._bound:
            if token != node.id:
                self.ambiguous[node.id] = token
            return node
        return ast.Name(token, node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        found = self._module(node.value)
        if found is None:
            return self.generic_visit(node)
        return ast.Name(self._named(node.attr, self._reached.attribute(found, node.attr)), node.ctx)

    def _module(self, node: ast.expr) -> _Module | None:
        """The project's module that an expression refers to, if it does."""
        if isinstance(node, ast.Name) and node.id not in self._bound:
            found = self._reached.resolve(self._definition.module, node.id, self._imports)
        elif isinstance(node, ast.Attribute) and (parent := self._module(node.value)):
            found = self._reached.attribute(parent, node.attr)
        else:
            return None
        return found if isinstance(found, _Module) else None

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        name = raised.attr if isinstance(raised, ast.Attribute) else getattr(raised, "id", "")
        return ast.Raise(ast.Name(name, ast.Load()))

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return ast.Assert(self.visit(node.test))

    def visit_Import(self, node: ast.stmt) -> None:
        return None

    visit_ImportFrom = visit_Import  # `_imports` has read them: names are replaced by what they are imported from


def _nameless(node: ast.stmt) -> ast.stmt:
    """A copy of a definition without its name."""
    node = copy.deepcopy(node)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        node.name = ""
    return node


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that are bound inside a definition and so hide those of the module."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for inside in ast.walk(node):
            if isinstance(inside, ast.comprehension | ast.Lambda):
                yield from _stored(inside.target if isinstance(inside, ast.comprehension) else inside.args)
        return
    for part in node.body if isinstance(node, ast.ClassDef) else [node.args, *node.body]:
        yield from _stored(part)


def _stored(node: ast.AST) -> Iterator[str]:
    """The names that a node binds: assignments, arguments, definitions, patterns."""
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
            yield child.id
        elif isinstance(child, ast.arg):
            yield child.arg
        elif isinstance(child, ast.MatchMapping):
            yield child.rest or ""
        elif isinstance(child, _NAMING):
            yield child.name or ""


def _is_exception(module: str, name: str) -> bool:
    found = Reached(module.partition(".")[0]).resolve(module, name, {})
    if isinstance(found, Definition):
        return found.is_exception()
    known = getattr(builtins, found, None) if isinstance(found, str) else None
    return isinstance(known, type) and issubclass(known, BaseException)


def _contents(module: str) -> _Contents:
    return _parsed(source_of(module))


@cache
def _parsed(source: str) -> _Contents:
    definitions: dict[str, list[ast.stmt]] = {}
    body = without_docstrings(ast.parse(source)).body
    for node in body:
        for name in _defined(node):
            definitions.setdefault(name, []).append(node)
    outside = [node for node in body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return _Contents(definitions, _imports(outside))


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module defines, imports apart."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AugAssign):
        return list(_stored(node.target))
    return sorted(set(_stored(node))) if isinstance(node, _DEFINING) else []


def _imports(nodes: Sequence[ast.stmt]) -> dict[str, tuple[str, str]]:
    """The imports in some statements as name -> (module, original name); "" for a module itself."""
    found: dict[str, tuple[str, str]] = {}
    for node in (child for statement in nodes for child in ast.walk(statement)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
        elif isinstance(node, ast.Import):
            found.update({a.asname or a.name.split(".")[0]: (a.name if a.asname else a.name.split(".")[0], "")
                          for a in node.names})  # fmt: skip
    return found


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def source_of(module: str) -> str:
    """A module's source, without importing it."""
    loaded = sys.modules.get(module)
    spec = loaded.__spec__ if loaded else importlib.util.find_spec(module)
    return spec.loader.get_source(module)  # type: ignore[union-attr]


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree
