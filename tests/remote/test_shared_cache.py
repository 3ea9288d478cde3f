"""The shared cache: a second machine computes nothing, and nothing that is wrong out there does harm."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from buckets import fill, held
from enrich_tiny import TinyWorld
from faults import FAULTS, Proxy
from small import DAYS, Small, edit, nothing_ran

from daedalus.objectstore.object_store import ObjectStore
from daedalus.sharing import breaker
from daedalus.sharing import bucket as remote
from daedalus.sharing.record import Blob, SharedTrace, Signer, parse
from daedalus.sharing.seen import Seen
from daedalus.stagecache.action import action_key
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

SPAN = "2026-02-03..2026-02-05"
ROUNDS = 4


class Said(Progress):
    """What a run told whoever waits."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def elsewhere(root: Path, path: Path) -> Path:
    """The inputs and the config of a world, nothing else."""
    return shutil.copytree(root, path, ignore=shutil.ignore_patterns("cache", "training_output"))


@pytest.fixture(scope="module")
def templates(warm_template, tmp_path_factory, cloud) -> tuple[Path, Path, dict[str, bytes]]:
    """A machine without a shared cache after a run; one with, and what it shared."""
    import os

    folder = tmp_path_factory.mktemp("templates")
    plain, first = elsewhere(warm_template, folder / "plain"), elsewhere(warm_template, folder / "first")
    name = cloud.new_bucket()
    edit(Small(first).runtime, cache_remote=f"{name}/cache", object_store=cloud.options())
    before = os.getcwd()
    try:
        for root in (plain, first):
            os.chdir(root)
            Small(root).run(SPAN)
    finally:
        os.chdir(before)
    return plain, first, held(name)


@pytest.fixture
def expected(templates) -> dict[str, bytes]:
    return Small(templates[0]).bytes()


@pytest.fixture
def shared(templates, bucket, store_options, tmp_path, monkeypatch) -> Small:
    """The small world without cache and output, with a shared cache that is empty."""
    monkeypatch.delenv("DAEDA_CACHE_KEY", raising=False)
    world = Small(elsewhere(templates[1], tmp_path / "empty"))
    edit(world.runtime, cache_remote=f"{bucket}/cache", object_store=store_options)
    monkeypatch.chdir(world.root)
    return world


@pytest.fixture
def first(templates, bucket, tmp_path, monkeypatch) -> Small:
    """A machine that ran, and a shared cache with what it shared."""
    monkeypatch.delenv("DAEDA_CACHE_KEY", raising=False)
    world = Small(shutil.copytree(templates[1], tmp_path / "first"))
    edit(world.runtime, cache_remote=f"{bucket}/cache")
    fill(bucket, templates[2])
    monkeypatch.chdir(world.root)
    return world


@pytest.fixture
def store(bucket, store_options) -> ObjectStore:
    return ObjectStore(f"{bucket}/cache", store_options)


@pytest.fixture
def proxy(cloud) -> Iterator[Proxy]:
    found = Proxy(cloud.endpoint)
    yield found
    found.close()


def machine(world: Small, path: Path, monkeypatch, **values: object) -> Small:
    """Another machine: the same inputs and config, nothing else; it becomes the working directory."""
    found = Small(elsewhere(world.root, path))
    monkeypatch.chdir(path)
    if values:
        edit(found.runtime, **values)
    return found


def told(world: Small, span: str = SPAN, **settings):
    """(report, what was said)"""
    from daedalus.pipelines.training import run_skeleton_stage
    from daedalus.workspace.settings import Settings

    said = Said()
    return run_skeleton_stage(Settings(**settings), span, progress=said), said.lines


def test_what_is_made_of_files_whose_names_are_not_utf8_is_shared(shared, tmp_path, monkeypatch):
    import os

    path = shared.feed_file(DAYS[3])
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.parquet"))
    first = shared.run(str(DAYS[3]))
    assert first.shared["shared"] == first.steps["computed"] > 10 and first.shared["not_shared"] == 0
    report = machine(shared, tmp_path / "second", monkeypatch).run(str(DAYS[3]))
    assert report.steps["hit"] == report.shared["hits"] == first.steps["computed"]


