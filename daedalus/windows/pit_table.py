"""`aggregate_pit_table`: the rolling step on Arrow tables, for notebooks and catalog work.

DuckDB or Polars selects and sorts the events; the compiled kernel, the same that the stage runs on files, makes the
lists. Nested values, which the kernel cannot number, are listed by the SQL that defines the windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import msgspec

from daedalus.base.days import parse_duration
from daedalus.base.errors import DaedalusError, at_least, did_you_mean
from daedalus.base.installed import check_extra
from daedalus.config import Config, load_config
from daedalus.config.aggregation_kinds import Measure
from daedalus.config.columns import IDS
from daedalus.config.schema import Aggregation
from daedalus.inputs.type_checks import refusal, where_refusal
from daedalus.sql.among import among
from daedalus.sql.column_types import canonical, type_name
from daedalus.sql.duck import Bindings, Duck
from daedalus.sql.text import Sql, in_list, name
from daedalus.windows.kinds.kind import result_of
from daedalus.windows.measured import measure_table
from daedalus.windows.measured_sql import measured_sql
from daedalus.windows.pit_groups import GROUP, grouped
from daedalus.windows.roll import roll_table
from daedalus.windows.rolling_sql import rolling_sql
from daedalus.windows.spec import Measured, Rolling, self_rule, whose

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = ("user_id", "artwork_id", "event_timestamp")


def aggregate_pit_table(
    spine: pa.Table,
    events: pa.Table,
    specs: Sequence[Aggregation | Mapping[str, object]],
    *,
    engine: Literal["duckdb", "polars"] | None = None,
    config: Config | Path | str | None = None,
) -> pa.Table:
    """Appends point-in-time aggregations to a table of rows, the spine.

    `spine` needs the columns user_id, artwork_id and event_timestamp, and those that a spec names as `key` or `match`.
    Its rows, their order and its other columns stay as they are. `events` needs the same columns, `event`, and the
    columns that specs name as `column` or in `where`. Ids are whole numbers or text, alike in both tables; times may
    have any unit or time zone. `specs` are written as in aggregations.yaml; with `windows: cumulative`, a row sees all
    earlier events. A row never sees an event at its own time or later. Lists are never NULL.

    `engine` is the library that selects the events. None means the `compute.engine` of `config` (a configuration, or
    its folder), or DuckDB if no config is given.

    Raises DaedalusError for a missing column, a bad spec or an unknown engine, and if Polars (the extra `polars`) is
    needed but not installed; that last error is an ImportError too.

    A user watched three videos, and a minute later sees a fourth:

    >>> import pyarrow as pa
    >>> def seconds(*times):
    ...     return pa.array(times).cast(pa.timestamp("s"))
    >>> spine = pa.table({"user_id": [1], "artwork_id": [9], "event_timestamp": seconds(90)})
    >>> events = pa.table({
    ...     "user_id": [1, 1, 1], "artwork_id": [7, 8, 7], "event_timestamp": seconds(10, 20, 30),
    ...     "event": ["watch"] * 3, "watched": [40, 50, 30], "tags": [["a"], ["b"], ["a", "c"]],
    ... })
    >>> def made(agg, column, **more):
    ...     spec = {"name": "x", "events": ["watch"], "column": column, "agg": agg, "windows": ["1d"], **more}
    ...     return aggregate_pit_table(spine, events, [spec])["x_1d"][0].as_py()
    >>> made("list", "artwork_id"), made("distinct", "artwork_id"), made("flatten_distinct", "tags")
    ([7, 8, 7], [7, 8], ['a', 'c', 'b'])
    >>> made("count", "watched"), made("count_distinct", "artwork_id"), made("since_last", "artwork_id")
    (3, 2, 60)
    >>> made("sum", "watched"), made("mean", "watched"), made("std", "watched")
    (120, 40.0, 10.0)
    >>> made("min", "watched"), made("max", "watched"), made("first", "watched"), made("last", "watched")
    (30, 50, 40, 30)
    >>> made("top", "artwork_id"), made("top", "artwork_id", max_items=1)
    ([7, 8], [7])

    What happened to the artwork, whoever did it, and what the user did with this author before:

    >>> spine = pa.table({
    ...     "user_id": [1, 2], "artwork_id": [7, 9], "author": ["ann", "bob"], "event_timestamp": seconds(90, 95),
    ... })
    >>> events = pa.table({
    ...     "user_id": [1, 2, 2], "artwork_id": [7, 7, 8], "author": ["ann", "ann", "bob"],
    ...     "event_timestamp": seconds(10, 20, 30), "event": ["like"] * 3,
    ... })
    >>> spec = {"name": "likes", "events": ["like"], "column": "user_id", "agg": "count", "windows": ["1d"]}
    >>> aggregate_pit_table(spine, events, [{**spec, "key": "artwork_id"}])["likes_1d"].to_pylist()
    [2, 0]
    >>> aggregate_pit_table(spine, events, [{**spec, "match": "author"}])["likes_1d"].to_pylist()
    [1, 1]
    """
    engine = engine or _engine_of(config)
    aggregations = [_spec(spec, i) for i, spec in enumerate(specs)]
    rows, history = _checked(spine, _KEYS, "spine"), _checked(events, (*_KEYS, "event"), "events")
    rows, history, events = (_with_plain_ids(table) for table in (rows, history, events))
    _check_ids(rows, history)
    taken = set(spine.column_names)
    for i, aggregation in enumerate(aggregations):
        _checked(events, (aggregation.column, *aggregation.where, *aggregation.keys), "events")
        _checked(spine, aggregation.keys, "spine")
        _check(aggregation, f"specs[{i}]", events, taken)
        taken |= set(aggregation.outputs)
    engines: dict[str, Callable[..., pa.Table]] = {"duckdb": _with_duckdb, "polars": _with_polars}
    if engine not in engines:
        raise DaedalusError("an unknown engine", where="engine", found=engine, expected=" or ".join(engines))
    result = spine
    for i, aggregation in enumerate(aggregations):
        some, seen = rows, _chosen(history, aggregation)
        if aggregation.keyed:
            some, seen = grouped(rows, seen, aggregation, f"specs[{i}]")
        found = _rolled(some, engines[engine](seen, aggregation), aggregation, rows[aggregation.key])
        for output, column in zip(aggregation.outputs, found.columns, strict=True):
            result = result.append_column(output, column.cast(_result_type(events, aggregation)))
    return result


def _engine_of(config: Config | Path | str | None) -> Literal["duckdb", "polars"]:
    if config is None:
        return "duckdb"
    return (config if isinstance(config, Config) else load_config(config)).runtime.compute.engine


def _rolled(rows: pa.Table, events: pa.Table, aggregation: Aggregation, names: pa.ChunkedArray) -> pa.Table:
    """One column per window; `events` are as in `roll_table`, `names` what errors call the groups of rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    type = events.schema.field("value").type
    rolling = _rolling(aggregation, type)
    measured = rolling if isinstance(rolling, Measured) else None
    if pa.types.is_nested(type) and (not measured.kind.unread if measured else rolling.kind.listed):
        placed = rows.select(_KEYS).append_column("file_row_number", pa.array(range(rows.num_rows), pa.int64()))
        tables = {"pit_rows": placed, "pit_events": events}
        return _query(measured_sql(measured, *tables) if measured else rolling_sql(rolling, *tables), tables)
    if rolling.without_self:  # as in SQL, nothing differs from NULL: no row sees an event without an artwork, and a
        # row without one (its time becomes NULL) sees no event
        events = events.filter(pc.is_valid(events["artwork_id"]))
        times = pc.if_else(pc.is_valid(rows["artwork_id"]), rows["event_timestamp"], None)
        rows = rows.set_column(rows.column_names.index("event_timestamp"), "event_timestamp", times)
    return measure_table(measured, rows, events, names) if measured else roll_table(rolling, rows, events)


