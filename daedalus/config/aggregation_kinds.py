"""What each `agg` of aggregations.yaml collects or measures. A new kind is a row here and a file in windows/kinds/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Agg = Literal[
    "list", "distinct", "flatten_distinct", "count",
    "sum", "mean", "min", "max", "last", "first", "count_distinct", "since_last", "top", "std",
]  # fmt: skip


@dataclass(frozen=True)
class AggregationKind:
    """What an aggregation makes of the values of the events that a row sees.

    `listed`: the values are listed, newest first; else they are counted. `distinct`: a value counts once, where it
    occurred last. `flatten`: the column holds lists, whose members are the values.
    """

    listed: bool = True
    distinct: bool = False
    flatten: bool = False


@dataclass(frozen=True, kw_only=True)
class Measure(AggregationKind):
    """A kind that windows/kinds/{file}.py makes.

    `says` is what it makes, for people, of a `{column}` and `{events}`, with `{limit}` where `max_items` goes. `gives`
    is its type: that of the values, a list of them, BIGINT, DOUBLE, or as a sum: BIGINT of whole numbers, else DOUBLE.
    `takes` is what the values must be; those that are `unread` may be of any type, also nested ones. `empty` is its
    value where no event is seen, and `made_by` says which events it is of.
    """

    listed: bool = False
    file: str
    says: str
    gives: Literal["value", "list", "BIGINT", "DOUBLE", "sum"]
    takes: Literal["any", "ordered", "numbers"] = "any"
    unread: bool = False
    empty: Literal["NULL", "0", "[]"] = "NULL"
    made_by: Literal["all", "newest", "oldest", "smallest", "largest"] = "all"


KINDS: Mapping[Agg, AggregationKind] = {
    "list": AggregationKind(),
    "distinct": AggregationKind(distinct=True),
    "flatten_distinct": AggregationKind(distinct=True, flatten=True),
    "count": AggregationKind(listed=False),
    "sum": Measure(file="sums", says="The sum of {column} over {events}", gives="sum", takes="numbers", empty="0"),
    "mean": Measure(file="sums", says="The mean of {column} over {events}", gives="DOUBLE", takes="numbers"),
    "min": Measure(
        file="extremes", says="The smallest {column} of {events}", gives="value", takes="ordered", made_by="smallest"
    ),
    "max": Measure(
        file="extremes", says="The largest {column} of {events}", gives="value", takes="ordered", made_by="largest"
    ),
    "last": Measure(file="ends", says="The newest {column} of {events}", gives="value", made_by="newest"),
    "first": Measure(file="ends", says="The oldest {column} of {events}", gives="value", made_by="oldest"),
    "count_distinct": Measure(
        file="distinct", says="The number of distinct {column} of {events}", gives="BIGINT", empty="0"
    ),
    "since_last": Measure(
        file="ends", says="Whole seconds, rounded down, to the row from the newest with a {column} of {events}",
        gives="BIGINT", unread=True, made_by="newest",
    ),
    "top": Measure(
        listed=True, distinct=True, file="top", gives="list", empty="[]",
        says="The distinct {column} of {events}, the most frequent first, of those the most recent{limit}",
    ),
    "std": Measure(
        file="spread", says="The sample standard deviation of {column} over {events}, of two values at least",
        gives="DOUBLE", takes="numbers",
    ),
}  # fmt: skip
