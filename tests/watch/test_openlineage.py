"""What an OpenLineage backend is told: runs that begin and end, their days, inputs and outputs; never a failed run."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest
from small import RANGE, edit

pytest.importorskip("openlineage.client")


@contextmanager
def backend(status: int = 201):
    """A small server that keeps what it is told."""
    told: list[dict] = []

    class Keeper(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        server.server_close()


def run(world, target: str):
    return world.cli("skeleton", "--range", RANGE, "--progress", "none", "--openlineage", target)


def of_job(told: list[dict], name: str) -> list[dict]:
    return [event for event in told if event["job"]["name"] == name]


def test_a_run_and_its_days_are_told(warm):
    edit(warm.runtime, session_filter__drop_single_like=True)
    with backend() as (address, told):
        assert run(warm, address).returncode == 0
    stage, days = of_job(told, "skeleton"), of_job(told, "skeleton.day")
    assert [event["eventType"] for event in stage] == ["START", "COMPLETE"]
    assert len({event["run"]["runId"] for event in stage}) == 1
    names = {dataset["name"] for dataset in stage[0]["inputs"]}
    assert {"data/feed", "data/embeddings/artwork_embedding", "data/catalog/artwork_tack/*.parquet"} <= names
    fields = {dataset["name"]: [field["name"] for field in dataset["facets"]["schema"]["fields"]]
              for dataset in stage[0]["inputs"] if "schema" in dataset.get("facets", {})}  # fmt: skip
    assert fields["data/catalog/artwork_tack/*.parquet"] == ["artwork_id", "updated_at", "tack_ids"]
    done = [event for event in days if event["eventType"] == "COMPLETE"]
    assert len(done) == 14 and len(days) == 28
    for event in done:
        assert event["run"]["facets"]["parent"]["run"]["runId"] == stage[0]["run"]["runId"]
        [written] = event["outputs"]
        rows = pq.ParquetFile(warm.root / written["name"] / "part-0-0.parquet").metadata.num_rows
        assert written["outputFacets"]["outputStatistics"]["rowCount"] == rows


def test_a_file_gets_a_line_an_event(warm):
    edit(warm.runtime, session_filter__drop_single_like=True)
    assert run(warm, "events.json").returncode == 0
    told = [json.loads(line) for line in (warm.root / "events.json").read_text().splitlines()]
    assert [event["eventType"] for event in of_job(told, "skeleton")] == ["START", "COMPLETE"]


def test_a_failed_day_is_told_with_its_error(cold):
    cold.feed_file("2026-02-12").write_bytes(b"no parquet")
    with backend() as (address, told):
        assert run(cold, address).returncode == 1
    assert of_job(told, "skeleton")[-1]["eventType"] == "FAIL"
    failed = [event for event in of_job(told, "skeleton.day") if event["eventType"] == "FAIL"]
    assert failed and all(event["run"]["facets"]["errorMessage"]["message"] for event in failed)


@pytest.mark.parametrize("status", [500, None], ids=["errors", "nobody there"])
def test_a_backend_that_is_down_costs_one_warning(warm, status):
    edit(warm.runtime, session_filter__drop_single_like=True)
    with backend(status or 201) as (address, told):
        pass_on = address
        if status:
            done = run(warm, address)
    if not status:
        done = run(warm, pass_on)  # nobody listens there any more
    assert done.returncode == 0 and done.stderr.count("lineage is no longer sent") == 1
    assert len(told) <= 1


def test_without_the_client_it_is_refused(warm, monkeypatch, capsys):
    from daedalus.cli.main import main

    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with pytest.raises(SystemExit) as stop:
        main(["skeleton", "--range", RANGE, "--openlineage", "events.json"])
    assert stop.value.code == 2 and "daedalus-skeleton[lineage]" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_refused(warm):
    done = run(warm, "nowhere/events.json")
    assert done.returncode == 2 and "--openlineage nowhere/events.json" in done.stderr
