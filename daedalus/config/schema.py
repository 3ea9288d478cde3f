"""The shape of the three configuration files. These definitions validate them."""

# No `from __future__ import annotations`: msgspec would compile each annotation at every start.
from collections.abc import Container
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, UnsetType

from daedalus.base.days import parse_duration
from daedalus.config.aggregation_kinds import KINDS, Agg, AggregationKind

Band = list[float | None]  # [least, most]; None leaves that end open


def _says(meaning: str, recomputes: str) -> msgspec.Meta:
    """What a key means, for editors and docs/config.md, and which steps run again when it changes."""
    return msgspec.Meta(description=meaning, extra_json_schema={"x-recomputes": recomputes})


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping in which an unknown key is an error."""


class Feed(_Strict, frozen=True, kw_only=True):
    path: Annotated[
        str,
        _says(
            "The feed: a folder of dt=YYYY-MM-DD/*.parquet (in any case), or of folders as partition says, local or s3://, gs://, az://. Anything else in it is ignored and named in a note; names that begin with _ or . are never read. Relative paths resolve against the working directory.",
            "what reads files that differ",
        ),
    ]
    partition: Annotated[
        str,
        _says(
            "How the folders of days are named, a level each, as strftime writes days: dt=%Y%m%d, year=%Y/month=%m/day=%d, or with hours below, dt=%Y-%m-%d/hour=%H. A row belongs to the day of its time, whatever its hour's folder says.",
            "what reads files whose names change",
        ),
    ] = "dt=%Y-%m-%d"
    columns: Annotated[
        dict[str, str],
        _says(
            "The feed's own names, by the spine's: {user_id: visitor}. Those not named here have the spine's name. In errors the feed's own name comes first.",
            "what reads feed files, where another column is read",
        ),
    ] = {}
    extra_columns: Annotated[
        list[str],
        _says(
            "Further columns of the feed to take along, of any plain type: rows that differ in one are no duplicates, they come last in the order of rows, and whatever names a column of the feed may name them.",
            "all steps",
        ),
    ] = []
    timestamp_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None,
        _says(
            "Unit of an event_timestamp that is a whole number, counted from 1970 in UTC; none: it is a TIMESTAMP.",
            "what reads feed files",
        ),
    ] = None

    version: Annotated[
        Annotated[int, msgspec.Meta(ge=0)] | None,
        _says(
            "Where path is a table of Delta Lake or Iceberg: the version of the one, or the snapshot id of the other, to read; none: the newest. Refused of what is no table.",
            "what reads files that differ",
        ),
    ] = None


class View(_Strict, frozen=True, kw_only=True):
    source: Annotated[
        str,
        _says(
            "Parquet files of the view: a folder, a file or a glob, local or s3://, gs://, az://; ** matches folders of any depth. Or a table of Delta Lake or Iceberg. Wildcards do not match names that begin with _ or a dot.",
            "steps whose files differ",
        ),
    ]
    entity: Annotated[
        str,
        _says("The id on which the view is joined to the feed, such as user_id.", "the view, attributes, event_values"),
    ]
    entity_column: Annotated[
        str | None,
        _says(
            "The view's own name for the entity, if it differs; none: it is the same.",
            "the view, if it now reads another column",
        ),
    ] = None
    timestamp_field: Annotated[
        str,
        _says(
            "Column with the time from which a row holds. Of each entity the row with the latest time is used; NULL is older than any time.",
            "the view, attributes, event_values",
        ),
    ]
    features: Annotated[
        list[str],
        _says("Columns of the view to load, in any order.", "the view, attributes"),
    ]
    as_of: Annotated[
        Literal["latest", "day"],
        _says(
            "latest: each feed row gets its entity's latest row, even one from after the event. day: the latest row from before the end of the feed row's day, so that nothing from a later day leaks in.",
            "the view, attributes",
        ),
    ] = "latest"

    version: Annotated[
        Annotated[int, msgspec.Meta(ge=0)] | None,
        _says(
            "If source is a table: the Delta Lake version or the Iceberg snapshot id to read; none: the newest. Refused if source is not a table.",
            "steps whose files differ",
        ),
    ] = None

    @property
    def own_entity(self) -> str:
        """The entity's name in the view's files."""
        return self.entity_column or self.entity


class Catalog(_Strict, frozen=True, kw_only=True):
    feed: Annotated[
        Feed,
        _says("Where the events are.", "see its keys"),
    ]
    views: Annotated[
        dict[str, View],
        _says(
            "The views, by name: tables of what is known about users and items. A view that nothing refers to is not read.",
            "see its keys",
        ),
    ] = {}


class Compute(_Strict, frozen=True, kw_only=True):
    engine: Annotated[
        Literal["duckdb", "polars"],
        _says(
            "Engine of the Python function aggregate_pit_table when it is called with this configuration. Stages always use duckdb.",
            "nothing",
        ),
    ] = "duckdb"
    duckdb_config: Annotated[
        dict[str, str | int | float | bool],
        _says(
            "How much of the machine DuckDB may use: threads, memory_limit, temp_directory, max_temp_directory_size, preserve_insertion_order and the allocator's settings. Any other setting is refused: it could change the output, or what can be accessed. threads x day_workers steps run at once, each with one thread and memory_limit / threads of memory; what does not fit spills to temp_directory.",
            "nothing",
        ),
    ] = {}


class Lateness(_Strict, frozen=True, kw_only=True):
    before: Annotated[
        int,
        _says("Rows of day d may lie in partitions from this many days before d on.", "all steps"),
    ] = 0
    after: Annotated[
        int,
        _says("Rows of day d may lie in partitions up to this many days after d.", "all steps"),
    ] = 0

    @property
    def partitions(self) -> range:
        """The partitions that may hold rows of a day, as days after it."""
        return range(-self.before, self.after + 1)

    @property
    def days(self) -> range:
        """The days whose rows a partition may hold, as days after it."""
        return range(-self.after, self.before + 1)


class Spine(_Strict, frozen=True, kw_only=True):
    lookback_days: Annotated[
        int,
        _says(
            "Days of history before the target day that the spine holds. Aggregations with a longer window read older feed days by themselves.",
            "rolling, and the steps of feed days newly needed",
        ),
    ] = 7
    lateness_days: Annotated[
        int | Lateness,
        _says(
            "Which feed partitions may hold rows of day d. N: partitions d to d + N; {before: B, after: A}: partitions d - B to d + A. Rows in any other partition are strays: counted, but not used.",
            "all steps",
        ),
    ] = 0
    deduplicate: Annotated[
        bool,
        _says("Whether rows that are equal in every column read from the feed count once.", "all steps"),
    ] = True

    @property
    def lateness(self) -> Lateness:
        """`lateness_days` in either of its forms."""
        given = self.lateness_days
        return given if isinstance(given, Lateness) else Lateness(after=given)


class CoverageFilter(_Strict, frozen=True, kw_only=True):
    enabled: Annotated[
        bool,
        _says(
            "Whether rows of the events below are dropped if their artwork is not in the pool.",
            "coverage and downstream",
        ),
    ] = True
    events: Annotated[
        list[str],
        _says(
            "Impressions: events that only record that an artwork was shown (default: reco_artwork_view, reco_artwork_view2). The session filter uses them too: a session with nothing else is view-only.",
            "coverage, sessions and downstream",
        ),
    ] = msgspec.field(default_factory=lambda: ["reco_artwork_view", "reco_artwork_view2"])
    uri: Annotated[
        str,
        _says(
            "Folder of the Lance database, local or s3://, gs://, az://. The filter reads its ids only; vectors are read only for embeddings.",
            "steps whose ids or vectors differ",
        ),
    ] = ""
    table: Annotated[
        str,
        _says("Table of the database.", "steps whose ids or vectors differ"),
    ] = ""
    id_column: Annotated[
        str,
        _says(
            "Column of the table with the artwork ids: whole numbers or text, as artwork_id is in the feed.",
            "steps whose ids or vectors differ",
        ),
    ] = "artwork_id"


class SessionFilter(_Strict, frozen=True, kw_only=True):
    drop_view_only: Annotated[
        bool,
        _says("Drop sessions that hold nothing but events of the coverage filter's list.", "sessions and downstream"),
    ] = False
    drop_single_like: Annotated[
        bool,
        _says(
            "Drop sessions in which exactly one row is not such an event, and that row is a like.",
            "sessions and downstream",
        ),
    ] = False


class RecentPublished(_Strict, frozen=True, kw_only=True):
    column: Annotated[
        str,
        _says(
            "Name of the output column: a list of the artworks that the row's user published before the row's time.",
            "recent_published",
        ),
    ]
    published_at: Annotated[
        str,
        _says("view:feature with the time of publication.", "recent_published"),
    ]
    author: Annotated[
        str,
        _says("view:feature of the same view with the author's user id.", "recent_published"),
    ]
    window: Annotated[
        str,
        _says("How far back to look, such as 30d.", "recent_published"),
    ]
    max_items: Annotated[
        int | None,
        _says("Keep only the newest this many; none: no limit.", "recent_published"),
    ] = None


class AnimatedModelType(_Strict, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    artwork_type: Annotated[
        str,
        _says("Rows whose artwork_type is this ...", "attributes, content and downstream"),
    ]
    source: Annotated[
        str,
        _says("... and whose model_type is this ...", "attributes, content and downstream"),
    ]
    target: Annotated[
        str,
        _says("... get this model_type, before the content filter.", "attributes, content and downstream"),
    ]


class ContentFilter(_Strict, frozen=True, kw_only=True):
    drop: Annotated[
        dict[str, list[str | int | float | bool]],
        _says(
            "Column to values: rows with one of the values are dropped. NULL never matches. Values are converted to the column's type first (0.1 becomes a FLOAT for a FLOAT column, .nan is NaN); a value that the type cannot hold never matches, and a note says so.",
            "content and downstream",
        ),
    ] = {}


class OutputColumn(_Strict, frozen=True, kw_only=True, rename={"source": "from"}):
    name: Annotated[
        str,
        _says("Name of the column.", "chunk"),
    ]
    source: Annotated[
        str | None,
        _says("Renames a column: {name: item_id, from: artwork_id} publishes artwork_id as item_id.", "chunk"),
    ] = None
    default: Annotated[
        Any | UnsetType,
        _says("Literal that fills a column which nothing else produces. It never replaces a NULL.", "chunk"),
    ] = UNSET
    default_sql: Annotated[
        str | UnsetType,
        _says(
            "The same, as one constant SQL expression: no columns, clock or files, and only deterministic functions.",
            "chunk",
        ),
    ] = UNSET

    @property
    def made_from(self) -> str:
        """The name under which the column is made."""
        return self.source or self.name

    @property
    def has_default(self) -> bool:
        return self.default is not UNSET or self.default_sql is not UNSET


class EmbeddingColumn(_Strict, frozen=True, kw_only=True):
    of: Annotated[
        str | None,
        _says(
            "An id column of the output, by its name there: the value is the vector of that id. Give either of or mean_of.",
            "the vectors of this column, enriched",
        ),
    ] = None
    mean_of: Annotated[
        str | None,
        _says(
            "A list of ids that an aggregation or recent_published makes, whether or not it is in the output: the value is the component-wise mean of the vectors of these ids.",
            "the vectors and means of this column, enriched",
        ),
    ] = None
    max_items: Annotated[
        int | None,
        _says(
            "With mean_of: use only the first this many ids of the list; none: all.",
            "the vectors and means of this column, enriched",
        ),
    ] = None


class Embeddings(_Strict, frozen=True, kw_only=True):
    output_root: Annotated[
        str,
        _says(
            "Where the enriched dt= partitions are published: a folder, or s3://, gs://, az://. Overridden by --output-root of daeda enrich.",
            "enriched, in the new place",
        ),
    ] = "data/training_enriched"
    vector_column: Annotated[
        str,
        _says("Column of the pool with the vectors: lists of FLOAT, HALFFLOAT or DOUBLE.", "steps that read vectors"),
    ] = "vector"
    dtype: Annotated[
        Literal["float32", "float16"],
        _says("Type of the components in the output.", "means, enriched"),
    ] = "float32"
    columns: Annotated[
        dict[str, EmbeddingColumn],
        _says(
            "The embedding columns, by name. Each takes the place of the output column of the same name; one without such a placeholder comes last, before qid.",
            "see its keys",
        ),
    ]


class ExpectColumn(_Strict, frozen=True, kw_only=True):
    null_share: Annotated[
        Band | None,
        _says("The share of the day's rows in which it is NULL.", "nothing"),
    ] = None
    coverage: Annotated[
        Band | None,
        _says(
            "The share of the day's rows in which it has something: no NULL, and no empty list. Of a column of vectors, the rows with a vector.",
            "nothing",
        ),
    ] = None
    mean: Annotated[
        Band | None,
        _says(
            "The day's mean: of a number without NULL, NaN and infinities, of a list its length, of a boolean the share that is true. An id has none.",
            "nothing",
        ),
    ] = None

    @property
    def bands(self) -> dict[str, Band]:
        """The measures that are expected to be in a band."""
        given = {"null_share": self.null_share, "coverage": self.coverage, "mean": self.mean}
        return {measure: band for measure, band in given.items() if band is not None}


class Expect(_Strict, frozen=True, kw_only=True):
    on_break: Annotated[
        Literal["warn", "fail"],
        _says(
            "Whether a run with a day outside a band ends with exit 0 or 1. The partitions are written either way.",
            "nothing",
        ),
    ] = "warn"
    rows: Annotated[
        Band | None,
        _says("Rows of a day's partition, as [least, most]; null leaves an end open: [1000, null].", "nothing"),
    ] = None
    columns: Annotated[
        dict[str, ExpectColumn],
        _says("What is expected of output columns, by name, on each day; bands as in rows.", "nothing"),
    ] = {}

    def without(self, names: Container[str]) -> Self:
        """The same, with nothing expected of some columns."""
        return msgspec.structs.replace(self, columns={k: v for k, v in self.columns.items() if k not in names})


class SplitPart(_Strict, frozen=True, kw_only=True):
    share: Annotated[
        float | None,
        _says(
            "By user or session: the share of them that is drawn for this part, above 0. All shares are at most 1.",
            "nothing",
        ),
    ] = None
    days: Annotated[
        str | int | None,
        _says("Its days, written as ranges are: 202602..202604, 2026-05-01..2026-05-15; none: all.", "nothing"),
    ] = None


class Splits(_Strict, frozen=True, kw_only=True):
    by: Annotated[
        Literal["day", "user", "session"],
        _says(
            "What is never in two parts. user and session are drawn by a hash of the id, so that a new day moves nobody; their column, user_id or feed_session, must be in output_columns. Rows without session are in no part by session.",
            "nothing",
        ),
    ]
    parts: Annotated[
        dict[str, float | int | str | SplitPart],
        _says(
            "The parts by name: a share by user or session (0.8), days by day (202602..202604), or {share, days}, which has the rows of its users or sessions on these days. What no part covers is in none.",
            "nothing",
        ),
    ]
    salt: Annotated[
        str | int,
        _says("Another salt is another draw of all users or sessions. A number is the same as its text.", "nothing"),
    ] = ""

    @property
    def named(self) -> dict[str, SplitPart]:
        """The parts in their long form."""
        return {name: self._part(given) for name, given in self.parts.items()}

    @property
    def column(self) -> str | None:
        """The column with the ids that are drawn, under the name that it is made by; None by day."""
        return {"user": "user_id", "session": "feed_session"}.get(self.by)

    def _part(self, given: float | int | str | SplitPart) -> SplitPart:
        if isinstance(given, SplitPart):
            return given
        if isinstance(given, str) or (self.by == "day" and isinstance(given, int)):
            return SplitPart(days=given)
        return SplitPart(share=given)


class Runtime(_Strict, frozen=True, kw_only=True):
    feed_start: Annotated[
        str | int,
        _says("First month (202602) or day (2026-02-01) of runs without --range.", "new days"),
    ]
    feed_end: Annotated[
        str | int,
        _says("Last month or day, inclusive.", "new days"),
    ]
    output_root: Annotated[
        str,
        _says(
            "Where the dt= partitions and qid_map.parquet are published: a folder, or s3://, gs://, az://. Overridden by --output-root.",
            "qids and chunk, in the new place",
        ),
    ] = "data/training_output"
    cache_root: Annotated[
        str,
        _says(
            "Folder of the cache: results of steps, and their records. Overridden by --cache-root.",
            "all steps, unless you move the cache too",
        ),
    ] = "cache"
    cache_remote: Annotated[
        str | None,
        _says(
            "A second cache that people or machines share, such as s3://bucket/prefix; none: there is none.",
            "nothing",
        ),
    ] = None
    cache_remote_mode: Annotated[
        Literal["read", "write", "read-write"],
        _says("Whether to read from the shared cache, write to it, or both.", "nothing"),
    ] = "read-write"
    cache_remote_key_file: Annotated[
        str | None,
        _says(
            "File with the key that signs results in the shared cache; results without a valid signature are not used. The environment variable DAEDA_CACHE_KEY takes precedence. none: nothing is signed or checked.",
            "nothing",
        ),
    ] = None
    object_store: Annotated[
        dict[str, str | int | bool],
        _says(
            "How to reach s3://, gs:// and az://: endpoint, region and so on, under obstore's names. What is not set here comes from the usual environment variables; put credentials there.",
            "nothing",
        ),
    ] = {}
    fetch_limit: Annotated[
        str,
        _says(
            "How large the local copies of inputs on object stores may grow, under cache_root/fetched: 20GB, 500MB. The least recently used are removed first.",
            "nothing",
        ),
    ] = "20GB"
    day_workers: Annotated[
        int,
        _says(
            "Days processed at once. day_workers x threads steps run at once: N workers with 1 thread are as fast as 1 worker with N threads, but may use N times the memory.",
            "nothing",
        ),
    ] = 1
    day_shards: Annotated[
        int | Literal["auto"],
        _says(
            "In how many parts each of the large steps of a day is computed: spine by ranges of users, attributes, rolling (but for other keys than users) and chunk by ranges of rows. auto: on a cluster, as many as workers would be idle, of at least 200,000 rows; else one, as steps use several cores by themselves. The output is the same.",
            "nothing",
        ),
    ] = "auto"
    entity_spine_chunk_rows: Annotated[
        int,
        _says("Rows per output part file.", "chunk"),
    ] = 500_000
    compute: Annotated[
        Compute,
        _says("How much of the machine to use.", "nothing"),
    ] = Compute()
    spine: Annotated[
        Spine,
        _says(
            "Which feed rows the spine has: the table of a day's cleaned feed rows and of those before it.",
            "see its keys",
        ),
    ] = Spine()
    embedding_coverage_filter: Annotated[
        CoverageFilter,
        _says(
            "Names the pool, a Lance table of embeddings, and drops impressions of artworks that it does not have.",
            "see its keys",
        ),
    ] = CoverageFilter(enabled=False)
    feature_refs: Annotated[
        list[str],
        _says(
            "Views to load, as view:feature. All features of each view named are loaded, not only this one.",
            "new views, attributes",
        ),
    ] = []
    enrich: Annotated[
        list[str],
        _says(
            "Columns, as view:feature, that aggregations may use besides those of the feed.",
            "event_values of new columns",
        ),
    ] = []
    ages: Annotated[
        dict[str, str],
        _says(
            "Output column to view:feature, which must be a time: the value is the whole days from that time to the event, never below 0.",
            "attributes",
        ),
    ] = {}
    session_filter: Annotated[
        SessionFilter,
        _says("Which whole sessions to drop.", "see its keys"),
    ] = SessionFilter()
    recent_published: Annotated[
        RecentPublished | None,
        _says("A list column: what the row's user published recently; none: no such column.", "see its keys"),
    ] = None
    animated_model_type: Annotated[
        AnimatedModelType | None,
        _says("Replaces the model type of animated artworks; none: it stays as it is.", "see its keys"),
    ] = None
    content_filter: Annotated[
        ContentFilter,
        _says("Which rows to drop by their features.", "see its keys"),
    ] = ContentFilter()
    platforms: Annotated[
        dict[str, int],
        _says(
            "Name to code, if platform_code is text in the feed; names not listed become 0.",
            "spine, if the feed has names",
        ),
    ] = {}
    embeddings: Annotated[
        Embeddings | None,
        _says(
            "Columns of vectors that the enrich stage adds to those of the skeleton; none: there is no enrich stage.",
            "see its keys",
        ),
    ] = None
    expect: Annotated[
        Expect | None,
        _says(
            "What a day's partition should be like, checked after each run and never part of a key; none: nothing is checked.",
            "nothing",
        ),
    ] = None
    splits: Annotated[
        Splits | None,
        _says(
            "Parts of the output for training and for judging what was trained, for daedalus.load(split=...), never part of a key; none: there are none.",
            "nothing",
        ),
    ] = None
    output_columns: Annotated[
        list[str | OutputColumn],
        _says(
            "Columns of the output, in order: a name, {name, from}, {name, default} or {name, default_sql}. If the feed has feed_session, qid (the number of the row's session) is added as the last column.",
            "chunk, and the steps of new columns",
        ),
    ]


class Aggregation(_Strict, frozen=True, kw_only=True):
    name: Annotated[
        str,
        _says("Output columns are {name}_{window}, or {name} for cumulative.", "its rolling"),
    ]
    events: Annotated[
        list[str],
        _says("Events to aggregate.", "its rolling"),
    ]
    column: Annotated[
        str,
        _says("The column to collect: of the feed, or one under enrich.", "its rolling"),
    ]
    agg: Annotated[
        Agg,
        _says(
            "list: newest first, repeats kept. distinct: by most recent occurrence. flatten_distinct: members of a list column. count: rows whose column is not NULL. Of all such values: sum, mean, std (of two at least), min, max, last (the newest), first, count_distinct, since_last (seconds), top (the most frequent first).",
            "its rolling",
        ),
    ]
    windows: Annotated[
        list[str] | Literal["cumulative"],
        _says(
            "Such as [1d, 3d, 7d], each strictly before the row and as long as you like, 90d too; or cumulative: all of the user's past.",
            "its rolling",
        ),
    ]
    exclude_self: Annotated[
        bool,
        _says("Leave out the row's own artwork, before max_items.", "its rolling"),
    ] = False
    max_items: Annotated[
        int | None,
        _says("At most this many of a list, the newest (of top the most frequent); none: no limit.", "its rolling"),
    ] = None
    where: Annotated[
        dict[str, list[str | int | float | bool]],
        _says(
            "Column to values: only events with one of these values in every column, besides events. Feed columns (codes as mapped), or those under enrich. NULL never matches; values are compared as in content_filter.",
            "its event_values, history and rolling",
        ),
    ] = {}

    key: Annotated[
        str,
        _says(
            "Whose events a row sees: those with the row's own value of this column, of the feed or under enrich. user_id: what this user did before; artwork_id: what happened to this artwork, whoever did it. NULL: none.",
            "its event_values, history, row_keys and rolling",
        ),
    ] = "user_id"
    match: Annotated[
        str | None,
        _says(
            "Of the key's events only those with the row's own value of this column too, of the feed or under enrich: with author_id, what this user did with this author before. NULL: none.",
            "its event_values, history, row_keys and rolling",
        ),
    ] = None

    @property
    def kind(self) -> AggregationKind:
        return KINDS[self.agg]

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns in which the events that a row sees have the row's own values."""
        return (self.key,) if self.match is None else (self.key, self.match)

    @property
    def keyed(self) -> bool:
        """Whether rows see other events than all those of their user."""
        return self.keys != ("user_id",)

    @property
    def cumulative(self) -> bool:
        return self.windows == "cumulative"

    @property
    def days_back(self) -> int | None:
        """How many days before a target day its longest window reaches; None for all of them."""
        if isinstance(self.windows, str):
            return None
        return max((-(-parse_duration(window, "windows") // 86400) for window in self.windows), default=0)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns it makes, in the order of its windows."""
        if isinstance(self.windows, str):
            return (self.name,)
        return tuple(f"{self.name}_{window}" for window in self.windows)


class Aggregations(_Strict, frozen=True, kw_only=True):
    aggregations: Annotated[
        list[Aggregation],
        _says("What a row sees of earlier events. Adding one computes that one only.", "its own rolling"),
    ] = []
