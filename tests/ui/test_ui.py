"""`daeda ui`: who may ask, what is answered, that it is what commands print, and that nothing is written."""

from __future__ import annotations

import gc
import html
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small import DAYS, PROJECT, RANGE, Small, edit
from ui_world import (
    BLOCKED,
    FAILED,
    FRESH,
    MADE,
    PORT,
    STALE,
    TOKEN,
    ask,
    client,
    ended,
    held_run,
    listening,
    make,
    served,
    stamps,
)

from daedalus.base.errors import DaedalusError
from daedalus.ui import questions
from daedalus.ui.guard import check_host
from daedalus.ui.lineage import drawn, lineage
from daedalus.ui.pages import FILES, PAGES
from daedalus.ui.server import serve
from daedalus.workspace.reading import ReadingSettings, Records
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened


@pytest.fixture(scope="module")
def made(warm_template, tmp_path_factory) -> Small:
    return make(warm_template, tmp_path_factory.mktemp("ui") / "world")


@pytest.fixture
def world(made, monkeypatch) -> Small:
    monkeypatch.chdir(made.root)
    return made


def a_row(world: Small, day: str = FRESH) -> dict:
    return pq.read_table(world.output / f"dt={day}").to_pylist()[0]


def addresses(world: Small) -> list[str]:
    """An address of each page."""
    row = a_row(world, str(DAYS[0]))
    days = [f"/day/{day}" for day in (FRESH, STALE, FAILED, BLOCKED, "2026-02-20")]
    return [
        "/", "/why", "/going-on", "/runs", "/report", *days, f"/day/{FRESH}/step?step=spine",
        f"/day/{STALE}/step?step=rolling:like_artwork_ids", f"/day/{FRESH}/rows", f"/day/{FRESH}/rows?first=50",
        f"/day/{FRESH}/diff", f"/day/{DAYS[0]}/row?user={row['user_id']}&artwork={row['artwork_id']}",
    ]  # fmt: skip


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}

# Who may ask


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", "..", TOKEN.upper()])
def test_without_the_token_nothing_is_answered(world, token):
    for path in ("/", "/api/status", "/ui.js", "/nope"):
        answer = client(token=token).get(path)
        assert answer.status_code == 403 and "cache" not in answer.text, path


def test_the_token_is_in_no_answer_to_who_lacks_it(world):
    answer = client(token="wrong").get("/", follow_redirects=False)
    assert TOKEN not in answer.text and TOKEN not in str(answer.headers) and "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", [
    "evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"127.0.0.1.evil.example:{PORT}",
    f"localhost.:{PORT}", "", f"127.0.0.2:{PORT}", f"0.0.0.0:{PORT}",
])  # fmt: skip
def test_other_names_that_lead_here_are_refused(world, host):
    assert client().get("/api/live", headers={"host": host}).status_code == 403


def test_our_own_names_are_answered(world):
    for host in (f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"):
        assert client().get("/api/live", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_nothing_but_reading_is_answered(world, method):
    answer = client().request(method, "/", headers={"origin": "http://evil.example"})
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, HEAD"
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_other_sites_are_refused_and_told_nothing(world):
    for site in ("cross-site", "same-site"):
        assert client().get("/", headers={"sec-fetch-site": site}).status_code == 403
    for site in ("none", "same-origin"):
        answer = client().get("/", headers={"sec-fetch-site": site, "origin": "http://evil.example"})
        assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", [
    "/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/ui.css/../server.py", "/templates/base.html.j2",
    "/server.py", "/day/2026-02-03/step/../../x", "/ui.js%00", "//etc/passwd", "/day/%2e%2e", "/api/../api/nope",
])  # fmt: skip
def test_no_path_leads_out(world, path):
    answer = client().get(path)
    assert answer.status_code in (400, 403, 404) and "root:" not in answer.text


def test_every_answer_has_its_policy(world):
    for path in ("/", "/api/status", "/ui.js", "/nope", f"/day/{FRESH}"):
        headers = client().get(path).headers
        policy = headers["content-security-policy"]
        assert (
            policy.startswith("default-src 'self';") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        )
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "no-store" in headers["cache-control"]
    report = client().get("/report")
    assert "frame-ancestors 'none'" in report.headers["content-security-policy"]
    assert "default-src 'none'" in report.text and "unsafe-eval" not in report.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "", "127.0.0.1.example.org"])
