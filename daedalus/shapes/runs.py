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

    id: Annotated[str, "Its id; a beginning of it does for `--against`."]
    started: Annotated[str, "When it began, in UTC."]
    state: Annotated[str, "`done`, `failed`, `refused`, or `unfinished`."]
    range: Annotated[str, "Its days, as `first..last`."]
    model: Annotated[str | None, "The name that `pipeline train` was given."]
    force: Annotated[bool, "Whether it was to compute all again."]
    days: Annotated[int, "Days that it finished."]
    failed: Annotated[int, "Days that failed."]
    blocked: Annotated[int, "Days that needed what failed."]
    failures: Annotated[list[Failure], "The first 20 failures; of a refused run the error."]
    unexpected: Annotated[int, "Days that were not as `expect` said then."]
    breaks: Annotated[list[Break], "The first 20 things of them that were not."]
    changed: Annotated[list[Replaced], "Partitions that are not as the run before left them."]
    computed: Annotated[dict[str, int], "By kind of step: how many ran."]
    seconds: Annotated[float, "What these took together."]
    causes: Annotated[list[Cause], "Why, found from some of the changed days."]


class Runs(TypedDict):
    """The last runs."""

    cache_root: Annotated[str, "The cache that knows them."]
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
    """What a configuration means. The same stands in the file of `--out`, there without `schema`."""

    digest: Annotated[str, "Equal for configurations that mean the same."]
    columns: Annotated[list[Column], "Columns of the last stage's partitions, in order."]
    skeleton_columns: NotRequired[Annotated[list[Column], "With columns of vectors: those of the skeleton."]]
    steps: Annotated[list[CompiledStep], "Steps, in order."]
    engines: Annotated[dict[str, str], "Versions of the libraries that bytes depend on."]
    range: Annotated[list[str], "The first and the last day of the configuration."]
    paths: Annotated[dict[str, str], "Where inputs, output and cache are, by key path."]
    resources: Annotated[dict[str, Any], "How much of the machine is used, by key path."]


class Differs(TypedDict):
    """A value that is not as it should be, with the row's key: `user_id`, `artwork_id`, `event_timestamp`, `event`."""

    day: Annotated[str, "The day."]
    user_id: Annotated[Any, "The row's user."]
    artwork_id: Annotated[Any, "The row's item."]
    event_timestamp: Annotated[Any, "The row's time, as text."]
    event: Annotated[Any, "The row's event."]
    column: Annotated[str, "The column; or that a row is missing or not expected."]
    expected: Annotated[Any, "What plain Python makes of the raw feed."]
    found: Annotated[Any, "What the partition has."]


class Leakage(TypedDict):
    """How much of a view is younger than the rows that it is joined to."""

    view: Annotated[str, "The view."]
    as_of: Annotated[str, "`latest` or `day`."]
    rows: Annotated[int, "Rows that were compared."]
    younger: Annotated[int, "Of these with a feature that is younger than the event."]
    median_days: Annotated[float | None, "How much younger, in the middle; null where none is."]


class AuditedVectors(TypedDict):
    """Vectors that were computed again."""

    days: Annotated[list[str], "Days whose enriched partition was compared."]
    not_enriched: Annotated[list[str], "Days without one."]
    vectors: Annotated[int, "Vectors that were compared."]
    ids: Annotated[int, "Ids that they are made of."]
    without_vector: Annotated[int, "Of these without a vector in the pool."]


class Audit(TypedDict):
    """Output rows, computed again from the raw feed."""

    days: Annotated[list[str], "Days that were sampled."]
    users: Annotated[int, "Users that were sampled."]
    seed: Annotated[int, "The seed of the sample."]
    run: Annotated[str, "The command that runs the configuration."]
    rows: Annotated[int, "Rows that were compared."]
    columns: Annotated[int, "Columns that were compared."]
    values: Annotated[int, "Values that were compared."]
    missing: Annotated[int, "Rows that should be there and are not."]
    extra: Annotated[int, "Rows that are there and should not be."]
    by_column: Annotated[dict[str, int], "By column: values that differ; empty where all is right."]
    differences: Annotated[list[Differs], "The first of them."]
    not_compared: Annotated[list[str], "Columns filled by `default_sql`, which plain Python cannot run."]
    leakage: Annotated[list[Leakage], "By view: features that are younger than the event."]
    enriched: Annotated[AuditedVectors | None, "Of the columns of vectors; null without any."]
