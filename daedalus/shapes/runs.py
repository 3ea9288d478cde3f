"""What `runs`, `compile`, `audit` and `report` print."""

from typing import Annotated, Any, NotRequired, TypedDict

from daedalus.shapes.common import Break, Cause, Failure


class Replaced(TypedDict):
    """A partition that a run changed."""

    day: Annotated[str, "The day."]
    stage: Annotated[str, "`skeleton` or `enrich`."]
    before: Annotated[int | None, "Rows before; null where there was none."]
    after: Annotated[int, "Rows after."]


class PastRun(TypedDict):
    """A run of the past."""

    id: Annotated[str, "Its id; for `--against`, its first characters are enough."]
    started: Annotated[str, "When it began, in UTC."]
    state: Annotated[str, "`done`, `failed`, `refused`, or `unfinished`."]
    range: Annotated[str, "Its days, as `first..last`."]
    model: Annotated[str | None, "The name that `pipeline train` was given."]
    force: Annotated[bool, "Whether it was run with `--force`."]
    days: Annotated[int, "Days that it finished."]
    failed: Annotated[int, "Days that failed."]
    blocked: Annotated[int, "Days that needed what failed."]
    failures: Annotated[list[Failure], "The first 20 failures; for a refused run, the error."]
    unexpected: Annotated[int, "Days that were not as `expect` said then."]
    breaks: Annotated[list[Break], "The first 20 things that were not as expected."]
    changed: Annotated[list[Replaced], "Partitions that differ from what the run before left."]
    computed: Annotated[dict[str, int], "By kind of step: how many ran."]
    seconds: Annotated[float, "How long these steps took in total."]
    causes: Annotated[list[Cause], "Why they ran; worked out from a sample of the changed days."]


class Runs(TypedDict):
    """The last runs."""

    cache_root: Annotated[str, "The cache that recorded them."]
    run: Annotated[str, "The command that runs the configuration."]
    runs: Annotated[list[PastRun], "Newest first."]


class Column(TypedDict):
    """A column of a partition."""

    name: Annotated[str, "Its name."]
    type: Annotated[str, "DuckDB's name of its type."]
    nullable: Annotated[bool, "Whether it can be NULL."]
    source: Annotated[str, "What makes it."]
    meaning: Annotated[str, "What it means, in a sentence."]


class CompiledStep(TypedDict):
    """A step, and all that it reads."""

    step: Annotated[str, "The step."]
    config: Annotated[dict[str, Any], "Values of the configuration, by key path."]
    inputs: Annotated[list[str], "Inputs."]
    upstream: Annotated[list[str], "Steps whose results it reads."]


class Compiled(TypedDict):
    """What a configuration means. `--out` writes the same object, without `schema`."""

    digest: Annotated[str, "The same for configurations that mean the same."]
    columns: Annotated[list[Column], "Columns of the last stage's partitions, in order."]
    skeleton_columns: NotRequired[Annotated[list[Column], "With `embeddings`: columns of the skeleton's partitions."]]
    steps: Annotated[list[CompiledStep], "Steps, in order."]
    engines: Annotated[dict[str, str], "Versions of the libraries that the output's bytes depend on."]
    range: Annotated[list[str], "The first and the last day of the configuration."]
    paths: Annotated[dict[str, str], "Where inputs, output and cache are, by key path."]
    resources: Annotated[dict[str, Any], "How much of the machine is used, by key path."]


class Differs(TypedDict):
    """A wrong value, with its row: `user_id`, `artwork_id`, `event_timestamp` and `event`."""

    day: Annotated[str, "The day."]
    user_id: Annotated[Any, "The row's user."]
    artwork_id: Annotated[Any, "The row's item."]
    event_timestamp: Annotated[Any, "The row's time, as text."]
    event: Annotated[Any, "The row's event."]
    column: Annotated[str, "The column; or a note that the row is missing or not expected."]
    expected: Annotated[Any, "The value that plain Python computes from the raw feed."]
    found: Annotated[Any, "What the partition has."]


class Leakage(TypedDict):
    """How often a view's features are newer than the event they are joined to."""

    view: Annotated[str, "The view."]
    as_of: Annotated[str, "`latest` or `day`."]
    rows: Annotated[int, "Rows that were compared."]
    younger: Annotated[int, "Of these, rows whose features are newer than the event."]
    median_days: Annotated[float | None, "By how many days, in the median; null if there are none."]


class AuditedVectors(TypedDict):
    """Vectors that were recomputed and compared."""

    days: Annotated[list[str], "Days whose enriched partition was compared."]
    not_enriched: Annotated[list[str], "Days without an enriched partition."]
    vectors: Annotated[int, "Vectors that were compared."]
    ids: Annotated[int, "Ids that they are made of."]
    without_vector: Annotated[int, "Of these, ids without a vector in the pool."]


class SplitExample(TypedDict):
    """An id that is in two parts."""

    id: Annotated[Any, "The user or the session."]
    parts: Annotated[list[str], "The two parts."]


class SplitIds(TypedDict):
    """Users or sessions, and how many are in two parts."""

    kind: Annotated[str, "`user` or `session`."]
    ids: Annotated[int, "How many were looked at."]
    share: Annotated[float, "Which share of all that is: 1, but for a great many."]
    in_two_parts: Annotated[int, "Of these, how many are in two parts. Of what is split, any is an error."]
    examples: Annotated[list[SplitExample], "Some of them."]


class AuditedSplits(TypedDict):
    """The parts of `splits`, over all rows of the range."""

    by: Annotated[str, "What is split: `day`, `user` or `session`."]
    rows: Annotated[dict[str, int], "By part: its rows."]
    left_out: Annotated[int, "Rows that are in no part."]
    sampled: Annotated[int, "Rows whose part was worked out a second time, in plain Python."]
    wrong: Annotated[int, "Of these, rows that are in another part."]
    ids: Annotated[list[SplitIds], "Users and sessions, as far as the output has them."]


class Audit(TypedDict):
    """Output rows, compared with the same rows recomputed from the raw feed."""

    days: Annotated[list[str], "Days that were sampled."]
    users: Annotated[int, "Users that were sampled."]
    seed: Annotated[int, "The seed of the sample."]
    run: Annotated[str, "The command that runs the configuration."]
    rows: Annotated[int, "Rows that were compared."]
    columns: Annotated[int, "Columns that were compared."]
    values: Annotated[int, "Values that were compared."]
    missing: Annotated[int, "Rows that should be there and are not."]
    extra: Annotated[int, "Rows that are there and should not be."]
    by_column: Annotated[dict[str, int], "By column: how many values differ; empty if all are right."]
    differences: Annotated[list[Differs], "The first of the differences."]
    not_compared: Annotated[list[str], "Columns filled by `default_sql`, which plain Python cannot run."]
    leakage: Annotated[list[Leakage], "By view: rows whose features are newer than the event."]
    enriched: Annotated[AuditedVectors | None, "The columns of vectors; null if there are none."]
    splits: Annotated[AuditedSplits | None, "The parts of `splits`; null if there are none."]
