"""qids: the number of each session, if the feed has sessions. Days are numbered one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from daedalus.base.days import Day
from daedalus.output.numbers.number_sessions import DAY_QIDS, DAY_SESSIONS, SESSIONS_IN_ORDER, DaySessions
from daedalus.output.qid_map import QidMap
from daedalus.skeleton.context import Make
from daedalus.sql.duck import Ducks
from daedalus.sql.text import of_sql
from daedalus.stagecache.action import Counts, InOrder
from daedalus.stagecache.action_name import ActionName

_STEP = "qids"
_FILES = "1"  # another one if what workers and the coordinator write for each other is read otherwise


def build(make: Make, day: Day) -> str:
    """Reads the rows of the sessions, `content`, and the qid map, to which it adds new sessions."""
    qids = make.context.publishing.qids
    sessions, content = make.need("sessions", day), make.need("content", day)
    before, ingredients = make.last_of(_STEP), make.once(_ingredients)
    return make.add(
        ActionName(_STEP, day=day),
        partial(_run, qids, sessions, content),
        ingredients,
        [sessions, content],
        after=(before,) if before else (),
        moving=partial(_lineage, qids),
        receive=qids.shared.receive if qids.shared else None,
        in_order=_in_order(make, day),
    )


def _ingredients(make: Make) -> dict[str, str]:
    return {
        "code:sql": make.digest_of(of_sql(*DAY_SESSIONS.statements, *DAY_QIDS.statements)),
        **make.written_by_duckdb(),
        **make.code_on_arrow(DaySessions),
    }


def _run(qids: QidMap, sessions: str, content: str, upstream: Mapping[str, Path], out: Path) -> Counts:
    return qids.assign({"sessions": upstream[sessions], "content": upstream[content]}, out)


def _lineage(qids: QidMap) -> dict[str, str]:
    """The map's lineage as an ingredient; it may change while numbers are assigned."""
    return {"input:qid_map": qids.current}


def _in_order(make: Make, day: Day) -> InOrder:
    """The same by three actions, of which one, of the distinct sessions alone, has to do with the map.

    No trace has their keys: by these, workers refuse what they have other code for.
    """
    reads, ingredients = [make.need("sessions", day), make.need("content", day)], make.once(_ingredients_in_order)
    first, second = ActionName("day_sessions", day=day), ActionName(_STEP, "numbers", day)
    made = [str(first), str(second)]
    before = make.made(first, partial(_sessions, make.ducks, str(first), *reads), ingredients, reads)
    turn = make.made(second, partial(_number, make.context.publishing.qids, str(first), str(second)), {}, [str(first)])
    rest = make.made(
        ActionName("day_numbers", day=day), partial(_rows, make.ducks, *reads, *made), ingredients, [*reads, *made],
    )  # fmt: skip
    return InOrder(before, turn, rest)


def _ingredients_in_order(make: Make) -> dict[str, str]:
    ordered = of_sql(*SESSIONS_IN_ORDER.statements).digest
    return {**make.once(_ingredients), "code:in_order": ordered, "code:files": _FILES}


def _sessions(
    ducks: Ducks, name: str, sessions: str, content: str, upstream: Mapping[str, Path], out: Path
) -> Counts:  # fmt: skip
    from daedalus.output.numbers.day_sessions import write_sessions

    return write_sessions({"sessions": upstream[sessions], "content": upstream[content]}, ducks, name, out)


def _number(qids: QidMap, before: str, name: str, upstream: Mapping[str, Path], out: Path) -> Counts:
    return qids.number(upstream[before], name, out)


def _rows(
    ducks: Ducks, sessions: str, content: str, before: str, turn: str, upstream: Mapping[str, Path], out: Path
) -> Counts:  # fmt: skip
    from daedalus.output.numbers.day_sessions import write_numbers

    read = {"sessions": upstream[sessions], "content": upstream[content]}
    return write_numbers(read, upstream[before], upstream[turn], ducks, out)
