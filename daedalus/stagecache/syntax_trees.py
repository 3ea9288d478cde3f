"""The definitions that a function reaches through a project's modules, as syntax trees without locations.

In a tree, a name that the project defines is replaced by the number of its definition, in the order in which they are
reached, and an imported name by what it is imported from: neither moving a file nor renaming a definition changes a
tree. Nor does the text of an error: of a `raise` only the name of the exception counts.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_DEFINING = (ast.Assign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.TryStar)
_MARK = "\0"
_NAMING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


@dataclass(frozen=True)
class Definition:
    """A name that a module of the project defines at its top level."""

    module: str
    name: str


@dataclass(frozen=True)
class _Module:
    """A module of the project, whose attributes are resolved to definitions."""

    name: str


@dataclass(frozen=True)
class _Contents:
    """The top-level definitions of a module by name, and its imports as name -> (module, original name or "")."""

    definitions: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class _Tree:
    """The dumped statements of a definition, with marks in place of the numbers of what it `uses`.

    `ambiguous` maps names that mean one thing inside and another outside to what they refer to outside.
    """

    statements: list[str]
    ambiguous: dict[str, str]
    uses: list[Definition]

    def numbered(self, numbers: Mapping[Definition, int]) -> list[Any]:
        def named(text: str, quoted: Callable[[str], str]) -> str:
            parts = text.split(_MARK)
            parts[1::2] = [quoted(f"#{numbers[self.uses[int(use)]]}") for use in parts[1::2]]
            return "".join(parts)

        outside = {name: named(token, str) for name, token in self.ambiguous.items()}
        return [[named(text, repr) for text in self.statements], outside]


class _Use(str):
    """A mark that stays as it is in a dumped tree, where other strings are quoted and cannot contain it."""

    __repr__ = str.__str__


class Project:
    """The code of a project: each module is read once, and each definition made a tree once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module, self._contents = cache(_without_docstrings), cache(self._contents_of)
        self.tree, self.text = cache(self._tree), cache(self._text)

    def _contents_of(self, module: str) -> _Contents:
        definitions: dict[str, list[ast.stmt]] = {}
        body = self.module(module).body
        for node in body:
            for name in _defined(node):
                definitions.setdefault(name, []).append(node)
        outside = [node for node in body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        return _Contents(definitions, _imports(outside))

    def nodes(self, definition: Definition) -> list[ast.stmt]:
        return self._contents(definition.module).definitions[definition.name]

    def _text(self, definition: Definition) -> str:
        """Its source, without comments and docstrings."""
        return "\n".join(map(ast.unparse, self.nodes(definition)))

    def _tree(self, definition: Definition) -> _Tree:
        nodes = self.nodes(definition)
        names = _Anonymous(self, definition, nodes)
        return _Tree([ast.dump(_nameless(names.visit(node))) for node in nodes], names.ambiguous, names.uses)

    def resolve(self, module: str, name: str, local: Mapping[str, tuple[str, str]]) -> Definition | _Module | str:
        """What a name in a module refers to: something of the project, or its full name elsewhere.

        `local` are the imports inside the definition.
        """
        contents = self._contents(module)
        if name not in local and name not in contents.imports:
            return Definition(module, name) if name in contents.definitions else name
        source, original = local.get(name) or contents.imports[name]
        if source.split(".")[0] != self.name:
            return f"{source}:{original}" if original else source
        if not original:
            return _Module(source)
        return self.attribute(_Module(source), original)

    def attribute(self, module: _Module, name: str) -> Definition | _Module | str:
        """What an attribute of a module of the project refers to."""
        inside = f"{module.name}.{name}"
        return _Module(inside) if _is_module(inside) else self.resolve(module.name, name, {})

    def is_exception(self, definition: Definition) -> bool:
        """Whether this is an exception class: it stays in trees by name, and its body is not followed."""
        classes = (node for node in self.nodes(definition) if isinstance(node, ast.ClassDef))
        bases = [base.id for node in classes for base in node.bases if isinstance(base, ast.Name)]
        return any(self._names_exception(definition.module, base) for base in bases)

    def _names_exception(self, module: str, name: str) -> bool:
        found = self.resolve(module, name, {})
        if isinstance(found, Definition):
            return self.is_exception(found)
        known = getattr(builtins, found, None) if isinstance(found, str) else None
        return isinstance(known, type) and issubclass(known, BaseException)


@dataclass
class Reached:
    """The definitions that a function reaches, in the order in which they are found, with their trees."""

    project: Project
    numbers: dict[Definition, int] = field(default_factory=dict)
    trees: list[Any] = field(default_factory=list)

    def add(self, definition: Definition) -> None:
        """Adds a definition and all that it uses."""
        if definition in self.numbers:
            return
        number = self.numbers[definition] = len(self.trees)
        self.trees.append(None)
        tree = self.project.tree(definition)
        for used in tree.uses:
            self.add(used)
        self.trees[number] = tree.numbered(self.numbers)

    def texts(self) -> Iterator[tuple[str, str]]:
        """(name, source) of each definition."""
        for definition in self.numbers:
            yield definition.name, self.project.text(definition)


class _Anonymous(ast.NodeTransformer):
    """Turns the tree of a definition into one without the names that only say where something is.

    A name that is also bound inside the definition is kept; `ambiguous` has what it refers to outside. `uses` are the
    definitions that are referred to, in the order of the marks for them.
    """

    def __init__(self, project: Project, definition: Definition, nodes: Sequence[ast.stmt]) -> None:
        self._project, self._definition = project, definition
        self._imports = _imports(nodes)
        self._bound = {name for node in nodes for name in _bound(node)}
        self.ambiguous: dict[str, str] = {}
        self.uses: list[Definition] = []

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """A node of the visited children; the node that is visited stays as it was."""
        return type(node)(**{name: self._visited(value) for name, value in ast.iter_fields(node)})

    def _visited(self, value: Any) -> Any:
        if isinstance(value, list):
            seen = ((one, self._visited(one)) for one in value)
            return [new for old, new in seen if new is not None or old is None]
        return self.visit(value) if isinstance(value, ast.AST) else value

    def _token(self, name: str) -> str:
        return self._named(name, self._project.resolve(self._definition.module, name, self._imports))

    def _named(self, name: str, found: Definition | _Module | str) -> str:
        if isinstance(found, str):
            return found
        if isinstance(found, _Module):
            return f"module {found.name}"
        if self._project.is_exception(found):
            return found.name
        self.uses.append(found)
        return _Use(f"{_MARK}{len(self.uses) - 1}{_MARK}")

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
        return ast.Name(self._named(node.attr, self._project.attribute(found, node.attr)), node.ctx)

    def _module(self, node: ast.expr) -> _Module | None:
        """The project's module that an expression refers to, if it does."""
        if isinstance(node, ast.Name) and node.id not in self._bound:
            found = self._project.resolve(self._definition.module, node.id, self._imports)
        elif isinstance(node, ast.Attribute) and (parent := self._module(node.value)):
            found = self._project.attribute(parent, node.attr)
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


def _nameless(node: ast.AST) -> ast.AST:
    """The tree of a definition, without its name."""
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


def _without_docstrings(module: str) -> ast.Module:
    """A module's tree."""
    tree = ast.parse(source_of(module))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree
