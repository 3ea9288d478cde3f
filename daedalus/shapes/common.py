"""What several commands print: errors, causes, and what the last run left of a day."""

from typing import Annotated, NotRequired, TypedDict


class Problem(TypedDict):
    """An error, in parts."""

    what: Annotated[str, "What is wrong, in one sentence."]
    where: Annotated[str | None, "The file, key path, column, option or command."]
    found: Annotated[str | None, "What is there."]
    expected: Annotated[str | None, "What could be there."]
    hint: Annotated[str | None, "What to do."]


class Refused(TypedDict):
    """What is printed in place of any other object when a command ends with exit code 2 or is interrupted (130)."""

    error: Annotated[Problem, "Why."]


class Failure(Problem):
    """A step that failed on a day."""

    day: Annotated[str, "The day; empty for a step of no day."]
    step: Annotated[str, "The step."]
    error: Annotated[str, "The whole error in one line."]


class Refusal(Failure):
    """Why the last run was refused."""

    run: Annotated[str, "Its id."]
    started: Annotated[str, "When it began, in UTC."]


class DayLeft(TypedDict):
    """What the last run left of a day that it did not finish."""

    state: Annotated[str, "`failed`, `blocked` or `unfinished`."]
    run: Annotated[str, "The run's id."]
    started: Annotated[str, "When the run began, in UTC."]
    failures: Annotated[list[Failure], "The day's own failures, or those that block it."]
    through: Annotated[list[str], "Of a blocked day: its aggregations, or other steps, that need what failed."]


class Cause(TypedDict):
    """One reason why a step runs."""

    kind: Annotated[
        str, "`config`, `code`, `input`, `upstream`, `engine`, `missing`; in a report also `failed`, `more`."
    ]
    what: Annotated[str, "The config key, file, step or function."]
    old: Annotated[str | None, "Its earlier value; null for none."]
    new: Annotated[str | None, "Its value now; null for none."]
    diff: NotRequired[Annotated[list[str], "Lines that differ: of `code`; in a report also of long values."]]


class RootCause(Cause):
    """A reason that follows from no other, and what it touches."""

    steps: Annotated[list[str], "The steps that it makes run, as `step@day`."]
    cached: Annotated[bool, "Whether those steps are in the cache already, so that none of them runs."]


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
