"""Which heavy modules a command imports."""

from __future__ import annotations

import sys

from measuring.process import measure
from measuring.worlds import World

_SCRIPT = """
import sys
from daedalus.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
heavy = {"duckdb", "pyarrow", "lance", "numba", "polars", "numpy"}
print(", ".join(sorted(heavy & set(sys.modules))) or "none")
"""


def imported(world: World, *arguments: str) -> str:
    """Their names, or `none`."""
    return measure(sys.executable, "-c", _SCRIPT, *arguments, cwd=world.root).out.splitlines()[-1]
