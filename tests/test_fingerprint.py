"""What changes a fingerprint and what does not."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest

from daedalus.stagecache.fingerprint import of_python, of_sql


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
    from fpkg import helpers
    from fpkg.helpers import scale as by

    LIMIT = 3

    def work(rows, most=10):
        '''Works.'''
        return [by(row) for row in rows[:LIMIT]][:most] + helpers.extra()

    def unused():
        return 0
"""
HELPERS = """
    FACTOR = 2

    def scale(row):
        return row * FACTOR

    def extra():
        return inner()

    def inner():
        return []
"""
EDITS = {
    "a comment": ("main", "LIMIT = 3", "LIMIT = 3  # three", True),
    "a docstring": ("main", "'''Works.'''", "'''Works hard.'''", True),
    "a function that is not reached": ("main", "return 0", "return 1", True),
    "white space": ("main", "rows[:LIMIT]", "rows[ : LIMIT ]", True),
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


def fingerprint(folder, sources) -> str:

    package = folder / "fpkg"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    for name, text in sources.items():
        (package / f"{name}.py").write_text(text)
    for name in [name for name in sys.modules if name.startswith("fpkg")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    sys.dont_write_bytecode = True
    return of_python(importlib.import_module("fpkg.main").work).digest