def test_a_second_machine_computes_nothing(shared, expected, tmp_path, monkeypatch):
    first = shared.run(SPAN)
    assert first.steps["computed"] == first.shared["shared"] > 100 and first.shared["hits"] == 0
    assert first.shared["not_shared"] == 0
    second = machine(shared, tmp_path / "second", monkeypatch)
    assert second.run(SPAN, plan=True).plan == []
    report = second.run(SPAN)
    assert report.steps["computed"] == report.steps["unchanged"] == report.steps["failed"] == 0
    assert report.steps["hit"] == report.shared["hits"] == first.steps["computed"]
    assert second.bytes() == shared.bytes()
    assert {name: data for name, data in second.bytes().items() if name != "qid_map.parquet"} == {
        name: data for name, data in expected.items() if name != "qid_map.parquet"
    }
    parts = sum(len(data) for name, data in second.bytes().items() if name.startswith("dt="))
    assert report.shared["fetched_bytes"] == parts  # what nobody needs stays where it is
    assert report.shared["requests"] < 2 * report.days["total"] + 40
    assert report.shared["sent"] == 0
    again = second.run(SPAN)
    assert nothing_ran(again) and again.shared is None  # it stands: nobody is asked


def test_a_second_machine_computes_no_vector(tiny_enriched_template, bucket, store_options, tmp_path, monkeypatch):
    """Vectors, means and enriched partitions come out of the bucket; what an edit needs is fetched."""
    first, second = (TinyWorld(elsewhere(tiny_enriched_template, tmp_path / name)) for name in ("first", "second"))
    for world in (first, second):
        edit(world.runtime, cache_remote=f"{bucket}/cache", object_store=store_options)
        for made in (world.output, world.enriched):
            shutil.rmtree(made)
    monkeypatch.chdir(first.root)
    there = first.run()
    assert there.shared["shared"] == there.steps["computed"] > 50 and there.shared["not_shared"] == 0
    monkeypatch.chdir(second.root)
    assert second.run(plan=True).plan == []
    report = second.run()
    assert report.steps["hit"] == report.shared["hits"] == there.steps["computed"] and not report.failures
    assert relative(second) == relative(first) != {}
    assert report.shared["fetched_bytes"] == sum(map(len, relative(second).values()))  # partitions, and no vector
    assert nothing_ran(second.run())
    second.embeddings(dtype="float16")
    assert {name.partition(":")[0].partition("@")[0] for name in second.ran().names} == {"means", "enriched"}
    monkeypatch.chdir(first.root)
    first.embeddings(dtype="float16")
    assert not first.ran().names and relative(first) == relative(second)


def relative(world: TinyWorld) -> dict[str, bytes]:
    """Its partitions."""
    files = {path.partition("/data/")[2]: data for path, data in world.bytes().items()}
    return {name: data for name, data in files.items() if "/dt=" in name}


def test_an_edit_on_the_second_machine_fetches_what_it_needs(first, tmp_path, monkeypatch):
    second = machine(first, tmp_path / "second", monkeypatch)
    second.run(SPAN)
    for world in (second, first):
        monkeypatch.chdir(world.root)
        edit(world.runtime, session_filter__drop_single_like=True)
    monkeypatch.chdir(second.root)
    report = second.run(SPAN)
    assert 0 < report.steps["computed"] + report.steps["unchanged"] < report.steps["hit"]
    assert report.shared["fetched_bytes"] > 0 and report.shared["shared"] > 0
    monkeypatch.chdir(first.root)
    back = first.run(SPAN)
    assert back.steps["computed"] == back.steps["unchanged"] == 0 and back.shared["hits"] > 0
    assert first.bytes() == second.bytes()


def test_without_packs_traces_are_asked_for_by_key(first, store, tmp_path, monkeypatch):
    store.delete([store.key(found.uri) for found in store.list("packs/")])
    second = machine(first, tmp_path / "second", monkeypatch)
    report = second.run(SPAN)
    assert report.steps["computed"] == report.steps["unchanged"] == 0
    assert second.bytes() == first.bytes()
    assert store.list("packs/"), "they are written again"


