"""Cuts show that something is cut, and nothing is cut where there is no terminal."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pytest
from small import DAYS, PROJECT
from tiny import at, feed, project

from daedalus.base import terminal_text as words


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


EVIL = "a\n\x1b[2J\u202e\u200b\udce9[red]:smile:é　字.parquet"


def test_what_steers_a_terminal_is_written_as_an_escape():
    assert words.printable(EVIL) == r"a\n\x1b[2J\u202e\u200b\xe9[red]:smile:é　字.parquet"
    assert words.printable("\x9b\x85\u2028\u2066\U000e0041\t\r\ud800") == (
        r"\x9b\x85\u2028\u2066\U000e0041\t\r\ud800")  # fmt: skip
    assert words.printable(words.printable(EVIL)) == words.printable(EVIL)
    assert words.cut(EVIL) == words.printable(EVIL)


def test_every_way_to_a_person_escapes(monkeypatch, capsys):
    """A refusal, a line, the log of a run, the picture and what is said above it, a notebook, a report."""
    from daedalus.base.errors import DaedalusError
    from daedalus.cli import output as printing
    from daedalus.stagecache.walk.outcome import FAILED, Outcome
    from daedalus.watch.notebook import Notebook
    from daedalus.watch.plain import PlainProgress
    from daedalus.watch.terminal import Tui, one_line

    failed = Outcome(
        f"view:{EVIL}@2026-02-01", "view", "2026-02-01", FAILED, problem={"what": f"broken {EVIL}", "where": "there"}
    )
    log, picture, notebook, line = PlainProgress(io.StringIO()), Tui(io.StringIO()), Notebook(), io.StringIO()
    for progress in (log, picture, notebook):
        progress.finished(failed)
    picture.started(failed.name)
    picture._console.print(picture)
    with one_line(line) as say:
        say(EVIL)
    printing.refuse(DaedalusError(f"wrong {EVIL}", where=EVIL, found=EVIL), [])
    printing.print_lines([EVIL, EVIL])
    told = capsys.readouterr()
    shown = [told.out, told.err, log._out.getvalue(), picture._console.file.getvalue(), notebook._text()]
    safe = words.printable(EVIL)
    assert told.out == f"{safe}\n{safe}\n" and told.err.count("\n") == 3
    assert all("[red]:smile:" in text and r"\u202e" in text for text in shown)
    shown.append(line.getvalue().replace("\x1b[?25l", ""))
    assert not any(set("\x1b\u202e\u200b\udce9") & set(text) for text in shown)


def test_names_from_outside_begin_no_line_and_steer_no_terminal(tmp_path):
    """A broken file with such a name, an event with such a value: in the log, the summary and the refusals of a run."""
    name = "a\n\x1b[31m\u202eb.parquet"
    root = project(tmp_path, {"2026-02-01": feed((1, 10, "2026-02-01 10:00", "like"))})
    (root / "data/feed/dt=2026-02-01" / name).write_bytes(b"PAR1")
    for command in (["skeleton"], ["skeleton", "--plan"], ["config", "check"], ["cache", "status"],
                    ["explain", "day", "2026-02-01"]):  # fmt: skip
        done = daeda(root, *command)
        told = done.stdout + done.stderr
        assert done.returncode == (command in (["skeleton"], ["config", "check"]))
        assert r"a\n\x1b[31m\u202eb.parquet" in told or done.returncode == 0, command
        assert not set("\x1b\u202e") & set(told), command
        if "--plan" not in command:
            found = json.loads(daeda(root, *command, "--json").stdout)
            assert command[0] != "skeleton" or name in found["failures"][0]["error"]


CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-", "all": "<&- >&- 2>&-"}


@pytest.mark.parametrize("closed", CLOSED)
def test_a_standard_stream_that_is_closed_stops_nothing(tmp_path, closed):
    """print(file=None) goes to stdout, and the first file that is opened would take the stream's number."""
    root = project(tmp_path, {"2026-02-01": feed((1, 10, "2026-02-01 10:00", "like"))})
    command = f"exec {sys.executable} -m daedalus skeleton --json {CLOSED[closed]}"
    done = subprocess.run(["bash", "-c", command], cwd=root, env=environment(), capture_output=True)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert (root / "data/training_output/dt=2026-02-01/part-0-0.parquet").exists()
    if "stdout" not in closed and closed != "all":
        assert json.loads(done.stdout)["days"]["done"] == 1


@pytest.mark.parametrize("command", [["--help"], ["skeleton", "--help"], ["--version"], ["cache", "status"],
                                     ["cache", "status", "--json"], ["skeleton"], ["skeleton", "--progress", "tui"],
                                     ["nosuch"], ["completion", "bash"]])  # fmt: skip
