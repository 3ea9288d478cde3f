"""What `explain` and `diff` print."""

from typing import Annotated, Any, NotRequired, TypedDict

from daedalus.shapes.common import Cause, DayLeft, Expected, Problem, Refusal, RootCause


class StepOfDay(TypedDict):
    """A step of a day."""

    step: Annotated[str, "The step; `step@day` if it is of another day than the one asked for."]
    state: Annotated[
        str, "`hit` (in the cache), `run`, or `maybe` (runs only if a step that it reads gives new bytes)."
    ]
    key: Annotated[str, "Digest of everything that its result depends on."]
    rows_in: Annotated[int | None, "Rows that it read when it last ran."]
    rows_out: Annotated[int | None, "Rows that it wrote."]
    seconds: Annotated[float | None, "How long it took."]
    bytes: Annotated[int | None, "Size of its result."]
    why: Annotated[list[Cause], "Why it would run; empty for a hit."]


class FeedRows(TypedDict):
    """Rows of the feed files that may hold rows of a day."""

    read: Annotated[int, "Rows in these files."]
    null_keys: Annotated[int, "Of these, rows without user, item, time or event."]
    duplicates: Annotated[int, "Of these, rows that equal another in every column read."]
    strays: Annotated[int, "Of these, rows in a folder where `spine.lateness_days` does not allow them."]


class RowsLeft(TypedDict):
    """How many rows a step leaves."""

    step: Annotated[str, "The step."]
    rows: Annotated[int, "Rows of the day that are left after it."]


class RowsOfDay(TypedDict):
    """Where a day's rows went."""

    feed_rows: NotRequired[Annotated[FeedRows | None, "Its feed rows; left out if the feed has none."]]
    funnel: Annotated[list[RowsLeft], "Rows left after each step that drops some, in the last run."]


class ExplainedDay(RowsOfDay):
    """A day: its steps, why they would run, and where its rows went."""

    day: Annotated[str, "The day."]
    last: Annotated[DayLeft | None, "Why the last run did not finish it; null if it did."]
    steps: Annotated[list[StepOfDay], "Its steps, in order, and steps of other days that would run for it."]
    causes: Annotated[list[RootCause], "Each change, once; empty if the day is fresh."]
    run: NotRequired[Annotated[str, "The command that would run it; left out if the feed has no rows of the day."]]
    compile: NotRequired[Annotated[str, "The digest of `daeda compile`; left out if the day is fresh."]]
    refused: NotRequired[Annotated[Refusal | None, "Why the last run was refused; left out if the day is fresh."]]
    tables: NotRequired[Annotated[list[str], "The Delta Lake and Iceberg tables that are read, with their versions."]]
    expect: NotRequired[Annotated[Expected | None, "With `expect`, for a fresh day: what of it is not as expected."]]
    feed: NotRequired[Annotated[list[str] | None, "Only if the feed has no rows of the day: the days that it has."]]


class ExplainedStep(TypedDict):
    """What a step of a day runs."""

    day: Annotated[str, "The day."]
    step: Annotated[str, "The step."]
    state: Annotated[str, "`hit`, `run` or `maybe`."]
    not_made_yet: Annotated[
        list[str], "Steps that it reads but that are not computed yet: a run would compute them first."
    ]
    script: Annotated[str, "SQL for DuckDB, or Python, with the files that it reads."]


class EventOfRow(TypedDict):
    """An event of the row's user, or of the aggregation's `key`."""

    event_timestamp: Annotated[str | None, "The time, in UTC."]
    event: Annotated[str, "The kind of event."]
    artwork_id: Annotated[int | str | None, "The item."]
    value: Annotated[
        Any, "The value that is aggregated; null for an event that was left out before its value was read."
    ]
    file: Annotated[str, "The feed file that holds it."]
    user_id: NotRequired[Annotated[int | str | None, "With a `key`: the user of the event."]]
    why: NotRequired[Annotated[str, "Why it does not count; only for events left out."]]


class Listed(TypedDict):
    """The events that a column of an aggregation is made of."""

    counted: Annotated[list[EventOfRow], "The events that count, newest first."]
    left_out: Annotated[list[EventOfRow], "The other events of the same kinds, and why they do not count."]


