"""An independent second opinion: the hand-written DuckDB script beside the project agrees on every value."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import PROJECT
from reference import read_output
from small import Small, make

PEER = PROJECT.parent / "shared/bench/naive_duckdb.py"


@pytest.mark.skipif(not PEER.is_file(), reason="the peer is not beside this checkout (../shared/bench)")
def test_the_peer_agrees_on_a_world_of_24_000_rows(tmp_path, monkeypatch):
    options = ("--start", "2026-01-25", "--end", "2026-02-09", "--rows", "1500", "--users", "150", "--artworks", "1000")
    make(tmp_path, *options)
    monkeypatch.chdir(tmp_path)
    report = Small(tmp_path).run("2026-02-01..2026-02-09")
    assert report.days["done"] == 9 and report.rows["written"] > 4_000
    subprocess.run(
        [sys.executable, PEER, tmp_path, tmp_path / "peer", "--days", "9"], check=True, stdout=subprocess.PIPE
    )
    ours, theirs = read_output(tmp_path / "data/training_output"), read_output(tmp_path / "peer")
    assert ours.keys() == theirs.keys()
    for day in ours:
        assert list(ours[day][0]) == list(theirs[day][0])
        assert sorted(map(repr, ours[day])) == sorted(map(repr, theirs[day])), day
