"""What of the inputs a configuration is resolved against: types of views' columns, sessions, values of defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daedalus.base import digest
from daedalus.base.terminal_text import plain
from daedalus.skeleton.steps.attributes import attribute_definition
from daedalus.sql.column_types import type_name
from daedalus.sql.constants import constants
from daedalus.stagecache.fingerprint import version

if TYPE_CHECKING:
    from daedalus.base.ports import Facts
    from daedalus.config import Config
    from daedalus.inputs.views import ViewInput
    from daedalus.sql.duck import Ducks


@dataclass(frozen=True)
class Default:
    """A constant column: its type, and its value as JSON has it."""

    type: str
    value: Any


@dataclass(frozen=True)
class Resolved:
    """What is known of the inputs; `numbered` says whether the feed has sessions, so that there is a `qid`."""

    views: Mapping[str, ViewInput]
    numbered: bool
    defaults: Mapping[str, Default]


def default_values(config: Config, ducks: Ducks, facts: Facts) -> dict[str, Default]:
    """The constant output columns by name. DuckDB says what a constant is; its answers are remembered."""
    return {name: _default(sql, ducks, facts) for name, sql in attribute_definition(config)[2].items()}


def _default(sql: str, ducks: Ducks, facts: Facts) -> Default:
    key = f"constant:{digest.of_text(sql)}:{version('duckdb')}"
    known = facts.fact(key)
    if known is None:
        column = constants({"value": sql}, ducks).column(0)
        known = [type_name(column.type), plain(column[0].as_py())]
        facts.remember_fact(key, known)
    return Default(*known)
