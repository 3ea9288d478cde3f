"""Rules for a configuration whose types are right. Errors name the file and key path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import inf, isinf, isnan
from typing import TYPE_CHECKING

from msgspec import UNSET

from daedalus.base.days import DayRange, parse_duration, parse_range
from daedalus.base.errors import did_you_mean
from daedalus.base.sizes import parse_size
from daedalus.config.aggregation_kinds import Measure
from daedalus.config.columns import Maker, Ref, makers, names_things, spine_columns
from daedalus.config.config import AGGREGATIONS, CATALOG, RUNTIME, Config
from daedalus.config.duckdb_settings import MOST_THREADS
from daedalus.config.embeddings import check_embeddings
from daedalus.config.feed_rules import check_feed
from daedalus.config.refusals import MOST, OWN, RESERVED, between, refuse, reserved, unique
from daedalus.objectstore.address import check_address
from daedalus.objectstore.object_store import SCHEMES, is_known, is_uri, known_keys

if TYPE_CHECKING:
    from daedalus.config.schema import Aggregation, Lateness, OutputColumn, SplitPart, View

_MOST_DAYS = 36_500  # a hundred years


def check(config: Config) -> None:
    """Raises DaedalusError for the first rule that does not hold."""
    for rule in (
        _paths,
        _range,
        _numbers,
        check_feed,
        _views,
        _refs,
        _coverage,
        _aggregations,
        _recent,
        _names,
        _animated,
        _filter,
        _outputs,
        check_embeddings,
        _expect,
        _splits,
        _remote,
        _object_store,
    ):
        rule(config)


def _paths(config: Config) -> None:
    """Rejects paths with NUL characters, and addresses that we do not know."""
    runtime, catalog = config.runtime, config.catalog
    paths = {(CATALOG, "feed.path"): catalog.feed.path}
    paths |= {(CATALOG, f"views.{name}.source"): view.source for name, view in catalog.views.items()}
    for key in ("output_root", "cache_root", "cache_remote", "cache_remote_key_file"):
        paths[RUNTIME, key] = getattr(runtime, key) or ""
    if runtime.embeddings:
        paths[RUNTIME, "embeddings.output_root"] = runtime.embeddings.output_root
    for key in ("uri", "table"):
        paths[RUNTIME, f"embedding_coverage_filter.{key}"] = getattr(runtime.embedding_coverage_filter, key)
    paths[RUNTIME, "compute.duckdb_config.temp_directory"] = str(config.duckdb_settings.get("temp_directory", ""))
    for (file, key), path in paths.items():
        if "\0" in path:
            refuse(config, file, key, "an invalid path", repr(path), "a path without NUL characters")
        if key != "cache_remote":
            check_address(path, config.where(file, key))


def _range(config: Config) -> None:
    runtime = config.runtime
    first = parse_range(str(runtime.feed_start), config.where(RUNTIME, "feed_start"))
    last = parse_range(str(runtime.feed_end), config.where(RUNTIME, "feed_end"))
    if last.last < first.first:
        found = f"{runtime.feed_start} .. {runtime.feed_end}"
        refuse(config, RUNTIME, "feed_end", "the range ends before it starts", found, "feed_end at or after feed_start")


def _numbers(config: Config) -> None:
    runtime = config.runtime
    _ = config.duckdb_settings  # refuses what a config may not set
    limits = {
        "day_workers": (runtime.day_workers, 1, MOST_THREADS),
        "day_shards": (1 if runtime.day_shards == "auto" else runtime.day_shards, 1, MOST_THREADS),
        "entity_spine_chunk_rows": (runtime.entity_spine_chunk_rows, 1, MOST),
        "spine.lookback_days": (runtime.spine.lookback_days, 0, _MOST_DAYS),
        **_lateness(runtime.spine.lateness_days),
    }
    parse_size(runtime.fetch_limit, config.where(RUNTIME, "fetch_limit"))
    for name, code in runtime.platforms.items():
        if not -(2**31) <= code < 2**31:
            refuse(config, RUNTIME, f"platforms.{name}", "a code that is not an INTEGER", code, "a 32-bit number")
    for key, (value, least, most) in limits.items():
        between(config, RUNTIME, key, value, least, most)


def _lateness(given: int | Lateness) -> dict[str, tuple[int, int, int]]:
    key = "spine.lateness_days"
    found = {key: given} if isinstance(given, int) else {f"{key}.before": given.before, f"{key}.after": given.after}
    return {at: (days, 0, _MOST_DAYS) for at, days in found.items()}


def _views(config: Config) -> None:
    for name, view in config.catalog.views.items():
        at = f"views.{name}"
        known = spine_columns(config)
        if view.entity not in known:
            hint = did_you_mean(view.entity, known)
            expected = f"a column of the feed: {', '.join(known)}"
            refuse(
                config, CATALOG, f"{at}.entity", "an entity that the feed does not have", view.entity, expected, hint
            )
        if not view.features:
            refuse(config, CATALOG, f"{at}.features", "a view without features", "[]", "at least one feature")
        unique(config, CATALOG, f"{at}.features", view.features)


def _refs(config: Config) -> None:
    runtime = config.runtime
    lists = {"feature_refs": runtime.feature_refs, "enrich": runtime.enrich}
    keyed = [(f"{key}[{i}]", ref) for key, refs in lists.items() for i, ref in enumerate(refs)]
    keyed += [(f"ages.{age}", ref) for age, ref in runtime.ages.items()]
    for key, ref in keyed:
        _view_of(config, key, ref)
    unique(config, RUNTIME, "enrich", [ref.partition(":")[2] for ref in runtime.enrich])


def _view_of(config: Config, key: str, text: str) -> tuple[Ref, View]:
    """A reference, and the view that it names. Raises DaedalusError."""
    ref = Ref.parse(text)
    views = config.catalog.views
    if ref is None:
        refuse(config, RUNTIME, key, "not a feature reference", text, "view:feature")
    if ref.view not in views:
        expected = f"a view of {config.folder / CATALOG}: {', '.join(views) or 'none are defined'}"
        refuse(
            config,
            RUNTIME,
            key,
            "a view that the catalog does not have",
            text,
            expected,
            did_you_mean(ref.view, views),
        )
    features = views[ref.view].features
    if ref.feature not in features:
        hint = did_you_mean(ref.feature, features)
        refuse(
            config, RUNTIME, key, f"a feature that the view {ref.view} does not list", text, ", ".join(features), hint
        )
    return ref, views[ref.view]


def _coverage(config: Config) -> None:
    coverage = config.runtime.embedding_coverage_filter
    if not coverage.enabled:
        return
    for key in ("uri", "table", "id_column", "events"):
        if not getattr(coverage, key):
            at = f"embedding_coverage_filter.{key}"
            refuse(config, RUNTIME, at, "the coverage filter is on but incomplete", "nothing", f"a value for {key}")


def _aggregations(config: Config) -> None:
    for i, aggregation in enumerate(config.aggregations):
        at = f"aggregations[{i}]"
        if not aggregation.name:
            refuse(config, AGGREGATIONS, f"{at}.name", "an empty name", "''", "a column name")
        if not aggregation.events:
            refuse(config, AGGREGATIONS, f"{at}.events", "an aggregation without events", "[]", "at least one event")
        if aggregation.max_items is not None:
            between(config, AGGREGATIONS, f"{at}.max_items", aggregation.max_items, 1)
            if isinstance(aggregation.kind, Measure) and not aggregation.kind.listed:
                what = f"agg: {aggregation.agg} gives one value"
                refuse(config, AGGREGATIONS, f"{at}.max_items", what, aggregation.max_items, "no max_items")
        _windows(config, at, aggregation)
        _column(config, at, aggregation)
        _where(config, at, aggregation)
        _keys(config, at, aggregation)
    unique(config, AGGREGATIONS, "aggregations: names", [aggregation.name for aggregation in config.aggregations])
    outputs = [name for aggregation in config.aggregations for name in aggregation.outputs]
    unique(config, AGGREGATIONS, "aggregations: output columns", outputs)


def _windows(config: Config, at: str, aggregation: Aggregation) -> None:
    if isinstance(aggregation.windows, str):
        return
    if not aggregation.windows:
        refuse(config, AGGREGATIONS, f"{at}.windows", "an aggregation without windows", "[]", "such as [1d, 7d]")
    for j, window in enumerate(aggregation.windows):
        key = f"{at}.windows[{j}]"
        if parse_duration(window, config.where(AGGREGATIONS, key)) > _MOST_DAYS * 86400:
            what, hint = "a window of more than a hundred years", "windows: cumulative goes back to the beginning"
            refuse(config, AGGREGATIONS, key, what, window, f"at most {_MOST_DAYS}d", hint)


def _column(config: Config, at: str, aggregation: Aggregation) -> None:
    column, key = aggregation.column, f"{at}.column"
    in_feed = _of_events(config, key, column)
    if aggregation.kind.flatten and in_feed:
        refuse(config, AGGREGATIONS, key, "flatten_distinct needs a list column", column, "a list column under enrich")


def _where(config: Config, at: str, aggregation: Aggregation) -> None:
    for column, values in aggregation.where.items():
        key = f"{at}.where.{column}"
        _of_events(config, key, column)
        if not values:
            refuse(
                config, AGGREGATIONS, key, "a where without values: no event would match", "[]", "at least one value"
            )


def _keys(config: Config, at: str, aggregation: Aggregation) -> None:
    if aggregation.key != "user_id":
        _of_events(config, f"{at}.key", aggregation.key)
    if aggregation.match is not None:
        _of_events(config, f"{at}.match", aggregation.match)
    if aggregation.match == aggregation.key:
        what, hint = "match and key are the same column", "leave match out"
        refuse(config, AGGREGATIONS, f"{at}.match", what, aggregation.key, f"another column than {at}.key", hint)


def _of_events(config: Config, key: str, column: str) -> bool:
    """Whether a column of an aggregation's events is the feed's; else it is one under enrich. An error for others."""
    enriched = [ref.partition(":")[2] for ref in config.runtime.enrich]
    known = spine_columns(config)
    in_feed, in_views = column in known, column in enriched
    if in_feed and in_views:
        refuse(
            config,
            AGGREGATIONS,
            key,
            "a column that is both in the feed and under enrich",
            column,
            "a name that only one of them has",
        )
    if in_views:
        _one_maker(config, AGGREGATIONS, key, column)
    if not in_feed and not in_views:
        views = [f"{name}:{column}" for name, view in config.catalog.views.items() if column in view.features]
        close = did_you_mean(column, [*known, *enriched])
        hint = f"add {' or '.join(views)} under enrich in runtime.yaml" if views else close
        refuse(
            config, AGGREGATIONS, key, "a column that does not exist", column, "a feed column or one under enrich", hint
        )
    return in_feed


def _recent(config: Config) -> None:
    recent = config.runtime.recent_published
    if recent is None:
        return
    parse_duration(recent.window, config.where(RUNTIME, "recent_published.window"))
    if not recent.column:
        refuse(config, RUNTIME, "recent_published.column", "an empty name", "''", "a column name")
    if recent.max_items is not None:
        between(config, RUNTIME, "recent_published.max_items", recent.max_items, 1)
    published, view = _view_of(config, "recent_published.published_at", recent.published_at)
    author, _ = _view_of(config, "recent_published.author", recent.author)
    if published.view != author.view:
        expected = f"a feature of {published.view}, as published_at is"
        refuse(config, RUNTIME, "recent_published.author", "two different views", recent.author, expected)
    if view.entity != "artwork_id":
        what = f"the view {published.view} is not a view of artworks"
        refuse(config, RUNTIME, "recent_published.published_at", what, view.entity, "a view whose entity is artwork_id")


def _names(config: Config) -> None:
    """Rejects names that begin with daeda:, as our own columns in artifacts do, in any case."""
    views = {f"views.{name}.features": view.features for name, view in config.catalog.views.items()}
    named = [(CATALOG, key, name) for key, names in views.items() for name in names]
    named += [(RUNTIME, f"ages.{age}", age) for age in config.runtime.ages]
    named += [(AGGREGATIONS, f"aggregations[{i}].name", a.name) for i, a in enumerate(config.aggregations)]
    if recent := config.runtime.recent_published:
        named.append((RUNTIME, "recent_published.column", recent.column))
    for file, key, name in named:
        if name.casefold().startswith(OWN):
            refuse(config, file, key, "a reserved name", name, RESERVED[OWN])


def _one_maker(config: Config, file: str, key: str, name: str, known: Mapping[str, list[Maker]] | None = None) -> Maker:
    """The only maker of a column used by its bare name; an error for none or several. `known` is `makers(config)`."""
    known = known or makers(config)
    found = known.get(name, [])
    if not found:
        hint = did_you_mean(name, known) or "give it a default, or load a view that has it"
        refuse(config, file, key, "a column that is neither produced nor defaulted", name, "a produced column", hint)
    if len(found) > 1:
        what = "a column that is produced more than once"
        refuse(
            config,
            file,
            key,
            what,
            f"{name}: {', '.join(map(str, found))}",
            "only one of them: rename or drop the others",
        )
    return found[0]


def _animated(config: Config) -> None:
    if config.runtime.animated_model_type:
        for column in ("artwork_type", "model_type"):
            if _one_maker(config, RUNTIME, "animated_model_type", column).kind != "feature":
                refuse(config, RUNTIME, "animated_model_type", "not a feature of a view", column, "a view's feature")


def _filter(config: Config) -> None:
    unique(config, RUNTIME, "content_filter.drop", config.runtime.content_filter.drop)
    for column in config.runtime.content_filter.drop:
        key = f"content_filter.drop.{column}"
        maker = _one_maker(config, RUNTIME, key, column)
        if maker.kind in ("aggregation", "recent"):
            expected = "a feed column, a feature or an age"
            refuse(config, RUNTIME, key, "rows are filtered before this column is computed", column, expected)


def _plain(value: object) -> bool:
    """Whether a default is a scalar, or a list of scalars of one type."""
    if isinstance(value, list):
        kinds = {type(item) for item in value if item is not None}
        return len(kinds - {int, float}) + bool(kinds & {int, float}) <= 1 and all(map(_plain, value))
    return value is UNSET or value is None or isinstance(value, bool | int | float | str)


def _outputs(config: Config) -> None:
    known = makers(config)
    columns = config.output_columns
    if not columns:
        refuse(config, RUNTIME, "output_columns", "no output columns", "[]", "at least one column")
    unique(config, RUNTIME, "output_columns", [column.name for column in columns])
    for i, column in enumerate(columns):
        key = f"output_columns[{i}]"
        if reason := reserved(column.name):
            refuse(config, RUNTIME, key, "a reserved name", column.name, reason)
        if column.default is not UNSET and column.default_sql is not UNSET:
            refuse(config, RUNTIME, key, "two defaults", column.name, "default or default_sql")
        if not _plain(column.default):
            expected = "null, a number, a text, true, false, or a list of values of one type"
            hint = "put quotes around it, or use default_sql"
            what = "a default that is not a literal"
            refuse(config, RUNTIME, f"{key}.default", what, column.default, expected, hint)
        if column.source is not None:
            _renamed(config, key, column, columns)
        if column.made_from in known or not column.has_default:
            _one_maker(config, RUNTIME, f"{key}.from" if column.source else key, column.made_from, known)


def _renamed(config: Config, key: str, column: OutputColumn, columns: Sequence[OutputColumn]) -> None:
    if column.has_default:
        refuse(config, RUNTIME, key, "a renamed column with a default", column.name, "from, or a default")
    if not column.source:
        refuse(config, RUNTIME, f"{key}.from", "an empty name", "''", "a produced column")
    if sum(other.made_from == column.source for other in columns) > 1:
        refuse(
            config,
            RUNTIME,
            f"{key}.from",
            "a column that is in the output twice",
            column.source,
            "only one name for it",
        )


def _expect(config: Config) -> None:
    expect = config.runtime.expect
    if expect is None:
        return
    _band(config, "expect.rows", expect.rows, (0, inf))
    vectors = config.runtime.embeddings.columns if config.runtime.embeddings else {}
    known = [*dict.fromkeys([*(column.name for column in config.output_columns), *vectors])]
    for name, column in expect.columns.items():
        at = f"expect.columns.{name}"
        if name not in known:
            expected = f"one of the output's columns: {', '.join(known)}"
            hint = did_you_mean(name, known)
            refuse(config, RUNTIME, at, "a column that is not in the output", name, expected, hint)
        if not column.bands:
            refuse(config, RUNTIME, at, "nothing is expected of the column", "{}", "null_share, coverage or mean")
        for measure, band in column.bands.items():
            _band(config, f"{at}.{measure}", band, (-inf, inf) if measure == "mean" else (0, 1))
        if column.mean is not None and (reason := _no_mean(config, name)):
            refuse(config, RUNTIME, f"{at}.mean", "a mean of what has none", f"{name}, {reason}", "a number or a list")


def _band(config: Config, key: str, band: Sequence[float | None] | None, reach: tuple[float, float]) -> None:
    """Rejects what is no band of numbers within the reach of a measure."""
    if band is None:
        return
    if len(band) != 2 or band == [None, None]:
        expected = "[least, most], of which one may be null"
        refuse(config, RUNTIME, key, "not a band", _shown(band), expected)
    low, high = (otherwise if end is None else end for end, otherwise in zip(band, reach, strict=True))
    for end in (low, high):
        if isnan(end) or (isinf(end) and end in band):
            refuse(config, RUNTIME, key, "an end that is no number", _shown(band), "finite numbers, or null for no end")
        if not reach[0] <= end <= reach[1]:
            expected = "from 0 to 1, as a share is" if reach[1] == 1 else "at least 0"
            refuse(config, RUNTIME, key, "an end that nothing can reach", _shown(band), expected)
    if low > high:
        refuse(config, RUNTIME, key, "an empty band", _shown(band), "[least, most], the least first")


def _splits(config: Config) -> None:
    splits = config.runtime.splits
    if splits is None:
        return
    if not splits.parts:
        refuse(config, RUNTIME, "splits.parts", "splits without parts", "{}", "at least one, such as train")
    unique(config, RUNTIME, "splits.parts", splits.parts)
    taken: dict[str, DayRange] = {}
    for name, part in splits.named.items():
        at = f"splits.parts.{name}"
        _part(config, at, splits.by, part)
        if part.days is None:
            continue
        days = parse_range(str(part.days), config.where(RUNTIME, at))
        for other, known in taken.items() if splits.by == "day" else ():
            if days.first <= known.last and known.first <= days.last:
                found = f"{max(days.first, known.first)}, which is also in {other}"
                refuse(config, RUNTIME, at, "a day in two parts", found, "ranges that do not overlap")
        taken[name] = days
    if (total := sum(Decimal(repr(part.share)) for part in splits.named.values() if part.share)) > 1:
        refuse(config, RUNTIME, "splits.parts", "shares of more than the whole", f"{total} in all", "at most 1 in all")
    if (column := splits.column) and column not in [output.made_from for output in config.output_columns]:
        what, hint = "splits by a column that is not in the output", f"add {column} to output_columns"
        refuse(config, RUNTIME, "splits.by", what, splits.by, f"{column} among output_columns", hint)


def _part(config: Config, at: str, by: str, part: SplitPart) -> None:
    """Rejects a part that does not say what parts by such as `by` say."""
    if by == "day" and (part.share is not None or part.days is None):
        found = "no days" if part.share is None else f"the share {part.share}"
        hint = "by: user, or by: session, draws shares"
        refuse(config, RUNTIME, at, "a part by day that is not a range of days", found, "such as 202602..202604", hint)
    if by != "day" and part.share is None:
        hint = f"{{share: 0.1, days: {part.days}}} has both; by: day has days alone" if part.days else ""
        expected = f"a share of the {by}s, such as 0.8"
        refuse(config, RUNTIME, at, "a part without a share", part.days or "no share", expected, hint)
    if part.share is not None and not 0 < part.share <= 1:
        refuse(config, RUNTIME, at, "a share that is none", part.share, "above 0, and at most 1")


def _shown(band: Sequence[float | None]) -> str:
    """A band as its file has it."""
    return f"[{', '.join('null' if end is None else f'{end:.15g}' for end in band)}]"


def _no_mean(config: Config, output: str) -> str:
    """Why there can be no mean of an output column, as far as the configuration tells; "" if there may be one."""
    embeddings = config.runtime.embeddings
    if embeddings and output in embeddings.columns:
        return "a column of vectors"
    if names_things(config, output):
        return "which names things"
    made = config.made_from(output)
    kind = spine_columns(config).get(made, "")
    return f"a {kind}" if kind.startswith(("VARCHAR", "TIMESTAMP")) else ""


def _remote(config: Config) -> None:
    uri = config.runtime.cache_remote
    if uri is not None and not is_uri(uri):
        expected = f"an address that begins with {', '.join(SCHEMES)}"
        hint = "a shared cache needs an object store's conditional writes; a folder has none"
        refuse(config, RUNTIME, "cache_remote", "a shared cache that is not on an object store", uri, expected, hint)


def _object_store(config: Config) -> None:
    """Rejects options that no store of the config's addresses has; without addresses, that no store at all has."""
    runtime, catalog = config.runtime, config.catalog
    paths = [catalog.feed.path, runtime.output_root, runtime.cache_remote, runtime.embedding_coverage_filter.uri]
    paths += [runtime.embeddings.output_root] if runtime.embeddings else []
    paths += [view.source for view in catalog.views.values()]
    stores = sorted({str(path)[:5] for path in paths if is_uri(path)}) or SCHEMES
    for key in runtime.object_store:
        if not any(is_known(key, store) for store in stores):
            known = sorted({name for store in stores for name in known_keys(store)})
            hint = (
                "leave it out: an http:// endpoint is always allowed"
                if key == "allow_http"
                else did_you_mean(key, known)
            )
            what, expected = "an option that these stores do not have", f"one of obstore's for {', '.join(stores)}"
            refuse(config, RUNTIME, f"object_store.{key}", what, key, expected, hint)
