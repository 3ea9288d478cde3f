"""rolling: the windows of one aggregation, aligned with the rows of the sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from daedalus.actions.actions import Reading, config_ingredients, describe_sql
from daedalus.actions.unaffected import Keyed
from daedalus.base import digest
from daedalus.base.days import ONE_DAY, Day, parse_duration
from daedalus.config.aggregation_kinds import AggregationKind, Measure
from daedalus.config.columns import spine_columns
from daedalus.config.schema import Aggregation
from daedalus.skeleton.context import Make, Skeleton
from daedalus.skeleton.steps import history
from daedalus.skeleton.steps.event_values import view_of
from daedalus.skeleton.where import where_of
from daedalus.sql.text import Sql
from daedalus.stagecache.action import Counts
from daedalus.stagecache.action_name import ActionName
from daedalus.stagecache.fingerprint import version
from daedalus.windows.roll import roll
from daedalus.windows.rolling_sql import rolling_sql
from daedalus.windows.slices import in_slices
from daedalus.windows.spec import Measured, Rolling, self_rule, whose
from daedalus.windows.windows_file import ITEMS

_OF_ROWS = ("event_timestamp", "artwork_id")  # what is read of rows beside their users


def build(make: Make, day: Day, aggregation: Aggregation) -> str:
    """Reads the rows of the sessions, and the events of the feed days that the longest window needs: those of the
    spine by day, older ones from the history."""
    context = make.context
    lookback, back = context.runtime.spine.lookback_days, aggregation.days_back
    recent = lookback if back is None else min(lookback, back)
    days = [make.need("event_values", day - i * ONE_DAY, aggregation) for i in range(recent, -1, -1)]
    start = (day - recent * ONE_DAY).toordinal()
    first = start if back is None else (day - back * ONE_DAY).toordinal()
    if back is None:
        first = min(first, min(context.sources.feed_days).toordinal() - context.runtime.spine.lateness.after)
    events = [*history.pieces(make, aggregation, first, start), *(name for name in days if name)]
    keys = _row_keys(make, day, aggregation) if aggregation.keyed else None
    return rolled(make, ActionName("rolling", aggregation.name, day), make.once(_windows, aggregation), events, keys)


@dataclass(frozen=True)
class Windows:
    """What all days have alike of an aggregation's windows: what computes them, called with (rows, events, keys) and
    the paths; their SQL; the ingredients; the tables of its events that are joined by key."""

    run: Callable[..., Counts]
    sql: Callable[[], Sql]
    ingredients: Mapping[str, str]
    keyed: Sequence[Keyed] = ()


def windows_of(aggregation: Aggregation) -> tuple[tuple[str, int | None], ...]:
    """(output column, seconds), shortest first: their order in the config changes nothing."""
    if isinstance(aggregation.windows, str):
        return ((aggregation.name, None),)
    pairs = [(f"{aggregation.name}_{w}", parse_duration(w, "windows")) for w in aggregation.windows]
    return tuple(sorted(pairs, key=lambda pair: (pair[1], pair[0])))


def _windows(make: Make, aggregation: Aggregation) -> Windows:
    windows = windows_of(aggregation)
    at = f"aggregations.{aggregation.name}"
    config = {f"{at}.{k}": getattr(aggregation, k) for k in ("agg", "exclude_self", "max_items")}
    config[f"{at}.windows"] = [window for window, _ in windows]
    if isinstance(aggregation.kind, Measure):
        return _measured(make, aggregation, aggregation.kind, config)
    groups = where_of(make.context, aggregation).groups
    rolling = Rolling(aggregation.kind, windows, self_rule(aggregation), aggregation.max_items, groups)
    return kernel_windows(make, rolling, config, keyed=aggregation.keyed)


def kernel_windows(
    make: Make, rolling: Rolling, config: Mapping[str, object], tables: Sequence[Keyed] = (), *, keyed: bool = False
) -> Windows:
    """Windows that the compiled kernel runs; `daeda explain step` shows the equivalent SQL. `keyed` says that rows are
    grouped by keys."""
    ingredients = {
        **make.code_of(_by_key().roll_by_key if keyed else roll),
        "engine:numba": version("numba"),
        "code:rolling": digest.canonical_json(rolling.understood),  # as the code understood the config
        **config_ingredients(config),
    }
    return Windows(partial(_run, rolling), partial(rolling_sql, rolling, once=ITEMS), ingredients, tables)


def rolled(make: Make, name: ActionName, windows: Windows, events: Sequence[str], keys: str | None = None) -> str:
    """Adds the action of a day's windows. `keys` is the action with the rows by their groups, where these are not
    users."""
    assert name.day is not None
    rows = make.need("sessions", name.day)
    reading = Reading({"rows": [rows], **({"row_keys": [keys]} if keys else {}), "events": events})
    ingredients = {**windows.ingredients, "code:reads": digest.canonical_json(reading.kinds())}
    run = partial(windows.run, rows, events, keys)
    describe = partial(_describe, windows.sql, reading)
    parts = None if keys else in_slices(run, rows, _OF_ROWS, events)
    upstream = [one for _, names in reading.actions for one in names]
    return make.add(name, run, ingredients, upstream, describe=describe, keyed=windows.keyed, parts=parts)


def _describe(sql: Callable[[], Sql], reading: Reading, upstream: Mapping[str, Path]) -> str:
    return describe_sql(sql(), reading, upstream)


def _row_keys(make: Make, day: Day, aggregation: Aggregation) -> str:
    from daedalus.skeleton import row_keys

    return make.once(row_keys.build, day, aggregation)


def _by_key() -> ModuleType:
    """What only keyed aggregations need."""
    from daedalus.windows import by_key

    return by_key


def _measured(make: Make, aggregation: Aggregation, kind: Measure, config: Mapping[str, object]) -> Windows:
    """Windows of a kind of windows/kinds/: their keys have the code of that kind and of no other."""
    from daedalus.windows.kinds.kind import kind_of
    from daedalus.windows.measured import measure

    measured = Measured(
        kind=kind, windows=windows_of(aggregation), without_self=self_rule(aggregation), agg=aggregation.agg,
        max_items=aggregation.max_items, column=aggregation.column, type=_type_of(make.context, aggregation.column),
        groups=where_of(make.context, aggregation).groups,
        whose=whose(aggregation),
    )  # fmt: skip
    found, keyed = kind_of(measured), aggregation.keyed
    of_none = {"empty": kind.empty} if keyed else {}  # what rows without a key have
    understood = {**measured.understood, "kind": {"gives": kind.gives, "reads": asdict(found.reads), **of_none}}
    ingredients = {
        **make.code_of(_by_key().measure_by_key if keyed else measure),
        **make.code_of(found.compute),
        "engine:numba": version("numba"),
        "code:rolling": digest.canonical_json(understood),
        **config_ingredients(config),
    }
    return Windows(partial(_run_measure, measured, found.reads, found.compute), partial(_sql_of, measured), ingredients)


def _type_of(context: Skeleton, column: str) -> str:
    """DuckDB's name of the type of a column that events have values of."""
    view = view_of(context, column)
    return context.sources.views[view].types[column] if view else spine_columns(context.config)[column]


def _run_measure(
    measured: Measured, reads: AggregationKind, compute: Callable, rows: str, events: Sequence[str], keys: str | None,
    upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    from daedalus.windows.measured import measure

    files, gives = [upstream[name] for name in events], measured.kind.gives
    if keys:
        places = _by_key().Keyed(upstream[rows], upstream[keys])
        return _by_key().measure_by_key(measured, gives, reads, compute, places, files, out)
    return measure(measured, gives, reads, compute, upstream[rows], files, out)


def _sql_of(measured: Measured) -> Sql:
    from daedalus.windows.measured_sql import measured_sql

    return measured_sql(measured)


def _run(
    rolling: Rolling, rows: str, events: Sequence[str], keys: str | None, upstream: Mapping[str, Path], out: Path
) -> Counts:
    files = [upstream[name] for name in events]
    if keys:
        return _by_key().roll_by_key(rolling, _by_key().Keyed(upstream[rows], upstream[keys]), files, out)
    return roll(rolling, upstream[rows], files, out)
