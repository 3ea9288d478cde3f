"""The steps pool, pool_vectors and pool_places on Arrow write the very bytes that their SQL does."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daedalus.enrich import pool_rows
from daedalus.enrich.steps.pool_places import last_places, write_places
from daedalus.enrich.steps.pool_vectors import last_vectors, write_last_vectors
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.skeleton.steps.pool import POOL_IDS, TEXT_POOL_IDS, write_pool
from daedalus.sql.duck import Bindings, Ducks
from daedalus.sql.text import literal
from daedalus.stagecache.records.artifact_store import Scratch
from daedalus.tables.held import HELD

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "40"))
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.one_of(st.sampled_from(["a", "b", "ab", "", "é", "\U0001f600", "\uffff"]), st.text(max_size=3))


def fragments(ids: st.SearchStrategy) -> st.SearchStrategy:
    """Of each fragment its rows: an id, how many rows without one are before it, a length."""
    row = st.tuples(ids, st.integers(0, 2), st.one_of(st.none(), st.integers(-3, 3)))
    return st.lists(st.lists(row, max_size=8), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def ducks(tmp_path_factory):
    scratch = Scratch(tmp_path_factory.mktemp("spill"))
    made = Ducks({"threads": 1, "memory_limit": "1GB"}, scratch)
    yield made
    made.close()
    scratch.close()


@pytest.fixture
def room(monkeypatch):
    monkeypatch.setattr(HELD, "each", 1 << 26)


def written(folder: Path, number: int, rows: list, kind: pa.DataType) -> Path:
    """The artifact of a fragment."""
    place, dicts = -1, []
    for one, before, length in rows:
        place += 1 + before
        digest = None if length is None else bytes([number, place % 256]) * 8
        dicts.append({"id": one, "place": place, "length": length, "digest": digest})
    schema = pa.schema([("id", kind), ("place", pa.int64()), ("length", pa.int32()), ("digest", pa.binary(16))])
    table = pa.Table.from_pylist(dicts, schema)
    write_parquet(folder / f"{number}.parquet", schema, [table])
    return folder / f"{number}.parquet"


@pytest.mark.parametrize(("ids", "kind", "named"), [(NUMBERS, pa.int64(), "BIGINT"), (TEXTS, pa.string(), "VARCHAR")])
def test_the_bytes_are_those_of_the_sql(ducks, room, ids, kind, named):
    @given(fragments(ids))
    @settings(max_examples=EXAMPLES, deadline=None)
    def same(made):
        with tempfile.TemporaryDirectory() as name:
            folder, numbers = Path(name), [7 * i + 1 for i in range(len(made))]
            files = {"fragments": [written(folder, i, rows, kind) for i, rows in enumerate(made)]}
            variables = {pool_rows.NUMBERS: literal(numbers)}
            steps = [(last_places, partial(write_places, numbers)), (last_vectors, write_last_vectors)]
            for sql, arrow in steps:
                on_arrow, in_sql = folder / "arrow", folder / "sql"
                counts = arrow(files, on_arrow)
                with ducks.lease() as duck:
                    assert counts == duck.copy(sql(True, named), Bindings(files, {}, variables), in_sql)
                assert counts["rows"] == len({one for rows in made for one, *_ in rows})
                assert on_arrow.read_bytes() == in_sql.read_bytes()

    same()


SMALL, ANY = st.integers(0, 5), st.integers(-(2**63), 2**63 - 1)
OF_POOLS = [
    (SMALL, pa.int8(), POOL_IDS), (st.one_of(SMALL, ANY), pa.int64(), POOL_IDS), (SMALL, pa.uint64(), POOL_IDS),
    (TEXTS, pa.string(), TEXT_POOL_IDS), (TEXTS, pa.large_string(), TEXT_POOL_IDS),
]  # fmt: skip


@pytest.mark.parametrize(("ids", "kind", "sql"), OF_POOLS, ids=[str(kind) for _, kind, _ in OF_POOLS])
def test_ids_of_the_pool_are_those_of_the_sql(ducks, room, tmp_path, ids, kind, sql):
    @given(st.lists(st.lists(st.one_of(st.none(), ids), max_size=9), max_size=3))
    @settings(max_examples=EXAMPLES, deadline=None)
    def same(made):
        schema = pa.schema([("id", kind)])
        batches = [pa.record_batch([pa.array(some, kind)], schema=schema) for some in made]
        read = partial(pa.RecordBatchReader.from_batches, schema, batches)
        counts = write_pool(read, {}, tmp_path / "arrow")
        with ducks.lease() as duck:
            assert counts == duck.copy(sql, Bindings({}, {"pool_ids": read()}), tmp_path / "sql")
        assert counts["rows"] == len({one for some in made for one in some} - {None})
        assert (tmp_path / "arrow").read_bytes() == (tmp_path / "sql").read_bytes()

    same()


def test_a_pool_that_does_not_fit_is_left_to_sql(tmp_path, monkeypatch):
    files = {"fragments": [written(tmp_path, 0, [(i, 0, 1) for i in range(100)], pa.int64())]}
    monkeypatch.setattr(HELD, "each", 1 << 14)
    assert write_places([0], files, tmp_path / "out") is None is write_last_vectors(files, tmp_path / "out")
    batch = pa.record_batch({"id": range(1000)})
    assert (
        write_pool(partial(pa.RecordBatchReader.from_batches, batch.schema, [batch] * 9), {}, tmp_path / "out") is None
    )
    assert not (tmp_path / "out").exists()