def test_a_machine_that_only_reads_writes_nothing(first, store, tmp_path, monkeypatch):
    before = {found.uri: found.stamp for found in store.list()}
    second = machine(first, tmp_path / "second", monkeypatch, cache_remote_mode="read")
    assert nothing_ran_but_fetched(second.run(SPAN))
    more = second.run("2026-02-03..2026-02-06")
    assert more.steps["computed"] > 0 and more.shared["shared"] == more.shared["sent"] == 0
    assert {found.uri: found.stamp for found in store.list()} == before


def test_a_machine_that_only_writes_takes_nothing(first, store, tmp_path, monkeypatch):
    second = machine(first, tmp_path / "second", monkeypatch, cache_remote_mode="write")
    report = second.run(SPAN)
    assert report.steps["hit"] == report.shared["hits"] == 0 and report.steps["computed"] > 100
    store.delete([store.key(found.uri) for found in store.list()])
    edit(second.runtime, day_workers=2)  # so that its days are checked again
    again = second.run(SPAN)
    assert again.steps["computed"] == 0 and again.shared["shared"] > 100, "what is here is shared again"


def nothing_ran_but_fetched(report) -> bool:
    return report.steps["computed"] == report.steps["unchanged"] == 0 and report.shared["hits"] > 0


def test_what_could_not_be_shared_is_shared_by_a_later_run(shared, proxy, store, tmp_path, monkeypatch, cloud):
    edit(shared.runtime, object_store=cloud.options(proxy.endpoint))
    with proxy.failing(lambda method, path: "500" if method == "PUT" else None):
        report, lines = told(shared)
    assert report.exit_code == 0 and report.shared["not_shared"] > 0 and not store.list("traces/")
    assert any("cannot be written" in line for line in lines)
    report = shared.run(SPAN)
    assert report.steps["computed"] == 0 and report.shared["not_shared"] == 0 and report.shared["shared"] > 100
    second = machine(shared, tmp_path / "second", monkeypatch)
    later = second.run(SPAN)
    assert later.steps["computed"] == 0 and second.bytes() == shared.bytes()


def test_what_fails_while_the_run_waits_for_its_uploads_is_counted_too():
    from types import SimpleNamespace

    from daedalus.sharing.shared_cache import SharedCache

    cache, facts = SharedCache.__new__(SharedCache), {}

    def drain(seconds):
        cache._fail()  # an upload, meanwhile
        return 2

    cache._uploads = SimpleNamespace(waiting=3, bytes=0, drain=drain, stop=lambda: None)
    cache.remote = SimpleNamespace(writes=False, writing=SimpleNamespace(off=""))
    cache._lock, cache._failed, cache._owing, cache._owed = threading.Lock(), 0, True, "owed"
    cache._traces, cache.news = SimpleNamespace(remember_fact=facts.__setitem__), list
    cache.finish({}, lambda line: None)
    assert cache._failed == 3 and "owed" not in facts  # a later run shares them


def test_the_store_is_down_for_the_whole_run(shared, expected, proxy, cloud):
    edit(shared.runtime, object_store=cloud.options(proxy.endpoint))
    for fault in ("reset", "503", "hang"):
        shutil.rmtree(shared.root / "cache", ignore_errors=True)
        shutil.rmtree(shared.output, ignore_errors=True)
        proxy.requests.clear()
        with proxy.failing(lambda method, path, fault=fault: fault):
            report, lines = told(shared)
        assert report.exit_code == 0 and shared.bytes() == expected
        assert sum("going on without it" in line for line in lines) == 1, lines
        assert len(proxy.requests) < 150, "it is given up"


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_on_the_way(first, proxy, cloud, tmp_path, monkeypatch, fault):
    second = machine(first, tmp_path / "second", monkeypatch, object_store=cloud.options(proxy.endpoint))
    rng = random.Random(fault)
    with proxy.failing(lambda method, path: fault if rng.random() < 0.15 else None):
        report = second.run(SPAN)
    assert report.exit_code == 0
    assert {n: d for n, d in second.bytes().items() if n != "qid_map.parquet"} == {
        n: d for n, d in first.bytes().items() if n != "qid_map.parquet"
    }
    assert len(proxy.requests) < 2500


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "swapped"])
def test_damaged_artifacts_are_made_again(first, bucket, store, tmp_path, monkeypatch, damage):
    whole = held(bucket, "cache/artifacts/")
    spoil(store, bucket, dict.fromkeys(whole, damage))
    second = machine(first, tmp_path / "second", monkeypatch)
    report = second.run(SPAN)
    assert report.exit_code == 0 and report.steps["computed"] + report.steps["unchanged"] > 0
    assert partitions(second) == partitions(first)
    if damage != "swapped":  # of those some have the right size: they are found out only by who needs them
        there = held(bucket, "cache/artifacts/")
        assert sum(there.get(key) == data for key, data in whole.items()) > len(whole) // 2


