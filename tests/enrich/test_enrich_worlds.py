"""The enrich stage equals its brute-force reference, bit for bit, on dirty worlds and pools; and so after any edit."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from pathlib import Path

import enrich_reference
import pyarrow as pa
import pyarrow.parquet as pq
from enrich_reference import Unusable, last_vectors
from enrich_worlds import EnrichWorld, edit, enrich_worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference import Reference, differences, read_output

from daedalus.pipelines.training import run_training_pipeline
from daedalus.workspace.settings import Settings

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "10"))
THOROUGH = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)  # fmt: skip


def run(root: Path, made: EnrichWorld, cache: str = "cache", out: str = "out", enriched: str = "enriched"):
    roots = {"cache_root": cache, "output_root": out, "enriched_root": enriched}
    given = Settings(str(root / "config"), **{name: str(root / path) for name, path in roots.items()})
    return run_training_pipeline(given, made.world.range, allow_empty=True)


def parts(root: Path) -> dict[dt.date, dict[str, pa.Table]]:
    """The tables of an output by day and part file."""
    return {
        dt.date.fromisoformat(folder.name[3:]): {path.name: pq.ParquetFile(path).read() for path in folder.iterdir()}
        for folder in sorted(root.glob("dt=*"))
    }


def check(root: Path, made: EnrichWorld) -> None:
    """Runs both stages, and compares every row, column, type and failure with the references."""
    report = run(root, made)
    expected = wide(root, made)
    skeleton, enriched = parts(root / "out"), parts(root / "enriched")
    vectors, failing = last_vectors(made.pool(root).rows()), {}
    for day, rows in expected.items():
        lists = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
        shipped = [row for name in sorted(skeleton[day], key=number) for row in skeleton[day][name].to_pylist()]
        try:
            want = made.embeddings.enriched(shipped, lists, vectors)
        except Unusable as unusable:
            failing[str(day)] = unusable
            continue
        if day not in enriched and (found := of_the_sessions(root, made, day, vectors)):
            failing[str(day)] = found
            continue
        got = [row for name in sorted(enriched[day], key=number) for row in as_rows(enriched[day][name])]
        assert enrich_reference.differences(want, got) == [], day
        assert {name: table.num_rows for name, table in enriched[day].items()} == {
            name: table.num_rows for name, table in skeleton[day].items()
        }
        for table in enriched[day].values():
            check_types(made, table)
    assert not report.stages["skeleton"].failures
    assert {failure.day for failure in report.failures} == set(failing), report.failures
    for failure in report.failures:
        told = failing[failure.day].told_by(failure.error)
        if not told:  # the other id may be of a row that does not ship
            of_all = of_the_sessions(root, made, dt.date.fromisoformat(failure.day), vectors)
            told = of_all is not None and of_all.told_by(failure.error)
        assert told, (failure.error, failing[failure.day])
    assert set(enriched) - {dt.date.fromisoformat(day) for day in failing} == set(expected) - {
        dt.date.fromisoformat(day) for day in failing
    }


def of_the_sessions(root: Path, made: EnrichWorld, day: dt.date, vectors: dict) -> Unusable | None:
    """Why a day fails by rows that the content filter drops: they may have made another length the usual one."""
    rows = Reference(root / "unfiltered", made.world.days).run()[day]
    try:
        made.embeddings.enriched(rows, {name: [row[name] for row in rows] for name in rows[0]}, vectors)
    except Unusable as unusable:
        return unusable
    return None


def wide(root: Path, made: EnrichWorld) -> dict[dt.date, list[dict]]:
    """What the skeleton's reference expects, with every list; it agrees with the skeleton's partitions."""
    expected = Reference(root / "wide", made.world.days).run()
    found = read_output(root / "out")
    named = [column if isinstance(column, str) else column["name"] for column in made.world.runtime["output_columns"]]
    narrow = {day: [{name: row[name] for name in named} for row in rows] for day, rows in expected.items()}
    for rows in found.values():
        for row in rows:
            row.pop("qid", None)
    assert differences(narrow, found) == []
    return expected


def number(part: str) -> int:
    return int(part.split("-")[1])


def as_rows(table: pa.Table) -> list[dict]:
    """Rows with plain Python floats, also of float16."""
    return [
        {name: [None if c is None else float(c) for c in value] if _floats(table, name) and value is not None else value
         for name, value in row.items()}
        for row in table.to_pylist()
    ]  # fmt: skip


def _floats(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)


def check_types(made: EnrichWorld, table: pa.Table) -> None:
    member = pa.float16() if made.embeddings.dtype == "float16" else pa.float32()
    for name in made.embeddings.columns:
        assert table.schema.field(name).type == pa.list_(member), name
        assert table[name].combine_chunks().flatten().null_count == 0


@given(enrich_worlds())
@THOROUGH
def test_any_world_equals_the_reference(made):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made.build(root)
        check(root, made)
        again = run(root, made)
        ran = [again.steps["computed"], again.steps["unchanged"], again.partitions["written"]]
        assert ran == [0, 0, 0] or again.failures


@given(enrich_worlds(), st.data())
@settings(THOROUGH, max_examples=max(EXAMPLES // 2, 4))
def test_any_edit_equals_the_reference_and_a_cold_run(made, data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made.build(root)
        run(root, made)
        for _ in range(2):
            edit(made, root, data)
            check(root, made)
        compare_with_cold(root, made)


def compare_with_cold(root: Path, made: EnrichWorld) -> None:
    """A run over an empty cache that hands out the same qids leaves the same bytes."""
    warm = run(root, made)
    if (root / "out/qid_map.parquet").exists():
        (root / "cold_out").mkdir()
        shutil.copy(root / "out/qid_map.parquet", root / "cold_out/qid_map.parquet")
    cold = run(root, made, "cold", "cold_out", "cold_enriched")
    assert sorted((f.day, f.step, f.error) for f in cold.failures) == sorted(
        (f.day, f.step, f.error) for f in warm.failures
    )
    failed = {f"dt={failure.day}" for failure in warm.failures}
    kept = {name: data for name, data in left(root / "enriched").items() if name[:13] not in failed}
    assert kept == left(root / "cold_enriched")


def left(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("dt=*/*.parquet"))}
