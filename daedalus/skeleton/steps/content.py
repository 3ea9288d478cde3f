"""content: which rows of the sessions ship, by the content filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from daedalus.base.days import Day
from daedalus.config import Config
from daedalus.inputs.type_checks import filter_types
from daedalus.skeleton.arrow.joins import write_content
from daedalus.skeleton.context import Make
from daedalus.skeleton.joins_and_filters import Join, _definition, join_in_order, join_settings, joined
from daedalus.sql.text import POSITION, ROW, Sql, columns, parquet
from daedalus.stagecache.action_name import ActionName


def rows_that_ship(join: Join) -> Sql:
    """SQL of the rows that ship: their positions in `rows`, the rows of the sessions."""
    rows = f"SELECT {POSITION} AS {ROW}, {columns(join.needs)} FROM {parquet('rows', positions=True)}"
    rows = join_in_order(rows, join)
    return Sql(f"SELECT {ROW} FROM ({rows}) ORDER BY {ROW}")


def filter_definition(config: Config, types: Mapping[str, str]) -> Join:
    """The join that the content filter needs; `types` are those of the columns that it drops by."""
    drop = config.runtime.content_filter.drop
    join = _definition(config, drop, {c: sorted(values, key=repr) for c, values in sorted(drop.items())})
    return replace(join, types=types)


def build(make: Make, day: Day) -> str:
    """Reads the rows of the sessions and the views that the content filter's columns come from."""
    join, sql, config = make.once(_statement)
    return joined(make, ActionName("content", day=day), sql, join, config, partial(write_content, join))


def _statement(make: Make) -> tuple[Join, Sql, dict[str, object]]:
    join = filter_definition(make.context.config, filter_types(make.context.config, make.context.sources.views))
    config = {f"content_filter.drop.{column}": values for column, values in join.drop.items()}
    return join, rows_that_ship(join), config | join_settings(join, make.context.runtime)