def test_a_host_that_others_reach_is_refused(host):
    with pytest.raises(DaedalusError, match="for this machine alone"):
        check_host(host)


def test_hosts_of_this_machine():
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        check_host(host)


# What is answered


def test_every_page_is_shown(world):
    asked = client()
    for path in addresses(world):
        answer = asked.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        if path != "/report":
            assert not re.search(r"<script(?! src=)|<style| style=| on\w+=|https?://", answer.text), path
    shown = {re.sub(r"\{.*?\}", "D", path) for path in PAGES}
    assert {re.sub(r"2026-\d\d-\d\d", "D", path.partition("?")[0]) for path in addresses(world)} == shown


def test_every_link_leads_to_a_page(world):
    asked, seen = client(), set()
    for path in ("/", "/runs", *(f"/day/{day}" for day in (STALE, FAILED, FRESH)), f"/day/{FRESH}/rows"):
        links = re.findall(r'href="([^"#]+)', asked.get(path).text)
        for link in sorted({html.unescape(link) for link in links} - seen)[:8]:
            seen.add(link)
            assert link.startswith(f"/{TOKEN}/"), link
            assert asked.get(link.removeprefix(f"/{TOKEN}")).status_code == 200, link
    assert len(seen) > 20 and any(link.endswith("/diff") for link in seen)


def test_the_first_page_says_what_is_wrong_and_what_to_do(world):
    text = html.unescape(client().get("/").text)
    status = world.json("cache", "status")
    states = {row["day"]: (row["last"] or row)["state"] for row in status["days"]}
    for day, state in re.findall(r'data-day="([^"]+)" data-state="([^"]+)"', text):
        assert states[day] == state
    assert set(states.values()) >= {"fresh", "stale", "failed", "blocked"} and states[FAILED] == "failed"
    assert f"{FAILED} spine" in text and "a parquet file cannot be read" in text and "hint" in text
    assert f"{status['run']} --range {RANGE}" in text and "daeda cache status" in text
    assert "session_filter.drop_single_like" in client().get("/why").text.replace("<wbr>", "")


def test_answers_are_what_commands_print(world):
    row = a_row(world, str(DAYS[0]))
    user, artwork = str(row["user_id"]), str(row["artwork_id"])
    both = {
        "/api/runs": ["runs"],
        **{f"/api/day/{day}": ["explain", "day", day] for day in (FRESH, STALE, FAILED, BLOCKED, "2026-02-20")},
        f"/api/day/{STALE}/step?step=chunk": ["explain", "step", STALE, "chunk"],
        f"/api/day/{DAYS[0]}/row?user={user}&artwork={artwork}":
            ["explain", "row", str(DAYS[0]), "--user", user, "--artwork", artwork],
        f"/api/day/{FRESH}/diff": ["diff", FRESH], f"/api/status?range={MADE}": None,
    }  # fmt: skip
    for path, command in both.items():
        found = client().get(path).json()
        if command:
            assert found == world.json(*command), path
    status = world.json("cache", "status")
    assert client(span=None).get("/api/status").json() == status
    assert [row["day"] for row in client().get(f"/api/status?range={MADE}").json()["days"]] == [
        str(d) for d in DAYS[:9]
    ]
    plan, found = world.json("plan", "--range", RANGE), client().get("/api/plan").json()
    assert {**found, "seconds": 0} == {**plan, "seconds": 0}
    report, found = world.json("report", "--range", RANGE), client().get("/api/report").json()
    for other in ("made", "file", "reading"):
        report.pop(other), found.pop(other, None)
    assert found == report


