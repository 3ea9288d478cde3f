"""An enriched partition is the skeleton's with columns of vectors in their places, and all else byte by byte."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lists import EXAMPLES

from daedalus.actions.actions import Actions
from daedalus.base.errors import DayError
from daedalus.config.schema import EmbeddingColumn, Embeddings
from daedalus.enrich import assembly, vectors_file
from daedalus.enrich.assembly import Enriched, Entry
from daedalus.enrich.means_file import Means, write_means
from daedalus.enrich.steps import enriched
from daedalus.enrich.vectors_file import NO_VECTOR, write_vectors
from daedalus.output import cut_partition
from daedalus.output.cut_partition import ParquetSink
from daedalus.parquet import writer
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.footer import ParquetFooter
from daedalus.tables import plain_columns

ROWS, GROUP = 22, 4
LENGTH = 3
IMAGE, MEAN = Entry("image", "artwork_id", "runtime.yaml: image"), Entry("mean", None, "runtime.yaml: mean")


def vectors_of(path, known):
    """Writes vectors by id: None for none, and of other lengths or with a None for those that are not usable."""
    ids = sorted(known)
    lengths = [
        NO_VECTOR if known[i] is None else -1 - len(known[i]) if None in known[i] else len(known[i]) for i in ids
    ]
    usable = [known[some] for some, size in zip(ids, lengths, strict=True) if size == LENGTH]
    blocks = [np.array(usable, np.float64)] if usable else []
    write_vectors(path, np.array(ids, np.int64), np.array(lengths, np.int64), "float64", blocks)
    return path


def skeleton(folder, artworks, kept, chunk_rows):
    """Writes a partition of the rows `kept` of the sessions; returns its parts and `content`."""
    at = [dt.datetime(2026, 5, 1) + dt.timedelta(minutes=i) for i in range(len(artworks))]
    made = {
        "sessions": {"artwork_id": pa.array(artworks, pa.int64()), "event_timestamp": pa.array(at, pa.timestamp("us"))},
        "content": {"daeda:row": pa.array(kept, pa.int64())},
        "attributes": {"mean": pa.nulls(len(artworks), pa.list_(pa.float32())),
                       "of": pa.array([[i] * (i % 3) for i in range(len(artworks))], pa.list_(pa.int64()))},
        "qids": {"qid": pa.array([100 + i for i in kept], pa.int64())},
    }  # fmt: skip
    for name, columns in made.items():
        table = pa.table(columns)
        write_parquet(folder / name, table.schema, [table])
    columns = (("artwork_id", "sessions"), ("mean", "attributes"), ("event_timestamp", "sessions"),
               ("of", "attributes"), ("qid", "qids"))  # fmt: skip
    ParquetSink(columns, chunk_rows).write(folder / "chunk", {name: folder / name for name in made})
    return sorted((folder / "chunk").iterdir(), key=lambda part: int(part.name.split("-")[1])), folder / "content"


def means_of(path, means, unusable=()):
    """Writes the means by row, in row groups of the sessions; `unusable` are ids by row."""

    def groups():
        for begin in range(0, len(means), GROUP):
            rows = range(begin, min(begin + GROUP, len(means)))
            values = [means[row] for row in rows if means[row] is not None]
            index = np.cumsum([means[row] is not None for row in rows], dtype=np.int32) - 1
            index[[means[row] is None for row in rows]] = -1
            ids = pa.array([dict(unusable).get(row) for row in rows], pa.int64())
            yield Means(index, np.array(values, np.float32).reshape(len(values), LENGTH), ids)

    write_means(path, groups(), LENGTH)
    return path


def written(folder, artworks, vectors, means, kept, *, chunk_rows=100, unusable=(), dtype="float32"):
    """The parts of the skeleton, and those of the enriched partition."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (writer, cut_partition, plain_columns, assembly):
            patch.setattr(module, "ROWS_PER_GROUP", GROUP)
        patch.setattr(vectors_file, "_GROUP_ROWS", GROUP)
        parts, content = skeleton(folder, artworks, kept, chunk_rows)
        artifacts = dict.fromkeys(("image", "mean"), vectors_of(folder / "vectors", vectors))
        means = {"mean": means_of(folder / "means", means, unusable)}
        rows = Enriched((IMAGE, MEAN), dtype).write(folder / "out", parts, artifacts, means, content)
    assert rows == len(kept)
    return parts, [folder / "out" / part.name for part in parts]


def numbers(count):
    return st.lists(st.one_of(st.none(), st.integers(-8, 8)), min_size=count, max_size=count)


@given(data=st.data(), chunk_rows=st.sampled_from([1, 3, 4, 9, 100]), dtype=st.sampled_from(["float32", "float16"]))
@settings(max_examples=EXAMPLES, deadline=None)
def test_values_are_those_of_each_row(tmp_path_factory, data, chunk_rows, dtype):
    folder = tmp_path_factory.mktemp("partition")
    count = data.draw(st.integers(1, ROWS))
    artworks = data.draw(numbers(count))
    means = [None if some is None else [some / 4] * LENGTH for some in data.draw(numbers(count))]
    ids = data.draw(st.sets(st.integers(-8, 8)))
    vectors = {some: None if some % 5 == 0 else [some, some / 2, -0.0] for some in ids}
    kept = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    parts, enriched = written(folder, artworks, vectors, means, kept, chunk_rows=chunk_rows, dtype=dtype)
    images = [vectors.get(artworks[row]) for row in kept]
    expected = {"image": [some and [*map(float, some)] for some in images], "mean": [means[row] for row in kept]}
    begin = 0
    for part, made in zip(parts, enriched, strict=True):
        plain = pq.read_table(part).to_pydict()
        rows = len(plain["qid"])
        plain |= {name: values[begin : begin + rows] for name, values in expected.items()}
        for found in (pq.read_table(made), duckdb.read_parquet(str(made)).to_arrow_table(), pl.read_parquet(made)):
            found = found.to_dict(as_series=False) if isinstance(found, pl.DataFrame) else found.to_pydict()
            assert list(found) == ["artwork_id", "mean", "event_timestamp", "of", "image", "qid"]
            assert {name: repr(values) for name, values in found.items()} == {name: repr(plain[name]) for name in found}
        begin += rows
    assert begin == len(kept)


