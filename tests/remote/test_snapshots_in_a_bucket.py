"""Snapshots of an output in a bucket: nothing deletes an object that one names, whatever runs beside it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from buckets import held
from enrich_tiny import DAYS, FIRST, TinyWorld
from small import answered, edit
from snapshot_world import said

from daedalus import load
from daedalus.base.errors import DaedalusError
from daedalus.objectstore.object_store import ObjectStore
from daedalus.objectstore.part_list import read_json, write_json
from daedalus.output import claims
from daedalus.output.remote_output import RemoteOutput
from daedalus.snapshots.claiming import Claim
from daedalus.snapshots.commands import create_snapshot, remove_snapshot
from daedalus.workspace.settings import Settings

ONE_DAY = 86_400


class InABucket(TinyWorld):
    """The tiny world with both its outputs in a bucket."""

    def __init__(self, root: Path, bucket: str, options: dict[str, str]) -> None:
        super().__init__(root)
        self.bucket, self.options, self.store = bucket, options, ObjectStore(bucket, options)
        edit(self.runtime, output_root=f"{bucket}/out", object_store=options, embeddings__output_root=f"{bucket}/rich")

    def read(self, name: str, **more):  # type: ignore[no-untyped-def]
        return load(snapshot=name, **more).to_table()

    def change(self, **runtime: object) -> None:
        edit(self.runtime, **(runtime or {"content_filter": {"drop": {"kind": ["kept"]}}}))
        assert not self.run().failures

    def change_back(self) -> None:
        self.change(content_filter={"drop": {"kind": ["dropped"]}}, entity_spine_chunk_rows=5)

    def objects_of(self, name: str, root: str = "out") -> dict[str, bytes]:
        """The objects that a snapshot names."""
        claim = json.loads(held(self.bucket, f"{root}/_snapshots/{name}/_snapshot.json").popitem()[1])
        everything = held(self.bucket, f"{root}/")
        return {key: everything[f"{root}/{key}"] for key in claims.keys_of(claim)}

    def state_of(self, name: str) -> str:
        return read_json(self.store, f"out/{claims.claim_key(name)}")[0]["state"]


@pytest.fixture
def world(tiny_enriched, bucket, store_options) -> InABucket:
    world = InABucket(tiny_enriched.root, bucket, store_options)
    assert not world.run().failures
    return world


def test_nothing_that_runs_do_loses_a_byte(world):
    rows = load().to_table(), load(stage="enrich").to_table()
    size = len(held(world.bucket))
    found = said("create", "s")
    said("create", "e", "--stage", "enrich")
    assert len(held(world.bucket)) == size + 2 + 2 + 1  # records, descriptions, and the map beside the enriched
    assert found["rows"] == rows[0].num_rows and found["only_here_bytes"] == 0
    objects = world.objects_of("s"), world.objects_of("e", "rich")
    world.change()
    assert answered("run", "--force").returncode == 0
    world.change_back()
    for day in [FIRST, *DAYS]:
        shutil.rmtree(world.root / f"data/feed/dt={day}", ignore_errors=True)
    answered("run", "--allow-empty")
    assert answered("cache", "gc", "--max-bytes", "0").returncode == 0
    assert (world.objects_of("s"), world.objects_of("e", "rich")) == objects
    assert (world.read("s"), world.read("e")) == rows
    assert world.read("s", to="pyarrow", output_root=f"{world.bucket}/out", object_store=world.options) == rows[0]
    assert load(str(DAYS[1]), ["event"], snapshot="s", to="polars").collect().height > 0
    assert json.loads(answered("cache", "verify", "--json").stdout)["snapshots"] == {"checked": 2, "damaged": {}}


def test_removing_one_frees_what_nothing_else_names(world):
    said("create", "one")
    said("create", "two", "--range", str(DAYS[0]))
    world.change()
    one, two = world.objects_of("one"), world.objects_of("two")
    alone = {key: data for key, data in one.items() if key not in two}
    freed = sum(len(data) for key, data in alone.items() if key.endswith(".parquet"))
    assert said("show", "one")["only_here_bytes"] == freed > 0 == said("show", "two")["only_here_bytes"]
    before = held(world.bucket)
    assert said("remove", "one")["freed_bytes"] == freed
    gone = before.keys() - held(world.bucket).keys()
    assert gone == {f"out/{key}" for key in alone if f"out/{key}" in gone} and len(gone) == len(alone)
    assert world.objects_of("two") == two and [one["name"] for one in said("list")["snapshots"]] == ["two"]
    for command in ("show one", "remove one", "diff two one"):
        assert said(*command.split(), code=2)["error"]["what"] == "there is no such snapshot"
    with pytest.raises(DaedalusError, match="no such snapshot"):
        load(snapshot="one")
    assert said("create", "one")["rows"] > 0  # the name is free again
    assert said("create", "one", code=2)["error"]["what"] == "there is a snapshot of that name"


def test_a_diff_reads_days_that_differ(world):
    said("create", "v1")
    assert said("diff", "v1")["days"] == {}
    world.change(output_columns=["user_id", "artwork_id", "event_timestamp", "event", "likes_1d"])
    found = said("diff", "v1", code=1)
    assert [*found["days"]] == [str(day) for day in DAYS]
    assert all(one["rows"][0] == one["rows"][1] and one["columns"]["title"] == 1 for one in found["days"].values())


@pytest.mark.parametrize("moment", ["before the claim", "after the claim", "after the check"])
def test_a_run_beside_one_takes_nothing_from_it(world, monkeypatch, moment):
    """At each step of the protocol a run replaces every partition: the snapshot is of before, or of after."""
    before, ran = load().to_table(), []

    def run() -> None:
        if not ran:
            ran.append(True)
            with monkeypatch.context() as plain:
                plain.setattr(Claim, "_put", put)
                plain.setattr(Claim, "_look", look)
                plain.setattr(Claim, "finish", finish)
                world.change()

    put, look, finish = Claim._put, Claim._look, Claim.finish
    if moment == "before the claim":
        monkeypatch.setattr(Claim, "_put", lambda self, value: (run(), put(self, value)))
    elif moment == "after the claim":
        monkeypatch.setattr(Claim, "_put", lambda self, value: (put(self, value), run()))
    else:
        monkeypatch.setattr(Claim, "finish", lambda self, *arguments: (run(), finish(self, *arguments))[1])
    create_snapshot(Settings(), "v")
    assert ran and world.read("v") == (before if moment == "after the check" else load().to_table())
    assert len({*world.objects_of("v")}) > len(DAYS)
    world.change_back()
    assert (
        world.objects_of("v") and not json.loads(answered("cache", "verify", "--json").stdout)["snapshots"]["damaged"]
    )


def test_what_deletes_reads_the_claims_last(world, monkeypatch):
    """A snapshot that begins between a run's new manifest and its sweep is of what is named then."""
    plain, made = RemoteOutput.sweep, []

    def sweep(self, keys):
        keys = [*keys]
        if keys and not made:
            made.append(create_snapshot(Settings(), "between"))
        plain(self, keys)

    monkeypatch.setattr(RemoteOutput, "sweep", sweep)
    world.change()
    assert made and world.objects_of("between")
    world.change_back()
    assert world.objects_of("between") and world.read("between").num_rows == made[0]["rows"]


