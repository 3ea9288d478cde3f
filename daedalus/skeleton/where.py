"""The `where` of an aggregation: which of its events count, by values of columns of the feed and of views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daedalus.base import digest
from daedalus.config.schema import Aggregation
from daedalus.inputs.type_checks import event_column_type
from daedalus.skeleton.context import Skeleton
from daedalus.skeleton.joins_and_filters import FeatureView, joined_to_events
from daedalus.sql.among import among
from daedalus.sql.text import name


@dataclass(frozen=True)
class Where:
    """The views to join to events, which are aliased s, and the further condition on them, as ` AND …`."""

    views: tuple[FeatureView, ...] = ()
    also: str = ""

    def joins(self, source: str, *, of_many_days: bool = False) -> str:
        """JOINs of the views by entity, to be appended to the FROM clause `source`: no row of a view, no match."""
        return "".join(
            joined_to_events(view.bound, view, f"w{i}", source, of_many_days=of_many_days)
            for i, view in enumerate(self.views)
        )


EVERY = Where()


def where_of(context: Skeleton, aggregation: Aggregation) -> Where:
    """The `where` of an aggregation; of none, what adds nothing to a statement."""
    found = {column: event_column_type(context.config, context.sources.views, column) for column in aggregation.where}
    names = sorted({view for view, _ in found.values() if view})
    places = {"": "s", **{view: f"w{i}" for i, view in enumerate(names)}}
    also = ""
    for column, values in given(aggregation).items():
        view, kind = found[column]
        also += f" AND ({among(f'{places[view]}.{name(column)}', kind, values) or 'FALSE'})"
    columns = {view: tuple(column for column in sorted(found) if found[column][0] == view) for view in names}
    return Where(tuple(_view(context, view, columns[view]) for view in names), also)


def _view(context: Skeleton, view: str, features: Sequence[str]) -> FeatureView:
    known = context.config.catalog.views[view]
    return FeatureView(view, known.entity, tuple(features), known.as_of == "day")


def given(aggregation: Aggregation) -> dict[str, list]:
    """The values by column, as sets in one order."""
    where = aggregation.where
    return {column: [one for _, one in sorted({repr(v): v for v in where[column]}.items())] for column in sorted(where)}


def where_part(aggregation: Aggregation) -> str:
    """What tells the names of actions with different `where` apart; "" for none."""
    return f".{digest.of_json(given(aggregation))}" if aggregation.where else ""


def where_config(aggregation: Aggregation) -> dict[str, object]:
    """The value of the config that an action with a `where` depends on, by key path."""
    return {"aggregation.where": given(aggregation)} if aggregation.where else {}