def partitions(world: Small) -> dict[str, bytes]:
    return {name: data for name, data in world.bytes().items() if name.startswith("dt=")}


def spoil(store: ObjectStore, bucket: str, damage: dict[str, str]) -> None:
    """Does to objects, by key, what `damage` says; one that is swapped gets the bytes of another of its kind."""
    there = held(bucket)
    artifacts = [key for key in there if key.startswith("cache/artifacts/")]
    spoilt, gone = {}, []
    for key, how in damage.items():
        data, kind = there[key], artifacts if key in artifacts else list(there)
        half = len(data) // 2
        if how == "gone":
            gone.append(store.key(f"{bucket}/{key}"))
        elif how == "cut":
            spoilt[key] = data[:half]
        elif how == "flipped":
            spoilt[key] = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        else:
            spoilt[key] = there[kind[kind.index(key) - 1]]
    fill(bucket, spoilt)
    store.delete(gone)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_is_lost_the_bytes_are_the_same(first, bucket, store, tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    lost = [key for key in held(bucket) if rng.random() < (0.1, 0.3, 0.6, 0.9)[seed % 4]]
    spoil(store, bucket, {key: rng.choice(["gone", "cut", "flipped", "swapped"]) for key in lost})
    second = machine(first, tmp_path / "second", monkeypatch)
    edit(second.runtime, session_filter__drop_single_like=bool(seed % 2))
    report = second.run(SPAN)
    assert report.exit_code == 0
    monkeypatch.chdir(first.root)
    edit(first.runtime, session_filter__drop_single_like=bool(seed % 2), cache_remote=None)
    first.run(SPAN)
    assert without_qids(second) == without_qids(first)


def without_qids(world: Small) -> dict:
    import pyarrow.parquet as pq

    tables = {path.parent.name: pq.ParquetFile(path).read() for path in sorted(world.output.glob("dt=*/*.parquet"))}
    return {day: table.drop_columns(["qid"]) for day, table in tables.items()}


# Signatures


KEYED = {"DAEDA_CACHE_KEY": "a key that the group shares"}


def resign(bucket: str, change) -> int:
    """Changes every trace, wherever it lies, as somebody without the key would; returns how many."""
    traces, packs = held(bucket, "cache/traces/"), held(bucket, "cache/packs/")
    fill(bucket, {key: json.dumps(change(json.loads(data))).encode() for key, data in traces.items()})
    for key, data in packs.items():
        changed = [change(trace) for trace in json.loads(data)["traces"]]
        fill(bucket, {key: json.dumps({"traces": changed}).encode()})
    return len(traces)


def test_signed_results_are_taken_by_who_has_the_key(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    shared.run(SPAN)
    second = machine(shared, tmp_path / "second", monkeypatch, cache_remote_key_file="key.txt")
    (second.root / "key.txt").write_text(KEYED["DAEDA_CACHE_KEY"] + "\n")
    monkeypatch.delenv("DAEDA_CACHE_KEY")
    report = second.run(SPAN)
    assert nothing_ran_but_fetched(report) and second.bytes() == shared.bytes()


def test_results_of_others_are_not_taken(shared, expected, tmp_path, monkeypatch):
    for name, key in (("none", None), ("another", "quite another key")):
        if key:
            monkeypatch.setenv("DAEDA_CACHE_KEY", key)
        monkeypatch.chdir(shared.root)
        shutil.rmtree(shared.root / "cache", ignore_errors=True)
        shutil.rmtree(shared.output, ignore_errors=True)
        shared.run(SPAN)
        monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
        second = machine(shared, tmp_path / name, monkeypatch, cache_remote_mode="read")
        report, lines = told(second)
        assert report.shared["hits"] == 0 and report.steps["computed"] > 100
        assert any("without a valid signature" in line for line in lines)
        assert partitions(second) == {n: d for n, d in expected.items() if n.startswith("dt=")}
        monkeypatch.delenv("DAEDA_CACHE_KEY")


def test_a_signed_trace_under_another_key_and_other_bytes_are_not_taken(shared, bucket, store, tmp_path, monkeypatch):
    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    shared.run(SPAN)
    traces = held(bucket, "cache/traces/")
    bodies = [*traces.values()]
    fill(bucket, dict(zip(traces, [*bodies[1:], bodies[0]], strict=True)))
    store.delete([store.key(found.uri) for found in store.list("packs/")])
    second = machine(shared, tmp_path / "second", monkeypatch, cache_remote_mode="read")
    report = second.run(SPAN)
    assert report.shared["hits"] == 0 and report.shared["not_used"]["badly signed"] > 0
    assert partitions(second) == partitions(shared)


def test_a_planted_artifact_needs_the_key(shared, bucket, tmp_path, monkeypatch):
    """Someone without the key puts other bytes under a name, and says so in the trace."""
    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    shared.run(SPAN)

    def plant(trace: dict) -> dict:
        for part in trace["parts"].values():
            part["sha256"] = "0" * 64
        return trace

    assert resign(bucket, plant) > 100
    second = machine(shared, tmp_path / "second", monkeypatch)
    report, lines = told(second)
    assert report.shared["hits"] == 0 and any("without a valid signature" in line for line in lines)
    assert partitions(second) == partitions(shared)
    third = machine(shared, tmp_path / "third", monkeypatch)
    report = third.run(SPAN)
    assert nothing_ran_but_fetched(report), "the second machine put its own in their place"


def test_a_key_that_cannot_be_read_is_refused(shared):
    from daedalus.base.errors import DaedalusError

    edit(shared.runtime, cache_remote_key_file="nowhere")
    with pytest.raises(DaedalusError, match="key cannot be read"):
        shared.run(SPAN)
    edit(shared.runtime, cache_remote_key_file=None, cache_remote="/mnt/share")
    with pytest.raises(DaedalusError, match="not on an object store"):
        shared.run(SPAN)


def test_patience_with_a_slow_store(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(breaker.time, "monotonic", lambda: now[0])
    watch = breaker.Breaker()
    for _ in range(100):
        with watch.watch(transfer=True):
            now[0] += 30
    assert not watch.off
    for _ in range(15):
        with watch.watch():
            now[0] += 4
    assert not watch.off
    for _ in range(6):
        with watch.watch():
            now[0] += 4
    assert watch.off == "it is too slow"
    with pytest.raises(breaker.Off), watch.watch():
        pass


# What may go


@pytest.mark.every_cloud
def test_gc_keeps_what_the_configs_need(first, store, tmp_path, monkeypatch):
    shutil.copytree(first.root / "config", first.root / "other")
    edit(first.root / "other/training/runtime.yaml", session_filter__drop_single_like=True)
    edit(first.runtime, feed_start=SPAN[:10], feed_end=SPAN[-10:])
    edit(first.root / "other/training/runtime.yaml", feed_start=SPAN[:10], feed_end=SPAN[-10:])
    first.run(SPAN, config="other")
    edit(first.runtime, content_filter={"drop": {}})
    first.run(SPAN)  # of which nothing is needed, once the config is as it was
    edit(first.runtime, content_filter={"drop": {"model_type": ["SD_V1_MODEL"]}})
    first.run(SPAN)
    before = {found.uri for found in store.list()}
    young = first.json("cache", "gc", "--remote")
    assert young["removed"] == young["traces_removed"] == 0
    plan = first.json("cache", "gc", "--remote", "--older-than", "0", "--also-config", "other", "--dry-run")
    assert plan["removed"] > 0 and {found.uri for found in store.list()} == before
    done = first.json("cache", "gc", "--remote", "--older-than", "0", "--also-config", "other")
    assert {**plan, "dry_run": False} == done and done["traces_removed"] > 0
    second = machine(first, tmp_path / "second", monkeypatch)
    for config in ("config", "other"):
        report = second.run(SPAN, config=config)
        assert report.steps["computed"] == report.steps["unchanged"] == 0, config
    alone = second.json("cache", "gc", "--remote", "--older-than", "0")
    assert alone["removed"] > 0 and alone["traces_removed"] > 0
    third = machine(first, tmp_path / "third", monkeypatch)
    report = third.run(SPAN)
    assert report.steps["computed"] == report.steps["unchanged"] == 0
    report = third.run(SPAN, config="other")
    assert report.steps["computed"] > 0


def test_gc_is_refused_where_it_cannot_be(first, cloud):
    for options, values, said in (
        (["--max-bytes", "1"], {}, "cannot be combined"),
        ([], {"cache_remote_mode": "read"}, "read-only"),
        ([], {"cache_remote_mode": "read-write", "object_store": cloud.options("http://127.0.0.1:9")},
         "does not answer"),
        ([], {"cache_remote": None}, "no shared cache"),
    ):  # fmt: skip
        edit(first.runtime, **values)
        done = first.cli("cache", "gc", "--remote", *options)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    done = first.cli("cache", "gc", "--also-config", "other")
    assert done.returncode == 2 and "cannot be combined" in done.stderr


def test_what_is_known_of_inputs_is_carried(shared, monkeypatch):
    from daedalus.sharing.open import InputNotes, offer_inputs, take_inputs
    from daedalus.workspace.settings import Settings
    from daedalus.workspace.workspace import opened

    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    taken: dict = {}
    notes = InputNotes(lambda: {"s3://b/x": {"stamp": "1", "digest": "d"}}, taken.update)
    with opened(Settings()) as workspace:
        offer_inputs(workspace.shared, "feed", notes)
        take_inputs(workspace.shared, "another feed", notes)
        assert taken == {}
        take_inputs(workspace.shared, "feed", notes)
        assert taken == notes.export()
    monkeypatch.setenv("DAEDA_CACHE_KEY", "quite another key")
    taken.clear()
    with opened(Settings()) as workspace:
        take_inputs(workspace.shared, "feed", notes)
    assert taken == {}


def test_status_says_whether_the_store_answers(first, cloud):
    assert first.json("cache", "status")["shared"]["reachable"] is True
    edit(first.runtime, object_store=cloud.options("http://127.0.0.1:9"))
    assert first.json("cache", "status")["shared"]["reachable"] is False
    edit(first.runtime, cache_remote=None)
    assert "shared" not in first.json("cache", "status")


# What is put back, or under another name


def test_a_signature_is_good_under_one_name():
    signer = Signer(b"a key that the group shares")
    signed = signer.sign("qid_maps/one.json", {"rows": 1})
    assert signer.problem("qid_maps/one.json", signed) == ""
    assert signer.problem("qid_maps/other.json", signed) == "badly signed"
    assert signer.problem("inputs/one.json", signed) == "badly signed"
    assert Signer().problem("whatever", {"rows": 1}) == ""


def test_a_state_before_the_one_that_was_seen_is_told(tmp_path):
    traces = Traces(tmp_path / "traces.db")
    seen = Seen(traces, "s3://bucket/cache")
    assert seen.problem("map", 0, "a") == ""
    seen.note("map", 5, "a")
    assert Seen(traces, "s3://bucket/cache").problem("map", 4, "a") == "older than what was seen"
    assert [seen.problem("map", rows, "a") for rows in (5, 6)] == ["", ""]
    seen.note("map", 2, "b")  # a new history may be shorter; the old one is over
    assert seen.problem("map", 2, "b") == seen.problem("other", 0, "a") == ""
    assert seen.problem("map", 9, "a") == "older than what was seen"
    assert Seen(traces, "s3://other/cache").problem("map", 0, "a") == ""
    traces.close()


def test_notes_on_inputs_that_are_put_back_are_not_taken(shared, store, monkeypatch):
    from daedalus.sharing.open import InputNotes, offer_inputs, take_inputs

    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    known, taken = {"s3://b/x": {"stamp": "1", "digest": "d"}}, {}
    notes = InputNotes(lambda: known, taken.update)
    with opened(Settings()) as workspace:
        offer_inputs(workspace.shared, "feed", notes)
        (key,) = [store.key(one.uri) for one in store.list("inputs/")]
        older = store.get(key)[0]
        known["s3://b/x"] = {"stamp": "2", "digest": "e"}
        offer_inputs(workspace.shared, "feed", notes)
        store.put(key, older)
    with opened(Settings()) as workspace:
        take_inputs(workspace.shared, "feed", notes)
        assert taken == {} and not workspace.shared.remote.rejected
        assert not any("an older state" in line for line in workspace.shared.news())
        offer_inputs(workspace.shared, "feed", notes)  # one number after what was seen, not after what is there
        take_inputs(workspace.shared, "feed", notes)
        assert taken == known


@pytest.mark.parametrize("mode", ["read-write", "write"])
def test_writers_of_notes_on_inputs_go_on_from_each_other(shared, store, tmp_path, monkeypatch, mode):
    from daedalus.sharing.open import InputNotes, offer_inputs, take_inputs

    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    taken: dict = {}

    def offer(settings: Settings, known: dict) -> None:
        with opened(settings) as workspace:
            offer_inputs(workspace.shared, "feed", InputNotes(lambda: known, taken.update))

    others = Small(elsewhere(shared.root, tmp_path / "others"))
    edit(others.runtime, cache_remote_mode=mode)
    for number in range(3):
        offer(Settings(), {"a": number})
    for number in range(3, 6):  # machines that have seen nothing
        shutil.rmtree(others.root / "cache", ignore_errors=True)
        monkeypatch.chdir(others.root)
        offer(Settings(), {"a": number})
        monkeypatch.chdir(shared.root)
        with opened(Settings()) as workspace:
            take_inputs(workspace.shared, "feed", InputNotes(dict, taken.update))
            assert taken == {"a": number} and not workspace.shared.remote.rejected
    (found,) = store.list("inputs/")
    assert json.loads(store.get(store.key(found.uri))[0])["sequence"] == 6


def test_of_writers_of_notes_at_once_none_is_lost_to_a_number(shared, store):
    from daedalus.sharing.open import InputNotes, offer_inputs

    with opened(Settings()) as workspace:
        offer_inputs(workspace.shared, "feed", InputNotes(lambda: {"first": 1}, dict))
        (key,) = [store.key(one.uri) for one in store.list("inputs/")]

        class Overtaken(type(workspace.shared.remote)):
            """Another machine writes between a look and a write, twice."""

            left = 2

            def put(self, key, value, **condition):
                if self.left:
                    self.left -= 1
                    there = json.loads(store.get(key)[0])
                    store.put(key, json.dumps({**there, "sequence": there["sequence"] + 10}).encode())
                return super().put(key, value, **condition)

        workspace.shared.remote.__class__ = Overtaken
        offer_inputs(workspace.shared, "feed", InputNotes(lambda: {"second": 2}, dict))
        value = json.loads(store.get(key)[0])
        assert value["sequence"] == 22 and value["inputs"] == {"second": 2}
        workspace.shared.remote.left = 1000
        offer_inputs(workspace.shared, "feed", InputNotes(lambda: {"third": 3}, dict))  # gives up in silence
        assert json.loads(store.get(key)[0])["inputs"] == {"second": 2} and not workspace.shared.news()[1:]


@pytest.mark.parametrize("there", [b"no JSON", b'{"inputs":{},"sequence":1e3}', b'{"sequence":%d}' % 2**60, b"[]"])
def test_notes_on_inputs_that_are_none_are_replaced(shared, store, there):
    from daedalus.sharing.open import InputNotes, _inputs_key, offer_inputs, take_inputs

    taken: dict = {}
    store.put(_inputs_key("feed"), there)
    with opened(Settings()) as workspace:
        notes = InputNotes(lambda: {"a": 1}, taken.update)
        take_inputs(workspace.shared, "feed", notes)
        assert taken == {}
        offer_inputs(workspace.shared, "feed", notes)
    with opened(Settings()) as workspace:
        take_inputs(workspace.shared, "feed", notes)
    assert taken == {"a": 1}


def test_a_map_that_is_put_back_is_not_taken(shared, store, tmp_path, monkeypatch):
    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    rows = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"feed_session": ["s"], "qid": [0]}), rows)
    with opened(Settings()) as workspace:
        record = workspace.shared.qid_map("out", "feed")
        state = record.create("lineage", rows, 1)
        (key,) = [store.key(one.uri) for one in store.list("qid_maps/")]
        older = store.get(key)[0]
        record.add(state, rows, 1)
        store.put(key, older)
        with pytest.raises(OSError, match="older than what was seen"):
            record.read()
        other = workspace.shared.qid_map("another out", "feed")
        store.put(other._key, store.get(key)[0])
        with pytest.raises(OSError, match="badly signed"):
            other.read()


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"null", b'"text"', b""])
def test_what_is_no_object_of_ours_is_passed_over(shared, store, data):
    with opened(Settings()) as workspace:
        store.put("packs/2026-02-01.json", data)
        assert workspace.shared.remote.get("packs/2026-02-01.json") is None
        with pytest.raises(OSError, match="an object of"):
            store.get("packs/2026-02-01.json", most=len(data) - 1)


