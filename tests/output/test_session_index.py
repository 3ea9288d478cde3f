"""The index of sessions against a dictionary, however it was made, kept and lost; and never one of another map."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daedalus.base import digest
from daedalus.output.numbers import session_index
from daedalus.output.numbers.compiled_lookup import hashes
from daedalus.output.numbers.session_index import SessionIndex
from daedalus.stagecache.records.artifact_store import Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.traces import Traces

# Of the reference implementation of SipHash-2-4-128: the key is 00 01 … 0f, the text the first so many bytes of it.
VECTORS = {
    0: "a3817f04ba25a8e66df67214c7550293",
    1: "da87c1d86b99af44347659119b22fc45",
    7: "a1f1ebbed8dbc153c0b84aa61ff08239",
    8: "3b62a9ba6258f5610f83e264f31497b4",
    15: "5493e99933b0a8117e08ec0f97cfc3d9",
    16: "6ee2a4ca67b054bbfd3315bf85230577",
}


@pytest.fixture
def place(tmp_path):
    """Makes an index as a new process does; `small` sizes, so that files and merges come soon."""
    digests = FileDigests(Traces(tmp_path / "traces.db"))
    scratch = Scratch(tmp_path / "tmp")
    return lambda: SessionIndex(tmp_path / "qids", scratch, digests)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(session_index, "_IN_MEMORY", 100)
    monkeypatch.setattr(session_index, "_FEW", 1)


def _not_read() -> Path:
    raise AssertionError("it was read")


class Map:
    """A map in files, which grows; and the dictionary that it is."""

    def __init__(self, folder) -> None:
        self.folder, self.numbers, self.states = folder, {}, []

    def put(self, names) -> None:
        rows = {name: len(self.numbers) + at for at, name in enumerate(names)}
        self.numbers |= rows
        path = self.folder / f"{len(self.states)}.parquet"
        pq.write_table(pa.table({"feed_session": [*rows], "qid": [*rows.values()]}), path, row_group_size=30)
        before = self.states[-1][0] if self.states else ""
        self.states.append((digest.of_text(before + path.name), partial(Path, path)))

    def agrees(self, index: SessionIndex, strangers: int = 50) -> None:
        wanted = [*self.numbers, *(f"stranger {at}" for at in range(strangers))]
        random.Random(1).shuffle(wanted)
        found = index.known(pa.array(wanted, pa.string()))
        rows = dict(zip(found["feed_session"].to_pylist(), found["qid"].to_pylist(), strict=True))
        last = rows.pop(None, -1)
        assert rows == self.numbers and last == len(rows) - 1 == index.next - 1 and index.rows == len(rows)


def named(count: int, seed: int) -> list[str]:
    """Distinct names of all lengths, with bytes of every kind."""
    chance = random.Random(seed)
    return [f"{seed}.{at}" + chance.choice("aé☃𝄞") * chance.randrange(20) for at in range(count)]


@pytest.mark.parametrize("length", VECTORS)
def test_the_hash_is_siphash_of_128_bits(length):
    found = np.empty((1, 2), np.uint64)
    key, text = np.arange(16, dtype=np.uint8), np.arange(length, dtype=np.uint8)
    hashes(np.array([0, length]), text, *key.view("<u8"), found)
    assert found.astype("<u8").tobytes().hex() == VECTORS[length]


def test_it_knows_what_a_dictionary_knows(place, small, tmp_path):
    """Through merges in memory and in files, and in a new process after each."""
    whole, index = Map(tmp_path), place()
    whole.agrees(index)
    for seed, count in enumerate([1, 7, 0, 250, 99, 100, 101, 3, 600, 40, 40, 40]):
        whole.put(named(count, seed))
        index.bring_to(whole.states)
        whole.agrees(index)
        fresh = place()
        fresh.bring_to(whole.states)
        whole.agrees(fresh)
    files = json.loads((tmp_path / "qids/index.json").read_text())["files"]
    assert {one["name"] for one in files} == {path.name for path in tmp_path.glob("qids/*.entries")}
    assert len(files) < 6


def test_what_was_put_in_elsewhere_is_taken_up_without_a_scan(place, small, tmp_path, monkeypatch):
    whole, index = Map(tmp_path), place()
    whole.put(named(500, 0))
    index.bring_to(whole.states)
    whole.put(named(60, 1))
    other, read = place(), []
    rows_of = session_index._rows_of
    monkeypatch.setattr(session_index, "_rows_of", lambda path: read.append(path.name) or rows_of(path))
    other.bring_to(whole.states)
    whole.agrees(other)
    assert read == ["1.parquet"]
    other.also("written as one")
    third = place()
    third.bring_to([("written as one", _not_read)])
    whole.agrees(third)
    index.bring_to([("written as one", _not_read)])  # which has it from the one that wrote it
    whole.agrees(index)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "no record", "half a record", "another form"])
def test_a_damaged_index_is_made_anew(place, small, tmp_path, damage):
    whole, index = Map(tmp_path), place()
    whole.put(named(500, 0))
    index.bring_to(whole.states)
    file, record = (
        max(tmp_path.glob("qids/*.entries"), key=lambda path: path.stat().st_size),
        tmp_path / "qids/index.json",
    )
    data, said = file.read_bytes(), record.read_text()
    if damage == "flipped":
        file.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    elif damage == "cut":
        file.write_bytes(data[:-8])
    elif damage == "gone":
        file.unlink()
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text(
            said[: len(said) // 2] if damage == "half a record" else said.replace('"form": 1', '"form": 2')
        )
    fresh = place()
    fresh.bring_to(whole.states)
    whole.agrees(fresh)
    again = place()
    again.bring_to([(whole.states[-1][0], _not_read)])
    whole.agrees(again)


def test_an_index_of_another_map_is_not_used(place, small, tmp_path):
    one, other = Map(tmp_path / "one"), Map(tmp_path / "other")
    for each, seed in ((one, 1), (other, 2)):
        each.folder.mkdir()
        each.put(named(300, seed))
    other.states = [("another", other.states[0][1])]
    index = place()
    for each in (one, other, one):
        index.bring_to(each.states)
        each.agrees(index)
    index.bring_to([])
    Map(tmp_path).agrees(index)


def test_a_small_index_leaves_no_files(place, tmp_path):
    whole, index = Map(tmp_path), place()
    whole.put(named(300, 0))
    index.bring_to(whole.states)
    index.also("the same")
    assert not (tmp_path / "qids").exists()
