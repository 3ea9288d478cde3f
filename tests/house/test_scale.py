"""The model behind docs/scale.md, on measurements made by hand from costs that are known."""

from __future__ import annotations

from math import inf

import pytest
from conftest import PROJECT

SECONDS = {  # a row
    "view:a": 0.0, "spine": 2e-6, "coverage": 1e-6, "sessions": 3e-6, "content": 1e-6, "qids": 1e-6, "chunk": 4e-6,
}  # fmt: skip
EACH = {"view:a": "once", "spine": "feed", "coverage": "feed"}  # the others: "target"
MADE = 10.0  # bytes a row that a step makes, and reads of one other
TASK, BYTE, OF_OTHERS = 0.02, 1e-9, 2e-9  # of a worker beyond a step: by action, by byte, by byte that others made
STORE, SCHEDULER, COORDINATOR = 0.01, 0.004, 0.006  # seconds by action
NUMBERING, RECEIVED, SENT = 2e-7, 5.0, 1.0  # by row: seconds, and bytes
MESSAGES = 2_000.0  # bytes by action each way
BEFORE, AFTER = 1.5, 1.0  # seconds


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    import scale

    return scale


def count(step: str, days: int, feed_days: int) -> int:
    return {"once": 1, "feed": feed_days}.get(EACH.get(step, ""), days)


def local(rows: int, days: int = 4, feed_days: int = 11) -> dict:
    steps = [
        {"step": step, "count": count(step, days, feed_days), "reads": count(step, days, feed_days),
         "seconds": (0.001 + cost * rows) * count(step, days, feed_days),
         "fetched": MADE * rows * count(step, days, feed_days), "made": MADE * rows * count(step, days, feed_days)}
        for step, cost in SECONDS.items()
    ]  # fmt: skip
    return {"rows": rows, "days": days, "feed_days": feed_days, "feed_bytes": 20 * rows, "steps": steps}


def expected(rows: int, days: int, workers: int) -> dict[str, float]:
    """Processor seconds and bytes of a run."""
    feed_days = days + 7
    actions = sum(count(step, days, feed_days) for step in SECONDS)
    work = sum((0.001 + SECONDS[step] * rows) * count(step, days, feed_days) for step in SECONDS)
    moved = sum(2 * MADE * rows * count(step, days, feed_days) for step in SECONDS)
    return {
        "actions": actions, "moved": moved,
        "workers": work + TASK * actions + (BYTE + OF_OTHERS * (1 - 1 / workers)) * moved,
        "store": STORE * actions, "scheduler": SCHEDULER * actions,
        "coordinator": 1.0 + COORDINATOR * actions + NUMBERING * rows * days,
        "received": MESSAGES * actions + RECEIVED * rows * days, "sent": MESSAGES * actions + SENT * rows * days,
    }  # fmt: skip


def ran(rows: int, days: int, workers: int, between: float = 0.0) -> dict:
    costs = expected(rows, days, workers)
    cpu = {name: costs[name] for name in ("store", "scheduler", "coordinator")}
    return {"rows": rows, "days": days, "feed_days": days + 7, "workers": workers, "held": 0,
            "seconds": (BEFORE, between, AFTER), "received": (0, costs["received"], 0), "sent": (0, costs["sent"], 1e5),
            "in_steps": 0.01 * days, "cpu": {**cpu, "workers": costs["workers"]}}  # fmt: skip


def measured(*large: dict) -> dict:
    small = [ran(10, days, 2) for days in (2, 6)]
    numbered = [{"rows": rows, "cpu": 0.005 + NUMBERING * rows} for rows in (10_000, 50_000)]
    return {"cores": 2, "local": [local(10), local(100_000)], "numbered": numbered, "counted": [*small, *large]}


@pytest.fixture
def model(scale):
    return scale.Model(measured(*(ran(100_000, 6, workers) for workers in (1, 2, 4))))


