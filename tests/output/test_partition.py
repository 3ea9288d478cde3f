"""Partitions out of artifacts that have more rows than ship, and out of the partition that lies there."""

from __future__ import annotations

import datetime as dt
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lists_file import write_lists
from small import DAYS, edit
from test_incremental import check_against_reference, outputs
from test_lists import EXAMPLES, as_lists, read, tables

from daedalus.base import digest
from daedalus.output import cut_partition as partition
from daedalus.output.cut_partition import ParquetSink, Wanted, cut, row_groups
from daedalus.output.earlier_partition import EarlierPartition
from daedalus.parquet import writer as parquet
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.list_writer import Lists, numbered
from daedalus.tables import plain_columns
from daedalus.windows.windows_file import write_windows


def four_rows_a_group(patch):
    for module in (parquet, partition, plain_columns):
        patch.setattr(module, "ROWS_PER_GROUP", 4)


def in_groups_of_four(count):
    return [min(4, count - at) for at in range(0, count, 4)]


def as_one(groups):
    """(distinct values, rows) of several groups, with codes that fit them."""
    values = {repr(value): value for known, _ in groups for value in known}
    places = {text: place for place, text in enumerate(values)}
    rows = [([places[repr(known[code])] for code in codes], sizes) for known, rows in groups for codes, sizes in rows]
    return list(values.values()), rows


def in_fours(kind, known, rows):
    return [as_lists(kind, known, rows[at : at + 4]) for at in range(0, len(rows), 4)]


@given(table=tables(), kept=st.sets(st.integers(0, 59)))
@settings(max_examples=EXAMPLES, deadline=None)
def test_windows_that_are_cut_are_lists_of_those_rows(tmp_path_factory, table, kept):
    schema, groups = table
    kind, folder = schema.field(0).type.value_type, tmp_path_factory.mktemp("windows")
    known, rows = as_one(groups)
    ships = [place for place in sorted(kept) if place < len(rows)]
    with pytest.MonkeyPatch.context() as patch:
        four_rows_a_group(patch)
        assert write_windows(folder / "all", schema, in_fours(kind, known, rows)) == len(rows)
        found = row_groups(np.array(ships, np.int64), in_groups_of_four(len(rows)))
        cut([Wanted(folder / "all", schema.names)], found, folder / "cut")
    expected = {
        name: [[known[code] for code in rows[place][0][: rows[place][1][column]]] for place in ships]
        for column, name in enumerate(schema.names)
    }
    for reader, found in read(folder / "cut"):
        assert repr(found) == repr(expected), reader  # 0.0 and -0.0 are two values


