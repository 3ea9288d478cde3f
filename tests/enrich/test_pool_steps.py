"""The pool by its fragments: what is read when it changes, and that each id gets the vector that counts."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from random import Random

import lance
import pyarrow as pa
import pytest
from msgspec.structs import replace
from pool_bench import DAY, MEAN, NEXT, OF, Bench, Use, expected, vectors_of

from daedalus.base.errors import DaedalusError
from daedalus.cluster.job import settled_sources
from daedalus.config.schema import EmbeddingColumn
from daedalus.enrich import pool_lookup, vectors_file
from daedalus.inputs import pool_fragments
from daedalus.inputs.feed import Feed as FeedInput
from daedalus.skeleton.context import Sources
from daedalus.tables.held import HELD
from daedalus.tables.held_rows import HELD_ROWS

KINDS = {
    "fixed float32": pa.list_(pa.float32(), 2), "fixed float16": pa.list_(pa.float16(), 2),
    "fixed float64": pa.list_(pa.float64(), 2), "float32": pa.list_(pa.float32()), "float16": pa.list_(pa.float16()),
    "float64": pa.list_(pa.float64()), "large": pa.large_list(pa.float32()),
}  # fmt: skip
ROWS = [
    (1, [1.5, 2]), (2, None), (None, [9, 9]), (3, [3, -0.0]), (1, [4, 5]), (3, None), (4, [None, 1]), (5, [1, 1]),
    (-7, [7, 7.25]), (5, [None, None]), (8, None), (8, None), (None, None), (2, [float("inf"), 0]), (9, [5, 6]),
]  # fmt: skip
USED = [1, 2, 3, 3, None, 4, 5, -7, 8, 100]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.uses[DAY] = Use(USED, [[1, 3], [], [9, 8]])
    made.uses[NEXT] = Use([9], [[9]])
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_id_has_its_last_vector_that_is_not_null(bench, kind):
    bench.write(ROWS[:6], KINDS[kind])
    bench.write(ROWS[6:], KINDS[kind], mode="append")
    bench.walk()
    found = bench.vectors(OF)
    assert found == expected(bench.table, USED) and str(bench.dtype) in kind.replace("large", "float32")
    assert found[1] == [4, 5] and found[4] == -3 and found[5] == -3 and found[8] is None and str(found[3][1]) == "-0.0"
    counts = bench.outcomes[f"vectors:{OF}@{DAY}"].counts
    assert counts.items() >= {"ids": 8, "found": 4, "null_vectors": 1}.items()
    assert bench.vectors(MEAN) == expected(bench.table, [1, 3, 9, 8])


@pytest.mark.parametrize("kind", [pa.uint64(), pa.int8(), pa.uint32()])
def test_ids_are_integers_of_any_type(bench, kind):
    rows = [(1, [1, 1]), (3, [3, 3]), (None, [4, 4])] + [(2**64 - 1, [5, 5])] * (kind == pa.uint64())
    bench.write(rows, ids=kind)
    bench.uses[DAY] = Use([1, -1, 2**63 - 1, 3], [[1]])
    bench.walk()
    assert bench.vectors(OF) == {-1: None, 1: [1, 1], 3: [3, 3], 2**63 - 1: None}
    assert len(bench.artifact("pool_vectors")) == 2


def test_vectors_of_other_lengths_are_not_usable(bench):
    bench.write([(1, [1, 2]), (2, [3]), (3, [4]), (4, []), (5, [1, 2]), (8, [])], pa.list_(pa.float32()))
    bench.uses[DAY] = Use([1, 2, 3, 4, 5, 9], [[4, 8]])
    bench.walk()
    assert bench.vectors(OF) == {1: 2, 2: [3], 3: [4], 4: 0, 5: 2, 9: None} and bench.dim == 1
    assert bench.vectors(MEAN) == {4: [], 8: []} and bench.dim == 0


def test_the_first_items_of_a_list_are_used(tmp_path):
    short = EmbeddingColumn(mean_of="likes_1d", max_items=2)
    long = EmbeddingColumn(mean_of="likes_7d", max_items=2)
    bench = Bench(tmp_path, short=short, long=long)
    bench.write([(i, [i, i]) for i in range(9)])
    bench.uses = {DAY: Use([], [[1, 2, 3], [], [4, 3]], short=1)}
    bench.walk()
    assert list(bench.vectors("short")) == [1, 4] and list(bench.vectors("long")) == [1, 2, 3, 4]
    bench.close()


# What is read when the pool changes


def test_what_is_appended_alone_is_read_and_days_that_use_none_of_it_stay(bench):
    bench.write([(1, [1, 1]), (9, [9, 9])])
    bench.walk()
    bench.write([(2, [2, 2]), (77, [7, 7])], mode="append")
    assert bench.states() == {
        "fragment:1": "computed", "pool_vectors": "computed", "pool_places": "computed",
        f"vectors:{OF}@{DAY}": "computed",
    }  # fmt: skip
    assert bench.vectors(OF)[2] == [2, 2]
    bench.write([(1, [1, 2])], mode="append")
    assert bench.ran() == {"fragment": 1, "pool_vectors": 1, "pool_places": 1, "vectors": 2}
    assert bench.vectors(OF)[1] == [1, 2] == bench.vectors(MEAN)[1]


def test_a_vector_that_is_written_again_runs_nothing_of_a_day(bench):
    bench.write([(1, [1, 1]), (9, [9, 9])])
    bench.walk()
    bench.write([(1, [1, 1])], mode="append")
    assert bench.states() == {"fragment:1": "computed", "pool_vectors": "unchanged", "pool_places": "computed"}


@pytest.mark.parametrize("share", [3, 2])
def test_deleted_rows_are_gone(bench, share):
    """Lance lists a few rows, and has a bitmap of many."""
    count = 30_000
    dataset = bench.write([(i, [i, -i]) for i in range(count)] + [(1, [5, 5])])
    bench.uses[DAY] = Use(list(range(0, count, 7)), [[1, 2, 3]])
    bench.walk()
    dataset.delete("id = 1 and vector[1] = 5" if share == 3 else f"id % {share} = 0")
    kinds = {path.suffix for path in (bench.table / "_deletions").iterdir()}
    assert kinds == {".arrow" if share == 3 else ".bin"}
    assert bench.states()["fragment:0"] == "computed"
    assert bench.vectors(OF) == expected(bench.table, bench.uses[DAY].ids)
    assert bench.vectors(MEAN) == expected(bench.table, [1, 2, 3])


def test_a_compacted_table_says_the_same(bench):
    for i in range(5):
        bench.write([(i, [i, i]), (9, [9, i])], mode="append" if i else "create")
    bench.write([(1, None)], mode="append").delete("id = 3")
    bench.walk()
    before = bench.vectors(OF)
    lance.dataset(str(bench.table)).optimize.compact_files()
    assert len(lance.dataset(str(bench.table)).get_fragments()) == 1
    states = bench.states()
    assert {name: states[name] for name in states if not name.startswith("fragment")} == {
        "pool_vectors": "unchanged", "pool_places": "computed",
    }  # fmt: skip
    bench.uses[NEXT] = Use([9, 1], [[9]])  # what runs now finds them in their new places
    assert f"vectors:{OF}@{NEXT}" in bench.states()
    assert bench.vectors(OF, NEXT) == {1: [1, 1], 9: [9, 4]} and bench.vectors(OF) == before


def test_a_table_made_again_with_the_same_rows_is_the_same(bench):
    bench.write(ROWS)
    bench.walk()
    shutil.rmtree(bench.table)
    bench.write(ROWS, max_rows_per_file=4)
    assert bench.ran().keys() <= {"fragment", "pool_vectors", "pool_places"}
    assert bench.outcomes["pool_vectors"].state == "unchanged"
    assert bench.vectors(OF) == expected(bench.table, USED)


def test_the_order_of_fragments_decides_not_their_numbers(bench):
    """The artifact of a fragment may come twice, and the last one counts."""
    for vector in ([1, 1], [2, 2], [1, 1]):
        bench.write([(1, vector)], mode="append" if bench.table.exists() else "create")
    bench.walk()
    assert bench.outcomes["fragment:0"].artifact == bench.outcomes["fragment:2"].artifact
    assert bench.vectors(OF)[1] == [1, 1]
    assert [row["fragment"] for row in bench.artifact("pool_places")] == [2]


def test_other_columns_are_nobodys_concern(bench):
    dataset = bench.write(ROWS)
    bench.walk()
    dataset.add_columns({"other": "id * 2"})
    assert bench.ran() == {}
    assert bench.vectors(OF) == expected(bench.table, USED)
    dataset = lance.dataset(str(bench.table))
    dataset.alter_columns({"path": "vector", "name": "old"})
    dataset.add_columns(lambda batch: batch.rename_columns(["vector"]), ["old"])
    assert bench.ran()["fragment"] == 1  # the vector is in a file of its own now
    assert bench.vectors(OF) == expected(bench.table, USED)


def test_columns_that_swap_names_are_told_apart(bench):
    two = pa.list_(pa.float32(), 2)
    table = vectors_of([(1, [1, 1]), (2, [2, 2])], two)
    lance.write_dataset(table.append_column("other", pa.array([[5, 5], [6, 6]], two)), str(bench.table))
    bench.walk()
    for old, new in (("vector", "x"), ("other", "vector"), ("x", "other")):
        lance.dataset(str(bench.table)).alter_columns({"path": old, "name": new})
    assert bench.ran()["fragment"] == 1
    assert bench.vectors(OF)[1] == [5, 5]


def test_an_empty_table_has_no_vectors(bench):
    bench.write([])
    bench.walk()
    assert set(bench.vectors(OF).values()) == {None} and bench.vectors(MEAN) == {1: None, 3: None, 8: None, 9: None}
    assert bench.ran() == {}
    bench.write([(1, [1, 1])], mode="append")
    assert bench.ran() == {"fragment": 1, "pool_vectors": 1, "pool_places": 1, "vectors": 2}


@pytest.mark.parametrize("options", [{"data_storage_version": v} for v in ("legacy", "2.0", "2.1")] + [
    {"enable_stable_row_ids": True}, {"max_rows_per_file": 3, "max_rows_per_group": 2}])  # fmt: skip
def test_every_format_of_lance_is_read(bench, options):
    rows = [row for row in ROWS if row[1] is None or None not in row[1]]
    bench.write(rows, pa.list_(pa.float32()) if options.get("data_storage_version") != "legacy" else None, **options)
    lance.dataset(str(bench.table)).delete("id = 5")
    bench.walk()
    assert bench.vectors(OF) == expected(bench.table, USED)


def test_a_shallow_clone_reads_the_files_of_another_table(bench):
    bench.write(ROWS)
    source = bench.table.rename(bench.folder / "source.lance")
    dataset = lance.dataset(str(source))
    dataset.delete("id = 9")
    dataset.shallow_clone(str(bench.table), lance.dataset(str(source)).version)
    bench.walk()
    assert bench.vectors(OF) == expected(source, USED) and bench.vectors(OF, NEXT) == {9: None}


def test_rows_are_the_same_in_memory_and_out_of_it(bench, monkeypatch):
    rows = [(i % 700, [i, i / 7]) for i in range(1000)]
    bench.write(rows, max_rows_per_file=300)
    bench.uses[DAY] = Use(list(range(0, 800, 3)), [[1, 5]])
    monkeypatch.setattr(vectors_file, "_GROUP_ROWS", 64)
    monkeypatch.setattr(pool_lookup, "_CHUNK", 64)
    bench.walk()
    whole = {name: bench.path(name).read_bytes() for name in bench.outcomes if name.startswith("vectors")}
    monkeypatch.setattr(HELD, "each", 0)
    assert bench.vectors(OF) == expected(bench.table, bench.uses[DAY].ids)
    bench.walk(force=True)
    assert whole == {name: bench.path(name).read_bytes() for name in whole}
    assert not list(bench.scratch.folder.glob("*.rows")) and not list(bench.scratch.folder.glob("*.table"))


# What is refused, and what is gone


def test_a_pool_that_changes_under_the_run_fails_the_day(bench, monkeypatch):
    bench.write([(1, [1, 1]), (9, [9, 9])])
    bench.walk()
    bench.uses[DAY] = Use([1], [[1]])
    (file,) = (bench.table / "data").iterdir()
    look = bench.fragments()
    monkeypatch.setattr(bench, "fragments", lambda: look)
    bench.write([(1, [1, 2]), (9, [9, 9])], mode="overwrite")
    (other,) = set((bench.table / "data").iterdir()) - {file}
    file.write_bytes(other.read_bytes())
    HELD_ROWS.clear()  # as in another process: what is in memory is not read
    assert set(bench.states().values()) == {"computed", "failed"} and bench.ran()["vectors"] == 2
    assert bench.outcomes[f"vectors:{OF}@{DAY}"].error.startswith("the embedding pool changed while")
    file.unlink()
    bench.walk()
    assert "the embedding pool cannot be read; where: fragment 0 of" in bench.outcomes[f"vectors:{OF}@{DAY}"].error


@pytest.mark.parametrize(("column", "found", "hint"), [
    ("vectr", "vectr: missing", "did you mean 'vector'?"), ("id", "id: int64", ""),
    ("words", "words: list of string", ""), ("whole", "whole: fixed_size_list:int32:2", ""),
])  # fmt: skip
def test_a_column_without_vectors_is_refused(tmp_path, column, found, hint):
    bench = Bench(tmp_path, column)
    table = vectors_of([(1, [1, 1])], pa.list_(pa.float32(), 2))
    table = table.append_column("words", pa.array([["a"]])).append_column(
        "whole", pa.array([[1, 2]], pa.list_(pa.int32(), 2))
    )
    lance.write_dataset(table, str(bench.table))
    with pytest.raises(DaedalusError) as refused:
        bench.fragments()
    assert refused.value.exit_code == 2 and refused.value.found == found and refused.value.hint == hint
    assert refused.value.where.endswith("embeddings.vector_column") and "vector" in str(refused.value.expected)
    bench.close()


def without_looks(fragment):
    digests = [(file.path, file.label, file.digest) for file in (*fragment.files, fragment.manifest)]
    return digests, replace(fragment, files=(), manifest=None)


def test_a_manifest_that_is_not_understood_is_read_by_lance_once(bench, monkeypatch):
    bench.write(ROWS)
    by_us = bench.fragments()
    monkeypatch.setattr(pool_fragments, "table_layout", lambda manifest: None)
    assert list(map(without_looks, bench.fragments())) == list(map(without_looks, by_us))
    monkeypatch.setattr(pool_fragments, "layout_by_pylance", None)
    assert len(bench.fragments()) == 1
    bench.write([(1, [1, 1])], mode="append")
    with pytest.raises(TypeError):
        bench.fragments()


def test_workers_get_fragments_with_absolute_paths(bench, monkeypatch):
    bench.write(ROWS)
    monkeypatch.chdir(bench.folder)
    bench.config = dataclasses.replace(bench.config, runtime=with_uri(bench.config.runtime, "db"))
    bench.uri = "db"
    here = bench.fragments()
    (there,) = pickle.loads(pickle.dumps(settled_sources(Sources(FeedInput({}), [], {}, bench.pool, here)))).fragments
    assert here[0].files[0].path.startswith("db/t.lance/data/")
    assert there.files[0].path == f"{bench.folder}/{here[0].files[0].path}" and there.places == here[0].places
    assert there.manifest.path.startswith(f"{bench.table}/_versions/") and there.holds == here[0].holds
    bench.walk()  # from relative paths too
    assert bench.vectors(OF) == expected(bench.table, USED)


def with_uri(runtime, uri):
    return replace(runtime, embedding_coverage_filter=replace(runtime.embedding_coverage_filter, uri=uri))


def test_a_file_that_is_gone_is_named(bench):
    bench.write(ROWS)
    (file,) = (bench.table / "data").iterdir()
    file.unlink()
    with pytest.raises(DaedalusError, match="the embedding pool cannot be read") as refused:
        bench.fragments()
    assert file.name in str(refused.value.found)


# Any history of a table


def change(random, bench) -> None:
    """Does something to the table that people do to tables."""
    dataset, ids = lance.dataset(str(bench.table)), range(12)
    kind = random.randrange(6)
    if kind <= 1:
        vectors = [None, [1, 2], [random.randrange(3), 0.5], [float("nan"), None], [7, 7]]
        rows = [(random.choice([None, *ids]), random.choice(vectors)) for _ in range(random.randint(1, 9))]
        bench.write(rows, mode="append", max_rows_per_file=4)
    elif kind == 2:
        dataset.delete(f"id % {random.randint(2, 5)} = 1")
    elif kind == 3:
        dataset.optimize.compact_files()
    elif kind == 4:
        table = dataset.to_table(columns=["id", "vector"])
        shutil.rmtree(bench.table)
        lance.write_dataset(table, str(bench.table), max_rows_per_file=random.randint(2, 50))
    else:
        dataset.update({"vector": "[8, 9]"}, where=f"id = {random.choice(ids)}")


@pytest.mark.parametrize("seed", range(4))
def test_any_history_gives_what_is_in_the_table(bench, seed):
    random = Random(seed)
    bench.write([(i, [i, i]) for i in range(6)])
    bench.walk()
    for _ in range(6):
        before = expected(bench.table, USED)
        change(random, bench)
        states, now = bench.states(), expected(bench.table, USED)
        assert str(bench.vectors(OF)) == str(now)
        if str(before) == str(now):  # an id that came, without a vector, is counted and no more
            assert states.get(f"vectors:{OF}@{DAY}", "unchanged") == "unchanged", states
        assert str(bench.vectors(OF, NEXT)) == str(expected(bench.table, [9]))