@pytest.mark.parametrize("workers", [1, 2, 100])
def test_costs_are_found_again_at_another_size(scale, model, workers):
    size, costs = scale.Size(1e9, 365, 372), expected(10**9, 365, workers)
    assert model.actions(size) == costs["actions"]
    assert model.moved(size) == pytest.approx(costs["moved"], rel=1e-3)
    assert model.workers(size, workers) == pytest.approx(costs["workers"], rel=0.01)
    assert model.coordinator.numbering(size) == pytest.approx(NUMBERING * size.shipped, rel=0.01)
    assert model.coordinator.received.at(costs["actions"], size.shipped) == pytest.approx(costs["received"], rel=0.01)


def test_one_worker_also_waits_for_the_store(scale, model):
    size, costs = scale.Size(200_000, 6, 13), expected(200_000, 6, 1)
    found = model.predict(size, scale.Machines(1, cores=2))
    assert found["saturates"] == "workers' cores"
    assert found["seconds"] == pytest.approx(BEFORE + costs["workers"] + costs["store"] + AFTER, rel=0.01)


def test_many_workers_on_one_machine_are_as_many_as_its_cores(scale, model):
    size = scale.Size(200_000, 6, 13)
    four, eight = (model.predict(size, scale.Machines(count, cores=2)) for count in (4, 8))
    assert four["saturates"] == eight["saturates"] == "machine's cores"
    costs = expected(200_000, 6, 4)
    spent = costs["workers"] + costs["store"] + costs["scheduler"] + costs["coordinator"] - 1.0
    chunk = 0.001 + SECONDS["chunk"] * 200_000
    assert four["between"]["machine's cores"] == pytest.approx(spent / 2 + chunk / 2, rel=0.01)


def test_waits_are_those_that_were_counted_with_as_many_workers(scale, model):
    size, larger, two = scale.Size(100_000, 6, 13), scale.Size(200_000, 6, 13), scale.Machines(2, cores=2)
    alone = max(model.between(size, two)[name] for name in ("workers' cores", "machine's cores"))
    waiting = scale.Model(measured(*(ran(100_000, 6, workers, 1.2 * alone) for workers in (1, 2, 4))))
    cores = [one.between(larger, two)["machine's cores"] for one in (model, waiting)]
    assert cores[1] == pytest.approx(1.2 * cores[0])


def test_a_link_held_to_little_saturates_and_halving_it_doubles_what_it_takes(scale, model):
    size = scale.Size(200_000, 6, 13)
    quarter, eighth, free = (model.predict(size, scale.Machines(2, cores=2, link=link)) for link in (25e4, 125e3, inf))
    assert quarter["saturates"] == eighth["saturates"] == "coordinator's link"
    more = [
        found["between"]["coordinator's link"] - free["between"]["coordinator's link"] for found in (quarter, eighth)
    ]
    assert more[0] == pytest.approx(expected(200_000, 6, 2)["received"] * 1514 / 1448 / 25e4, rel=0.02)
    assert more[1] == pytest.approx(2 * more[0], rel=0.02)
    assert quarter["after"] - free["after"] == pytest.approx(1e5 * 1514 / 1448 / 25e4)


def test_what_a_larger_cluster_waits_for_first(scale, model):
    size, link = scale.Size(1e9, 365, 372), 1.25e9
    on = scale.Machines(100, link=link, links=link, inputs=link, latency=0.02)
    found = model.predict(size, on)
    assert found["before"] == pytest.approx(BEFORE + 20e9 * 372 / link, rel=0.01)
    slow = scale.Machines(100, link=link / 1000, links=link, latency=0.02)
    assert model.predict(size, slow)["saturates"] == "coordinator's link"
    one = model.predict(size, scale.Machines(1, link=link, links=link))
    assert one["saturates"] == "workers' cores"
    assert one["between"]["workers' cores"] == pytest.approx(expected(10**9, 365, 1)["workers"], rel=0.01)