@given(table=tables(), kept=st.sets(st.integers(0, 59).filter(lambda place: place % 4 < 2)))
@settings(max_examples=EXAMPLES, deadline=None)
def test_where_half_of_a_row_group_ships_or_less_it_is_as_if_only_those_rows_were_listed(tmp_path_factory, table, kept):
    schema, groups = table
    kind, folder = schema.field(0).type.value_type, tmp_path_factory.mktemp("windows")
    known, rows = as_one(groups)
    rows = rows[: len(rows) // 4 * 4]
    ships = [place for place in sorted(kept) if place < len(rows)]
    with pytest.MonkeyPatch.context() as patch:
        four_rows_a_group(patch)
        write_windows(folder / "all", schema, in_fours(kind, known, rows))
        found = row_groups(np.array(ships, np.int64), in_groups_of_four(len(rows)))
        cut([Wanted(folder / "all", schema.names)], found, folder / "cut")
        listed = ([rows[4 * of + place] for of, places in pieces for place in places] for pieces in found)
        write_lists(folder / "some", schema, (numbered([as_lists(kind, known, four)]) for four in listed))
    assert (folder / "cut").read_bytes() == (folder / "some").read_bytes()


@pytest.mark.parametrize("count", [1 << 16, (1 << 16) + 1])
def test_more_values_than_16_bits_tell_apart_are_cut(tmp_path, count):
    schema = pa.schema([(name, pa.list_(pa.field("element", pa.int64()))) for name in "ab"])
    sizes = np.array([[1, count - 1], [0, 1], [0, 0]])
    lists = Lists(np.arange(count, dtype=np.int32), np.array([0, count - 1, 0]), sizes, pa.array(range(count)))
    write_windows(tmp_path / "all", schema, [lists])
    for kept, expected in (([0, 1], [list(range(count - 1)), [count - 1]]), ([1], [[count - 1]])):
        cut([Wanted(tmp_path / "all", schema.names)], row_groups(np.array(kept), [3]), tmp_path / "cut")
        for reader, found in read(tmp_path / "cut"):
            assert found["b"] == expected, reader


@given(group_rows=st.lists(st.integers(1, 4), max_size=20), data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_row_groups_are_filled_by_whole_row_groups(group_rows, data):
    total = sum(group_rows)
    kept = sorted(data.draw(st.sets(st.integers(0, total - 1)))) if total else []
    with pytest.MonkeyPatch.context() as patch:
        four_rows_a_group(patch)
        groups = row_groups(np.array(kept, np.int64), group_rows)
    places = [sum(group_rows[:of]) + place for pieces in groups for of, rows in pieces for place in rows.tolist()]
    assert places == kept
    sizes = [sum(len(rows) for _, rows in pieces) for pieces in groups]
    assert all(0 < size <= 4 for size in sizes)
    assert all(size + len(after[0][1]) > 4 for size, after in zip(sizes, groups[1:], strict=False))


def kinds(places):
    """Few enough that they are kept as numbers."""
    return [None if i % 5 == 4 else f"k{i // 4 + i % 2}" for i in places]


def artifacts(folder, kept, count=11):
    """Sessions of `count` rows of which `kept` ship, attributes, and qids."""
    at = [dt.datetime(2026, 5, 1) + dt.timedelta(hours=i) for i in range(count)]
    made = {
        "sessions": {"event_timestamp": pa.array(at)},
        "content": {"daeda:row": pa.array(kept, pa.int64())},
        "attributes": {"kind": kinds(range(count)), "of": [[i] * (i % 3) for i in range(count)]},
        "qids": {"qid": pa.array([100 + i for i in kept], pa.int64())},
    }  # fmt: skip
    for name, columns in made.items():
        table = pa.table(columns)
        write_parquet(folder / name, table.schema, [table])
    columns = [("kind", "attributes"), ("event_timestamp", "sessions"), ("of", "attributes"), ("qid", "qids")]
    return columns, {name: folder / name for name in made}


@pytest.mark.parametrize("kept", [[], [0], [10], [0, 3, 4, 8, 9, 10], list(range(11))])
def test_a_partition_has_the_rows_that_ship(tmp_path, monkeypatch, kept):
    four_rows_a_group(monkeypatch)
    columns, files = artifacts(tmp_path, kept)
    assert ParquetSink(tuple(columns), 1000).write(tmp_path / "out", files) == len(kept)
    for reader, found in read(tmp_path / "out/part-0-0.parquet"):
        assert list(found) == ["kind", "event_timestamp", "of", "qid"], reader
        assert found["kind"] == kinds(kept) and found["of"] == [[i] * (i % 3) for i in kept], reader
        assert [t.hour for t in found["event_timestamp"]] == kept and found["qid"] == [100 + i for i in kept], reader
    assert pq.read_schema(tmp_path / "out/part-0-0.parquet").field("kind").type == pa.string()
    assert "RLE_DICTIONARY" in pq.read_metadata(files["attributes"]).row_group(0).column(0).encodings
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["out"]  # no cuts are left


@given(texts=st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=12), data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_statistics_are_those_of_the_rows_that_ship(tmp_path_factory, texts, data):
    """A reader answers min and max from them; a value that the filter drops must not be there."""
    kept = sorted(data.draw(st.sets(st.integers(0, len(texts) - 1))))
    table, folder = pa.table({"text": pa.array(texts, pa.string())}), tmp_path_factory.mktemp("statistics")
    with pytest.MonkeyPatch.context() as patch:
        for module in (parquet, plain_columns):
            patch.setattr(module, "mostly_distinct", lambda table, column: False)
        four_rows_a_group(patch)
        write_parquet(folder / "all", table.schema, [table])
        groups = row_groups(np.array(kept, np.int64), in_groups_of_four(len(texts)))
        cut([Wanted(folder / "all", ["text"])], groups, folder / "cut")
    with pq.ParquetFile(folder / "cut") as file:
        for group in range(file.num_row_groups):
            found = file.metadata.row_group(group).column(0).statistics
            there = file.read_row_group(group)["text"].to_pylist()
            known = [text for text in there if text is not None]
            assert found.null_count == len(there) - len(known)
            assert (found.min, found.max) == ((min(known), max(known)) if known else (None, None))
        assert file.read()["text"].to_pylist() == [texts[place] for place in kept]


MANIFEST = {
    "code:ParquetSink": "c", "engine:pyarrow": "26",
    "config:output_columns": '[["kind","attributes"],["qid","qids"]]',
    "upstream:sessions@d": "s", "upstream:content@d": "f", "upstream:attributes@d": "a", "upstream:qids@d": "q",
}  # fmt: skip
NAMES = {source: f"{source}@d" for source in ("sessions", "content", "attributes", "qids")}


@pytest.mark.parametrize(
    ("change", "columns", "taken"),
    [
        ({}, ["kind"], {"attributes", "qids"}),
        ({"upstream:attributes@d": "b"}, ["kind"], {"qids"}),
        ({"upstream:content@d": "g"}, ["kind"], set()),
        ({"upstream:sessions@d": "t"}, ["kind"], set()),
        ({"code:ParquetSink": "d"}, ["kind"], set()),
        ({"engine:pyarrow": "27"}, ["kind"], set()),
        ({}, ["kind", "width"], {"qids"}),  # a column that the partition lacks
    ],
)
def test_only_what_would_come_out_the_same_is_taken_over(change, columns, taken):
    now = {**MANIFEST, **change}
    wanted = [*((column, "attributes") for column in columns), ("qid", "qids")]
    found = EarlierPartition(MANIFEST, "", {}).sources(wanted, now, NAMES)
    assert found & {"attributes", "qids"} == taken


def test_a_partition_that_is_not_what_was_made_is_not_taken_from(tmp_path):
    part = tmp_path / "part-0-0.parquet"
    part.write_bytes(b"whole")
    made = digest.of_json({part.name: digest.of_file(part)})
    assert EarlierPartition({}, made, {part.name: part}).copied(tmp_path / "a")
    assert not EarlierPartition({}, made, {part.name: part, "part-1-0.parquet": part}).copied(tmp_path / "b")
    part.unlink()
    assert not EarlierPartition({}, made, {part.name: part}).copied(tmp_path / "c")
    part.mkdir()
    assert not EarlierPartition({}, made, {part.name: part}).copied(tmp_path / "e")
    part.rmdir()
    part.write_bytes(b"wHole")
    assert not EarlierPartition({}, made, {part.name: part}).copied(tmp_path / "d")


def cut_sources(monkeypatch):
    """The artifacts' columns that are cut from now on."""
    found = []

    def noted(wanted, groups, *rest):
        found.extend(tuple(artifact.names) for artifact in wanted)
        cut(wanted, groups, *rest)

    monkeypatch.setattr(partition, "cut", noted)
    return found


def test_an_added_aggregation_cuts_its_own_columns_alone(warm, monkeypatch, tmp_path):
    found = cut_sources(monkeypatch)
    spec = {"name": "share_cnts", "events": ["like"], "column": "artwork_id", "agg": "count", "windows": ["1d"]}
    warm.edit_aggregations(lambda specs: specs.append(spec))
    edit(warm.runtime, output_columns=[*outputs(warm), "share_cnts_1d"])
    warm.run()
    assert set(found) == {("share_cnts_1d",)}
    check_against_reference(warm)
    incremental = {path: path.read_bytes() for path in warm.output.glob("dt=*/*.parquet")}
    shutil.rmtree("cache")
    for day in warm.output.glob("dt=*"):
        shutil.rmtree(day)
    warm.run()
    assert len(found) > 5 * len(DAYS)
    assert {path: path.read_bytes() for path in warm.output.glob("dt=*/*.parquet")} == incremental


def test_a_partition_somebody_altered_is_cut_whole(warm, monkeypatch):
    part = next(warm.output.glob(f"dt={DAYS[3]}/*.parquet"))
    before = part.read_bytes()
    part.write_bytes(before[:50] + bytes([before[50] ^ 1]) + before[51:])
    found = cut_sources(monkeypatch)
    warm.run()
    assert len(found) > 5 and part.read_bytes() == before


def test_a_forced_run_takes_nothing_from_partitions(warm, monkeypatch):
    found = cut_sources(monkeypatch)
    warm.run(force=True)
    assert len(found) > 5 * len(DAYS)
