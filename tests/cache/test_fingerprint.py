"""What changes a fingerprint and what does not."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

import daedalus
from daedalus.sql.text import of_sql
from daedalus.stagecache import syntax_trees
from daedalus.stagecache.fingerprint import of_python, project, version
from daedalus.workspace.code_stamp import ENGINES


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT 1 -- why", "SELECT   1", True),
        ("SELECT /* why */ 1\n", "SELECT 1", True),
        ("SELECT '--a  b'", "SELECT '--a b'", False),
        ("SELECT 'it''s  --'", "SELECT 'it''s --'", False),
        ('SELECT "a  b"', 'SELECT "a b"', False),
        ("SELECT 1", "SELECT 2", False),
        ("SELECT a FROM t ORDER BY a", "SELECT a FROM t", False),
    ],
)
def test_sql(one, other, same):
    assert (of_sql(one).digest == of_sql(other).digest) is same


MAIN = """
    '''A module.'''
    from math import floor
    from fpkg import helpers
    from fpkg.helpers import scale as by

    if True:
        LEAST = 0

    LIMIT = 3

    def work(rows, most=10):
        '''Works.'''
        if not rows:
            raise helpers.Refused(f"no rows, expected {most}")
        return [by(floor(row)) for row in rows[LEAST:LIMIT]][:most] + helpers.extra()

    def unused():
        return 0
"""
HELPERS = """
    class Refused(ValueError):
        def line(self):
            return "refused: " + str(self)

    FACTOR = 2

    def scale(row):
        return row * FACTOR

    def shrink(row):
        return row / FACTOR

    def extra():
        return inner()

    def inner():
        return []
