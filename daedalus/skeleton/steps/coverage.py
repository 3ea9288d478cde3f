"""coverage: which rows of a feed day stay, by whether the embedding pool has their artwork."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from daedalus.actions.actions import Reading
from daedalus.actions.unaffected import Keyed
from daedalus.base.days import Day
from daedalus.skeleton.arrow.pool_and_sessions import write_coverage
from daedalus.skeleton.context import Make
from daedalus.sql.text import POSITION, Sql, in_list, parquet
from daedalus.stagecache.action_name import ActionName


@cache
def apply_embedding_coverage_filter(events: Sequence[str]) -> Sql:
    """SQL of one BOOLEAN per row of `spine`: whether it stays. Rows of `events` stay if their artwork is in `pool`."""
    uncovered = (
        f"{in_list('s.event', events)} AND NOT EXISTS (SELECT 1 FROM {parquet('pool')} p WHERE p.id = s.artwork_id)"
    )
    return Sql(f"SELECT NOT ({uncovered}) AS covered FROM {parquet('spine', positions=True)} s ORDER BY s.{POSITION}")


def covered_spine(filtered: bool) -> str:
    """FROM clause of the spine's rows, aliased s; if `filtered`, of those that the coverage filter keeps."""
    spine = f"{parquet('spine', positions=True)} s"
    return (
        f"{spine} JOIN {parquet('coverage', positions=True)} c ON c.{POSITION} = s.{POSITION} AND c.covered"
        if filtered
        else spine
    )


def build(make: Make, day: Day) -> str:
    """Reads a feed day's spine and the pool."""
    events = tuple(sorted(set(make.context.runtime.embedding_coverage_filter.events)))
    reading = Reading({"spine": [make.need("spine", day)], "pool": [make.need("pool")]})
    return make.sql(
        ActionName("coverage", day=day), apply_embedding_coverage_filter(events), reading,
        {"embedding_coverage_filter.events": list(events)}, keyed=[Keyed(make.need("pool"), "id", "artwork_id")],
        arrow=partial(write_coverage, events),
    )  # fmt: skip


def covered(make: Make, day: Day, filtered: bool) -> dict[str, list[str]]:
    """The upstream that `covered_spine` reads: a feed day's spine, and if `filtered` its coverage."""
    coverage = {"coverage": [make.need("coverage", day)]} if filtered else {}
    return {"spine": [make.need("spine", day)], **coverage}