def test_errors_are_told_as_on_the_command_line(world):
    wrong = {"/day/2026-02-31": "not a date", "/day/x": "a day that cannot be read",
             f"/day/{FRESH}/step?step=nope": "no such step", f"/day/{FRESH}/step": "lacks a part",
             f"/day/{FRESH}/row?user=7&artwork=none": "not a artwork_id", "/?range=2026": "a range that cannot be read",
             f"/day/{FRESH}/rows?stage=none": "no such stage",
             f"/day/{FRESH}/diff?against=zz": "no such run"}  # fmt: skip
    for path, text in wrong.items():
        for kind in ("", "/api"):
            path = path.replace("/?", "/status?") if kind else path
            answer = client().get(f"{kind}{path}")
            assert answer.status_code == 400 and text in html.unescape(answer.text), path
            assert "Traceback" not in answer.text and "where" in answer.text
    answer = client().get("/api/nope")
    assert answer.status_code == 404 and answer.json()["error"]["what"] == "there is no such page"


def test_a_failure_of_our_own_is_one_answer_and_no_traceback(world, monkeypatch):
    monkeypatch.setattr(questions, "status", lambda asked: 1 / 0)
    answer = client().get("/")
    assert answer.status_code == 500 and "ZeroDivisionError" in answer.text and "Traceback" not in answer.text
    assert client().get("/runs").status_code == 200


def test_a_script_in_a_name_stays_text(world):
    answer = client().get(f"/day/{FRESH}/step?step=%3Cscript%3Ealert(1)%3C/script%3E")
    assert answer.status_code == 400 and "<script>alert" not in answer.text and "&lt;script&gt;" in answer.text


def test_previews_are_the_rows_that_are_there(world):
    table = pq.read_table(world.output / f"dt={FRESH}")
    first = client().get(f"/api/day/{FRESH}/rows").json()["preview"]
    later = client().get(f"/api/day/{FRESH}/rows?first=50").json()["preview"]
    assert first["total"] == table.num_rows and [column["name"] for column in first["columns"]] == table.column_names
    shown = first["rows"] + later["rows"]
    assert len(shown) == min(table.num_rows, 100)
    for mine, row in zip(shown, table.to_pylist(), strict=False):
        assert mine[0] == str(row["user_id"]) and mine[1] == str(row["artwork_id"])
        assert mine[2] == row["event_timestamp"].isoformat(" ")
    assert any(cell is None for row in shown for cell in row)
    beyond = client().get(f"/api/day/{FRESH}/rows?first=100000").json()["preview"]
    assert beyond["rows"] == [] and beyond["total"] == table.num_rows
    assert client().get("/api/day/2026-02-20/rows").json()["problem"] == "there is no partition of this day"
    artifact = client().get(f"/api/day/{FRESH}/made?step=spine").json()
    spine = pq.read_table(artifact["file"])
    assert artifact["preview"]["total"] == spine.num_rows and artifact["now"]
    assert {one["kind"] for one in artifact["ingredients"]} >= {"config", "code", "input"}


def test_a_lost_artifact_is_told(world):
    file = Path(client().get(f"/api/day/{FRESH}/made?step=coverage").json()["file"])
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:50])
        found = client().get(f"/api/day/{FRESH}/made?step=coverage").json()
        assert found["preview"] is None and "damaged" in found["problem"]
    finally:
        file.write_bytes(whole)


def test_the_graph_has_each_step_and_what_it_reads(world):
    with opened(Settings()) as workspace:
        from daedalus.explain.day import planned

        _, verdicts = planned(workspace, DAYS[12])
    found = lineage(ReadingSettings.of(Settings()), DAYS[12])
    assert found == drawn(STALE, verdicts)
    own = {name.removesuffix(f"@{STALE}") for name in verdicts if name.endswith(f"@{STALE}") or "@" not in name}
    assert {node["id"] for node in found["nodes"] if not node["days"]} == own
    arrows = {(arrow["source"], arrow["target"]) for arrow in found["arrows"]}
    for name, verdict in verdicts.items():
        if name.endswith(f"@{STALE}"):
            for up in verdict.action.upstream:
                if up.endswith(f"@{STALE}") or "@" not in up:
                    assert (up.removesuffix(f"@{STALE}"), name.removesuffix(f"@{STALE}")) in arrows
    places = {node["id"]: (node["x"], node["y"]) for node in found["nodes"]}
    assert len(set(places.values())) == len(places)
    assert all(places[source][0] < places[target][0] for source, target in arrows)


