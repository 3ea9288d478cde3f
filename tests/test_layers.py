"""Imports point one way: a module may import only from its own layer and those above it in this list."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "daedalus"
LAYERS = [
    "words",
    "errors",
    "digest",
    "days",
    "durable",
    "objects",
    "manifests",
    "config",
    "reading",
    "stagecache",
    "sharing",
    "skeleton",
    "cluster",
    "tui",
    "notebook",
    "pipelines",
    "audit",
    "starting",
    "report",
    "watching",
    "lineage",
    "usage",
    "cli",
    "__main__",
]
# Within the two halves: what a file may not know.
ENGINE_ONLY = {"duckdb": {"skeleton/engine.py", "skeleton/defaults.py", "skeleton/qids.py", "reading.py"}}
STAGE_STEPS = {"spine", "features", "history", "chunk"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def layer(module: str) -> int:
    return LAYERS.index(module.split(".")[1])


def test_imports_point_up_the_list_only():
    for path in PACKAGE.rglob("*.py"):
        if path.parent == PACKAGE and path.name == "__init__.py":
            continue  # hands out public names, when asked
        own = LAYERS.index(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))
        for module in imports(path):
            known = module.split(".")
            if known[0] == "daedalus" and len(known) > 1 and known[1] in LAYERS:
                assert layer(module) <= own, f"{path} imports {module}"


def test_the_cache_knows_nothing_of_the_stage():
    for path in (PACKAGE / "stagecache").glob("*.py"):
        named = {module.split(".")[0] for module in imports(path)}
        assert named.isdisjoint({"duckdb", "pyarrow", "lancedb", "rich", "yaml"}), path


def test_the_stage_knows_nothing_of_stores_and_traces():
    for path in (PACKAGE / "skeleton").glob("*.py"):
        for module in imports(path):
            assert not module.startswith(("daedalus.stagecache.store", "daedalus.stagecache.trace")), path


def test_one_place_opens_duckdb():
    for path in PACKAGE.rglob("*.py"):
        if "duckdb" in imports(path):
            assert str(path.relative_to(PACKAGE)) in ENGINE_ONLY["duckdb"], path
        if path.name != "engine.py":
            assert "duckdb.connect" not in path.read_text(), path


def test_the_reference_shares_no_code_with_what_it_judges():
    for name in ("reference", "sample"):
        named = {module for module in imports(PACKAGE / f"audit/{name}.py") if module.startswith("daedalus")}
        assert all(module.startswith("daedalus.audit.reference") for module in named), named
