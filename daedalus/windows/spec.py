"""What an aggregation lists: which events a row sees, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daedalus.config.aggregation_kinds import AggregationKind
from daedalus.config.schema import Aggregation

SelfRule = Literal["", "value", "event"]  # nothing excluded; values equal to the row's artwork; its events


def self_rule(aggregation: Aggregation) -> SelfRule:
    """How `exclude_self` is held: by value where values are artworks, else by the event that brings the value."""
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
        seconds = [s for _, s in self.windows]
        return None if None in seconds else max(s for s in seconds if s is not None)
