"""qids: the number of each session, if the feed has sessions. Days are numbered one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from daedalus.base.days import Day
from daedalus.output.number_sessions import DaySessions
from daedalus.output.qid_map import DAY_QIDS, DAY_SESSIONS, QidMap
from daedalus.skeleton.context import Make
from daedalus.sql.text import of_sql
from daedalus.stagecache.action import Counts
from daedalus.stagecache.action_name import ActionName


def build(make: Make, day: Day) -> str:
    """Reads the rows of the sessions, `content`, and the qid map, to which it adds new sessions."""
    qids = make.context.publishing.qids
    sessions, content = make.need("sessions", day), make.need("content", day)
    before = make.last_of("qids")
    ingredients = {
        "code:sql": make.digest_of(of_sql(*DAY_SESSIONS.statements, *DAY_QIDS.statements)),
        **make.written_by_duckdb(),
        **make.code_on_arrow(DaySessions),
    }
    return make.add(
        ActionName("qids", day=day),
        partial(_run, qids, sessions, content),
        ingredients,
        [sessions, content],
        after=(before,) if before else (),
        moving=partial(_lineage, qids),
        receive=qids.shared.receive if qids.shared else None,
    )


def _run(qids: QidMap, sessions: str, content: str, upstream: Mapping[str, Path], out: Path) -> Counts:
    return qids.assign({"sessions": upstream[sessions], "content": upstream[content]}, out)


def _lineage(qids: QidMap) -> dict[str, str]:
    """The map's lineage as an ingredient; it may change while numbers are assigned."""
    return {"input:qid_map": qids.current}