def test_all_but_the_vectors_is_copied_in_the_same_row_groups(tmp_path):
    artworks, means = [*range(ROWS)], [[1, 2, 3]] * ROWS
    vectors = {some: [some, 0, 1] for some in artworks}
    parts, enriched = written(tmp_path, artworks, vectors, means, [*range(0, ROWS, 2)], chunk_rows=7)
    assert [part.name for part in parts] == ["part-0-0.parquet", "part-1-0.parquet"]
    for part, made in zip(parts, enriched, strict=True):
        with part.open("rb") as one, made.open("rb") as other:
            before, after = ParquetFooter(one), ParquetFooter(other)
            assert after.group_rows == before.group_rows
            for name in set(before.columns) - {"mean"}:
                assert before.columns[name].elements == after.columns[name].elements
                for group in range(len(before.group_rows)):
                    chunks = before.chunks(group, name), after.chunks(group, name)
                    assert chunks[0] == chunks[1]
        kind = pq.ParquetFile(made).schema_arrow.field("image").type
        assert kind == pa.list_(pa.float32()) and kind.value_field.name == "element"


def test_a_partition_without_rows_has_the_columns(tmp_path):
    _, (made,) = written(tmp_path, [1, 2], {}, [None, [1, 2, 3]], [])
    assert pq.read_table(made).num_rows == 0
    assert pq.read_schema(made).names == ["artwork_id", "mean", "event_timestamp", "of", "image", "qid"]


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ([1, 2], "2 components of id 7, and 3 of id 3"),
        ([], "0 components of id 7, and 3 of id 3"),
        ([1, None, 3], "a NULL among the 3 components of id 7"),
    ],
)
def test_a_row_that_ships_with_a_vector_unlike_the_others_fails_the_day(tmp_path, bad, found):
    artworks, vectors = [3, 3, 7, 3], {1: None, 3: [1, 2, 3], 5: [1, 2, 3], 7: bad}
    with pytest.raises(DayError) as raised:
        written(tmp_path, artworks, vectors, [None] * 4, [1, 2])
    assert raised.value.found == found and raised.value.where == IMAGE.where
    (tmp_path / "means only").mkdir()
    with pytest.raises(DayError) as raised:
        written(tmp_path / "means only", [3] * 4, vectors, [None] * 4, [1, 2], unusable={2: 7})
    assert raised.value.found == found and raised.value.where == MEAN.where
    (tmp_path / "others").mkdir()
    written(tmp_path / "others", artworks, vectors, [None] * 4, [0, 1, 3], unusable={2: 7})


def a_graph(entries, chunk="chunk@2026-05-01"):
    """Actions of a context with these entries, whose skeleton has an action `chunk`."""
    asked = {step: lambda make, *subject, step=step: f"{step}:{'@'.join(map(str, subject))}"
             for step in ("vectors", "means", "content")}  # fmt: skip
    columns = {name: EmbeddingColumn(**source) for name, source in entries.items()}
    runtime = SimpleNamespace(embeddings=Embeddings(columns=columns, dtype="float16"))
    catalog, where = SimpleNamespace(feed=SimpleNamespace(extra_columns=[])), lambda file, key: f"{file}: {key}"
    config = SimpleNamespace(runtime=runtime, catalog=catalog, feed_types={}, where=where)
    context = SimpleNamespace(config=config, publishing=SimpleNamespace(enriched="shelf"))
    steps = {"chunk": lambda make, day: chunk, "enriched": enriched.build, **asked}
    return Actions(steps, context, "store", None, None, None)


DAY = dt.date(2026, 5, 1)


def test_the_step_reads_vectors_and_means_and_for_these_what_ships():
    make = a_graph({"image": {"of": "artwork_id"}, "mean": {"mean_of": "likes", "max_items": 5}})
    action = make.actions[make.need("enriched", DAY)]
    assert (action.name, action.shelf, action.day) == ("enriched@2026-05-01", "shelf", "2026-05-01")
    assert action.upstream == (
        "chunk@2026-05-01", "vectors:image@2026-05-01", "means:mean@2026-05-01", "content:2026-05-01"
    )  # fmt: skip
    assert action.beside == ("vectors:mean@2026-05-01",) and action.replaced == ("chunk@2026-05-01",)
    assert action.ingredients["config:embeddings.columns"] == '[["image","of","artwork_id"],["mean","mean_of","likes"]]'
    assert action.ingredients["config:embeddings.dtype"] == '"float16"'
    make = a_graph({"image": {"of": "artwork_id"}})
    assert "content:2026-05-01" not in make.actions[make.need("enriched", DAY)].upstream


def test_a_day_without_a_skeleton_or_without_rows_has_none(tmp_path):
    make = a_graph({"image": {"of": "artwork_id"}}, chunk=None)
    assert make.need("enriched", DAY) is None
    make = a_graph({"image": {"of": "artwork_id"}})
    action = make.actions[make.need("enriched", DAY)]
    paths = dict.fromkeys(action.upstream, tmp_path / "dt=2026-05-01")
    assert action.run(paths, tmp_path / "out") == {"written": 0, "empty": 1}
    assert not (tmp_path / "out").exists()
