"""What several commands print: errors, causes, and days that the last run did not finish."""

from typing import Annotated, NotRequired, TypedDict


class Problem(TypedDict):
    """An error, in parts; a part that does not apply is null."""

    what: Annotated[str, "What is wrong, in one sentence."]
    where: Annotated[str | None, "The file, key path, column, option or command."]
    found: Annotated[str | None, "What was found there."]
    expected: Annotated[str | None, "What was expected."]
    hint: Annotated[str | None, "What to do."]


class Refused(TypedDict):
    """Printed instead of the command's own object if it was refused (exit code 2) or interrupted (130)."""

    error: Annotated[Problem, "The error."]


class Failure(Problem):
    """A step that failed on a day."""

    day: Annotated[str, "The day; empty for a step that is not for one day, such as a view."]
    step: Annotated[str, "The step."]
    error: Annotated[str, "The whole error in one line."]


class Refusal(Failure):
    """Why the last run was refused."""

    run: Annotated[str, "Id of the run."]
    started: Annotated[str, "When the run began, in UTC."]


class DayLeft(TypedDict):
    """Why the last run did not finish a day."""

    state: Annotated[str, "`failed`, `blocked` (it needs what failed on another day) or `unfinished`."]
    run: Annotated[str, "Id of the run."]
    started: Annotated[str, "When the run began, in UTC."]
    failures: Annotated[list[Failure], "The day's own failures, or those that block it."]
    through: Annotated[list[str], "If blocked: the day's aggregations, or other steps, that need what failed."]


class Cause(TypedDict):
    """One reason why a step runs."""

    kind: Annotated[
        str, "`config`, `code`, `input`, `upstream`, `engine` or `missing`; in a report also `failed` or `more`."
    ]
    what: Annotated[str, "The config key, file, step or function that changed."]
    old: Annotated[str | None, "Its value before; null if it had none."]
    new: Annotated[str | None, "Its value now; null if it has none."]
    diff: NotRequired[Annotated[list[str], "The lines that differ: for `code`, and in a report also for long values."]]


class RootCause(Cause):
    """A change that no other cause explains, and the steps that it affects."""

    steps: Annotated[list[str], "The steps that it makes run, as `step@day`."]
    cached: Annotated[bool, "Whether all these steps are in the cache already, so that none of them runs."]


class Break(TypedDict):
    """A day of which something is not as `expect` says."""

    day: Annotated[str, "The day."]
    stage: Annotated[str, "`skeleton` or `enrich`: whose partition it is."]
    column: Annotated[str | None, "The column; null for rows."]
    measure: Annotated[str, "`rows`, `null_share`, `coverage` or `mean`."]
    value: Annotated[float | None, "What it is; null where there is none, such as a mean of NULLs alone."]
    least: Annotated[float | None, "What it should be at least; null for no such end."]
    most: Annotated[float | None, "What it should be at most; null for no such end."]


class Expected(TypedDict):
    """Days, judged by `expect`."""

    on_break: Annotated[str, "`warn` or `fail`."]
    days: Annotated[int, "How many days were judged."]
    breaks: Annotated[list[Break], "What is not as expected, by day; empty where all is."]
