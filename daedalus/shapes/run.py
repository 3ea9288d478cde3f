"""What runs and plans print."""

from typing import Annotated, NotRequired, TypedDict

from daedalus.shapes.common import Cause, DayLeft, Expected, Failure, RootCause


class Days(TypedDict):
    """Days by outcome. If a run has both stages, each day counts once per stage."""

    total: Annotated[int, "Days of the range."]
    done: Annotated[int, "Days whose partition is published and fresh."]
    empty: Annotated[int, "Days without feed rows, or without any that can be used."]
    failed: Annotated[int, "Days of which a step failed."]
    blocked: NotRequired[Annotated[int, "Days that need what failed on another day; left out if there are none."]]


class Steps(TypedDict):
    """Steps by outcome; a step counts once for each day."""

    hit: Annotated[int, "Steps that were in the cache and did not run."]
    computed: Annotated[int, "Steps that ran and gave a new result."]
    unchanged: Annotated[int, "Steps that ran and gave the same bytes as before."]
    failed: Annotated[int, "Steps that failed."]
    blocked: Annotated[int, "Steps that did not run because something that they need failed."]


class Partitions(TypedDict):
    """Partitions by outcome."""

    written: Annotated[int, "Partitions that this run wrote."]
    kept: Annotated[int, "Partitions that were there before and are still right."]
    removed: NotRequired[Annotated[int, "Partitions that were removed because their days no longer have feed rows."]]


class Rows(TypedDict):
    """Rows of the feed that the range reads, each counted once, and of the output."""

    read: Annotated[int, "Rows of feed files."]
    null_keys: Annotated[int, "Of these, rows without user, item, time or event; not used."]
    duplicates: Annotated[int, "Of these, rows that equal another in every column read; not used."]
    strays: Annotated[int, "Of these, rows in a folder where `spine.lateness_days` does not allow them; not used."]
    written: Annotated[int, "Rows of the partitions."]


class Blocked(TypedDict):
    """A day that needs what failed on another."""

    day: Annotated[str, "The day."]
    by: Annotated[list["FailedStep"], "What failed."]
    through: Annotated[list[str], "The day's aggregations, or other steps, that need it."]


class FailedStep(TypedDict):
    """A step that failed, by day and name."""

    day: Annotated[str, "Its day; empty for a step that is not for one day, such as a view."]
    step: Annotated[str, "The step."]


class Numbers(TypedDict):
    """The numbers of a run, or of one of its stages."""

    days: Annotated[Days, "Days by outcome."]
    steps: Annotated[Steps, "Steps by outcome."]
    partitions: Annotated[Partitions, "Partitions by outcome."]
    rows: Annotated[Rows, "Rows read, left out and written."]
    funnel: Annotated[dict[str, int], "By step: rows left after it, over the days done; empty if not known."]
    failures: Annotated[list[Failure], "Every step that failed, including those of days before the range."]
    blocked: Annotated[list[Blocked], "Every day that needs what failed on another day."]


class Shared(TypedDict):
    """What a run took from the shared cache, and added to it."""

    uri: Annotated[str, "Its address."]
    hits: Annotated[int, "Steps whose results were found there."]
    fetched_bytes: Annotated[int, "Bytes fetched from it."]
    shared: Annotated[int, "Steps whose results were added."]
    not_shared: Annotated[int, "Steps whose results could not be added yet."]
    not_used: Annotated[dict[str, int], "By reason: how many results were found there but not trusted."]
    requests: Annotated[int, "Requests made."]
    sent: Annotated[int, "Bytes sent."]
    received: Annotated[int, "Bytes received."]


class Run(Numbers):
    """What a run did."""

    range: Annotated[list[str], "The first and the last day."]
    seconds: Annotated[float, "How long it took."]
    stages: NotRequired[Annotated[dict[str, Numbers], "With `embeddings`: each stage's own numbers."]]
    compile: NotRequired[Annotated[str, "The digest of `daeda compile`; left out if every day was fresh."]]
    notes: NotRequired[Annotated[list[str], "Versions of tables, and warnings about the inputs."]]
    shared: NotRequired[Annotated[Shared, "With `cache_remote`: the shared cache."]]
    expect: NotRequired[Annotated[Expected, "With `expect`, of a run: the days that it wrote or left as they were."]]


class Planned(TypedDict):
    """A step that would run."""

    day: Annotated[str | None, "Its day; null for a step that is not for one day, such as a view."]
    step: Annotated[str, "The step."]
    state: Annotated[
        str, "`run`, `maybe` (runs only if a step that it reads gives new bytes), or `remove` (a partition)."
    ]
    why: Annotated[list[Cause], "Why it would run."]
    expected_seconds: Annotated[float | None, "How long it is expected to take; null if nothing like it has run yet."]


class Plan(Run):
    """What a run would do. The fields that it shares with a run are those of a run in which nothing ran."""

    plan: Annotated[list[Planned], "The steps that would run, in order."]
    causes: Annotated[list[RootCause], "Each change, once."]
    last: Annotated[dict[str, DayLeft], "By day: why the last run did not finish it."]
