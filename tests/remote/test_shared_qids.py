"""Machines that hand out qids for one output: a number never means two sessions, whoever was first."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from faults import Proxy
from small import Small, edit, make
from turns import spread

from daedalus.objectstore.object_store import ObjectStore
from daedalus.sharing.qid_history import QidHistory

DAYS = [f"2026-02-{day:02}" for day in range(1, 7)]
ROUNDS = 3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """Six days with sessions under a short config whose output carries them."""
    root = tmp_path_factory.mktemp("tiny")
    make(root, "--start", "2026-01-31", "--end", DAYS[-1], "--rows", "60", "--users", "6", "--artworks", "30")
    world = Small(root)
    columns = ["feed_session", "user_id", "artwork_id", "event_timestamp", "event", "likes_1d"]
    edit(
        world.runtime, spine__lookback_days=1, feature_refs=[], enrich=[], ages={}, animated_model_type=None,
        recent_published=None, content_filter={"drop": {}}, output_columns=columns, compute__duckdb_config__threads=1,
    )  # fmt: skip
    likes = {"name": "likes", "events": ["like"], "column": "artwork_id", "agg": "distinct", "windows": ["1d"]}
    world.edit_aggregations(lambda specs: specs.__setitem__(slice(None), [likes]))
    return root


class Machines:
    """Machines with their own caches and outputs, and one store; `on(name)` is where the next run happens."""

    def __init__(self, tiny: Path, folder: Path, monkeypatch, **config: object) -> None:
        self._tiny, self._folder, self._monkeypatch, self._config = tiny, folder, monkeypatch, config
        self.all: dict[str, Small] = {}
        self.numbered: dict[str, dict[str, int]] = {}  # all that a machine ever gave out

    def on(self, name: str, **config: object) -> Small:
        if name not in self.all:
            self.all[name] = Small(Path(shutil.copytree(self._tiny, self._folder / name)))
            edit(self.all[name].runtime, **{**self._config, **config})
        self._monkeypatch.chdir(self.all[name].root)
        return self.all[name]

    def check(self, name: str) -> dict[str, int]:
        """The map, which is one-to-one, covers the output and contradicts nothing that was there before."""
        world = self.all[name]
        qids = read_map(world)
        assert len(set(qids.values())) == len(qids)
        for path in world.output.glob("dt=*/*.parquet"):
            part = pq.ParquetFile(path).read(columns=["feed_session", "qid"])
            for session, qid in zip(part["feed_session"].to_pylist(), part["qid"].to_pylist(), strict=True):
                assert qids.get(session) == qid, f"{name} {path} {session}"
        before = self.numbered.get(name, {})
        assert before.items() <= qids.items()
        self.numbered[name] = qids
        return qids


def read_map(world: Small) -> dict[str, int]:
    path = world.output / "qid_map.parquet"
    if not path.exists():
        return {}
    table = pq.read_table(path)
    return dict(zip(table["feed_session"].to_pylist(), table["qid"].to_pylist(), strict=True))


@pytest.fixture
def machines(tiny, bucket, store_options, tmp_path, monkeypatch) -> Machines:
    return Machines(tiny, tmp_path, monkeypatch, cache_remote=f"{bucket}/c", object_store=store_options)


@pytest.fixture
def store(bucket, store_options) -> ObjectStore:
    return ObjectStore(f"{bucket}/c", store_options)


def record(store: ObjectStore) -> dict:
    (found,) = store.list("qid_maps/")
    return json.loads(store.get(store.key(found.uri))[0])


def test_machines_in_turn_number_as_one(machines, store):
    machines.on("a").run(f"{DAYS[0]}..{DAYS[1]}")
    machines.on("b").run(f"{DAYS[2]}..{DAYS[3]}")
    a, b = machines.check("a"), machines.check("b")
    assert a.items() < b.items(), "b took up what a had numbered"
    report = machines.on("a").run(f"{DAYS[0]}..{DAYS[3]}")
    assert report.steps["computed"] == report.steps["unchanged"] == 0
    assert machines.check("a") == b
    assert (
        machines.all["a"].bytes()[f"dt={DAYS[3]}/part-0-0.parquet"]
        == (machines.all["b"].bytes()[f"dt={DAYS[3]}/part-0-0.parquet"])
    )
    machines.on("c").run(f"{DAYS[0]}..{DAYS[5]}")
    c = machines.check("c")
    assert b.items() < c.items() and sorted(c.values()) == list(range(len(c)))
    assert sum(piece["rows"] for piece in record(store)["pieces"]) == len(c)


def before_the_swap(monkeypatch, what) -> None:
    """Does something once, just before a machine puts its numbers into the record."""
    add, done = QidHistory.add, []

    def first(self, state, piece, rows):
        if not done:
            done.append(True)
            what()
        return add(self, state, piece, rows)

    monkeypatch.setattr(QidHistory, "add", first)


@pytest.mark.every_cloud
@pytest.mark.parametrize("how", ["whole", "in turn"])
def test_who_loses_the_race_numbers_below_the_winner(machines, store, monkeypatch, how):
    if how == "in turn":
        spread(monkeypatch)
    machines.on("a").run(DAYS[0])
    machines.on("b").run(DAYS[0])
    lineage = record(store)["lineage"]

    def a_is_first() -> None:
        done = machines.all["a"].cli("skeleton", "--range", f"{DAYS[1]}..{DAYS[2]}", "--progress", "none")
        assert done.returncode == 0, done.stderr

    before_the_swap(monkeypatch, a_is_first)
    report = machines.on("b").run(f"{DAYS[1]}..{DAYS[4]}")
    assert report.exit_code == 0
    a, b = machines.check("a"), machines.check("b")
    assert a.items() < b.items() and record(store)["lineage"] == lineage
    report = machines.on("a").run(f"{DAYS[0]}..{DAYS[4]}")
    assert report.steps["computed"] == 0 and machines.check("a") == b


def test_two_fresh_machines_begin_at_once(machines, store, monkeypatch):
    create, done = QidHistory.create, []

    def first(self, lineage, whole, rows):
        if not done:
            done.append(True)
            assert machines.all["a"].cli("skeleton", "--range", DAYS[0], "--progress", "none").returncode == 0
        return create(self, lineage, whole, rows)

    monkeypatch.setattr(QidHistory, "create", first)
    machines.on("a")
    assert machines.on("b").run(f"{DAYS[0]}..{DAYS[1]}").exit_code == 0
    machines.check("a")
    machines.check("b")
    machines.on("a").run(f"{DAYS[0]}..{DAYS[3]}")
    machines.on("b").run(f"{DAYS[0]}..{DAYS[3]}")
    machines.check("a")
    machines.check("b")


@pytest.mark.parametrize("fault", ["500", "lost", "hang"])
def test_who_cannot_swap_goes_on_alone(machines, store, cloud, fault):
    proxy = Proxy(cloud.endpoint)
    machines.on("a").run(DAYS[0])
    machines.on("b", object_store=cloud.options(proxy.endpoint)).run(DAYS[0])
    with proxy.failing(lambda method, path: fault if method == "PUT" and "qid_maps" in path else None):
        assert machines.on("b").run(f"{DAYS[1]}..{DAYS[2]}").exit_code == 0
    machines.check("b")
    machines.on("a").run(f"{DAYS[1]}..{DAYS[3]}")
    machines.check("a")
    machines.on("b").run(f"{DAYS[0]}..{DAYS[3]}")
    machines.check("b")
    machines.on("c").run(f"{DAYS[0]}..{DAYS[3]}")
    assert machines.check("c") == machines.check("a")
    proxy.close()


def test_a_record_that_vanished_is_not_begun_again_under_its_name(machines, store):
    machines.on("a").run(DAYS[0])
    machines.on("b").run(DAYS[0])
    lineage = record(store)["lineage"]
    store.delete([store.key(found.uri) for found in store.list("qid_maps/")])
    machines.on("b").run(f"{DAYS[0]}..{DAYS[1]}")
    assert record(store)["lineage"] != lineage
    machines.on("a").run(f"{DAYS[0]}..{DAYS[2]}")
    machines.on("b").run(f"{DAYS[0]}..{DAYS[2]}")
    machines.check("a")
    machines.check("b")


def test_pieces_that_are_gone_leave_everyone_alone(machines, store):
    machines.on("a").run(f"{DAYS[0]}..{DAYS[1]}")
    store.delete([f"artifacts/{piece['digest'][:2]}/{piece['digest']}.parquet" for piece in record(store)["pieces"]])
    assert machines.on("b").run(f"{DAYS[0]}..{DAYS[1]}").exit_code == 0
    machines.check("b")
    machines.on("a").run(f"{DAYS[0]}..{DAYS[2]}")
    machines.check("a")


def test_a_machine_that_only_reads_numbers_alone(machines, store):
    machines.on("a").run(DAYS[0])
    before = record(store)
    machines.on("b", cache_remote_mode="read").run(f"{DAYS[0]}..{DAYS[1]}")
    assert record(store) == before
    b = machines.check("b")
    assert machines.check("a").items() < b.items()
    machines.on("a").run(f"{DAYS[0]}..{DAYS[2]}")
    assert machines.on("b").run(f"{DAYS[0]}..{DAYS[2]}").exit_code == 0
    machines.check("a")
    machines.check("b")


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_order_and_whatever_fails(machines, cloud, monkeypatch, seed):
    proxy, rng = Proxy(cloud.endpoint), random.Random(seed)
    if seed % 2:
        spread(monkeypatch)
    options = cloud.options(proxy.endpoint)
    chance = rng.choice([0.0, 0.1, 0.3])
    faults = ["500", "lost", "reset", "truncate", "flip"]
    with proxy.failing(lambda method, path: rng.choice(faults) if rng.random() < chance else None):
        for _ in range(8):
            name = rng.choice("abc")
            world = machines.on(name, object_store=options)
            if rng.random() < 0.15:  # a new start
                shutil.rmtree(world.output, ignore_errors=True)
                machines.numbered.pop(name, None)
            elif rng.random() < 0.15:
                shutil.rmtree(world.root / "cache", ignore_errors=True)
            first, last = sorted(rng.choices(range(len(DAYS)), k=2))
            report = world.run(f"{DAYS[first]}..{DAYS[last]}")
            assert report.exit_code == 0, report.failures
            machines.check(name)
    proxy.close()
