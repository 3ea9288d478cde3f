"""attributes: the output columns that are joined by entity, computed from them, or constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial

from msgspec import UNSET

from daedalus.base.days import Day
from daedalus.config import Config
from daedalus.config.columns import makers
from daedalus.skeleton.arrow.joins import write_attributes
from daedalus.skeleton.context import Make
from daedalus.skeleton.joins_and_filters import Join, _definition, join_in_order, join_settings, joined
from daedalus.sql.text import POSITION, Sql, columns, literal, name, parquet
from daedalus.stagecache.action_name import ActionName
from daedalus.windows.slices import in_slices


def select_attributes(join: Join, outputs: Sequence[str], defaults: Mapping[str, str]) -> Sql:
    """SQL of the output columns `outputs`, aligned with `rows`; those in `defaults` are constants."""
    rows = f"SELECT {POSITION}, {columns(join.needs)} FROM {parquet('rows', positions=True)}"
    rows = join_in_order(rows, join)
    made = [f"({defaults[c]}\n) AS {name(c)}" if c in defaults else name(c) for c in outputs]
    return Sql(f"SELECT {', '.join(made)} FROM ({rows}) ORDER BY {POSITION}")


def default_literal(value: object) -> str:
    """SQL of a literal default. NULL and [] have no type of their own and become INTEGER, as in DuckDB's tables."""
    if value is None or value == []:
        return f"CAST({literal(value)} AS {'INTEGER' if value is None else 'INTEGER[]'})"
    return literal(value)


def attribute_definition(config: Config) -> tuple[Join, list[str], dict[str, str]]:
    """(the join; the output columns made here; those of them that are constants, with their SQL)."""
    known = makers(config)
    defaults = {
        column.name: str(column.default_sql) if column.default_sql is not UNSET else default_literal(column.default)
        for column in config.output_columns
        if column.made_from not in known
    }
    wanted = [column.made_from for column in config.output_columns]
    made = [name for name in wanted if name in known and known[name][0].kind in ("feature", "age")]
    return _definition(config, made, {}), sorted([*made, *defaults]), defaults


def build(make: Make, day: Day) -> str:
    """Reads the rows of the sessions and the views that output columns come from."""
    join, sql, config, arrow = make.once(_statement)
    return joined(make, ActionName("attributes", day=day), sql, join, config, arrow,
                  lambda run, rows: in_slices(run, rows, join.needs))  # fmt: skip


def _statement(make: Make) -> tuple[Join, Sql, dict[str, object], partial]:
    join, outputs, defaults = attribute_definition(make.context.config)
    constants = cache(partial(make.constants, defaults))
    config: dict[str, object] = {f"output_columns.{c}.default": text for c, text in defaults.items()}
    config |= {"output_columns": outputs, **join_settings(join, make.context.runtime)}
    arrow = partial(write_attributes, join, outputs, constants)
    return join, select_attributes(join, outputs, defaults), config, arrow
