"""The definition of an aggregation's windows: which events a row sees, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daedalus.config.aggregation_kinds import Agg, AggregationKind, Measure
from daedalus.config.schema import Aggregation
from daedalus.sql.column_types import is_whole

SelfRule = Literal["", "value", "event"]  # nothing excluded; values equal to the row's artwork; its events


def self_rule(aggregation: Aggregation) -> SelfRule:
    """How `exclude_self` works: by value if values are artworks, else by the artwork of the event."""
    if not aggregation.exclude_self:
        return ""
    return "value" if aggregation.column == "artwork_id" else "event"


@dataclass(frozen=True)
class Rolling:
    """An aggregation over the events of a row's user that lie strictly before the row.

    `windows` are (output column, seconds), or (output column, None) for all of the past.
    """

    kind: AggregationKind
    windows: tuple[tuple[str, int | None], ...]
    without_self: SelfRule = ""
    max_items: int | None = None

    @property
    def longest(self) -> int | None:
        """Seconds of the longest window; None for all of the past."""
        seconds = [s for _, s in self.windows]
        return None if None in seconds else max(s for s in seconds if s is not None)


@dataclass(frozen=True, kw_only=True)
class Measured(Rolling):
    """A rolling of the kind `agg`; `column` is what errors name, `type` DuckDB's name of its type."""

    kind: Measure
    agg: Agg
    column: str
    type: str

    @property
    def gives(self) -> str:
        """DuckDB's name of the type of the result."""
        return measured_type(self.kind, self.type)


def measured_type(kind: Measure, type: str) -> str:
    """DuckDB's name of what a kind gives of values of a type."""
    if kind.gives == "sum":
        return "BIGINT" if is_whole(type) else "DOUBLE"
    return {"value": type, "list": f"{type}[]"}.get(kind.gives, kind.gives)
