"""What `report` prints: the numbers of its page. Lists "by day" have one entry for each day of `days`."""

from typing import Annotated, Any, NotRequired, TypedDict

from daedalus.shapes.common import Cause, DayLeft, Expected, RootCause
from daedalus.shapes.runs import PastRun


class TotalDays(TypedDict):
    """Days of the range by their state."""

    total: Annotated[int, "All days."]
    done: Annotated[int, "Days with a partition in every stage."]
    fresh: Annotated[int, "Days for which nothing would run."]
    stale: Annotated[int, "Days for which something would run."]
    missing: Annotated[int, "Days that were never computed."]
    empty: Annotated[int, "Days without feed rows."]
    failed: Annotated[int, "Days that failed in the last run."]
    blocked: Annotated[int, "Days that needed what failed on another day."]
    unfinished: Annotated[int, "Days that the last run did not get to."]


class TotalsOfStage(TypedDict):
    """Partitions of a stage."""

    done: Annotated[int, "Days with a partition."]
    bytes: Annotated[int, "Bytes of the partitions."]


class Totals(TypedDict):
    """Sums over the range."""

    days: Annotated[TotalDays, "Days by state."]
    stages: Annotated[dict[str, TotalsOfStage], "By stage: its partitions."]
    rows: Annotated[int, "Rows of the partitions."]
    output_bytes: Annotated[int, "Bytes of the partitions."]
    cache_bytes: Annotated[int, "Bytes of the cache."]
    artifacts: Annotated[int, "Artifacts in the cache."]
    seconds: Annotated[float, "How long all steps took when they ran."]
    step_days: Annotated[dict[str, int], "Steps of days by state."]


class StepByDay(TypedDict):
    """A step on each day; null for a day that has no such step."""

    step: Annotated[str, "The step."]
    states: Annotated[list[str | None], "`fresh`, `run`, `maybe`, `missing` or `failed`."]
    seconds: Annotated[list[float | None], "What it took."]
    rows: Annotated[list[int | None], "Rows that it gave."]
    bytes: Annotated[list[int | None], "Bytes of its result."]
    why: Annotated[list[int | None], "The place in `whys` of why it would run."]


class StepOfNoDay(TypedDict):
    """A step that is not for one day, such as a view."""

    step: Annotated[str, "The step."]
    state: Annotated[str, "`fresh`, `run`, `maybe`, `missing` or `failed`."]
    seconds: Annotated[float | None, "What it took."]
    rows: Annotated[int | None, "Rows that it gave."]
    bytes: Annotated[int | None, "Bytes of its result."]
    why: Annotated[int | None, "The place in `whys` of why it would run."]


class TouchedBy(RootCause):
    """A root cause, with the first 20 of the steps that it affects."""

    touched: Annotated[int, "How many steps it affects in all."]


class FunnelByDay(TypedDict):
    """Rows that a step left."""

    step: Annotated[str, "The step."]
    rows: Annotated[list[int | None], "By day."]
    total: Annotated[int, "Over all days."]


class Departs(TypedDict):
    """The day and measure on which a column is farthest from its usual value."""

    measure: Annotated[str, "The measure."]
    day: Annotated[str, "The day."]
    value: Annotated[float, "Its value there."]
    usual: Annotated[float, "The median over the days."]
    times: Annotated[float, "How far it is from the median, in multiples of the usual spread."]
    marked: Annotated[bool, "Whether that is far enough to be marked on the page."]


class Histogram(TypedDict):
    """How often values lie where. Bin i holds those from (first + i) * 2**exponent up to the next."""

    exponent: Annotated[int, "Bins are 2 to the power of this wide."]
    first: Annotated[int, "Which multiple of the width the first bin begins at."]
    counts: Annotated[list[int], "Values in each bin, at most 25 of them."]
    below: Annotated[int, "Values below the first bin: at most a hundredth."]
    above: Annotated[int, "Values above the last bin: at most a hundredth."]


