"""Compiled functions come from the disk without what only compiling needs, and give what they gave when compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from daedalus.parquet import jit

PROJECT = Path(jit.__file__).parents[2]
SCRIPT = """
import json, sys
import numpy as np
from numba.core.base import BaseContext
refreshed, real = [], BaseContext.refresh
BaseContext.refresh = lambda self: (refreshed.append(1), real(self))[1]

from daedalus.parquet.compiled_lists import fill_page, put_levels
sizes = np.array([3, 0, 2, 1], np.int64)
codes = np.arange(6, dtype=np.uint16)
out = np.zeros(4096, np.uint8)
page = fill_page(codes, np.cumsum(sizes) - sizes, sizes, 6, 16, True, out)
levels = np.zeros(256, np.uint8)
found = [*map(int, put_levels(sizes, levels, 0)), levels.tolist(), [int(part) for part in page], out.tolist()]
before = len(refreshed)

from numba import njit
@njit
def two_runs(out):
    return put_run(out, put_run(out, 0, 300, 1), 5, 0)
from daedalus.parquet.compiled_lists import put_run
found += [int(two_runs(out)), out[:16].tolist()]
import theirs
print(json.dumps([found, before, len(refreshed) > before, theirs.twice(21)]))
"""
THEIRS = """
from numba import njit
@njit(cache=True)
def twice(number):
    return number * 2
"""


@pytest.fixture
def run(tmp_path):
    """What a process finds that has a cache of machine code of its own."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "code"), "PYTHONPATH": f"{PROJECT}:{tmp_path}"}

    def once() -> tuple:
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return tuple(json.loads(done.stdout))

    return once


def test_what_comes_from_the_disk_is_what_was_compiled_also_for_what_is_compiled_after_it(run):
    found, compiling, more, theirs = run()
    assert compiling >= 1 and more and theirs == 42
    again, loading, more, theirs = run()
    assert again == found
    assert loading == 0 and more and theirs == 42  # `two_runs` is compiled in each process


def test_this_version_of_numba_is_one_where_it_has_been_tried():
    """Of another, numba loads code as it likes. Try it: `_TRIED` has its beginning, and the whole suite passes."""
    assert numba.__version__.startswith(jit._TRIED)