"""
EDITS = {
    "a comment": ("main", "LIMIT = 3", "LIMIT = 3  # three", True),
    "a docstring": ("main", "'''Works.'''", "'''Works hard.'''", True),
    "a function that is not reached": ("main", "return 0", "return 1", True),
    "white space": ("main", "rows[LEAST:LIMIT]", "rows[ LEAST : LIMIT ]", True),
    "an error's text": ("main", "no rows, expected", "there are none; expected", True),
    "how an error is shown": ("helpers", "refused: ", "not taken: ", True),
    "another way to import": ("main", "import scale as by", "import scale as by, scale as also", True),
    "an import inside": ("main", "    if not", "    from fpkg.helpers import scale as by\n    if not", True),
    "which error is raised": ("main", "raise helpers.Refused", "raise ValueError", False),
    "when an error is raised": ("main", "if not rows", "if len(rows) < 2", False),
    "what a name is imported from": ("main", "import floor", "import ceil as floor", False),
    "a constant that depends": ("main", "LEAST = 0", "LEAST = 1", False),
    "another helper under the name": ("main", "import scale as by", "import shrink as by", False),
    "a constant": ("main", "LIMIT = 3", "LIMIT = 4", False),
    "a default": ("main", "most=10", "most=11", False),
    "the function": ("main", "[:most]", "[1:most]", False),
    "a helper": ("helpers", "row * FACTOR", "row + FACTOR", False),
    "a helper's constant": ("helpers", "FACTOR = 2", "FACTOR = 3", False),
    "a helper's helper, by attribute": ("helpers", "return []", "return [1]", False),
}


@pytest.mark.parametrize("kind", EDITS)
def test_python(tmp_path, monkeypatch, kind):
    module, old, new, same = EDITS[kind]
    sources = {"main": textwrap.dedent(MAIN), "helpers": textwrap.dedent(HELPERS)}
    monkeypatch.syspath_prepend(str(tmp_path))
    before = fingerprint(tmp_path, sources)
    assert old in sources[module]
    after = fingerprint(tmp_path, {**sources, module: sources[module].replace(old, new)})
    assert (before == after) is same


MOVES = {
    "a renamed helper": {"scale": "times", "inner": "within", "FACTOR": "RATIO"},
    "a renamed module": {"helpers": "tools"},
    "another name for what is imported": {"as by": "as scaled", "by(": "scaled("},
    "by the module's attribute": {"from fpkg.helpers import scale as by": "", "by(": "helpers.scale("},
    "a module under another name": {
        "from fpkg import helpers": "from fpkg import helpers as h", "helpers.extra": "h.extra", "helpers.R": "h.R",
    },
}  # fmt: skip


@pytest.mark.parametrize("move", MOVES)
def test_where_code_is_and_by_which_name_does_not_matter(tmp_path, monkeypatch, move):
    sources = {"main": textwrap.dedent(MAIN), "helpers": textwrap.dedent(HELPERS)}
    monkeypatch.syspath_prepend(str(tmp_path))
    before = fingerprint(tmp_path, sources)
    moved = {
        "tools" if move == "a renamed module" and name == "helpers" else name: text for name, text in sources.items()
    }
    for name, text in moved.items():
        for old, new in MOVES[move].items():
            text = text.replace(old, new)
        moved[name] = text
    assert moved != sources
    for file in (tmp_path / "fpkg").glob("*.py"):
        file.unlink()
    assert fingerprint(tmp_path, moved) == before


def test_what_is_written_in_the_code_is_no_mark_of_ours(tmp_path, monkeypatch):
    """In a tree a used definition has a number between marks; a string of the code may look like that."""
    monkeypatch.syspath_prepend(str(tmp_path))
    code = "def helper():\n    return 0\n\ndef work():\n    return helper(), {!r}, {!r}\n"
    one = fingerprint(tmp_path, {"main": code.format("\0" + "0\0", b"\0")})
    assert one == fingerprint(tmp_path, {"main": code.format("\0" + "0\0", b"\0")})
    assert one != fingerprint(tmp_path, {"main": code.format("\0" + "1\0", b"\0")})
    assert one != fingerprint(tmp_path, {"main": code.format("#1", b"\0")})


def test_each_module_is_read_once_for_all_functions(monkeypatch):
    read = []
    source_of = syntax_trees.source_of
    monkeypatch.setattr(syntax_trees, "source_of", lambda module: read.append(module) or source_of(module))
    project.cache_clear()
    for root in ROOTS:
        module, name = root.split(":")
        of_python.__wrapped__(getattr(importlib.import_module(f"daedalus.{module}"), name))
    assert len(read) > 20 and sorted(set(read)) == sorted(read)


ROOTS = (
    "windows.roll:roll",
    "output.cut_partition:ParquetSink",
    "parquet.artifact_writer:write_parquet",
    "inputs.pool:read_pool_ids",
)


def test_no_key_changes_when_the_files_of_the_package_move_and_errors_are_reworded(tmp_path):
    """Every file of every room moves into a folder of its own, under another name; each error says something else."""
    package = Path(daedalus.__file__).parent
    shutil.copytree(package, tmp_path / "daedalus", ignore=shutil.ignore_patterns("__pycache__"))
    moved = {}
    for file in [*(tmp_path / "daedalus").glob("*/*.py")]:
        if file.name != "__init__.py":
            folder = file.parent / f"in_{file.stem}"
            folder.mkdir()
            (folder / "__init__.py").touch()
            file.rename(folder / f"the_{file.name}")
            moved[f"daedalus.{file.parent.name}.{file.stem}"] = (
                f"daedalus.{file.parent.name}.{folder.name}.the_{file.stem}"
            )
    for file in (tmp_path / "daedalus").rglob("*.py"):
        text = _imports_moved(file.read_text(), moved)
        file.write_text(re.sub(r'(raise (?:DayError|DaedalusError|ValueError)\(f?")', r"\1reworded: ", text))
    assert _fingerprints(tmp_path, moved) == _fingerprints(package.parent, {})


def _imports_moved(text: str, moved: dict[str, str]) -> str:
    lines = text.splitlines(keepends=True)
    for node in reversed([node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]):
        said = []
        for alias in node.names:
            home = moved.get(f"{node.module}.{alias.name}")
            source, name = home.rsplit(".", 1) if home else (moved.get(node.module, node.module), alias.name)
            said.append(f"{' ' * node.col_offset}from {source} import {name} as {alias.asname or alias.name}\n")
        lines[node.lineno - 1 : node.end_lineno] = ["".join(said), *[""] * (node.end_lineno - node.lineno)]
    return "".join(lines)


def _fingerprints(folder: Path, moved: dict[str, str]) -> dict[str, str]:
    """Of each function whose code is in keys, in a process of its own that imports the package from a folder."""
    homes = {name: (f"daedalus.{name.split(':')[0]}", name.split(":")[1]) for name in ROOTS}
    asked = {name: (moved.get(module, module), function) for name, (module, function) in homes.items()}
    fingerprint = moved.get("daedalus.stagecache.fingerprint", "daedalus.stagecache.fingerprint")
    code = (
        f"import json, importlib; from {fingerprint} import of_python; asked = {asked!r}; print(json.dumps({{"
        "name: of_python(getattr(importlib.import_module(m), f)).digest for name, (m, f) in asked.items()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


def fingerprint(folder, sources) -> str:
    package = folder / "fpkg"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    for name, text in sources.items():
        (package / f"{name}.py").write_text(text)
    for name in [name for name in sys.modules if name.startswith("fpkg")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    project.cache_clear()
    sys.dont_write_bytecode = True
    return of_python(importlib.import_module("fpkg.main").work).digest


@pytest.mark.parametrize("package", [*ENGINES, "daedalus-skeleton"])
def test_a_version_is_what_importlib_tells(package):
    """Of the last, whose folder's name has another form, too."""
    assert version.__wrapped__(package) == metadata.version(package)
