"""Imports point one way: a module may import only from its own room and those before it in this list."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "daedalus"
ROOMS = [
    "shapes",
    "base",
    "parquet",
    "tables",
    "objectstore",
    "stagecache",
    "config",
    "sql",
    "inputs",
    "actions",
    "windows",
    "output",
    "sharing",
    "skeleton",
    "enrich",
    "watch",
    "cluster",
    "workspace",
    "compile",
    "snapshots",
    "loading",
    "torch",
    "statistics",
    "explain",
    "pipelines",
    "upkeep",
    "report",
    "audit",
    "init",
    "demo",
    "ui",
    "cli",
    "__main__",
]
OPENS_DUCKDB = {"sql/duck.py", "sql/default_sql.py", "output/qid_map.py", "loading/load.py", "loading/frames.py"}
MOST_FILES = 14  # in a room, but for its __init__.py


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def modules() -> dict[str, Path]:
    """Every module but those that hand out the package's public names, when asked."""
    found = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in found.items() if name != "daedalus.__init__"}


def test_every_room_is_in_the_list():
    assert {name.split(".")[1] for name in modules()} == set(ROOMS)


def test_imports_point_up_the_list_only():
    for name, path in modules().items():
        own = ROOMS.index(name.split(".")[1])
        for module in imports(path):
            known = module.split(".")
            if known[0] == "daedalus" and len(known) > 1 and known[1] in ROOMS:
                assert ROOMS.index(known[1]) <= own, f"{name} imports {module}"


def test_no_module_imports_itself_by_way_of_others():
    """Neither at the top of a file nor inside a function."""
    known = modules()
    arrows = {name: {m for m in imports(path) if m in known and m != name} for name, path in known.items()}
    while leaves := [name for name, targets in arrows.items() if not targets & arrows.keys()]:
        for name in leaves:
            del arrows[name]
    assert not arrows, {name: targets & arrows.keys() for name, targets in arrows.items()}


def test_a_room_is_small_enough_to_know():
    for folder in {path.parent for path in modules().values()}:
        assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MOST_FILES, folder


def test_the_parquet_writer_knows_nothing_of_the_project():
    for path in (PACKAGE / "parquet").rglob("*.py"):
        named = {module for module in imports(path) if module.split(".")[0] == "daedalus"}
        assert all(module.startswith("daedalus.parquet") for module in named), (path, named)


def test_the_cache_knows_nothing_of_the_stage():
    for path in (PACKAGE / "stagecache").rglob("*.py"):
        named = {module.split(".")[0] for module in imports(path)}
        assert named.isdisjoint({"duckdb", "pyarrow", "lance", "rich", "yaml"}), path


def test_steps_know_nothing_of_stores_and_traces():
    for room in ("skeleton", "actions", "windows", "inputs"):
        for path in (PACKAGE / room).rglob("*.py"):
            for module in imports(path):
                assert not module.startswith("daedalus.stagecache.records"), (path, module)


def test_one_place_opens_duckdb():
    for path in modules().values():
        if "duckdb" in imports(path):
            assert str(path.relative_to(PACKAGE)) in OPENS_DUCKDB, path
        if path.name != "duck.py":
            assert "duckdb.connect" not in path.read_text(), path


def test_the_reference_shares_no_code_with_what_it_judges():
    for name in ("reference", "reference_splits", "sample"):
        named = {module for module in imports(PACKAGE / f"audit/{name}.py") if module.startswith("daedalus")}
        assert all(module.startswith("daedalus.audit.reference") for module in named), named