def _rolling(aggregation: Aggregation, type: pa.DataType) -> Rolling:
    """What to roll, of values of a type."""
    windows, without = _windows(aggregation), self_rule(aggregation)
    if not isinstance(aggregation.kind, Measure):
        return Rolling(aggregation.kind, windows, without, aggregation.max_items)
    return Measured(kind=aggregation.kind, windows=windows, without_self=without, max_items=aggregation.max_items,
                    agg=aggregation.agg, column=aggregation.column, type=type_name(type),
                    whose=whose(aggregation))  # fmt: skip


def _spec(spec: Aggregation | Mapping[str, Any], i: int) -> Aggregation:
    if isinstance(spec, Aggregation):
        return spec
    try:
        return msgspec.convert(spec, Aggregation)
    except msgspec.ValidationError as error:
        raise DaedalusError(
            "not an aggregation", where=f"specs[{i}]", found=error, expected="as in aggregations.yaml"
        ) from None


def _check(aggregation: Aggregation, where: str, events: pa.Table, taken: set[str]) -> None:
    """Raises DaedalusError for what the types of a spec do not rule out; `taken` are names already in use."""
    import pyarrow.types as t

    outputs, kind = aggregation.outputs, events.schema.field(aggregation.column).type
    if not outputs:
        raise DaedalusError("an aggregation without windows", where=f"{where}.windows", found="[]", expected="[1d, 7d]")
    twice = taken.intersection(outputs) or {name for name in outputs if outputs.count(name) > 1}
    if twice:
        raise DaedalusError("a duplicate output name", where=where, found=min(twice), expected="a unique name")
    if aggregation.kind.flatten and not (t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind)):
        raise DaedalusError("flatten_distinct needs a list column", where=f"{where}.column", found=kind)
    at_least(1, aggregation.max_items, f"{where}.max_items")
    if aggregation.match == aggregation.key:
        raise DaedalusError("match and key are the same column", where=f"{where}.match",
                            found=aggregation.key, expected=f"another column than {where}.key")  # fmt: skip
    for column, values in aggregation.where.items():
        _check_where(f"{where}.where.{column}", column, canonical(type_name(events.schema.field(column).type)), values)
    if isinstance(aggregation.kind, Measure):
        _check_measure(aggregation, aggregation.kind, where, type_name(kind))


