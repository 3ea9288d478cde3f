"""Checks that `default_sql` is one constant: cached artifacts contain it, so it may read nothing and must never vary.

The config may come from somebody else. So the check does not trust DuckDB's own word for "constant": it compares the
parse tree of the whole statement with a list of functions, and evaluates it in a DuckDB without external access.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from threading import Timer
from typing import TYPE_CHECKING, Any

from daedalus.sql.duck import Duck

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST, _DEEPEST = 20_000, 64  # characters of an expression, and depth of its tree
_MOST_BYTES = 1 << 20  # of its value
_PATIENCE = 1.0  # seconds
_PARTS = frozenset(("CONSTANT", "CAST", "TYPE", "FUNCTION", "OPERATOR", "CASE", "BETWEEN", "COMPARISON", "CONJUNCTION"))
_NOT_CONSTANT = {
    "SUBQUERY": "a subquery", "COLUMN_REF": "a column", "WINDOW": "a window", "PARAMETER": "a parameter",
    "STAR": "a star", "LAMBDA": "a lambda", "COLLATE": "a collation",
}  # fmt: skip
# Functions whose value depends on their arguments alone, and is not much longer than they are.
_LISTED = """
    + - * / // % ** ^ & | ~ << >> || ~~ !~~ ~~* !~~* @ abs add subtract multiply divide mod pow power sqrt cbrt exp ln
    log log2 log10 sign floor ceil ceiling round round_even trunc greatest least isnan isfinite isinf pi
    sin cos tan asin acos atan atan2 radians degrees bit_count xor even gcd lcm
    list_value list_pack array_value row struct_pack struct_extract map map_from_entries map_extract union_value
    list_concat list_cat array_concat list_append list_prepend list_slice array_slice list_extract array_extract
    list_sort list_reverse_sort list_reverse list_distinct len length array_length list_contains list_position
    concat concat_ws lower upper lcase ucase trim ltrim rtrim left right substring substr reverse strlen string_split
    starts_with ends_with contains strpos instr chr ascii unicode encode decode unhex from_hex
    make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns epoch epoch_ms epoch_us epoch_ns to_timestamp
    date_part datepart date_trunc datetrunc date_diff datediff date_add year month day hour minute second last_day
    to_years to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds
    if ifnull nullif not is_null
"""
_FUNCTIONS = frozenset(_LISTED.split())


def problem_of(text: str) -> str:
    """Why an expression is not a constant, or ""."""
    import duckdb

    if len(text) > _LONGEST:
        return f"it is longer than {_LONGEST:,} characters"
    if _brackets_in_a_row(text) > _DEEPEST:
        return "it is nested too deeply"
    duck = Duck({"memory_limit": "128MB", "enable_external_access": False, "temp_directory": ""})
    overdue = Timer(_PATIENCE, duck.interrupt)
    overdue.start()
    try:
        tree = json.loads(duck.value("SELECT json_serialize_sql(?::VARCHAR)", f"SELECT ({text}\n)"))
        return _problem_of_tree(tree) or _problem_of_value(duck, text)
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    except (RecursionError, MemoryError, OverflowError):
        return "it is nested too deeply, or too large"
    finally:
        overdue.cancel()
        duck.close()


def _brackets_in_a_row(text: str) -> int:
    """The greatest depth of nested brackets outside quotes: a cheap check before the text is parsed."""
    deepest = open_now = 0
    for bracket in re.findall(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[\[({]|[\])}]", text):
        open_now += {"[": 1, "(": 1, "{": 1, "]": -1, ")": -1, "}": -1}.get(bracket, 0)
        deepest = max(deepest, open_now)
    return deepest


def _problem_of_tree(tree: Mapping[str, Any]) -> str:
    """Why a parsed statement is not one SELECT of one constant and nothing else, or ""."""
    if tree["error"]:
        return f"not one SQL expression ({tree.get('error_message', '')})"
    nodes = [statement["node"] for statement in tree["statements"]]
    if len(nodes) != 1 or nodes[0].get("type") != "SELECT_NODE" or len(nodes[0]["select_list"]) != 1:
        return "more than one expression"
    node = nodes[0]
    bare = node["from_table"]["type"] == "EMPTY" and not node["cte_map"]["map"]
    clauses = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "sample", "qualify")
    if not bare or any(node.get(clause) for clause in clauses):
        return "more than an expression"
    for part, depth in _parts(node["select_list"][0]):
        if depth > _DEEPEST:
            return "it is nested too deeply"
        if part["class"] not in _PARTS:
            return f"it holds {_NOT_CONSTANT.get(part['class'], part['class'].lower().replace('_', ' '))}"
        if part["class"] == "FUNCTION" and (reason := _problem_of_function(part)):
            return reason
    return ""


def _problem_of_function(part: Mapping[str, Any]) -> str:
    if part["function_name"].lower() not in _FUNCTIONS or part.get("schema") or part.get("catalog"):
        return f"{part['function_name']}() is not on the list of functions whose value is always the same"
    if part.get("filter") or part.get("distinct") or (part.get("order_bys") or {}).get("orders"):
        return f"{part['function_name']}() is called as an aggregate"
    return ""


def _parts(tree: Any) -> Iterator[tuple[dict, int]]:
    """Every node of an expression's tree that has a class, and its depth."""
    waiting = [(tree, 0)]
    while waiting:
        found, depth = waiting.pop()
        if isinstance(found, dict):
            if "class" in found:
                yield found, depth
                depth += 1
            waiting += [(child, depth) for child in found.values()]
        elif isinstance(found, list):
            waiting += [(child, depth) for child in found]


def _problem_of_value(duck: Duck, text: str) -> str:
    """Why an expression's value cannot be a column of a parquet file, or ""."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = duck.constants({"value": text})
    if found.nbytes > _MOST_BYTES:
        return f"its value has {found.nbytes:,} bytes, and may have {_MOST_BYTES:,}"
    try:
        pq.write_table(found, pa.BufferOutputStream())
    except (pa.ArrowException, RecursionError) as error:
        return f"no parquet column can be of its type, {_short(found)} ({str(error).splitlines()[0]})"
    return ""


def _short(table: pa.Table) -> str:
    return str(table.schema.field(0).type)[:100]
