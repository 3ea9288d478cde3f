"""`default_sql` must be one constant: it is part of a cached artifact, so it may read nothing and never vary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from msgspec import UNSET

from daedalus import digest
from daedalus.config import RUNTIME, Config
from daedalus.errors import DaedalusError
from daedalus.skeleton.engine import Ducks
from daedalus.skeleton.graph import version
from daedalus.skeleton.ports import Facts

_NOT_CONSTANT = {"SUBQUERY": "a subquery", "COLUMN_REF": "a column", "WINDOW": "a window", "PARAMETER": "a parameter"}


def check_engine(config: Config, ducks: Ducks, facts: Facts) -> None:
    """Raises DaedalusError (exit 2) for settings that DuckDB does not take. What passed once is remembered."""
    settings = config.runtime.compute.duckdb_config
    key = f"duckdb_config:{digest.of_json(settings)}:{version('duckdb')}"
    if not facts.fact(key):
        try:
            with ducks.lease():
                facts.remember_fact(key, True)
        except DaedalusError as error:
            where = config.where(RUNTIME, "compute.duckdb_config")
            raise DaedalusError(error.what, where=where, found=error.found, expected=error.expected) from None


def check_defaults(config: Config, ducks: Ducks, facts: Facts) -> None:
    """Raises DaedalusError (exit 2) for a default_sql that is no constant. What passed once is remembered."""
    for i, column in enumerate(config.output_columns):
        if column.default_sql is UNSET:
            continue
        assert isinstance(column.default_sql, str)
        key = f"constant:{digest.of_text(column.default_sql)}:{version('duckdb')}"
        if facts.fact(key):
            continue
        if problem := _problem(column.default_sql, ducks):
            where = config.where(RUNTIME, f"output_columns[{i}].default_sql")
            expected = "a constant expression, such as CAST(NULL AS FLOAT[])"
            raise DaedalusError(
                f"default_sql of {column.name} is no constant: {problem}",
                where=where,
                found=column.default_sql,
                expected=expected,
            )
        facts.remember_fact(key, True)


def _problem(text: str, ducks: Ducks) -> str:
    """Why an expression is no constant, or ""."""
    import duckdb

    with ducks.lease() as duck:
        try:
            tree = json.loads(duck.value("SELECT json_serialize_sql(?::VARCHAR)", f"SELECT ({text}\n)"))
            if tree["error"]:
                return f"not one SQL expression ({tree.get('error_message', '')})"
            if len(tree["statements"]) != 1 or len(tree["statements"][0]["node"]["select_list"]) != 1:
                return "more than one expression"
            for node in _nodes(tree["statements"][0]["node"]):
                if node.get("class") in _NOT_CONSTANT:
                    return f"it holds {_NOT_CONSTANT[node['class']]}"
                if node.get("class") == "FUNCTION" and not _stable(duck, node["function_name"]):
                    return f"{node['function_name']}() is not the same every time"
            duck.value(f"SELECT ({text}\n)")
        except duckdb.Error as error:
            return str(error).splitlines()[0]
    return ""


def _nodes(tree: Any) -> Iterator[dict]:
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(child)


def _stable(duck: Any, function: str) -> bool:
    known = "SELECT bool_and(stability = 'CONSISTENT') FROM duckdb_functions() WHERE function_name = ?"
    return duck.value(known, function) is not False
