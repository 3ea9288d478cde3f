"""`aggregate_pit_table`: the rolling step on Arrow tables, for notebooks and catalog work.

The stage runs the DuckDB form of the same statement on files; Polars is an independent second form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from daedalus.config.schema import Aggregation
from daedalus.days import parse_duration
from daedalus.errors import DaedalusError, at_least, did_you_mean
from daedalus.skeleton.engine import Bindings, Duck
from daedalus.skeleton.history import Rolling, rolling_sql, self_rule
from daedalus.skeleton.sql import in_list, name

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = ("user_id", "artwork_id", "event_timestamp")


def aggregate_pit_table(
    spine: pa.Table,
    events: pa.Table,
    specs: Sequence[Aggregation | Mapping[str, Any]],
    *,
    engine: Literal["duckdb", "polars"] = "duckdb",
) -> pa.Table:
    """Appends point-in-time aggregations to a spine.

    `spine` has user_id, artwork_id and event_timestamp; its rows and their order are kept, as are its
    other columns. `events` has those three, `event`, and each spec's column. `specs` are as in
    aggregations.yaml; a cumulative one looks at all events before the row. A row never sees an event
    at its own time or later. Lists are never NULL. Times may have any unit or zone.

    Raises DaedalusError for a missing column, a bad spec or an unknown engine; ImportError when
    Polars (the extra `polars`) is not installed.
    """
    aggregations = [_spec(spec, i) for i, spec in enumerate(specs)]
    rows, history = _checked(spine, _KEYS, "spine"), _checked(events, (*_KEYS, "event"), "events")
    taken = set(spine.column_names)
    for i, aggregation in enumerate(aggregations):
        _checked(events, (aggregation.column,), "events")
        _check(aggregation, f"specs[{i}]", events, taken)
        taken |= set(aggregation.outputs)
    engines: dict[str, Callable[..., list]] = {"duckdb": _with_duckdb, "polars": _with_polars}
    if engine not in engines:
        raise DaedalusError("an unknown engine", where="engine", found=engine, expected=" or ".join(engines))
    result = spine
    columns = engines[engine](rows, history, aggregations)
    outputs = [(output, agg) for agg in aggregations for output in agg.outputs]
    for (output, aggregation), column in zip(outputs, columns, strict=True):
        result = result.append_column(output, column.cast(_result_type(events, aggregation)))
    return result


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
    """Raises DaedalusError for what no type of a field forbids; `taken` are names that its outputs cannot have."""
    import pyarrow.types as t

    outputs, kind = aggregation.outputs, events.schema.field(aggregation.column).type
    if not outputs:
        raise DaedalusError("an aggregation without windows", where=f"{where}.windows", found="[]", expected="[1d, 7d]")
    twice = taken.intersection(outputs) or {name for name in outputs if outputs.count(name) > 1}
    if twice:
        raise DaedalusError("a name that stands twice", where=where, found=min(twice), expected="a name of its own")
    if aggregation.agg == "flatten_distinct" and not (
        t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind)
    ):
        raise DaedalusError("flatten_distinct needs a list column", where=f"{where}.column", found=kind)
    at_least(1, aggregation.max_items, f"{where}.max_items")


def _checked(table: pa.Table, columns: Sequence[str], what: str) -> pa.Table:
    """The table with its times in whole microseconds of UTC."""
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
    if times.type.unit == "ns":
        times = pc.floor_temporal(times, unit="microsecond")
    return table.set_column(
        at, "event_timestamp", times.cast(pa.timestamp("us", times.type.tz)).cast(pa.timestamp("us"))
    )


def _result_type(events: pa.Table, aggregation: Aggregation) -> pa.DataType:
    import pyarrow as pa

    if aggregation.agg == "count":
        return pa.int64()
    kind = events.schema.field(aggregation.column).type
    return pa.list_(kind.value_type if aggregation.agg == "flatten_distinct" else kind)


def _windows(aggregation: Aggregation) -> tuple[tuple[str, int | None], ...]:
    if isinstance(aggregation.windows, str):
        return ((aggregation.name, None),)
    seconds = [parse_duration(window, f"{aggregation.name}.windows") for window in aggregation.windows]
    return tuple(zip(aggregation.outputs, seconds, strict=True))


def _with_duckdb(rows: pa.Table, events: pa.Table, aggregations: Sequence[Aggregation]) -> list[pa.ChunkedArray]:
    import pyarrow as pa

    placed = rows.select(_KEYS).append_column("file_row_number", pa.array(range(rows.num_rows), pa.int64()))
    bindings = Bindings(tables={"pit_rows": placed, "pit_events": events})
    duck = Duck({})
    try:
        columns = []
        for aggregation in aggregations:
            rolling = Rolling(aggregation.agg, _windows(aggregation), self_rule(aggregation), aggregation.max_items)
            columns += duck.table(rolling_sql(rolling, "pit_rows", f"({_events_sql(aggregation)})"), bindings).columns
        return columns
    finally:
        duck.close()


def _events_sql(aggregation: Aggregation) -> str:
    column = name(aggregation.column)
    value = f"unnest({column})" if aggregation.agg == "flatten_distinct" else column
    kept = f"SELECT user_id, artwork_id, event_timestamp AS ts, {value} AS value FROM pit_events"
    return f"SELECT * FROM ({kept} WHERE {in_list('event', aggregation.events)}) WHERE value IS NOT NULL"


def _with_polars(rows: pa.Table, events: pa.Table, aggregations: Sequence[Aggregation]) -> list[Any]:
    import polars as pl

    targets = pl.DataFrame(pl.from_arrow(rows.select(_KEYS))).rename({"event_timestamp": "t", "artwork_id": "own"})
    targets = targets.with_row_index("target")
    history = pl.DataFrame(pl.from_arrow(events))
    columns: list[Any] = []
    for aggregation in aggregations:
        found = _polars_aggregation(targets, history, aggregation)
        columns += [found.get_column(output).to_arrow() for output in aggregation.outputs]
    return columns


def _polars_aggregation(targets: Any, history: Any, aggregation: Aggregation) -> Any:
    """One column per window, in the order of `targets` (target, user_id, own, t)."""
    import polars as pl

    windows = _windows(aggregation)
    seen = _polars_seen(targets, history, aggregation, Rolling(aggregation.agg, windows).longest)
    sizes = [
        (pl.len() if seconds is None else (pl.col("ts") >= pl.col("t") - pl.duration(seconds=seconds)).sum()).alias(
            f"n{i}"
        )
        for i, (_, seconds) in enumerate(windows)
    ]
    groups = seen.sort("target", "ts", "value", descending=[False, True, False]).group_by("target", maintain_order=True)
    grouped = groups.agg(pl.col("value").alias("items"), *sizes)
    found = targets.select("target").join(grouped, on="target", how="left").sort("target")
    limit = aggregation.max_items
    for i, (output, _) in enumerate(windows):
        size = pl.col(f"n{i}").fill_null(0).cast(pl.Int64)
        if aggregation.agg != "count":
            kept = size if limit is None else pl.min_horizontal(size, pl.lit(limit))
            size = pl.col("items").list.head(kept).fill_null([])
        found = found.with_columns(size.alias(output))
    return found


def _polars_seen(targets: Any, history: Any, aggregation: Aggregation, longest: int | None) -> Any:
    """(target, t, ts, value) of what each row sees; of a distinct value only the latest."""
    import polars as pl

    events = history.filter(pl.col("event").is_in(list(aggregation.events))).select(
        "user_id", "artwork_id", pl.col("event_timestamp").alias("ts"), pl.col(aggregation.column).alias("value")
    )
    if aggregation.agg == "flatten_distinct":
        events = events.explode("value")
    seen = targets.join(events.filter(pl.col("value").is_not_null()), on="user_id", how="inner")
    seen = seen.filter(pl.col("ts") < pl.col("t"))
    if longest is not None:
        seen = seen.filter(pl.col("ts") >= pl.col("t") - pl.duration(seconds=longest))
    if aggregation.exclude_self:
        seen = seen.filter(pl.col("artwork_id") != pl.col("own"))
    if aggregation.agg in ("distinct", "flatten_distinct"):
        seen = seen.group_by("target", "value").agg(pl.col("ts").max(), pl.col("t").first())
    return seen