@pytest.mark.parametrize("state", [claims.MAKING, claims.REMOVING])
def test_what_a_dead_process_left_is_removed_by_name(world, state):
    said("create", "v")
    key = f"out/{claims.claim_key('v')}"
    value, _ = read_json(world.store, key)
    world.store.put(key, write_json({**value, "state": state}))
    assert said("list")["snapshots"] == []
    assert said("create", "v", code=2)["error"]["hint"] == "if its process died: daeda snapshot remove v"
    assert said("show", "v", code=2)["error"]["what"] == "there is no such snapshot"
    assert said("remove", "v")["name"] == "v" and said("create", "v")["rows"] > 0


def test_a_claim_of_a_process_that_died_holds_for_a_day(world, monkeypatch):
    def died(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Claim, "finish", died)
        patch.setattr(Claim, "withdraw", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            create_snapshot(Settings(), "v")
    objects = world.objects_of("v")
    world.change()
    assert world.objects_of("v") == objects and world.state_of("v") == claims.MAKING
    now = time.time()
    monkeypatch.setattr(claims.time, "time", lambda: now + 2 * ONE_DAY)
    world.change_back()
    assert world.state_of("v") == claims.REMOVED
    assert said("create", "v")["rows"] > 0


def test_one_that_is_withdrawn_or_removed_while_it_is_made_fails(world, monkeypatch):
    plain = Claim.finish

    def finish(self, *arguments):
        remove_snapshot(Settings(), "v")
        return plain(self, *arguments)

    monkeypatch.setattr(Claim, "finish", finish)
    with pytest.raises(DaedalusError, match="removed while it was made"):
        create_snapshot(Settings(), "v")
    assert world.state_of("v") == claims.REMOVED and said("list")["snapshots"] == []


def test_an_interrupted_one_claims_nothing(world, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Claim, "_entries", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create_snapshot(Settings(), "v")
    assert world.state_of("v") == claims.REMOVED


def test_a_claim_that_cannot_be_read_stops_deleting(world):
    said("create", "v")
    key = f"out/{claims.claim_key('v')}"
    world.store.put(key, world.store.get(key)[0][:-40])
    before = held(world.bucket, "out/dt=")
    world.change()
    assert before.keys() <= held(world.bucket, "out/dt=").keys()
    assert said("list", code=2)["error"]["what"] == "the record of a snapshot cannot be read"
    done = answered("cache", "verify", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["snapshots"]["damaged"] == {"v": [f"{world.bucket}/{key}"]}
    assert said("remove", "v") and said("list")["snapshots"] == [] and said("create", "v")["rows"] > 0


def test_verify_names_objects_that_are_gone_or_changed(world):
    said("create", "v")
    world.change()
    first, second = sorted(key for key in world.objects_of("v") if key.startswith("dt="))[:2]
    world.store.delete([f"out/{first}"])
    data = world.store.get(f"out/{second}")[0]
    world.store.put(f"out/{second}", bytes([data[0] ^ 1]) + data[1:])
    done = answered("cache", "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["snapshots"]["damaged"] == {
        "v": [f"{world.bucket}/out/{k}" for k in (first, second)]
    }


def test_a_map_elsewhere_is_copied(tiny_enriched, bucket, store_options):
    """An output in a bucket and one on this machine: the snapshot of either has the map of the skeleton."""
    edit(tiny_enriched.runtime, embeddings__output_root=f"{bucket}/rich", object_store=store_options)
    assert not tiny_enriched.run().failures
    qids = (tiny_enriched.output / "qid_map.parquet").read_bytes()
    said("create", "far", "--stage", "enrich")
    assert [data for key, data in held(bucket, "rich/_snapshots/far/").items() if key.endswith(".parquet")] == [qids]
    edit(tiny_enriched.runtime, output_root=f"{bucket}/out", embeddings__output_root="data/near")
    assert not tiny_enriched.run().failures
    said("create", "near", "--stage", "enrich")
    copy = tiny_enriched.root / "data/near/_snapshots/near/qid_map.parquet"
    assert copy.read_bytes() == held(bucket, "out/qid_map.parquet").popitem()[1]