def test_a_reader_that_goes_away_is_no_error(tmp_path, command):
    """Such as `daeda … | head -1`, also of what goes to stderr."""
    root = project(tmp_path, {"2026-02-01": feed((1, 10, "2026-02-01 10:00", "like"))})
    expected = 2 if command == ["nosuch"] else 0
    for gone in ("stdout", "stderr"):
        read, write = os.pipe()
        os.close(read)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, gone: write}
        done = subprocess.run([sys.executable, "-m", "daedalus", *command], cwd=root, env=environment(), **streams)
        os.close(write)
        assert done.returncode == expected, (gone, done)
        assert b"Traceback" not in (done.stdout or b"") + (done.stderr or b"")


@pytest.mark.parametrize("spoken", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1:strict"},
                                    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])  # fmt: skip
def test_an_encoding_that_lacks_a_name_is_no_traceback(tmp_path, spoken):
    """And the locale decides no key: the run after it, in another, finds everything done."""
    root = project(tmp_path, {"2026-02-01": feed((1, 10, "2026-02-01 10:00", "like"))})
    folder = root / "data/feed/dt=2026-02-01"
    (folder / "p.parquet").rename(folder / "字é.parquet")
    for command in (["skeleton"], ["skeleton", "--json"], ["config", "check"], ["report"],
                    ["explain", "step", "2026-02-01", "spine"], ["audit"], ["--help"]):  # fmt: skip
        done = daeda(root, *command, **spoken)
        assert done.returncode == 0 and "Traceback" not in done.stderr, (command, done)
    again = json.loads(daeda(root, "skeleton", "--json").stdout)
    assert again["steps"]["computed"] == again["steps"]["unchanged"] == 0


def daeda(root, *command: str, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "daedalus", *command], cwd=root, env={**environment(), **more},
                          capture_output=True, encoding="utf-8", errors="surrogateescape")  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def test_names_that_are_not_utf8_are_names(tmp_path):
    """Of feed and view files, from the first run to the audit; what the bytes are decides, as for any name."""
    days = {day: feed((1, 10, f"{day} 10:00", "like"), (1, 11, f"{day} 11:00", "like")) for day in
            ("2026-02-01", "2026-02-02")}  # fmt: skip
    stamps = pa.array([at("2026-01-01")] * 2, pa.timestamp("us"))
    view = pa.table({"artwork_id": [10, 11], "updated_at": stamps, "score": [5, 6]})
    likes = {"name": "likes", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": ["1d"]}
    root = project(tmp_path / "odd", days, view, [likes], ["score", "likes_1d"])
    plain = project(tmp_path / "plain", days, view, [likes], ["score", "likes_1d"])
    for path in [*root.glob("data/feed/*/p.parquet"), root / "data/art/a.parquet"]:
        path.rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9 ? \xff.parquet"))
    for command in (["config", "check"], ["cache", "status"], ["skeleton"], ["explain", "day", "2026-02-02"],
                    ["explain", "step", "2026-02-02", "spine"], ["audit"], ["report"],
                    ["explain", "row", "2026-02-02", "--user", "1", "--artwork", "11"]):  # fmt: skip
        done = daeda(root, *command)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (command, done)
        assert not any("\udc80" <= c <= "\udcff" for c in done.stdout + done.stderr), command
    assert r"caf\xe9 ? \xff.parquet" in done.stdout
    again = json.loads(daeda(root, "skeleton", "--json").stdout)
    assert again["steps"] == {"hit": again["steps"]["hit"], "computed": 0, "unchanged": 0, "failed": 0, "blocked": 0}
    assert daeda(plain, "skeleton").returncode == 0
    parts = [sorted(where.glob("data/training_output/dt=*/part-*")) for where in (root, plain)]
    assert [part.read_bytes() for part in parts[0]] == [part.read_bytes() for part in parts[1]] != []
    assert not list(root.glob("cache/tmp/run-*"))


def test_roots_that_are_not_utf8_are_refused(tmp_path):
    root = project(tmp_path, {"2026-02-01": feed((1, 10, "2026-02-01 10:00", "like"))})
    for option in ("--output-root", "--cache-root"):
        done = daeda(root, "skeleton", option, "o\udce9")
        assert done.returncode == 2 and "a path that is not UTF-8" in done.stderr and r"o\xe9" in done.stderr
        assert option in done.stderr and "Traceback" not in done.stderr
    shutil.copytree(root, tmp_path / "w\udce9")
    done = daeda(tmp_path / "w\udce9", "skeleton")
    assert done.returncode == 2 and r"/w\xe9/" in done.stderr and "a path that is not UTF-8" in done.stderr
    (root / "c\udce9").mkdir()
    (root / "config").rename(root / "c\udce9/config")
    done = daeda(root, "skeleton", "--config", "c\udce9/config", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["days"]["done"] == 1


def test_a_line_is_written_in_one_piece():
    """So that lines of several threads do not run into each other."""
    pieces = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    words.tell("a day\x1b", Stream())
    assert pieces == [words.printable("a day\x1b") + "\n"]
