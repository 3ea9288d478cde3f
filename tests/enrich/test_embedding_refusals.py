"""Bad embeddings: exit 2 before any work, one message that says where; a vector that cannot be used fails its days."""

from __future__ import annotations

import shutil

import pytest
from enrich_tiny import AGGREGATIONS, DAYS, LIKED, RANGE, TinyWorld, tiny_world
from enrich_worlds import Pool, vector_type
from small import edit

from daedalus.cli.main import main


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The world without a run, never edited."""
    return tiny_world(tmp_path_factory.mktemp("written")).root


@pytest.fixture
def world(written, tmp_path, monkeypatch):
    root = tmp_path / "world"
    shutil.copytree(written, root)
    monkeypatch.chdir(root)
    return TinyWorld(root)


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def embeddings(**values):
    return lambda world: world.embeddings(**values)


def entry(**values):
    return lambda world: world.entries(new=values)


def runtime(**values):
    return lambda world: edit(world.runtime, **values)


def column_of(kind, rows):
    """The pool with another column beside its vectors, which is named as theirs."""

    def change(world):
        import lance
        import pyarrow as pa

        table = pa.table({"artwork_id": pa.array(range(1, rows + 1), pa.int64()), "vector": pa.nulls(rows, kind)})
        lance.write_dataset(table, str(world.pool.path), mode="overwrite")

    return change


def types():
    import pyarrow as pa

    return {"whole numbers": pa.list_(pa.int32()), "no list": pa.float32(), "text": pa.string(),
            "lists of lists": pa.list_(pa.list_(pa.float32()))}  # fmt: skip


AT = "embeddings.columns.new"
TOP = {"name": "most", "events": ["like"], "column": "artwork_id", "agg": "top", "windows": ["1d"]}
CASES = {
    "no vector column": (embeddings(vector_column="vectors"), ["embeddings.vector_column", "vectors", "vector"]),
    **{f"a vector column of {name}": (column_of(kind, 3), ["embeddings.vector_column", "vector", "list"]) for name, kind in types().items()},
    "an id column for vectors": (embeddings(vector_column="artwork_id"), ["embeddings.vector_column", "artwork_id", "int64"]),
    "a missing pool": (runtime(embedding_coverage_filter__table="arts"), ["embedding_coverage_filter", "arts.lance"]),
    "no uri": (runtime(embedding_coverage_filter={"enabled": False}), ["embedding_coverage_filter.uri", "without a pool"]),
    "no columns": (embeddings(columns={}), ["embeddings.columns", "incomplete"]),
    "neither of nor mean_of": (entry(max_items=3), [AT, "neither", "of or mean_of"]),
    "both of and mean_of": (entry(of="artwork_id", mean_of="likes_1d"), [AT, "both", "of or mean_of"]),
    "max_items with of": (entry(of="artwork_id", max_items=3), [f"{AT}.max_items", "mean_of"]),
    "no items": (entry(mean_of="likes_1d", max_items=0), [f"{AT}.max_items", "at least 1"]),
    "fewer items than none": (entry(mean_of="likes_1d", max_items=-1), [f"{AT}.max_items", "at least 1"]),
    "more items than can be counted": (entry(mean_of="likes_1d", max_items=2**63), [f"{AT}.max_items", "at most"]),
    "items that are no number": (entry(mean_of="likes_1d", max_items="3"), [f"{AT}.max_items", "found:    3 (str)", "int"]),
    "items that are a choice": (entry(mean_of="likes_1d", max_items=True), [f"{AT}.max_items", "bool", "int"]),
    "a list for a column": (entry(of=["artwork_id"]), [f"{AT}.of", "array", "str"]),
    "an entry that is no mapping": (lambda world: world.embeddings(columns={"new": "artwork_id"}), [AT, "str", "object"]),
    "an unknown key of an entry": (entry(mean_off="likes_1d"), [f"{AT}.mean_off", "did you mean 'mean_of'?"]),
    "an unknown key": (embeddings(dtyp="float16"), ["embeddings.dtyp", "dtype"]),
    "a dtype that there is not": (embeddings(dtype="float64"), ["embeddings.dtype", "float64", "'float32' or 'float16'"]),
    "an entry for an aggregation": (lambda world: world.entries(likes_1d={"of": "artwork_id"}), ["embeddings.columns.likes_1d", "produced", "aggregation likes"]),
    "an entry for a column of the feed": (lambda world: world.entries(event={"of": "artwork_id"}), ["embeddings.columns.event", "produced"]),
    "an entry for a feature that is not in the output": (lambda world: world.entries(score={"of": "artwork_id"}), ["embeddings.columns.score", "feature art"]),
    "an entry for the qids": (lambda world: world.entries(qid={"of": "artwork_id"}), ["embeddings.columns.qid", "qid"]),
    "an entry in other letters": (lambda world: world.entries(image=None, Image={"of": "artwork_id"}), ["embeddings.columns.Image", "case"]),
    "two entries in other letters": (lambda world: world.entries(IMAGE={"of": "artwork_id"}), ["embeddings.columns", "twice"]),
    "a column that is not in the output": (entry(of="recent_author"), [f"{AT}.of", "recent_author", "output_columns"]),
    "a feature that is not in the output": (entry(of="score"), [f"{AT}.of", "score", "output_columns"]),
    "the column of events": (entry(of="event"), [f"{AT}.of", "event", "ids"]),
    "an age": (entry(of="age"), [f"{AT}.of", "age", "ids"]),
    "a placeholder": (entry(of="image"), [f"{AT}.of", "image", "ids"]),
    "a list under of": (entry(of="likes_1d"), [f"{AT}.of", "likes_1d", "ids"]),
    "a feature of text": (entry(of="title"), [f"{AT}.of", "title: VARCHAR", "BIGINT"]),
    "a list of text": (entry(mean_of="titles_1d"), [f"{AT}.mean_of", "titles_1d, of title: VARCHAR", "BIGINT"]),
    "a list of the members of lists of text": (entry(mean_of="names_1d"), [f"{AT}.mean_of", "names_1d, of names: VARCHAR[]", "BIGINT"]),
    "a count": (entry(mean_of="cnt_1d"), [f"{AT}.mean_of", "cnt_1d", "list"]),
    "a list by frequency": (lambda world: (edit(world.aggregations, aggregations=[*AGGREGATIONS, TOP]), world.entries(new={"mean_of": "most_1d"})), [f"{AT}.mean_of", "most_1d, which is in order of frequency", "list, distinct"]),
    "a list that nobody makes": (entry(mean_of="likes_7d"), [f"{AT}.mean_of", "likes_7d", "likes_1d"]),
    "an aggregation without its window": (entry(mean_of="likes"), [f"{AT}.mean_of", "likes_1d"]),
    "a column under mean_of": (entry(mean_of="artwork_id"), [f"{AT}.mean_of", "artwork_id", "list"]),
    "one root for both": (embeddings(output_root="data/skeleton"), ["embeddings.output_root", "output_root"]),
    "a root in the other": (embeddings(output_root="data/skeleton/dt=2026-02-01"), ["output_root"]),
    "the feed for a root": (embeddings(output_root="data/feed"), ["embeddings.output_root", "feed.path"]),
    "the pool for a root": (embeddings(output_root="data/pool/art.lance"), ["embeddings.output_root", "embedding_coverage_filter.uri"]),
    "an empty root": (embeddings(output_root=""), ["embeddings.output_root"]),
    "no embeddings": (runtime(embeddings=None), ["embeddings", "--skeleton-only"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused(world, capsys, case):
    change, named = CASES[case]
    change(world)
    both = (["enrich"], ["pipeline", "train", "ranker"])
    for arguments in both if case in ("no embeddings", "a feature of text") else both[:1]:
        assert command(*arguments, "--range", RANGE, "--progress", "none") == 2
        out, err = capsys.readouterr()
        assert out == ""
        lines = [line for line in err.splitlines() if not line.startswith("note: ")]
        assert lines[0].startswith("error: ") and "Traceback" not in err
        for name in ("runtime.yaml", *named):
            assert name in err, err
        assert not world.output.exists() and not world.enriched.exists()


def test_one_root_is_not_given_to_two_stages(world, capsys):
    assert command("pipeline", "train", "ranker", "--range", RANGE, "--output-root", "data/mine") == 2
    _, err = capsys.readouterr()
    assert "--output-root" in err and "embeddings.output_root" in err and "--skeleton-only" in err
    assert not (world.root / "data/mine").exists()
    assert command("enrich", "--range", RANGE, "--output-root", "data/skeleton") == 2
    assert "--output-root" in capsys.readouterr().err and not world.output.exists()


def test_what_the_skeleton_does_not_read_does_not_refuse_it(world):
    """Text under `of` is a matter of the enrich stage."""
    world.entries(new={"of": "title"})
    assert command("skeleton", "--range", RANGE, "--plan") == 0


UNUSABLE = {
    "another length": (
        "double",
        [1.0, 2.0],
        "vectors of unequal length",
        "2 components of id 60, and 3 of id ",
    ),
    "no component at all": ("float", [], "vectors of unequal length", "0 components of id 60, and 3 of id "),
    "a NULL component": ("float", [1.0, None, 2.0], "a vector with a NULL component", "3 components of id 60"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_vector_that_cannot_be_used_fails_the_days_that_use_it(world, case):
    kind, vector, *named = UNUSABLE[case]
    rows = [row for row in world.pool.rows() if row[0] != LIKED]
    world.pool = Pool(world.pool.path.with_name("odd.lance"), vector_type(kind, 3, fixed=False))
    world.pool.append(rows)
    world.pool.append([(LIKED, vector)])
    edit(world.runtime, embedding_coverage_filter__table="odd")
    report = world.run()
    assert [(failure.day, failure.step) for failure in report.failures] == [(str(day), "enriched") for day in DAYS[1:]]
    for failure, column in zip(report.failures, ("image", "like_mean"), strict=True):
        assert all(text in failure.error for text in (f"embeddings.columns.{column}", *named)), failure.error
    assert report.stages["skeleton"].days["done"] == 3 and report.stages["enrich"].days["done"] == 1
    assert report.exit_code == 1
    assert [path.name for path in sorted(world.enriched.glob("dt=*"))] == [f"dt={DAYS[0]}"]
    world.pool.delete([LIKED])
    assert not world.run().failures


def test_columns_of_unequal_length_fail_their_day(world):
    """A day's vectors are alike, in whatever column they are used."""
    world.pool = Pool(world.pool.path.with_name("odd.lance"), vector_type("float", 3, fixed=False))
    world.pool.append([(key, [0.5] * (2 if key < 6 else 3)) for key in [*range(1, 13), 50]])
    world.entries(**dict.fromkeys(("image", "like_mean", "author_mean")), a={"of": "artwork_id"}, u={"of": "user_id"})
    edit(
        world.runtime,
        embedding_coverage_filter__table="odd",
        content_filter={"drop": {"artwork_id": list(range(1, 6))}},
    )
    report = world.run(str(DAYS[0]))
    assert [failure.step for failure in report.failures] == ["enriched"]
    assert "columns.u" in report.failures[0].error and "2 components of id" in report.failures[0].error
    assert ", and 3 of id" in report.failures[0].error


def test_a_list_that_only_a_mean_reads_is_not_called_unused(world, capsys):
    assert command("config", "check") == 0
    noted = next(line for line in capsys.readouterr().err.splitlines() if "so nothing computes it" in line)
    assert "titles" in noted and "authors" not in noted