@pytest.mark.parametrize("key", [None, b"a key that the group shares"])
def test_texts_that_cannot_be_encoded_are_refused(key):
    signer = Signer(key)
    for bad in ("\ud800", "a\udc7f", "\udd00b", "\udfff", "\udc80\ud800"):
        for value in ({bad: 1}, {"inputs": {bad: 1}}, {"a": [{"b": [bad]}]}, {"signature": bad}):
            for data in (json.dumps(value).encode(), remote.encode(value)):
                with pytest.raises(ValueError):
                    parse(data)
    for good in ("\udc80", "caf\udce9", "\U0001f600", "\udcff\udcc3"):  # bytes of file names, and any character
        for value in ({good: 1}, {"inputs": {good: [good]}}, {"signature": good}):
            for data in (json.dumps(value).encode(), remote.encode(value)):
                assert parse(data) == value
                unfit = "badly signed" if "signature" in value else "unsigned"
                assert signer.problem("x", parse(data)) == (unfit if key else "")
        record = SharedTrace("trace", action_key({good: good}), "a", "b", {}, {}, 0.0, 1, {good: good}, "")
        assert record.problem(record.key, "a") == ""
        if not good.isprintable():
            assert msgspec.structs.replace(record, code=good).problem(record.key, "a") == "no trace"


