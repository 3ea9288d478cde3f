"""The `where`, `key` and `match` of an aggregation: which of its events count, and whose, by columns of the feed and of
views."""

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
from daedalus.stagecache.action_name import escaped
from daedalus.windows.spec import group_columns


@dataclass(frozen=True)
class Condition:
    """A column of an event, of `view` or else of the feed, must have one of `values`."""

    column: str
    type: str
    values: tuple[object, ...]
    view: FeatureView | None


@dataclass(frozen=True)
class Where:
    """The views to join to events, which are aliased s, the further condition on them, as ` AND …`, and the columns by
    which they are grouped, as SQL; none: by user. `conditions` say the same as `also`."""

    views: tuple[FeatureView, ...] = ()
    also: str = ""
    keys: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def joins(self, source: str, *, of_many_days: bool = False) -> str:
        """JOINs of the views by entity, to be appended to the FROM clause `source`: no row of a view, no match."""
        return "".join(
            joined_to_events(view.bound, view, f"w{i}", source, of_many_days=of_many_days)
            for i, view in enumerate(self.views)
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the columns that events are grouped by."""
        return group_columns(len(self.keys))

    @property
    def grouped(self) -> str:
        """The SELECT list of these columns."""
        keys = self.keys or ("s.user_id",)
        return ", ".join(f"{key} AS {column}" for key, column in zip(keys, self.groups, strict=True))

    @property
    def complete(self) -> str:
        """The condition that no key is NULL, as ` AND …`; users never are."""
        return "".join(f" AND {column} IS NOT NULL" for column in self.groups[: len(self.keys)])


EVERY = Where()


def where_of(context: Skeleton, aggregation: Aggregation) -> Where:
    """The `where` and the keys of an aggregation; of none, what adds nothing to a statement."""
    keys = aggregation.keys if aggregation.keyed else ()
    found = _found(context, [*aggregation.where, *keys])
    places, also, conditions = _places(found), "", []
    views = {view.name: view for view in _views(context, found)}
    for column, values in given(aggregation).items():
        view, kind = found[column]
        also += f" AND ({among(f'{places[view]}.{name(column)}', kind, values) or 'FALSE'})"
        conditions.append(Condition(column, kind, tuple(values), views.get(view)))
    return Where(tuple(views.values()), also, _keys(found, keys), tuple(conditions))


def keys_of(context: Skeleton, keys: Sequence[str]) -> Where:
    """What groups rows by `keys`."""
    found = _found(context, keys)
    return Where(_views(context, found), keys=_keys(found, keys))


Found = dict[str, tuple[str, str]]  # by column its view, "" for the feed, and its type


def _found(context: Skeleton, columns: Sequence[str]) -> Found:
    return {column: event_column_type(context.config, context.sources.views, column) for column in columns}


def _places(found: Found) -> dict[str, str]:
    """The aliases of views."""
    return {"": "s", **{view: f"w{i}" for i, view in enumerate(sorted({view for view, _ in found.values() if view}))}}


def _views(context: Skeleton, found: Found) -> tuple[FeatureView, ...]:
    names = [view for view in _places(found) if view]
    columns = {view: tuple(column for column in sorted(found) if found[column][0] == view) for view in names}
    return tuple(_view(context, view, columns[view]) for view in names)


def _keys(found: Found, keys: Sequence[str]) -> tuple[str, ...]:
    """SQL of the keys. Those of floats have one zero and one NaN."""
    values = [(f"{_places(found)[found[key][0]]}.{name(key)}", found[key][1]) for key in keys]
    return tuple(
        value if kind not in ("FLOAT", "DOUBLE") else
        f"CASE WHEN isnan({value}) THEN CAST('nan' AS {kind}) WHEN {value} = 0 THEN CAST(0 AS {kind}) ELSE {value} END"
        for value, kind in values
    )  # fmt: skip


def _view(context: Skeleton, view: str, features: Sequence[str]) -> FeatureView:
    known = context.config.catalog.views[view]
    return FeatureView(view, known.entity, tuple(features), known.as_of == "day")


def given(aggregation: Aggregation) -> dict[str, list]:
    """The values by column, as sets in one order."""
    where = aggregation.where
    return {column: [one for _, one in sorted({repr(v): v for v in where[column]}.items())] for column in sorted(where)}


def where_part(aggregation: Aggregation) -> str:
    """What tells the names of actions with different `where` or keys apart; "" for neither."""
    keys = f".by={keys_part(aggregation.keys)}" if aggregation.keyed else ""
    return (f".{digest.of_json(given(aggregation))}" if aggregation.where else "") + keys


def keys_part(keys: Sequence[str]) -> str:
    """The part of the names of actions with keys that says them, such as `user_id+author_id`."""
    return "+".join(escaped(key, "+.") for key in keys)


def where_config(aggregation: Aggregation) -> dict[str, object]:
    """The values of the config that an action with a `where` or keys depends on, by key path."""
    config: dict[str, object] = {"aggregation.where": given(aggregation)} if aggregation.where else {}
    return config | ({"aggregation.key": list(aggregation.keys)} if aggregation.keyed else {})
