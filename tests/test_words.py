"""Cuts show that something is cut, and nothing is cut where there is no terminal."""

from __future__ import annotations

from small import DAYS

from daedalus import words


def test_numbers_go_with_their_nouns():
    assert [words.counted(n, "day") for n in (0, 1, 2971)] == ["0 days", "1 day", "2,971 days"]


def test_a_pipe_gets_whole_lines(monkeypatch):
    assert words.room() is None and words.cut("x" * 300) == "x" * 300
    assert words.column(["x" * 60], 44, 35) == 61


def test_a_terminal_gets_what_fits_with_an_ellipsis(monkeypatch):
    monkeypatch.setattr(words, "room", lambda: 80)
    assert words.cut("x" * 80) == "x" * 80 and words.cut("x" * 81) == "x" * 79 + "…"
    wide = words.column(["enrich:reco_artwork_view+reco_artwork_view2.artwork_id@2026-05-11"], 44, 35)
    shown = words.fitted("enrich:reco_artwork_view+reco_artwork_view2.artwork_id@2026-05-11", wide)
    assert len(shown) == wide == 45 and shown.endswith("…@2026-05-11 ")
    old, new = words.shown_apart("[" + "1, " * 60 + "2]", "[" + "1, " * 60 + "3]")
    assert old.startswith("…") and old.endswith("2]") and new.endswith("3]") and len(old) < 60


def test_the_width_is_that_of_the_terminal(warm):
    command = ("explain", "row", str(DAYS[9]), *_row(warm))
    piped = warm.cli(*command).stdout
    assert "…" not in piped and max(map(len, piped.splitlines())) > 80
    narrow, wide = (warm.screen(*command, columns=columns) for columns in (80, 300))
    assert wide == piped and max(map(len, narrow.splitlines())) == 80 and "…" in narrow


def test_a_row_shows_each_event_once_with_its_windows(warm):
    shown = warm.cli("explain", "row", str(DAYS[9]), *_row(warm)).stdout
    assert " counted, " in shown and "3d 7d " in shown
    events = [line for line in shown.partition("view_artwork_ids:")[2].splitlines() if line.startswith("    +")]
    assert len(events) == len(set(events)) > 3


def _row(world) -> list[str]:
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(world.output / f"dt={DAYS[9]}/part-0-0.parquet").read().to_pylist()
    row = max(rows, key=lambda row: len(row["view_artwork_ids_7d"]))
    return ["--user", str(row["user_id"]), "--artwork", str(row["artwork_id"])]
