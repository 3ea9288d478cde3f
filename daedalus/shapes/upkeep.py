"""What `cache`, `config` and `init` print."""

from typing import Annotated, Any, NotRequired, TypedDict

from daedalus.shapes.common import DayLeft, Expected, Refusal


class DayState(TypedDict):
    """A day of the range."""

    day: Annotated[str, "The day."]
    state: Annotated[str, "`fresh`, `stale`, `missing` or `empty`."]
    steps: Annotated[dict[str, str], "By step: `hit`, `run` or `maybe`."]
    last: Annotated[DayLeft | None, "Why the last run did not finish it; null if it did."]


class StepState(TypedDict):
    """A kind of step, over all days."""

    bytes: Annotated[int, "Size of its results."]
    hit: Annotated[int, "How many are in the cache."]
    run: Annotated[int, "How many would run."]
    maybe: Annotated[int, "How many run only if a step that they read gives new bytes."]
    why: Annotated[str, "The most common kind of cause; empty if none would run."]


class SharedState(TypedDict):
    """The shared cache."""

    uri: Annotated[str, "Its address."]
    reachable: Annotated[bool, "Whether it answers."]


class Status(TypedDict):
    """Which days are fresh, and what the cache holds."""

    cache_root: Annotated[str, "The folder of the cache."]
    run: Annotated[str, "The command that runs the configuration."]
    refused: Annotated[Refusal | None, "Why the last run was refused; null if it was not."]
    artifacts: Annotated[int, "Artifacts (results of steps) in the cache."]
    bytes: Annotated[int, "Their size."]
    days: Annotated[list[DayState], "The days of the range."]
    reclaimable_bytes: Annotated[int, "Bytes that `cache gc` would free."]
    steps: Annotated[dict[str, StepState], "By kind of step."]
    tables: NotRequired[Annotated[list[str], "The Delta Lake and Iceberg tables that are read, with their versions."]]
    shared: NotRequired[Annotated[SharedState, "With `cache_remote`: the shared cache."]]
    expect: NotRequired[Annotated[Expected | None, "With `expect`: the fresh days of which the numbers are known."]]


class NotTheSame(TypedDict):
    """A column that came out differently when a step was rerun."""

    step: Annotated[str, "The step."]
    column: Annotated[str, "The column."]
    how: Annotated[str, "How it differs."]


class VerifiedSnapshots(TypedDict):
    """The snapshots. If one is damaged, the exit code is 1: no run makes it good."""

    checked: Annotated[int, "How many there are."]
    damaged: Annotated[dict[str, list[str]], "By name: files that are gone, or have other bytes than they had."]


class Verified(TypedDict):
    """What `cache verify` found."""

    run: Annotated[str, "The command that recomputes what was damaged."]
    checked: Annotated[int, "Artifacts that were read."]
    corrupt: Annotated[list[str], "Damaged files, which were set aside."]
    repaired: Annotated[int, "How many were set aside; the next run recomputes them."]
    snapshots: NotRequired[Annotated[VerifiedSnapshots, "Where there are some: the snapshots."]]
    recomputed: NotRequired[Annotated[int, "With `--recompute`: steps that were rerun."]]
    differing: NotRequired[Annotated[list[NotTheSame], "With `--recompute`: columns that came out differently."]]


class Collected(TypedDict):
    """What `cache gc` removed, or with `--dry-run` would remove."""

    freed_bytes: Annotated[int, "Bytes freed."]
    kept: Annotated[int, "Artifacts kept."]
    removed: Annotated[int, "Artifacts removed."]
    dry_run: Annotated[bool, "Whether nothing was removed."]
    left_bytes: Annotated[int, "Bytes left in the cache."]
    max_bytes: Annotated[int | None, "The value of `--max-bytes`; null without it."]


class SharedCollected(TypedDict):
    """The same for a shared cache."""

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
    with_rows: Annotated[int, "Days with feed rows."]
    empty: Annotated[int, "Days without."]


class CheckedFeed(TypedDict):
    """The feed."""

    partitions: Annotated[int, "How many days it has."]
    first: Annotated[str, "The first day."]
    last: Annotated[str, "The last day."]


class BadFile(TypedDict):
    """A feed file that cannot be used."""

    day: Annotated[str, "The day of its folder."]
    error: Annotated[str, "Why, in one line."]


class ConfigValue(TypedDict):
    """A value of the configuration."""

    file: Annotated[str, "The config file that it belongs to."]
    key: Annotated[str, "Its key path."]
    value: Annotated[Any, "The value; secrets are not shown."]
    origin: Annotated[str, "The file that sets it, or `default`."]


class CheckedPart(TypedDict):
    """A part of `splits`."""

    name: Annotated[str, "Its name."]
    share: Annotated[float | None, "The share of the users or sessions that it asks for; null by day."]
    days: Annotated[str | None, "Its days; null for all."]


class CheckedSplits(TypedDict):
    """The `splits` of the configuration."""

    by: Annotated[str, "What is split: `day`, `user` or `session`."]
    parts: Annotated[list[CheckedPart], "Its parts."]
    rest: Annotated[float | None, "The share that no part asks for; null by day."]


class Checked(TypedDict):
    """What `config check` found."""

    config: Annotated[str, "The folder of the configuration."]
    days: Annotated[CheckedDays, "Days of the range."]
    feed: Annotated[CheckedFeed, "The feed."]
    views: Annotated[dict[str, int], "By view: its files."]
    bad_files: Annotated[list[BadFile], "Feed files that cannot be used."]
    failing_days: Annotated[list[str], "Days that would fail because of them; if there are any, the exit code is 1."]
    notes: Annotated[list[str], "Warnings: what is probably not as you meant it."]
    splits: Annotated[CheckedSplits | None, "The parts for training; null if there are none."]
    steps: Annotated[int, "Steps of all days."]
    digest: Annotated[str, "The digest of `daeda compile`."]
    values: Annotated[list[ConfigValue], "Every value, and where it comes from."]


class Edit(TypedDict):
    """A key that you should check: the files do not decide its value."""

    file: Annotated[str, "The config file that it is in."]
    key: Annotated[str, "Its key path."]
    why: Annotated[str, "What the files leave open."]
    put: Annotated[str, "What to put there."]


class Guess(TypedDict):
    """A value that `init` worked out from the files."""

    file: Annotated[str, "The config file that it is in."]
    key: Annotated[str, "Its key path."]
    value: Annotated[str, "The value."]
    by: Annotated[str, "What it was recognized by."]
    sure: Annotated[str, "`sure`, `likely` or `a guess`."]


class Proposed(TypedDict):
    """The configuration that `init` wrote."""

    config: Annotated[str, "Its folder."]
    files: Annotated[list[str], "Its files."]
    days: Annotated[list[str], "The first and the last day of the feed."]
    events: Annotated[dict[str, float], "By event: its share of the rows that `init` read."]
    views: Annotated[list[str], "Views that were found."]
    left_out: Annotated[list[str], "What was left out, and why."]
    aggregations: Annotated[list[str], "Aggregations that are proposed."]
    edits: Annotated[list[Edit], "Keys that you should check."]
    guesses: Annotated[list[Guess], "Values that `init` worked out from the files."]
    output_root: Annotated[str, "Where the output will go."]
    cache_root: Annotated[str, "Where the cache will be."]
    problem: Annotated[None, "Always null: what a run would refuse, `init` refuses."]