def _check_measure(aggregation: Aggregation, kind: Measure, where: str, type: str) -> None:
    """Raises DaedalusError for a column that a kind has no meaning for, and for `max_items` of what gives one value."""
    if (wrong := refusal(kind, type)) and kind.takes != "any":
        raise DaedalusError(f"agg: {aggregation.agg} takes {wrong[0]}", where=f"{where}.column",
                            found=f"{aggregation.column}: {type}", expected=wrong[1])  # fmt: skip
    if aggregation.max_items is not None and not kind.listed:
        raise DaedalusError(f"agg: {aggregation.agg} gives one value", where=f"{where}.max_items",
                            found=aggregation.max_items, expected="no max_items")  # fmt: skip


def _check_where(where: str, column: str, type: str, values: Sequence[object]) -> None:
    """Raises DaedalusError for values that a column of a type cannot be compared with, and for none at all."""
    if not values:
        raise DaedalusError("a where without values: no event would match", where=where, found="[]",
                            expected="at least one value")  # fmt: skip
    if wrong := where_refusal(column, type, values):
        what, found, expected, hint = wrong
        raise DaedalusError(what, where=where, found=found, expected=expected, hint=hint)


def _chosen(events: pa.Table, aggregation: Aggregation) -> pa.Table:
    """The events that are as the aggregation's `where` says, for either engine, by the rules of the stage."""
    import pyarrow as pa

    if not aggregation.where:
        return events
    columns, tests = events.select(list(aggregation.where)), []
    for column, values in aggregation.where.items():
        type = canonical(type_name(events.schema.field(column).type))
        value = f"CAST({name(column)} AS VARCHAR)" if type == "VARCHAR" else name(column)
        tests.append(f"({among(value, type, values) or 'FALSE'})")
    placed = columns.append_column("daeda:place", pa.array(range(events.num_rows), pa.int64()))
    sql = Sql(f"SELECT {name('daeda:place')} FROM pit_events WHERE {' AND '.join(tests)} ORDER BY 1")
    return events.take(_query(sql, {"pit_events": placed})["daeda:place"])


