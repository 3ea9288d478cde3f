"""What `cache`, `config` and `init` print."""

from typing import Annotated, Any, NotRequired, TypedDict

from daedalus.shapes.common import DayLeft, Expected, Refusal


class DayState(TypedDict):
    """A day of the range."""

    day: Annotated[str, "The day."]
    state: Annotated[str, "`fresh`, `stale`, `missing` or `empty`."]
    steps: Annotated[dict[str, str], "By step: `hit`, `run` or `maybe`."]
    last: Annotated[DayLeft | None, "What the last run did not finish of it; null if it did."]


class StepState(TypedDict):
    """A kind of step, over all days."""

    bytes: Annotated[int, "Bytes of its results."]
    hit: Annotated[int, "How many are in the cache."]
    run: Annotated[int, "How many would run."]
    maybe: Annotated[int, "How many may run."]
    why: Annotated[str, "The commonest kind of cause; empty where none would run."]


class SharedState(TypedDict):
    """The shared cache."""

    uri: Annotated[str, "Its address."]
    reachable: Annotated[bool, "Whether it answers."]


class Status(TypedDict):
    """Which days are fresh, and what the cache holds."""

    cache_root: Annotated[str, "The cache."]
    run: Annotated[str, "The command that runs the configuration."]
    refused: Annotated[Refusal | None, "Why the last run was refused; null if it was not."]
    artifacts: Annotated[int, "Artifacts in the cache."]
    bytes: Annotated[int, "Their bytes."]
    days: Annotated[list[DayState], "The days of the range."]
    reclaimable_bytes: Annotated[int, "Bytes that `cache gc` would free."]
    steps: Annotated[dict[str, StepState], "By kind of step."]
    tables: NotRequired[Annotated[list[str], "The tables of Delta Lake and Iceberg that are read, with versions."]]
    shared: NotRequired[Annotated[SharedState, "With `cache_remote`: the shared cache."]]
    expect: NotRequired[Annotated[Expected | None, "With `expect`: the fresh days of which the numbers are known."]]


class NotTheSame(TypedDict):
    """A column that a step gave otherwise when it ran again."""

    step: Annotated[str, "The step."]
    column: Annotated[str, "The column."]
    how: Annotated[str, "How it differs."]


class Verified(TypedDict):
    """What `cache verify` found."""

    run: Annotated[str, "The command that makes what was damaged again."]
    checked: Annotated[int, "Artifacts that were read."]
    corrupt: Annotated[list[str], "Files that were damaged, and set aside."]
    repaired: Annotated[int, "How many were set aside; the next run makes them again."]
    recomputed: NotRequired[Annotated[int, "With `--recompute`: steps that ran again."]]
    differing: NotRequired[Annotated[list[NotTheSame], "With `--recompute`: what was not the same."]]


class Collected(TypedDict):
    """What `cache gc` removed, or with `--dry-run` would remove."""

    freed_bytes: Annotated[int, "Bytes freed."]
    kept: Annotated[int, "Artifacts kept."]
    removed: Annotated[int, "Artifacts removed."]
    dry_run: Annotated[bool, "Whether nothing was removed."]
    left_bytes: Annotated[int, "Bytes left."]
    max_bytes: Annotated[int | None, "What `--max-bytes` said; null without it."]


class SharedCollected(TypedDict):
    """The same of a shared cache."""

    uri: Annotated[str, "Its address."]
    freed_bytes: Annotated[int, "Bytes freed."]
    kept: Annotated[int, "Artifacts kept."]
    removed: Annotated[int, "Artifacts removed."]
    traces_kept: Annotated[int, "Records of steps kept."]
    traces_removed: Annotated[int, "Records of steps removed."]
    dry_run: Annotated[bool, "Whether nothing was removed."]


class CheckedDays(TypedDict):
    """Days of the range."""

    total: Annotated[int, "All."]
    with_rows: Annotated[int, "Those with feed rows."]
    empty: Annotated[int, "Those without."]


class CheckedFeed(TypedDict):
    """The feed."""

    partitions: Annotated[int, "Days that it has."]
    first: Annotated[str, "The first."]
    last: Annotated[str, "The last."]


class BadFile(TypedDict):
    """A feed file that cannot be used."""

    day: Annotated[str, "The day of its folder."]
    error: Annotated[str, "Why, in one line."]


class ConfigValue(TypedDict):
    """A value of the configuration."""

    file: Annotated[str, "The file that it belongs to."]
    key: Annotated[str, "Its key path."]
    value: Annotated[Any, "The value, without what is secret."]
    origin: Annotated[str, "The file that says so, or `default`."]


class Checked(TypedDict):
    """What `config check` found."""

    config: Annotated[str, "The folder of the configuration."]
    days: Annotated[CheckedDays, "Days of the range."]
    feed: Annotated[CheckedFeed, "The feed."]
    views: Annotated[dict[str, int], "By view: its files."]
    bad_files: Annotated[list[BadFile], "Feed files that cannot be used."]
    failing_days: Annotated[list[str], "Days that would fail for them; with any the exit code is 1."]
    notes: Annotated[list[str], "What is surely not as meant."]
    steps: Annotated[int, "Steps of all days."]
    digest: Annotated[str, "The digest of `daeda compile`."]
    values: Annotated[list[ConfigValue], "Every value, and where it comes from."]


class Edit(TypedDict):
    """A key whose value the files do not decide."""

    file: Annotated[str, "The file that it is in."]
    key: Annotated[str, "Its key path."]
    why: Annotated[str, "What is not decided."]
    put: Annotated[str, "What to put there."]


class Guess(TypedDict):
    """A value that was found by looking."""

    file: Annotated[str, "The file that it is in."]
    key: Annotated[str, "Its key path."]
    value: Annotated[str, "The value."]
    by: Annotated[str, "What it was found by."]
    sure: Annotated[str, "`sure`, `likely` or `a guess`."]


class Proposed(TypedDict):
    """The configuration that `init` wrote."""

    config: Annotated[str, "Its folder."]
    files: Annotated[list[str], "Its files."]
    days: Annotated[list[str], "The first and the last day of the feed."]
    events: Annotated[dict[str, float], "By event: its share of the rows that were looked at."]
    views: Annotated[list[str], "Views that were found."]
    left_out: Annotated[list[str], "What was not taken, and why."]
    aggregations: Annotated[list[str], "Aggregations that are proposed."]
    edits: Annotated[list[Edit], "Keys that are worth a look."]
    guesses: Annotated[list[Guess], "What was found by looking."]
    output_root: Annotated[str, "Where the output will go."]
    cache_root: Annotated[str, "Where the cache will be."]
    problem: Annotated[None, "Always null: what a run would refuse is refused here."]
