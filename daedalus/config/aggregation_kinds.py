"""What each `agg` of aggregations.yaml collects. A new kind is added here and in windows/: rolling_sql.py, roll.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Agg = Literal["list", "distinct", "flatten_distinct", "count"]


@dataclass(frozen=True)
class AggregationKind:
    """What an aggregation makes of the values of the events that a row sees.

    `listed`: the values are listed, newest first; else they are counted. `distinct`: a value counts once, where it
    occurred last. `flatten`: the column holds lists, whose members are the values.
    """

    listed: bool = True
    distinct: bool = False
    flatten: bool = False


KINDS: Mapping[Agg, AggregationKind] = {
    "list": AggregationKind(),
    "distinct": AggregationKind(distinct=True),
    "flatten_distinct": AggregationKind(distinct=True, flatten=True),
    "count": AggregationKind(listed=False),
}