def _checked(table: pa.Table, columns: Sequence[str], what: str) -> pa.Table:
    """The table with its times in whole microseconds of UTC. Raises DaedalusError for a missing or bad column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in columns:
        if column not in table.column_names:
            hint = did_you_mean(column, table.column_names)
            found = ", ".join(table.column_names)
            raise DaedalusError(f"a column of {what} is missing", where=column, found=found, expected=column, hint=hint)
    at = table.column_names.index("event_timestamp") if "event_timestamp" in columns else None
    if at is None:
        return table
    times = table.column(at)
    if not pa.types.is_timestamp(times.type):
        raise DaedalusError(f"no times in {what}", where="event_timestamp", found=times.type, expected="a timestamp")
    if times.type.unit == "ns":  # floor_temporal fails on the last microsecond
        nanos = times.cast(pa.int64())
        micros = pc.divide(nanos, 1000)
        micros = pc.subtract(micros, pc.less(nanos, pc.multiply(micros, 1000)).cast(pa.int64()))
        times = micros.cast(pa.timestamp("us", times.type.tz))
    try:
        times = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.timestamp("us"))
    except pa.ArrowInvalid as error:
        raise DaedalusError(
            f"times of {what} that microseconds cannot hold", where="event_timestamp", found=error
        ) from None
    return table.set_column(at, "event_timestamp", times)


def _with_plain_ids(table: pa.Table) -> pa.Table:
    """The table with ids as plain strings, where they are text in another form, or UUIDs."""
    import pyarrow as pa

    for one in [one for one in IDS if one in table.column_names]:
        place, column = table.column_names.index(one), table[one]
        if isinstance(column.type, pa.BaseExtensionType) and type_name(column.type) == "UUID":
            stored = (value for chunk in column.chunks for value in chunk.storage.to_pylist())
            texts = pa.array([value and str(UUID(bytes=value)) for value in stored], pa.string())
            table = table.set_column(place, one, texts)
        elif type_name(column.type) == "VARCHAR" and not pa.types.is_large_string(column.type):
            table = table.set_column(place, one, column.cast(pa.string()))
    return table


def _check_ids(rows: pa.Table, events: pa.Table) -> None:
    """Raises DaedalusError for ids that are text in one of the tables alone."""
    for column in IDS:
        one, other = (table.schema.field(column).type for table in (rows, events))
        if (type_name(one) == "VARCHAR") != (type_name(other) == "VARCHAR") and "null" not in (str(one), str(other)):
            raise DaedalusError("ids that are text in one of the tables alone", where=f"{column} of events",
                                found=other, expected=f"{one}, as in spine")  # fmt: skip


def _result_type(events: pa.Table, aggregation: Aggregation) -> pa.DataType:
    import pyarrow as pa

    kind = events.schema.field(aggregation.column).type
    if isinstance(aggregation.kind, Measure):
        return result_of(aggregation.kind.gives, kind)
    if not aggregation.kind.listed:
        return pa.int64()
    return pa.list_(kind.value_type if aggregation.kind.flatten else kind)


def _windows(aggregation: Aggregation) -> tuple[tuple[str, int | None], ...]:
    if isinstance(aggregation.windows, str):
        return ((aggregation.name, None),)
    seconds = [parse_duration(window, f"{aggregation.name}.windows") for window in aggregation.windows]
    return tuple(zip(aggregation.outputs, seconds, strict=True))


def _with_duckdb(events: pa.Table, aggregation: Aggregation) -> pa.Table:
    """The events of an aggregation: (user_id, ts, value, artwork_id) by time and value; NULLs only in the artworks. For
    users there are the numbers of groups, if they have any."""
    column, group = name(aggregation.column), name(GROUP if aggregation.keyed else "user_id")
    value = f"unnest({column})" if aggregation.kind.flatten else column
    kept = f"SELECT {group} AS user_id, event_timestamp AS ts, {value} AS value, artwork_id FROM pit_events"
    return _query(Sql(f"""
        SELECT * FROM ({kept} WHERE {in_list("event", aggregation.events)})
        WHERE user_id IS NOT NULL AND ts IS NOT NULL AND value IS NOT NULL ORDER BY ts, value"""),
        {"pit_events": events})  # fmt: skip


def _query(sql: Sql, tables: Mapping[str, pa.Table]) -> pa.Table:
    duck = Duck({})
    try:
        return duck.table(sql, Bindings(tables=tables))
    finally:
        duck.close()


def _with_polars(events: pa.Table, aggregation: Aggregation) -> pa.Table:
    """The same as `_with_duckdb`, by Polars."""
    check_extra("polars", "polars", where="engine", what="Polars")
    import polars as pl

    found = pl.DataFrame(pl.from_arrow(events)).lazy().filter(pl.col("event").is_in(list(aggregation.events))).select(
        pl.col(GROUP if aggregation.keyed else "user_id").alias("user_id"), pl.col("event_timestamp").alias("ts"),
        pl.col(aggregation.column).alias("value"), "artwork_id",
    )  # fmt: skip
    if aggregation.kind.flatten:
        found = found.explode("value")
    found = found.drop_nulls(["user_id", "ts", "value"]).sort("ts", "value")
    return found.collect().to_arrow(compat_level=pl.CompatLevel.oldest())
