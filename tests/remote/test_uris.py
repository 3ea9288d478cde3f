"""Inputs and output on an object store: the bytes of a local run, and nothing read or run without need."""

from __future__ import annotations

import errno
import io
import shutil
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest
from faults import FAULTS, Proxy
from remote import Remote
from small import DAYS, RANGE, edit, nothing_ran, rewrite

from daedalus import load
from daedalus.base import digest
from daedalus.base.errors import DaedalusError, Interrupted
from daedalus.inputs.local_files import LocalFiles
from daedalus.inputs.remote_files import RemoteFiles
from daedalus.objectstore.object_store import ObjectStore
from daedalus.workspace.graph import build_graph

FEW = f"{DAYS[0]}..{DAYS[4]}"
END = f"{DAYS[-3]}..{DAYS[-1]}"


def is_listing(path: str) -> bool:
    return "list-type=" in path or "comp=list" in path


def few(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those that are partitions of FEW."""
    return {name: data for name, data in files.items() if name.startswith(tuple(f"dt={day}" for day in DAYS[:5]))}


@pytest.fixture
def remote(cold, bucket, store_options) -> Remote:
    world = Remote(cold.root, bucket, store_options)
    world.upload()
    world.configure(store_options)
    return world


@pytest.fixture
def requests(monkeypatch) -> list[tuple[str, str]]:
    """(kind, key) of every request that goes out, in order."""
    asked: list[tuple[str, str]] = []
    for kind in ("list", "head", "get", "_fetch", "put"):
        plain = getattr(ObjectStore, kind)

        def watched(self, key="", *more, plain=plain, kind=kind, **options):
            asked.append((kind.strip("_"), key))
            return plain(self, key, *more, **options)

        monkeypatch.setattr(ObjectStore, kind, watched)
    return asked


def test_the_bytes_are_those_of_a_local_run_and_a_rerun_reads_nothing(remote, warm_template, requests):
    local = remote.bytes(warm_template / "data/training_output")
    report = remote.run()
    assert not report.failures and report.partitions["written"] == len(DAYS)
    assert remote.published() == local and len(local) > len(DAYS)
    requests.clear()
    again = remote.run()
    assert nothing_ran(again) and again.partitions["kept"] == len(DAYS) and again.rows == report.rows
    assert {kind for kind, _ in requests} == {"list"} and len(requests) <= 10
    requests.clear()
    edit(remote.runtime, day_workers=2)  # days do not stand, all is looked up by key
    assert nothing_ran(remote.run()) and "fetch" not in {kind for kind, _ in requests}


def test_a_second_machine_goes_on_with_the_same_numbers(remote):
    remote.run(f"{DAYS[0]}..{DAYS[8]}")
    state, before = remote.state(), remote.published()
    shutil.rmtree(remote.root / "cache")
    report = remote.run()
    assert not report.failures and report.partitions == {"written": 5, "kept": 9}
    after = remote.published()
    assert {name: after[name] for name in before if name.startswith("dt=")} == {
        name: data for name, data in before.items() if name.startswith("dt=")
    }
    assert remote.state()["lineage"] == state["lineage"] and remote.state()["digest"] != state["digest"]


def test_an_object_with_the_same_bytes_runs_nothing_one_with_others_only_what_reads_it(remote, store_options):
    span = f"{DAYS[9]}..{DAYS[12]}"
    remote.run(span)
    key = f"data/feed/dt={DAYS[10]}/part-1.parquet"
    data, found = remote.store.get(key)
    time.sleep(1.1)  # the stamp counts in seconds
    remote.store.put(key, data)
    assert remote.store.head(key).stamp != found.stamp
    assert nothing_ran(remote.run(span))

    local = remote.root / "part.parquet"
    local.write_bytes(data)
    rewrite(local, lambda table: table.slice(3))
    remote.store.put(key, local)
    plan = {(row["day"], row["step"]) for row in remote.run(span, plan=True).plan if row["state"] == "run"}
    assert {day for day, _ in plan} == {str(DAYS[10])} and "spine" in {step for _, step in plan}
    report = remote.run(span)
    assert not report.failures and 0 < report.partitions["written"] <= 4
    assert report.steps["computed"] + report.steps["unchanged"] < report.steps["hit"]


def test_known_objects_spare_another_machine_the_look(remote, requests):
    from daedalus.workspace.settings import Settings
    from daedalus.workspace.workspace import opened

    remote.run()
    with opened(Settings()) as workspace:
        known = workspace.files.remote.known_objects()
    feed = f"{remote.bucket}/data/feed/dt={DAYS[0]}/part-1.parquet"
    assert known[feed].keys() == {"stamp", "digest", "form", "columns", "rows", "bytes", "times"}
    requests.clear()
    with opened(Settings(cache_root="elsewhere")) as workspace:
        workspace.files.remote.learn_objects(known)
        build_graph(workspace, list(workspace.config.range(None)), reconcile=False)
        assert workspace.files.remote.known_objects().keys() <= known.keys()
    assert [key.rpartition(".")[2] for kind, key in requests if kind == "fetch"] == ["manifest"]  # of the pool


def test_a_reader_sees_the_old_partition_until_the_new_one_is_whole(remote, store_options, monkeypatch):
    day = DAYS[3]
    remote.run(str(day))
    before, rows = (
        remote.manifest(day),
        load(str(day), output_root=remote.output_uri, object_store=store_options).to_table(),
    )
    edit(remote.runtime, entity_spine_chunk_rows=20)

    def killed(self, *_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("daedalus.output.remote_output.RemoteOutput.swap_json", killed)
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            remote.run(str(day))
    assert remote.manifest(day) == before  # new parts lie there, and nobody sees them
    assert len(remote.store.list(f"out/dt={day}/")) > len(before["parts"]) + 1
    assert load(str(day), output_root=remote.output_uri, object_store=store_options).to_table() == rows
    remote.run(str(day))
    after = remote.manifest(day)
    assert len(after["parts"]) > 1 and sum(part["rows"] for part in after["parts"]) == rows.num_rows
    kept = {one.uri.rpartition("/")[0] for one in remote.store.list(f"out/dt={day}/")}
    assert f"{remote.output_uri}/dt={day}/{before['parts'][0]['key'].rpartition('/')[0]}" not in kept
    assert load(str(day), output_root=remote.output_uri, object_store=store_options).to_table() == rows


def test_parts_of_dead_runs_go_when_they_are_old(remote, monkeypatch):
    remote.run(str(DAYS[3]))
    orphan = f"out/dt={DAYS[3]}/{'0' * 16}-deadbeef/part-0-0.parquet"
    theirs = [f"out/dt={DAYS[3]}/{key}" for key in ("theirs/part-0-0.parquet", "notes.txt", "part-0-0.parquet")]
    for key in (orphan, *theirs):
        remote.store.put(key, b"half")
    edit(remote.runtime, entity_spine_chunk_rows=20)
    remote.run(str(DAYS[3]))
    assert remote.store.head(orphan)  # its run may live
    monkeypatch.setattr("daedalus.output.remote_partitions._ORPHANED", -10)
    edit(remote.runtime, entity_spine_chunk_rows=30)
    remote.run(str(DAYS[3]))
    with pytest.raises(FileNotFoundError):
        remote.store.head(orphan)
    assert all(remote.store.get(key)[0] == b"half" for key in theirs)  # somebody else's

    there = remote.manifest(DAYS[3])
    for day in DAYS[3:5]:  # one has a manifest
        remote.store.put(f"out/dt={day}/{'0' * 16}-deadbeef/part-0-0.parquet", b"half")
    remote.run(str(DAYS[2]))
    assert not [one.uri for one in remote.store.list("out/") if "deadbeef" in one.uri]
    assert remote.manifest(DAYS[3]) == there
    assert all(remote.store.head(f"out/dt={DAYS[3]}/{part['key']}") for part in there["parts"])


@pytest.mark.parametrize("harm", ["part gone", "part altered", "manifest gone", "manifest damaged"])
def test_a_harmed_partition_is_put_together_again(remote, harm):
    remote.run(str(DAYS[3]))
    before = remote.published()
    manifest = remote.manifest(DAYS[3])
    part = f"out/dt={DAYS[3]}/{manifest['parts'][0]['key']}"
    if harm == "part gone":
        remote.store.delete([part])
    elif harm == "part altered":
        remote.store.put(part, b"x" * manifest["parts"][0]["bytes"])
    elif harm == "manifest gone":
        remote.store.delete([f"out/dt={DAYS[3]}/manifest.json"])
    else:
        remote.store.put(f"out/dt={DAYS[3]}/manifest.json", b"{")
    report = remote.run(str(DAYS[3]))
    assert report.partitions["written"] == 1 and remote.published() == before


def test_a_day_without_rows_loses_its_manifest(remote):
    remote.run(END)
    remote.store.delete(o.uri[len(remote.bucket) + 1 :] for o in remote.store.list(f"data/feed/dt={DAYS[-1]}/"))
    report = remote.run(END)
    assert report.days["empty"] == 1
    assert remote.store.list(f"out/dt={DAYS[-1]}/") == []
    assert nothing_ran(remote.run(END))


@pytest.mark.every_cloud
@pytest.mark.parametrize("at", ["add", "grow"])
def test_two_writers_never_hand_out_a_number_twice(remote, monkeypatch, at):
    """While one run is at work another grows the map: the first fails, and what it did not hand out is not used; once
    all is handed out, the other has the say."""
    remote.run(f"{DAYS[0]}..{DAYS[2]}")
    from daedalus.output.remote_map import RemoteMap

    plain, raced = getattr(RemoteMap, at), []

    def race(self, *arguments):
        if not raced:
            raced.append(True)
            remote.run(f"{DAYS[8]}..{DAYS[9]}", cache_root="elsewhere")
        return plain(self, *arguments)

    monkeypatch.setattr(RemoteMap, at, race)
    report = remote.run(f"{DAYS[3]}..{DAYS[4]}")
    assert {failure.step for failure in report.failures} == ({"qids"} if at == "add" else set())
    assert all("another run writes this output" in failure.error for failure in report.failures)
    again = remote.run(f"{DAYS[0]}..{DAYS[9]}")
    assert not again.failures
    numbers = pq.read_table(io.BytesIO(remote.published()["qid_map.parquet"]))
    assert len(set(numbers["qid"].to_pylist())) == len(set(numbers["feed_session"].to_pylist())) == numbers.num_rows


def test_a_run_that_dies_leaves_pieces_that_the_next_machine_takes_up(remote, monkeypatch):
    """Until then the copy lacks rows, and a version that does not know of pieces takes it for somebody else's."""
    from daedalus.output.qid_map import QidMap

    remote.run(f"{DAYS[0]}..{DAYS[2]}")
    copy = remote.published()["qid_map.parquet"]
    with monkeypatch.context() as dying, pytest.raises(Interrupted):
        dying.setattr(QidMap, "finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        remote.run(f"{DAYS[0]}..{DAYS[4]}")
    state = remote.state()
    assert state["pieces"] and state["key"] == "" and remote.published()["qid_map.parquet"] == copy
    assert digest.of_bytes(copy) not in (state["digest"], state["next"])
    kept = {piece["key"]: remote.store.get(f"out/{piece['key']}")[0] for piece in state["pieces"]}
    held = dict(zip(*pq.read_table(io.BytesIO(copy)).to_pydict().values(), strict=True))
    for data in kept.values():
        held |= dict(zip(*pq.read_table(io.BytesIO(data)).to_pydict().values(), strict=True))
    shutil.rmtree(remote.root / "cache")
    report = remote.run(f"{DAYS[3]}..{DAYS[5]}")
    assert not report.failures, report.failures[0].error
    whole = pq.read_table(io.BytesIO(remote.published()["qid_map.parquet"])).to_pydict()
    found = dict(zip(*whole.values(), strict=True))
    assert held.items() <= found.items() and sorted(found.values()) == list(range(len(found)))
    left = {one.uri for one in remote.store.list("out/qid_map/")}
    assert left == {f"{remote.output_uri}/{remote.state()['key']}"} and "pieces" not in remote.state()


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_map_that_is_harmed_is_taken_from_its_copy(remote, harm):
    remote.run(f"{DAYS[0]}..{DAYS[2]}")
    numbers = remote.published()["qid_map.parquet"]
    key = f"out/{remote.state()['key']}"
    remote.store.put(key, b"x" * len(numbers)) if harm == "damaged" else remote.store.delete([key])
    shutil.rmtree(remote.root / "cache")
    report = remote.run(f"{DAYS[0]}..{DAYS[3]}")
    assert not report.failures, report.failures[0].error
    assert pq.read_table(io.BytesIO(remote.published()["qid_map.parquet"]))[
        : pq.read_table(io.BytesIO(numbers)).num_rows
    ] == (pq.read_table(io.BytesIO(numbers)))


def test_without_any_map_partitions_that_cannot_tell_are_refused(remote):
    remote.run(f"{DAYS[0]}..{DAYS[2]}")
    remote.store.delete(["out/qid_map.parquet", f"out/{remote.state()['key']}", "out/qid_map.json"])
    with pytest.raises(DaedalusError, match="the qid map is missing"):
        remote.run(f"{DAYS[0]}..{DAYS[3]}")


def test_a_tiny_limit_evicts_and_the_run_goes_through(remote, warm_template):
    edit(remote.runtime, fetch_limit="50KB")
    assert not remote.run(FEW).failures
    assert few(remote.published()) == few(remote.bytes(warm_template / "data/training_output")) != {}
    kept = [path for path in (remote.root / "cache/fetched").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) <= 100_000
    assert not list((remote.root / "cache/tmp").glob("run-*"))


def test_a_cut_or_flipped_download_is_begun_again(remote, cloud, warm_template, monkeypatch):
    plain, harmed = ObjectStore._fetch, set()

    def harm(self, key, path):
        found = plain(self, key, path)
        if key not in harmed and key.endswith(".parquet"):
            harmed.add(key)
            data = bytearray(path.read_bytes())
            if len(harmed) % 2 and cloud.tells_md5:
                data[len(data) // 2] ^= 1
                path.write_bytes(data)
            else:
                path.write_bytes(data[: len(data) // 2])
                raise OSError(errno.EIO, "cut", key)
        return found

    monkeypatch.setattr(ObjectStore, "_fetch", harm)
    assert not remote.run(FEW).failures and len(harmed) > 25
    assert few(remote.published()) == few(remote.bytes(warm_template / "data/training_output")) != {}


def test_an_object_that_changes_or_vanishes_meanwhile_fails_its_days_alone(remote, monkeypatch):
    plain, bad = ObjectStore._fetch, f"data/feed/dt={DAYS[-1]}/part-1.parquet"

    def gone(self, key, path):
        if key == bad:
            raise FileNotFoundError(errno.ENOENT, "not there", key)
        return plain(self, key, path)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "_fetch", gone)
        report = remote.run(END)
    assert report.exit_code == 1 and {failure.day for failure in report.failures} == {str(DAYS[-1])}
    assert bad in report.failures[0].error and "Traceback" not in report.failures[0].error
    assert not remote.run(END).failures


@pytest.mark.every_cloud
@pytest.mark.parametrize("case", ["endpoint", "bucket", "output bucket", "pool"])
def test_a_store_that_cannot_be_reached_is_refused(remote, cloud, case):
    if case == "endpoint":
        edit(remote.runtime, object_store=cloud.options("http://127.0.0.1:9"))
    elif case == "bucket":
        edit(remote.catalog, feed__path=f"{cloud.scheme}://there-is-no-such/feed")
    elif case == "pool":
        edit(remote.runtime, embedding_coverage_filter__table="nothing")
    else:
        edit(remote.runtime, output_root=f"{cloud.scheme}://there-is-no-such/out")
    done = remote.cli("skeleton", "--range", str(DAYS[3]))
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("\nerror:") + done.stderr.startswith("error:") == 1 and "where:" in done.stderr


def test_other_commands_work_on_objects_and_show_no_secrets(remote, cloud, store_options):
    edit(remote.runtime, object_store={**store_options, cloud.secret: "hush"})
    remote.run()
    checked = remote.cli("config", "check", "--json")
    assert checked.returncode == 0 and "hush" not in checked.stdout and "(set)" in checked.stdout, checked.stderr
    row = load(str(DAYS[5]), output_root=remote.output_uri, object_store=store_options).to_table().to_pylist()[0]
    user, artwork = str(row["user_id"]), str(row["artwork_id"])
    shown = remote.json("explain", "row", str(DAYS[5]), "--user", user, "--artwork", artwork)
    events = [e for column in shown["rows"][0]["columns"].values() for e in column["counted"] + column["left_out"]]
    assert events and all(event["file"].startswith("dt=2026-") for event in events)
    assert {d["state"] for d in remote.json("cache", "status")["days"]} == {"fresh", "empty"}
    assert remote.json("audit", "--rows", "60")["missing"] == 0
    assert remote.json("report", "--range", RANGE)["totals"]["days"]["done"] == len(DAYS)
    edit(remote.runtime, session_filter__drop_single_like=True)
    remote.run()
    changed = [day for day in DAYS if remote.cli("diff", str(day)).returncode == 0]
    assert changed
    refused = remote.cli("init", "--feed", f"{remote.bucket}/feed", "--catalog", "x", "--config", "new")
    assert refused.returncode == 2 and "local files" in refused.stderr


@pytest.mark.every_cloud
@pytest.mark.parametrize("to", ["pyarrow", "polars", "duckdb"])
def test_load_reads_by_manifests(remote, warm_template, cloud, store_options, to):
    remote.run(f"{DAYS[0]}..{DAYS[2]}")
    span, columns = f"{DAYS[1]}..{DAYS[2]}", ["user_id", "event", "qid", "dt"]
    remote.store.put(f"out/dt={DAYS[1]}/left/part-0-0.parquet", b"of a run that died")

    def rows(root, **options):
        found = load(span, columns, output_root=root, to=to, **options)
        if to == "pyarrow":
            return found.to_table(columns=columns).to_pylist()
        return found.collect().to_dicts() if to == "polars" else found.fetchall()

    whole = rows(remote.output_uri, object_store=store_options)
    local = remote.root / "fetched"
    for name, data in remote.published().items():
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_bytes(data)
    assert whole == rows(local) and len(whole) > 20
    with pytest.raises(DaedalusError, match="there is no partition in the range"):
        load("203001", output_root=remote.output_uri, object_store=store_options)
    with pytest.raises(DaedalusError, match="the output cannot be read"):
        load("203001", output_root=f"{cloud.scheme}://there-is-no-such/out", object_store=store_options)


@pytest.mark.parametrize("pattern, names", [
    ("*.parquet", ["a.parquet", "b.parquet"]),
    ("**/*.parquet", ["a.parquet", "b.parquet", "x/c.parquet", "x/y/d.parquet"]),
    ("**", ["a.parquet", "b.parquet", "x/c.parquet", "x/y/d.parquet", "x/y/e.txt"]),
    ("x/**/?.parquet", ["x/c.parquet", "x/y/d.parquet"]),
    ("*/[cd].parquet", ["x/c.parquet"]),
    ("a.parquet", ["a.parquet"]),
    ("nothing*", []),
])  # fmt: skip
def test_globs_match_as_on_a_disk(objects, tmp_path, pattern, names, store_options):
    for name in (
        "a.parquet",
        "b.parquet",
        ".hidden.parquet",
        "x/c.parquet",
        "x/y/d.parquet",
        "x/y/e.txt",
        ".z/f.parquet",
    ):
        objects.put(name, b"")
        (tmp_path / "disk" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "disk" / name).touch()
    local = LocalFiles(None, None).matching(f"{tmp_path}/disk/{pattern}")
    remote = RemoteFiles(store_options, None, None, None).matching(f"{objects.uri}/{pattern}")
    assert [path[len(f"{tmp_path}/disk/") :] for path in local] == names
    assert [uri[len(objects.uri) + 1 :] for uri in remote] == names


def test_faults_on_the_way_leave_the_bytes_as_they_are(remote, cloud, warm_template):
    """Every second object is harmed when it is first asked for, each in another way; answers to writes get lost."""
    proxy, seen = Proxy(cloud.endpoint), Counter()
    proxy.hang_seconds, faults = 0.2, FAULTS if cloud.tells_md5 else [fault for fault in FAULTS if fault != "flip"]

    def fault(method, path):
        seen[method, path] += 1
        if seen[method, path] > 1 or len(seen) % 2:
            return None
        if method == "PUT":
            return "lost" if "json" in path else "503"
        if method == "GET" and not is_listing(path) and "lance" not in path:
            return faults[len(seen) // 2 % len(faults)]
        return ("500", "reset", "cut")[len(seen) % 3] if "lance" not in path else None

    proxy.fault = fault
    edit(remote.runtime, object_store=cloud.options(proxy.endpoint))
    try:
        report = remote.run(FEW)
    finally:
        proxy.close()
    assert not report.failures, report.failures[0].error
    assert len(proxy.requests) > sum(seen.values()) // 2
    assert few(remote.published()) == few(remote.bytes(warm_template / "data/training_output")) != {}
    assert not [
        one for one in remote.store.list("out/qid_map/") if one.uri != f"{remote.output_uri}/{remote.state()['key']}"
    ]