class Weighed(TypedDict):
    """An id whose vector is part of a mean."""

    id: Annotated[int | str, "The id."]
    times: Annotated[int, "How often the list has it."]
    weight: Annotated[float, "Its weight in the mean, between 0 and 1."]


class VectorOfRow(TypedDict):
    """A column of vectors: the vector of one id (`of`), or the mean over a list of ids (`mean_of`)."""

    of: NotRequired[Annotated[str, "The column with the id."]]
    id: NotRequired[Annotated[int | str | None, "The id."]]
    has_vector: NotRequired[Annotated[bool, "Whether the pool has a vector for it."]]
    mean_of: NotRequired[Annotated[str, "The column with the list."]]
    max_items: NotRequired[Annotated[int | None, "How many ids of the list count; null for all."]]
    counted: NotRequired[Annotated[list[Weighed], "The ids that count."]]
    without_vector: NotRequired[Annotated[list[int | str], "Ids without a vector in the pool."]]
    beyond: NotRequired[Annotated[list[int | str], "Ids beyond `max_items`."]]
    not_usable: NotRequired[
        Annotated[dict[str, int | str | None], "By id: the length of a vector that cannot be used."]
    ]
    length: Annotated[int | str | None, "How many components the vector has."]
    components: Annotated[
        list[Any] | None, "The first four components; null if the row's session is not in the output, or its day fails."
    ]


class RowOfDay(TypedDict):
    """A row, and what its columns are made of."""

    event_timestamp: Annotated[str, "The time, in UTC."]
    event: Annotated[str, "The kind of event."]
    columns: Annotated[dict[str, Listed], "By column of an aggregation: its events."]
    vectors: Annotated[dict[str, VectorOfRow], "By column of vectors: its ids."]


class ExplainedRow(TypedDict):
    """The rows of a day with the given user and item."""

    day: Annotated[str, "The day."]
    user_id: Annotated[int | str, "The user."]
    artwork_id: Annotated[int | str, "The item."]
    rows: Annotated[list[RowOfDay], "The rows, in order of time."]


class Example(TypedDict):
    """A row in which a column differs."""

    row: Annotated[list[str], "Its user, item, time and event."]
    old: Annotated[Any, "The value before."]
    new: Annotated[Any, "The value after."]


class ColumnChanged(TypedDict):
    """A column whose values differ in rows that both partitions have."""

    rows: Annotated[int, "In how many of these rows it differs."]
    share: Annotated[float, "In what share of them, from 0 to 1."]
    examples: Annotated[list[Example], "The first few of them."]
    note: NotRequired[Annotated[str, "For a column that is new, gone, or of another type: which of these."]]


class RowAlone(TypedDict):
    """A row that only one of the two partitions has."""

    row: Annotated[list[str], "Its user, item, time and event."]


class RowsAlone(TypedDict):
    """Some of the rows that only one of the two partitions has."""

    added: Annotated[list[RowAlone], "The first of the rows that are new."]
    removed: Annotated[list[RowAlone], "The first of the rows that are gone."]


class StageChanged(TypedDict):
    """What a run changed in a partition."""

    run: Annotated[str, "The run whose partition is compared with the current one."]
    started: Annotated[str, "When it began, in UTC."]
    before: Annotated[int, "Rows of the partition before."]
    after: Annotated[int, "Rows of the partition now."]
    added: Annotated[int, "Rows that are new."]
    removed: Annotated[int, "Rows that are gone."]
    changed: Annotated[int, "Rows in both partitions that differ in some column that both have."]
    examples: Annotated[RowsAlone, "Some of the rows that are new or gone."]
    exported: NotRequired[Annotated[int, "With --out: rows in that file."]]
    columns: Annotated[dict[str, ColumnChanged], "By column: where it differs; columns that do not differ are absent."]


class NotCompared(TypedDict):
    """A stage whose partition cannot be compared."""

    problem: Annotated[Problem, "Why not."]


class Diff(StageChanged):
    """What a run changed in a day's partitions. The top-level fields are of the first stage that can be compared."""

    day: Annotated[str, "The day."]
    stages: NotRequired[Annotated[dict[str, StageChanged | NotCompared], "With `embeddings`: the same for each stage."]]
