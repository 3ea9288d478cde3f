"""What runs and plans print."""

from typing import Annotated, NotRequired, TypedDict

from daedalus.shapes.common import Cause, DayLeft, Expected, Failure, RootCause


class Days(TypedDict):
    """Days by what became of them. Of a run of both stages each day counts once a stage."""

    total: Annotated[int, "Days of the range."]
    done: Annotated[int, "Their partition is there and fresh."]
    empty: Annotated[int, "They have no feed rows, or none that can be used."]
    failed: Annotated[int, "A step of theirs failed."]
    blocked: NotRequired[Annotated[int, "They need what failed on another day; left out where there are none."]]


class Steps(TypedDict):
    """Steps by what became of them."""

    hit: Annotated[int, "In the cache already; nothing ran."]
    computed: Annotated[int, "Ran and gave something new."]
    unchanged: Annotated[int, "Ran and gave the bytes that it gave before."]
    failed: Annotated[int, "Ran and failed."]
    blocked: Annotated[int, "Could not run, since something that it needs failed."]


class Partitions(TypedDict):
    """Partitions by what became of them."""

    written: Annotated[int, "Put there by this run."]
    kept: Annotated[int, "There before, and still right."]
    removed: NotRequired[Annotated[int, "Removed, for their days have no feed rows any more."]]


class Rows(TypedDict):
    """Rows of the feed that the range reads, each counted once, and of the output."""

    read: Annotated[int, "Rows of feed files."]
    null_keys: Annotated[int, "Of these without user, item, time or event: not used."]
    duplicates: Annotated[int, "Of these equal to another in every column: not used."]
    strays: Annotated[int, "Of these in a folder where `spine.lateness_days` does not allow them: not used."]
    written: Annotated[int, "Rows of the partitions."]


class Blocked(TypedDict):
    """A day that needs what failed on another."""

    day: Annotated[str, "The day."]
    by: Annotated[list["FailedStep"], "What failed."]
    through: Annotated[list[str], "The day's aggregations, or other steps, that need it."]


class FailedStep(TypedDict):
    """A step that failed, by its place."""

    day: Annotated[str, "Its day; empty for a step of no day."]
    step: Annotated[str, "The step."]


class Numbers(TypedDict):
    """What is counted of a run, or of one of its stages."""

    days: Annotated[Days, "Days by what became of them."]
    steps: Annotated[Steps, "Steps by what became of them."]
    partitions: Annotated[Partitions, "Partitions by what became of them."]
    rows: Annotated[Rows, "Rows read, left out and written."]
    funnel: Annotated[dict[str, int], "Rows of the days done that each step left, by step; empty where none is known."]
    failures: Annotated[list[Failure], "Every step that failed, also on days before the range."]
    blocked: Annotated[list[Blocked], "Every day that needs what failed on another."]


class Shared(TypedDict):
    """What a run had from the shared cache, and gave it."""

    uri: Annotated[str, "Its address."]
    hits: Annotated[int, "Steps that were found there."]
    fetched_bytes: Annotated[int, "Bytes fetched from it."]
    shared: Annotated[int, "Steps that were put there."]
    not_shared: Annotated[int, "Steps that could not be put there."]
    not_used: Annotated[dict[str, int], "What was found there and not believed, by why."]
    requests: Annotated[int, "Requests made."]
    sent: Annotated[int, "Bytes sent."]
    received: Annotated[int, "Bytes received."]


class Run(Numbers):
    """What a run did."""

    range: Annotated[list[str], "The first and the last day."]
    seconds: Annotated[float, "How long it took."]
    stages: NotRequired[Annotated[dict[str, Numbers], "With columns of vectors: each stage's own numbers."]]
    compile: NotRequired[Annotated[str, "The digest of `daeda compile`; left out where nothing had to be looked at."]]
    notes: NotRequired[Annotated[list[str], "Versions of tables, and what in the inputs is surely not as meant."]]
    shared: NotRequired[Annotated[Shared, "With `cache_remote`: the shared cache."]]
    expect: NotRequired[Annotated[Expected, "With `expect`, of a run: the days that it wrote or left as they were."]]


class Planned(TypedDict):
    """A step that would run."""

    day: Annotated[str | None, "Its day; null for a step of no day."]
    step: Annotated[str, "The step."]
    state: Annotated[str, "`run`, `maybe` (if a step above it gives other bytes than before), or `remove` a partition."]
    why: Annotated[list[Cause], "Why."]
    expected_seconds: Annotated[float | None, "What it is expected to take; null where nothing like it ever ran."]


class Plan(Run):
    """What a run would do; its other fields are as of a run in which nothing ran."""

    plan: Annotated[list[Planned], "The steps that would run, in order."]
    causes: Annotated[list[RootCause], "What was changed, each once."]
    last: Annotated[dict[str, DayLeft], "By day: what the last run did not finish."]