def test_a_slow_question_holds_up_no_other(world, monkeypatch):
    """As many slow ones as are answered at once: what is quick is answered meanwhile, and they are all in the end."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(asked):
        begun.release()
        assert go_on.wait(60)
        return {"runs": []}

    monkeypatch.setitem(questions.ANSWERS, "/runs", slow)
    with served() as address, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask, f"{address}api/runs") for _ in range(7)]
        for _ in waiting:
            assert begun.acquire(timeout=30)
        assert "All fresh" in ask(address) or "not fresh" in ask(address)
        waiting.append(pool.submit(ask, f"{address}api/runs"))
        assert begun.acquire(timeout=30)
        assert json.loads(ask(f"{address}api/live"))["runs"] == []
        go_on.set()
        assert all(json.loads(one.result())["runs"] == [] for one in waiting)


def test_commands_of_another_output_are_those_that_take_it(world):
    asked = client(Settings(output_root="elsewhere"))
    text = html.unescape(asked.get("/why").text)
    command = re.search(r"<code>(daeda .*?)</code>", text)[1]
    assert command == f"daeda skeleton --plan --range {RANGE} --output-root elsewhere"
    assert asked.get("/api/plan").json()["plan"] == world.json(*command.split()[1:])["plan"]
    assert f"daeda skeleton --output-root elsewhere --range {RANGE}" in html.unescape(asked.get("/").text)


# It writes nothing


def test_no_question_writes_anything(world):
    before = stamps(world.root)
    asked = client()
    for path in [*addresses(world), "/api/plan", f"/api/day/{STALE}/lineage", "/api/report"]:
        assert asked.get(path).status_code == 200
        assert stamps(world.root) == before, path


def test_before_the_first_run_nothing_is_made(cold):
    before = stamps(cold.root)
    asked = client()
    for path in ("/", "/why", "/runs", f"/day/{STALE}", "/report", "/going-on"):
        assert asked.get(path).status_code == 200, path
    assert stamps(cold.root) == before and not (cold.root / "cache").exists()
    assert asked.get("/api/status").json()["days"][0]["state"] == "missing"


def test_what_only_the_shared_cache_has_counts_and_is_not_fetched(warm, bucket, store_options):
    edit(warm.runtime, cache_remote=f"{bucket}/cache", object_store=store_options)
    warm.run(RANGE, force=True)
    spine = Path(client().get(f"/api/day/{FRESH}/made?step=spine").json()["file"])
    spine.unlink()
    edit(warm.runtime, session_filter__drop_single_like=True)
    status, before = warm.json("cache", "status"), stamps(warm.root)
    assert status["shared"]["reachable"] and status["steps"]["spine"]["run"] == 0
    assert client(span=None).get("/api/status").json() == status
    found = client().get(f"/api/day/{FRESH}/made?step=spine").json()
    assert found["preview"] is None and "its artifact is missing" in found["problem"]
    row = a_row(warm)
    answer = client().get(f"/api/day/{FRESH}/row?user={row['user_id']}&artwork={row['artwork_id']}")
    assert answer.status_code == 400 and answer.json()["error"]["what"] == "an artifact is not on this machine"
    assert stamps(warm.root) == before


def test_records_are_copied_anew_when_they_change(warm):
    settings = ReadingSettings.of(Settings())
    with opened(settings) as workspace:
        first = workspace.traces
        first.remember_fact("learned", [1])
    with opened(settings) as workspace:
        assert workspace.traces is first
    with opened(Settings()) as workspace:
        workspace.traces.remember_fact("known", 1)
        assert workspace.traces.fact("learned") is None
        with opened(settings) as reading:  # a log lies beside the records now
            assert reading.traces is not first
            assert reading.traces.fact("known") == 1 and reading.traces.fact("learned") == [1]
            reading.traces.start_run("mine", {})
        assert "mine" not in workspace.traces.runs()


def test_damaged_records_are_told_and_left(warm):
    (warm.root / "cache/traces.db").write_bytes(b"no database" * 1000)
    before = stamps(warm.root)
    with pytest.raises(DaedalusError, match="records cannot be read"):
        Records().of(warm.root / "cache/traces.db")
    assert client().get("/").status_code == 400 and stamps(warm.root) == before


def test_what_is_not_as_expected_is_told_on_the_first_page_the_days_and_the_runs(warm):
    edit(warm.runtime, expect={"rows": [None, 1], "columns": {"event": {"null_share": [0.5, None]}}})
    warm.run()
    rows = pq.read_table(warm.output / f"dt={FRESH}").num_rows
    first, day, runs = (html.unescape(client().get(page).text) for page in ("/", f"/day/{FRESH}", "/runs"))
    assert f"{len(DAYS)} of {len(DAYS)} days not as expected" in first and "Every day is fresh" in first
    assert "expected at most 1" in first and "expected at least 0.5" in first and "and 10 more days" in first
    assert f"<code>rows</code> {rows:,}, expected at most 1" in day
    assert f"{len(DAYS)} days not as expected" in runs and f"Not as expected: {DAYS[0]}: " in runs


def test_a_reader_makes_no_folder_for_duckdb(warm):
    with opened(ReadingSettings.of(Settings())) as workspace, workspace.ducks.lease() as duck:
        assert duck.value("SELECT current_setting('max_temp_directory_size')") in ("0 bytes", "0B", "0")
    assert not list((warm.root / "cache/tmp").iterdir())


# The command


def test_a_run_is_seen_while_it_goes_on_and_ctrl_c_ends_the_page_alone(warm):
    process, address = listening(warm.root)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
        before = json.loads(ask(f"{address}api/live"))
        assert before["runs"] == []
        edit(warm.runtime, session_filter__drop_single_like=True)
        with held_run(lambda one: one["made"] > 0) as (run, seen):
            assert json.loads(ask(f"{address}api/live"))["runs"][0]["id"] == seen["id"]
            page = ask(f"{address}going-on")
            assert "A run is going on" in page and f"process {run.pid}" in page
        assert run.wait() == 0
        assert (seen["process"], seen["range"]) == (run.pid, RANGE) and set(seen["days"]) == {str(day) for day in DAYS}
        after = json.loads(ask(f"{address}api/live"))
        assert after["runs"] == [] and after["stamp"] != before["stamp"]
        assert json.loads(ask(f"{address}api/runs"))["runs"][0]["state"] == "done"
    finally:
        told = ended(process)
    assert told == (0, "", "")


def test_sigterm_ends_it_too_while_an_answer_is_made(warm):
    process, address = listening(warm.root, "--range", RANGE)
    script = f"from urllib.request import urlopen; urlopen('{address}report')"
    asking = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    assert ended(process, signal.SIGTERM) == (0, "", "")
    asking.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_it_serves_ends_it_too(warm, number, recwarn):
    """It left a coroutine that nobody had waited for, and Python said so."""
    said, before = [], signal.getsignal(number)

    def ready(address: str) -> None:
        said.append(address)
        signal.raise_signal(number)

    serve(Settings(), None, host="127.0.0.1", port=0, schema=1, ready=ready)
    gc.collect()
    assert len(said) == 1 and signal.getsignal(number) is before and not recwarn.list


def test_what_is_refused_is_refused_before_anything_is_served(warm):
    refused = {("--host", "0.0.0.0"): "for this machine alone", ("--port", "70000"): "not a port",
               ("--range", "x"): "a range that cannot be read", ("--config", "none"): "no config folder"}  # fmt: skip
    for options, text in refused.items():
        done = warm.cli("ui", "--no-open", *options)
        assert done.returncode == 2 and text in done.stderr and not done.stdout
    process, address = listening(warm.root)
    port = address.split(":")[2].split("/")[0]
    with pytest.raises(DaedalusError, match="cannot be served there"):
        serve(Settings(), None, host="127.0.0.1", port=int(port), schema=1, ready=print)
    assert ended(process) == (0, "", "")  # before it serves, too


def test_without_its_extra_it_says_what_to_install(warm, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else found(name, *more)
    )
    done = warm.cli("ui", "--no-open")
    assert done.returncode == 2 and "pip install 'daedalus-skeleton[ui]'" in done.stderr


def test_colours_are_those_of_the_report():
    """Each variable of our style is defined in the report's or in our own."""
    both = FILES["report.css"][0]() + FILES["ui.css"][0]()
    defined = set(re.findall(r"(--[\w-]+):", both))
    assert set(re.findall(r"var\((--[\w-]+)\)", FILES["ui.css"][0]())) <= defined
