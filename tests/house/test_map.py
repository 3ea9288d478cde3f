"""The map is true: every room, every file it names, and every file of tests."""

from __future__ import annotations

import ast
import re

from small import PROJECT
from test_layers import ROOMS

CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text()


def docstring(path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def test_every_room_is_on_the_map_with_the_sentence_of_its_package():
    said = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", CONTRIBUTING, re.MULTILINE))
    for room in ROOMS[:-1]:
        assert room in said, room
        if room not in ("config", "sharing"):  # which say more
            assert docstring(PROJECT / f"daedalus/{room}/__init__.py") == said[room], room
    assert list(said)[: len(ROOMS) - 1] == ROOMS[:-1]  # in the order of imports


def test_every_file_that_the_map_names_is_there():
    for name in re.findall(r"`((?:[\w]+/)*[\w]+\.(?:py|md))`", CONTRIBUTING):
        homes = [PROJECT / name, PROJECT / "daedalus" / name, *(PROJECT / "daedalus").glob(f"*/{name}")]
        assert any(path.is_file() for path in homes), name


def test_every_file_of_tests_is_in_the_index():
    index = (PROJECT / "tests/README.md").read_text()
    there = {path.name for path in (PROJECT / "tests").glob("*/test_*.py")}
    assert set(re.findall(r"`(test_\w+\.py)`", index)) == there


def test_a_step_is_a_file_of_its_name():
    from daedalus.config.steps import PARTITION, STEPS
    from daedalus.skeleton.stage import ON_DEMAND, steps

    homes = {name: name if name != PARTITION else "partition" for name in STEPS if name not in ON_DEMAND}
    assert all((PROJECT / f"daedalus/skeleton/{name}.py").is_file() for name in ON_DEMAND)
    files = {path.stem for path in (PROJECT / "daedalus/skeleton/steps").glob("*.py")} - {"__init__"}
    assert set(homes.values()) == files
    assert {name: build.__module__.rpartition(".")[2] for name, build in steps().items()} == homes
