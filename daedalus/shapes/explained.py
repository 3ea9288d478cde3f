"""What `explain` and `diff` print."""

from typing import Annotated, Any, NotRequired, TypedDict

from daedalus.shapes.common import Cause, DayLeft, Expected, Problem, Refusal, RootCause


class StepOfDay(TypedDict):
    """A step as it is for a day."""

    step: Annotated[str, "The step; of another day than the one asked for, `step@day`."]
    state: Annotated[str, "`hit` (in the cache), `run`, or `maybe` (if a step above it gives other bytes than before)."]
    key: Annotated[str, "The digest of all that its result follows from."]
    rows_in: Annotated[int | None, "Rows that it read when it ran last."]
    rows_out: Annotated[int | None, "Rows that it gave."]
    seconds: Annotated[float | None, "What it took."]
    bytes: Annotated[int | None, "Bytes of its result."]
    why: Annotated[list[Cause], "Why it would run; empty for a hit."]


class FeedRows(TypedDict):
    """Rows of the files that may hold rows of a day."""

    read: Annotated[int, "Rows of the files."]
    null_keys: Annotated[int, "Of these without user, item, time or event."]
    duplicates: Annotated[int, "Of these equal to another in every column."]
    strays: Annotated[int, "Of these in a folder where `spine.lateness_days` does not allow them."]


class RowsLeft(TypedDict):
    """How many rows a step leaves."""

    step: Annotated[str, "The step."]
    rows: Annotated[int, "Rows of the day after it."]


class RowsOfDay(TypedDict):
    """Where a day's rows went."""

    feed_rows: NotRequired[Annotated[FeedRows | None, "Its feed rows; left out where the feed has none."]]
    funnel: Annotated[list[RowsLeft], "Rows left after each step that drops some, in the last run."]


class ExplainedDay(RowsOfDay):
    """A day: its steps, why they would run, and where its rows went."""

    day: Annotated[str, "The day."]
    last: Annotated[DayLeft | None, "What the last run did not finish of it; null if it did."]
    steps: Annotated[list[StepOfDay], "Its steps, in order, and those of other days that would run for it."]
    causes: Annotated[list[RootCause], "What was changed, each once; empty when the day is fresh."]
    run: NotRequired[Annotated[str, "The command that would run it; left out where the feed has no rows of the day."]]
    compile: NotRequired[Annotated[str, "The digest of `daeda compile`; left out when the day is fresh."]]
    refused: NotRequired[Annotated[Refusal | None, "Why the last run was refused; left out when the day is fresh."]]
    tables: NotRequired[Annotated[list[str], "The tables of Delta Lake and Iceberg that are read, with versions."]]
    expect: NotRequired[Annotated[Expected | None, "With `expect`, of a fresh day: what of it is not as expected."]]
    feed: NotRequired[Annotated[list[str] | None, "Only where the feed has no rows of the day: the days that it has."]]


class ExplainedStep(TypedDict):
    """What a step of a day runs."""

    day: Annotated[str, "The day."]
    step: Annotated[str, "The step."]
    state: Annotated[str, "`hit`, `run` or `maybe`."]
    not_made_yet: Annotated[list[str], "Steps that it reads and that a run would compute first."]
    script: Annotated[str, "SQL for DuckDB, or Python, with the files that it reads."]


class EventOfRow(TypedDict):
    """An event of the row's user, or of an aggregation's key."""

    event_timestamp: Annotated[str | None, "When, in UTC."]
    event: Annotated[str, "What."]
    artwork_id: Annotated[int | str | None, "Of which item."]
    value: Annotated[Any, "The value that is aggregated; null for an event that is left out before it is looked up."]
    file: Annotated[str, "The feed file that it is in."]
    user_id: NotRequired[Annotated[int | str | None, "Of an aggregation with a `key`: whose event it is."]]
    why: NotRequired[Annotated[str, "Why it is left out; not of one that counts."]]


class Listed(TypedDict):
    """What a column of an aggregation is made of."""

    counted: Annotated[list[EventOfRow], "The events that count, newest first."]
    left_out: Annotated[list[EventOfRow], "The others of the same kinds, and why."]


class Weighed(TypedDict):
    """An id of a mean."""

    id: Annotated[int | str, "The id."]
    times: Annotated[int, "How often it is in the list."]
    weight: Annotated[float, "Its share of the mean."]


class VectorOfRow(TypedDict):
    """A column of vectors: of an id (`of`), or the mean over a list (`mean_of`). `components` are the first four."""

    of: NotRequired[Annotated[str, "The column of the id."]]
    id: NotRequired[Annotated[int | str | None, "The id."]]
    has_vector: NotRequired[Annotated[bool, "Whether the pool has a vector of it."]]
    mean_of: NotRequired[Annotated[str, "The column of the list."]]
    max_items: NotRequired[Annotated[int | None, "How many of the list count; null for all."]]
    counted: NotRequired[Annotated[list[Weighed], "The ids that count."]]
    without_vector: NotRequired[Annotated[list[int | str], "Ids of which the pool has no vector."]]
    beyond: NotRequired[Annotated[list[int | str], "Ids beyond `max_items`."]]
    not_usable: NotRequired[Annotated[dict[str, int | str | None], "By id: lengths of vectors that do not fit."]]
    length: Annotated[int | str | None, "Components of the vector."]
    components: Annotated[list[Any] | None, "The first of them; null where they are not at hand."]


class RowOfDay(TypedDict):
    """A row, and what its columns are made of."""

    event_timestamp: Annotated[str, "When, in UTC."]
    event: Annotated[str, "What."]
    columns: Annotated[dict[str, Listed], "By column: the events of an aggregation."]
    vectors: Annotated[dict[str, VectorOfRow], "By column: the ids of its vector."]


class ExplainedRow(TypedDict):
    """The rows of a day that have a user and an item."""

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
    """A column that differs in rows that are in both partitions."""

    rows: Annotated[int, "In how many of these rows."]
    share: Annotated[float, "In what share of them."]
    examples: Annotated[list[Example], "The first few."]
    note: NotRequired[Annotated[str, "Of a column that is new, gone, or of another type."]]


class RowAlone(TypedDict):
    """A row that is in one of two partitions alone."""

    row: Annotated[list[str], "What tells it from others: user, artwork, time and event."]


class RowsAlone(TypedDict):
    """Some of the rows that are in one of two partitions alone."""

    added: Annotated[list[RowAlone], "The first that are new."]
    removed: Annotated[list[RowAlone], "The first that are gone."]


class StageChanged(TypedDict):
    """What a run changed in a partition."""

    run: Annotated[str, "The run whose partition is compared with that of now."]
    started: Annotated[str, "When it began, in UTC."]
    before: Annotated[int, "Rows before."]
    after: Annotated[int, "Rows after."]
    added: Annotated[int, "Rows that are new."]
    removed: Annotated[int, "Rows that are gone."]
    changed: Annotated[int, "Rows of both that differ in some column that both have."]
    examples: Annotated[RowsAlone, "Some of the rows that are new and gone."]
    exported: NotRequired[Annotated[int, "With --out: the rows in that file."]]
    columns: Annotated[dict[str, ColumnChanged], "By column: in which rows of both it differs; none where it does not."]


class NotCompared(TypedDict):
    """A stage whose partition cannot be compared."""

    problem: Annotated[Problem, "Why."]


class Diff(StageChanged):
    """What a run changed in a day's partitions: here that of the first stage which can be compared."""

    day: Annotated[str, "The day."]
    stages: NotRequired[Annotated[dict[str, StageChanged | NotCompared], "With columns of vectors: by stage."]]
