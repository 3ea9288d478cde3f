"""Fingerprints of what runs: normalised SQL, and syntax trees of Python functions.

A comment, a docstring or a line break changes neither. A changed helper, constant or default of the project, at any
depth, changes the fingerprint of every function that reaches it. Where code is defined and how its errors are worded
change nothing: see syntax_trees.py.
"""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from daedalus.base import digest
from daedalus.stagecache.syntax_trees import Definition, Project, Reached


@dataclass(frozen=True)
class Fingerprint:
    """The digest of what runs, and its source text, which explanations compare."""

    digest: str
    text: str


project = cache(Project)  # as its code was when a process first looked at it


@cache
def of_python(function: Callable) -> Fingerprint:
    """The fingerprint of a function: its syntax tree, with all project code and constants that it reaches."""
    reached = Reached(project(function.__module__.partition(".")[0]))
    reached.add(Definition(function.__module__, function.__qualname__.split(".")[0]))
    text = "\n\n".join(f"# {name}\n{source}" for name, source in sorted(reached.texts()))
    return Fingerprint(digest.of_json(reached.trees), text)


@cache
def of_packages(*names: str) -> str:
    """The digest of all modules of some packages; it changes with any of their code, docstrings apart."""
    trees = {}
    for name in names:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            trees[found.name] = ast.dump(project(name.partition(".")[0]).module(found.name))
    return digest.of_json(trees)


@cache
def version(package: str) -> str:
    """The installed version of a package, by the name of its folder: to import `importlib.metadata` takes 0.03 s."""
    start, end = f"{package}-", ".dist-info"
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder or "."):
                if name.startswith(start) and name.endswith(end):
                    return name[len(start) : -len(end)]
    from importlib import metadata

    return metadata.version(package)