def test_a_run_goes_on_beside_objects_that_cannot_be_encoded(first, bucket, store, tmp_path, monkeypatch):
    texts = cycle(["\ud800", "\udfff", "x\udd00"])
    for key, data in [*held(bucket, "cache/packs/").items(), *[*held(bucket, "cache/traces/").items()][:9]]:
        value = json.loads(data)
        for record in value.get("traces", [value]):
            record["manifest"] = dict.fromkeys([next(texts)], next(texts))
        fill(bucket, {key: json.dumps(value).encode()})
    monkeypatch.setenv("DAEDA_CACHE_KEY", KEYED["DAEDA_CACHE_KEY"])
    with opened(Settings()) as workspace:
        for text in islice(texts, 3):
            hostile = {"kind": "inputs", "inputs": {text: 1}, "sequence": 1, "signature": "00"}
            store.put("inputs/x.json", json.dumps(hostile).encode())
            assert workspace.shared.remote.get("inputs/x.json") is None
    monkeypatch.delenv("DAEDA_CACHE_KEY")
    done = machine(first, tmp_path / "second", monkeypatch).cli("skeleton", "--range", SPAN)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("artifact", ["../../etc/passwd", "a/b", "", "x\0y"])
def test_a_name_leads_out_of_no_folder(artifact):
    part = Blob("../" * 5 + "x", "0" * 64, 1)
    record = SharedTrace("trace", "k", "spine@2026-02-01", artifact, {"": part}, {}, 0.0, 1, {}, "")
    assert record.problem("k", "spine@2026-02-01") == "no trace"
