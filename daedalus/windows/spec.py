"""The definition of an aggregation's windows: which events a row sees, and what is made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from daedalus.config.aggregation_kinds import Agg, AggregationKind, Measure
from daedalus.config.schema import Aggregation
from daedalus.sql.column_types import is_whole

SelfRule = Literal["", "value", "event"]  # nothing excluded; values equal to the row's artwork; its events


def self_rule(aggregation: Aggregation) -> SelfRule:
    """How `exclude_self` works: by value if values are artworks, else by the artwork of the event."""
    if not aggregation.exclude_self:
        return ""
    return "value" if aggregation.column == "artwork_id" else "event"


PLACE = "place"  # of a row among those of the sessions, in what row_keys has of it
USERS = ("user_id",)  # the columns that rows and events are grouped by where the config says nothing else


def group_columns(keys: int) -> tuple[str, ...]:
    """The names of the columns that rows and events are grouped by, if they have so many keys."""
    return ("key", "match")[:keys] or USERS


def whose(aggregation: Aggregation) -> str:
    """What errors call the groups of an aggregation."""
    return "user" if aggregation.key == "user_id" else aggregation.key


@dataclass(frozen=True)
class Rolling:
    """An aggregation over the events of a row's group, such as its user, that lie strictly before the row.

    `windows` are (output column, seconds), or (output column, None) for all of the past. `groups` are the columns of
    rows and events that groups are told apart by.
    """

    kind: AggregationKind
    windows: tuple[tuple[str, int | None], ...]
    without_self: SelfRule = ""
    max_items: int | None = None
    groups: tuple[str, ...] = USERS

    @property
    def understood(self) -> dict[str, Any]:
        """What a key has of it: nothing of groups that are users."""
        found = asdict(self)
        if self.groups == USERS:
            del found["groups"]
        return found

    @property
    def longest(self) -> int | None:
        """Seconds of the longest window; None for all of the past."""
        seconds = [s for _, s in self.windows]
        return None if None in seconds else max(s for s in seconds if s is not None)


@dataclass(frozen=True, kw_only=True)
class Measured(Rolling):
    """A rolling of the kind `agg`; `column` and `whose` are what errors name, `type` DuckDB's name of its type."""

    kind: Measure
    agg: Agg
    column: str
    type: str
    whose: str = "user"

    @property
    def understood(self) -> dict[str, Any]:
        found = super().understood
        del found["whose"]
        return found

    @property
    def gives(self) -> str:
        """DuckDB's name of the type of the result."""
        return measured_type(self.kind, self.type)


def measured_type(kind: Measure, type: str) -> str:
    """DuckDB's name of what a kind gives of values of a type."""
    if kind.gives == "sum":
        return "BIGINT" if is_whole(type) else "DOUBLE"
    return {"value": type, "list": f"{type}[]"}.get(kind.gives, kind.gives)
