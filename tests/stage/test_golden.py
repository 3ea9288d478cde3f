"""Golden SQL: what each step renders for the default config, read by people and executed.

Set DAEDA_UPDATE_GOLDEN=1 to write the files anew after a change that is meant.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from small import DAYS

from daedalus.base import digest
from daedalus.sql.duck import Bindings
from daedalus.sql.text import Sql, normalise_sql
from daedalus.stagecache.walk.plan import make_plan
from daedalus.workspace.graph import build_graph
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

GOLDEN = Path(__file__).parent / "golden"
STEPS = [
    "view:artwork_tack", "published", "pool", "spine", "coverage", "event_values:like.author_id",
    "event_values:like.tack_ids[]", "history:dislike_click.artwork_id", "sessions", "content", "attributes",
]  # fmt: skip


def written(sql: Sql) -> str:
    parts = [(f"table {name}", select) for name, select in sql.tables]
    parts += [("counts", sql.counts)] if sql.counts else []
    return "".join(f"-- {title}\n{_lines(text)};\n" for title, text in [*parts, ("select", sql.select)])


def _lines(text: str) -> str:
    """Broken before clauses, for reading; white space means nothing to the fingerprint."""
    return re.sub(r" (?=(?:FROM|WHERE|LEFT JOIN|GROUP BY|ORDER BY|UNION ALL|QUALIFY) )", "\n  ", normalise_sql(text))


def parsed(text: str) -> Sql:
    parts = dict(re.findall(r"-- ([^\n]*)\n(.*?);\n(?=-- |\Z)", text, re.DOTALL))
    tables = tuple((title[6:], select) for title, select in parts.items() if title.startswith("table "))
    return Sql(parts["select"], tables, parts.get("counts", ""))


@pytest.mark.parametrize("step", STEPS)
def test_golden_sql_is_what_runs_and_makes_the_artifact(warm, tmp_path, step):
    day = DAYS[0] if step.startswith("history") else DAYS[10]
    with opened(Settings()) as workspace:
        graph = build_graph(workspace, DAYS, reconcile=False)
        verdicts = {verdict.action.name: verdict for verdict in make_plan(graph.actions, workspace.traces)}
        verdict = verdicts.get(f"{step}@{day}") or verdicts[step]
        *_, sql, reading, _ = verdict.action.run.args
        path = GOLDEN / f"{re.sub(r'[^a-z_]+', '-', step).strip('-')}.sql"
        if os.environ.get("DAEDA_UPDATE_GOLDEN"):
            path.write_text(written(sql))
        assert path.read_text() == written(sql)
        files = {
            bound: [workspace.store.path(name, verdicts[name].trace.artifact) for name in names]
            for bound, names in reading.upstream.items()
        }
        files |= {bound: [file.path for file in group] for bound, group in reading.files.items()}
        tables = {table: make() for table, make in reading.tables.items()}
        with workspace.ducks.lease() as duck:
            duck.copy(parsed(path.read_text()), Bindings(files, tables, reading.variables), tmp_path / "out.parquet")
        assert digest.of_file(tmp_path / "out.parquet") == verdict.trace.artifact
