"""What a run does, counted: statements, syncs, files, bytes and imports never grow unseen.

Counts, not times: they are the same on any machine. A count above its ceiling fails; where that is meant, paste the
table that the failure prints (`pytest -s` prints it too) over the one below. A count far below is a warning, for its
ceiling no longer sees a regression.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import pytest
import yaml
from small import PROJECT, Small, edit

RUNS = ("cold", "unchanged", "aggregation")
CEILINGS = {
    # what: cold, nothing changed, one aggregation added
    "DuckDB connections": (0, 0, 0),
    "DuckDB statements": (0, 0, 0),
    "SQLite transactions": (69, 1, 12),
    "syncs": (306, 0, 33),
    "renames": (174, 1, 13),
    "files opened to write": (63, 1, 36),
    "bytes read": (3_250_000, 159_558, 1_660_000),
    "bytes written": (3_300_000, 45_694, 750_000),
    "modules of ours": (218, 88, 216),
    "heavy modules": (6, 0, 5),
}
# SQLite moves its log into the database when it gets at it, times are written with more or fewer digits, and how
# many results are committed at once follows the speed of the machine.
TOLERANCE = {"bytes read": 0.1, "bytes written": 0.1, "syncs": 0.5, "SQLite transactions": 3.0,
             "renames": 0.1, "files opened to write": 0.05}  # fmt: skip
FALLEN = 0.85


@pytest.fixture
def counted(cold: Small) -> dict[str, list[int]]:
    """The counts by what is counted, of each of RUNS. One worker: two would share work by chance."""
    limits = {"threads": 1, "memory_limit": "1GB", "temp_directory": "cache/tmp"}
    edit(cold.runtime, compute={"engine": "duckdb", "duckdb_config": limits})
    found = [run(cold), run(cold)]
    added = {"name": "click_artwork_author_ids", "events": ["click"], "column": "author_id", "agg": "distinct",
             "windows": ["1d"], "max_items": 200}  # fmt: skip
    cold.edit_aggregations(lambda aggregations: aggregations.append(added))
    columns = yaml.safe_load(cold.runtime.read_text())["output_columns"]
    edit(cold.runtime, output_columns=[*columns, "click_artwork_author_ids_1d"])
    found.append(run(cold))
    return {what: [counts.get(what, 0) for counts in found] for what in CEILINGS}


def run(world: Small) -> dict[str, int]:
    """Counts a run over four days, in a process of its own."""
    script, out = PROJECT / "tests/support/counting.py", world.root / "counts.json"
    command = [sys.executable, script, out, "skeleton", "--range", "2026-02-01..2026-02-04", "--progress", "none"]
    variables = {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}  # what was edited is compiled once
    subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **variables})
    return json.loads(out.read_text())


def pasted(counts: dict[str, list[int]]) -> str:
    rows = (f'    "{what}": ({", ".join(f"{number:_}" for number in numbers)}),' for what, numbers in counts.items())
    return "CEILINGS = {\n    # what: cold, nothing changed, one aggregation added\n" + "\n".join(rows) + "\n}"


def test_no_count_grows(counted):
    print(f"\n{pasted(counted)}")
    more, less = [], []
    for what, numbers in counted.items():
        for name, number, ceiling in zip(RUNS, numbers, CEILINGS[what], strict=True):
            told = f"{name}: {number:,} {what}, the ceiling is {ceiling:,}"
            if number > ceiling * (1 + TOLERANCE.get(what, 0)):
                more.append(told)
            elif number < ceiling * FALLEN:
                less.append(told)
    if less:
        warnings.warn("\n".join([*less, pasted(counted)]), stacklevel=1)
    assert not more, "\n".join([*more, "", "if that is meant:", pasted(counted)])
