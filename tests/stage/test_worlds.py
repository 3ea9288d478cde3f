"""The stage equals the brute-force reference on worlds that hypothesis makes."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference import Reference, differences, read_output
from worlds import World, feed_rows, lateness, view_rows, worlds

from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "30"))
THOROUGH = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)  # fmt: skip


def run(root: Path, world: World, **options):
    settings = Settings(str(root / "config"), str(root / "cache"), str(root / "out"))
    return run_skeleton_stage(settings, world.range, **{"allow_empty": True, **options})


def check(root: Path, world: World, *, fresh: bool) -> Reference:
    """Runs the stage and compares every row, column, order, qid and count with the reference."""
    report = run(root, world)
    reference = Reference(root / "config", world.days)
    expected, found = reference.run(), read_output(root / "out")
    if not fresh:  # an older map hands out other numbers
        for rows in (*expected.values(), *found.values()):
            for row in rows:
                row.pop("qid", None)
    assert not report.failures
    assert differences(expected, found) == []
    assert report.days == {
        "total": len(world.days), "done": len(expected), "empty": len(world.days) - len(expected), "failed": 0
    }  # fmt: skip
    window = read_days(reference, world)
    partitions = {day + dt.timedelta(days=late) for day in window for late in lates(reference)}
    for name in ("read", "null_keys", "strays"):
        assert report.rows[name] == sum(reference.counts[day][name] for day in partitions), name
    assert report.rows["duplicates"] == sum(reference.counts[day]["duplicates"] for day in window)
    assert report.rows["written"] == sum(map(len, expected.values()))
    return reference


def lates(reference: Reference) -> range:
    """The partitions that rows of a day may lie in, by how many days they are after it."""
    return range(-reference.before, reference.after + 1)


def read_days(reference: Reference, world: World) -> set:
    """Days in the window of a target day that has any feed file it may take rows from."""
    days = lambda first, last: [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]  # noqa: E731
    back, late = dt.timedelta(days=reference.lookback), [dt.timedelta(days=i) for i in lates(reference)]
    targets = [day for day in world.days if not reference.partitions.isdisjoint(days(day + late[0], day + late[-1]))]
    return {day for target in targets for day in days(target - back, target)}


@given(worlds())
@THOROUGH
def test_any_world_equals_the_reference(pools, world):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        world.build(root, pools)
        check(root, world, fresh=True)
        again = run(root, world)
        assert (again.steps["computed"], again.steps["unchanged"], again.partitions["written"]) == (0, 0, 0)


@given(worlds(), st.data())
@settings(THOROUGH, max_examples=max(EXAMPLES // 3, 5))
def test_any_edit_of_any_world_equals_the_reference(pools, world, data):
    """A warm cache never answers with what the inputs or the config no longer say."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        world.build(root, pools)
        run(root, world)
        for _ in range(2):
            edit(world, data)
            world.build(root, pools)
            check(root, world, fresh=False)


def edit(world: World, data: st.DataObject) -> None:
    """Changes one thing in the feed, a view, the pool or the config."""
    kind = data.draw(st.integers(0, 6))
    if kind == 0:
        world.feed.append(data.draw(feed_rows(world.targets)))
    elif kind == 1:
        world.feed.pop(data.draw(st.integers(0, len(world.feed) - 1)))
    elif kind == 2:
        name = data.draw(st.sampled_from(sorted(world.views)))
        world.views[name].append(data.draw(view_rows(name)))
    elif kind == 3:
        world.pool = (1, 3, 5) if world.pool == (1, 2, 3) else (1, 2, 3)
    elif kind == 4:
        rule = world.runtime["session_filter"]
        rule["drop_view_only"] = not rule["drop_view_only"]
    elif kind == 5:
        world.aggregations[0]["exclude_self"] = not world.aggregations[0]["exclude_self"]
    else:
        world.runtime["spine"]["lateness_days"] = data.draw(lateness)
