"""What a kind of aggregation is made of, and where to find one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from daedalus.config.aggregation_kinds import AggregationKind
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.windows.seen import Seen

AS_LISTED = AggregationKind()
AS_DISTINCT = AggregationKind(distinct=True)  # one zero
UNREAD = AggregationKind(listed=False)


def _as_they_are(pairs: str, among: Sequence[str]) -> str:
    return pairs


@dataclass(frozen=True)
class Kind:
    """A kind by its two definitions, of which the SQL is the one to read.

    `sql(i, among, measured)` is an aggregate, NULL where nothing is seen, over the pairs (target, t, ts, value) of the
    rows and the events that they see; `among` is the FILTER that leaves those in window `i`. `pairs(pairs, amongs)`
    may group the pairs first. `compute(seen, values, measured)` gives the column of each window, by row, `values` being
    those by code, and `reads` says whether there are any, and one zero.
    """

    sql: Callable[[int, str, Measured], str]
    compute: Callable[[Seen, pa.Array, Measured], list[pa.Array]]
    reads: AggregationKind = AS_LISTED
    pairs: Callable[[str, Sequence[str]], str] = _as_they_are


@cache
def kind_of(measured: Measured) -> Kind:
    """The definitions of an aggregation's kind."""
    found: Kind = import_module(f"daedalus.windows.kinds.{measured.kind.file}").KINDS[measured.agg]
    return found


def result_of(gives: str, kind: pa.DataType | None) -> pa.DataType:
    """The Arrow type of a measure, of values of type `kind`, which is not needed for numbers of a given type."""
    import pyarrow as pa

    if gives == "sum" and kind is not None:
        numbers = kind.value_type if pa.types.is_dictionary(kind) else kind
        gives = "BIGINT" if pa.types.is_integer(numbers) else "DOUBLE"
    plain = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "value": kind}
    return plain[gives] if gives in plain else pa.list_(pa.field("element", kind))