class ColumnByDay(TypedDict):
    """A column of the output over the days."""

    name: Annotated[str, "The column."]
    type: Annotated[str, "Arrow's name of its type."]
    kind: Annotated[
        str, "`number`, `id` (a number that names something), `boolean`, `list`, `text`, `time`, `vector` or `other`."
    ]
    measures: Annotated[dict[str, list[float | None]], "By measure, such as `nulls` (a share) or `p50`: by day."]
    departs: Annotated[Departs | None, "Where it is farthest from its usual value; null if it never differs."]
    source: Annotated[str, "What makes it."]
    top: NotRequired[Annotated[list[list[list[Any]] | None], "Of text: the commonest values and their shares, by day."]]

    histograms: NotRequired[Annotated[list[Histogram | None], "Of numbers and of lengths of lists: by day."]]


class ComparedColumn(TypedDict):
    """A column in two ranges: values are pairs, of the report's days and of the others."""

    name: Annotated[str, "The column."]
    kind: Annotated[str, "As in `columns`."]
    measure: Annotated[str | None, "What `mean` is of: `mean`, `norm`, or `distinct` values on a usual day."]
    mean: Annotated[list[float | None], "Over all rows that have a value."]
    nulls: Annotated[list[float | None], "Share of rows in which it is NULL."]
    distance: Annotated[float | None, "The share of values that lie elsewhere; null where no histogram tells."]
    moved: Annotated[float, "The larger of `distance` and of the difference in `nulls`: columns stand in its order."]


class Against(TypedDict):
    """What the report's days are compared with."""

    range: Annotated[list[str], "The first and the last day."]
    made: Annotated[str | None, "Of an earlier report: when it was made; null for days of this output."]
    days: Annotated[int, "How many of its days have a partition."]
    rows: Annotated[list[int], "Rows of the report's days, and of the others."]
    columns: Annotated[list[ComparedColumn], "Columns of either, those that moved most first."]


class Reading(TypedDict):
    """How many partitions had to be read."""

    read: Annotated[int, "Read now."]
    known: Annotated[int, "Known from an earlier report."]


class Collected(TypedDict):
    """The numbers of a page."""

    version: Annotated[str, "The version of `daeda`."]
    made: Annotated[str, "When, in UTC."]
    range: Annotated[list[str], "The first and the last day."]
    cache_root: Annotated[str, "The cache."]
    output_root: Annotated[str, "Where the partitions are."]
    output_roots: Annotated[dict[str, str], "The same by stage."]
    last_run: Annotated[PastRun | None, "The last run; null if there was none."]
    totals: Annotated[Totals, "Sums over the range."]
    days: Annotated[list[str], "The days of all lists by day."]
    day_states: Annotated[list[str], "By day: its state."]
    rows: Annotated[list[int | None], "By day: rows of the partition."]
    bytes: Annotated[list[int | None], "By day: bytes of the partition."]
    steps: Annotated[list[StepByDay], "Steps of days."]
    of_no_day: Annotated[list[StepOfNoDay], "Steps that are not for one day."]
    results: Annotated[dict[str, DayLeft], "By day: why the last run did not finish it."]
    whys: Annotated[list[list[Cause]], "Lists of causes."]
    causes: Annotated[list[TouchedBy], "Each change, once: the first 50."]
    more_causes: Annotated[int, "How many more there are."]
    funnel: Annotated[list[FunnelByDay], "Rows that each step left."]
    columns: Annotated[list[ColumnByDay], "Columns over the days."]
    departing: Annotated[list[str], "Columns with a marked day, the farthest first."]
    runs: Annotated[list[PastRun], "The last runs, newest first."]
    reading: Annotated[Reading, "How many partitions had to be read."]
    lineage: Annotated[dict[str, dict[str, int]], "By step: the steps that it reads, each with of how many days."]
    options: Annotated[str, "The options by which another command finds the same; empty or ` --config mine`."]
    run: Annotated[str, "The command that runs the configuration."]
    expect: NotRequired[Annotated[Expected, "With `expect`: what of the partitions is not as expected."]]
    against: NotRequired[Annotated[Against, "With `--against`: the other days, beside these."]]
    notes: Annotated[list[str], "What failed or could not be read."]


class Report(Collected):
    """The numbers of the page that `daeda report` writes."""

    file: Annotated[str, "The page."]
