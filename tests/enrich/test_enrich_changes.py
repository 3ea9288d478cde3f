"""What a change of pool, settings or feed runs again, as SPEC.md section 5 promises: these steps, and no others."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from enrich_tiny import BEFORE, DAYS, LIKED, RANGE, UNUSED, VIEWED, TinyWorld, a_vector
from small import edit, rewrite

from daedalus.config.steps import ENRICH_STEPS
from daedalus.explain.run_history import list_runs
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.stagecache.action_name import step_of
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

POOL = {"fragment", "pool_vectors", "pool_places"}
VIEWS = {"pool", "view:art", "published"}
ENTRIES, MEANS = ("image", "like_mean", "author_mean"), ("like_mean", "author_mean")
SECOND, LAST = DAYS[1:]


def of(step: str, *days, entries=()) -> set[str]:
    """The actions of a step on some days."""
    names = [f"{step}:{entry}" for entry in entries] or [step]
    return {f"{name}@{day}" for name in names for day in days or DAYS}


@pytest.fixture
def world(tiny_enriched):
    return tiny_enriched


def feed_day(world: TinyWorld) -> None:
    """The day before the range loses rows, which lists of the first two days hold."""
    rewrite(world.root / f"data/feed/dt={BEFORE[1]}/p.parquet", lambda table: table.slice(0, table.num_rows - 9))


CHANGES = {
    "nothing": (lambda world: None, set()),
    "ids that no day uses": (lambda world: world.pool.append([(72, a_vector()), (73, None)]), POOL),
    "another vector of an id that no day uses": (lambda world: world.pool.append([(UNUSED[0], a_vector())]), POOL),
    "rows without an id or a vector": (lambda world: world.pool.append([(None, a_vector()), (VIEWED, None)]),
                                       {"fragment", "pool_vectors", "pool_places"}),
    "a row as there was": (
        lambda world: world.pool.append([row for row in world.pool.rows() if row[0] == VIEWED]), POOL),
    "an id that had no vector": (
        lambda world: world.pool.append([(LIKED, a_vector())]),
        POOL | of("vectors", SECOND, entries=["image"]) | of("vectors", LAST, entries=["like_mean"])
        | of("means", LAST, entries=["like_mean"]) | of("enriched", SECOND, LAST)),
    "another vector of an id that is used": (
        lambda world: world.pool.append([(VIEWED, a_vector())]),
        POOL | of("vectors", LAST, entries=["image"]) | of("enriched", LAST)),
    "compaction": (lambda world: world.pool.compact(), POOL),
    "the table made again": (lambda world: world.pool.remake(), POOL),
    "the table made again in other files": (lambda world: world.pool.remake(rows_per_file=3), POOL),
    "rows that no day uses deleted": (lambda world: world.pool.delete(UNUSED), POOL),
    "a vector that is used deleted": (
        lambda world: world.pool.delete([VIEWED]),
        # a view without its id in the pool is not covered any more: another matter of the skeleton
        POOL | of("vectors", LAST, entries=ENTRIES) | of("means", LAST, entries=MEANS) | of("enriched", LAST)),
    "max_items of one entry": (
        lambda world: world.entries(like_mean={"mean_of": "likes_1d", "max_items": 1}),
        of("vectors", entries=["like_mean"]) | of("means", entries=["like_mean"]) | of("enriched")),
    "an entry more": (
        lambda world: world.entries(author={"of": "author_id"}), of("vectors", entries=["author"]) | of("enriched")),
    "an entry less": (lambda world: world.entries(author_mean=None), of("enriched")),
    "the content filter": (lambda world: edit(world.runtime, content_filter={"drop": {}}), of("enriched")),
    "dtype": (lambda world: world.embeddings(dtype="float16"), of("means", entries=MEANS) | of("enriched")),
    "rows of a part file": (lambda world: edit(world.runtime, entity_spine_chunk_rows=5), of("enriched")),
    "a day of the feed": (feed_day, of("vectors", *DAYS[:2], entries=MEANS) | of("means", *DAYS[:2], entries=MEANS)
                      | of("enriched", *DAYS[:2])),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_runs(world, change):
    do, allowed = CHANGES[change]
    before = world.bytes()
    do(world)
    ran = world.ran()
    enrich = {name for name in ran.steps() if name.partition(":")[0].partition("@")[0] in ENRICH_STEPS}
    assert enrich <= allowed, enrich - allowed
    told = f"{sorted(enrich)} of {sorted(allowed)}"
    published = {name for name in enrich if name.startswith("enriched")}
    assert bool(published) == bool({name for name in allowed if name.startswith("enriched")}), told
    if change not in SKELETON_TOO:  # but coverage, on days that have an id of which it is told
        assert not {name for name in ran.steps() if "@" in name} - enrich - of("coverage", SECOND), told
    if not published:
        assert world.bytes() == before
    if change in EXACTLY:
        assert enrich == allowed, told
    again = world.ran()
    assert not again.names


# of these the skeleton has steps to run, too
SKELETON_TOO = {"the content filter", "a day of the feed", "rows of a part file", "a vector that is used deleted"}
EXACTLY = {"nothing", "another vector of an id that is used", "an id that had no vector", "an entry less", "dtype",
           "the content filter"}  # fmt: skip


def test_of_a_pool_that_grows_only_what_is_new_is_read(world):
    world.pool.append([(72, a_vector())])
    first = [name for name in world.ran().names if name.startswith("fragment")]
    world.pool.append([(73, a_vector())])
    second = [name for name in world.ran().names if name.startswith("fragment")]
    assert len(first) == len(second) == 1 and first != second
    world.pool.delete([70])
    assert len([name for name in world.ran().names if name.startswith("fragment")]) == 1


def test_a_run_on_record_has_the_steps_that_ran_not_those_whose_result_stood(world):
    world.pool.append([(72, a_vector())])
    ran = world.ran()
    newest = list_runs(Settings(), 1)["runs"][0]
    assert newest["computed"] == Counter(step_of(name) for name in ran.names)


def test_another_layout_of_the_same_rows_changes_no_bytes_of_the_pool(world):
    for change in (world.pool.compact, world.pool.remake):
        change()
        ran = world.ran()
        assert "pool_vectors" in ran.names and "pool_vectors" not in ran.computed


def test_a_column_beside_the_vectors_is_not_read(world):
    """Lance writes it to files of its own: the fragments' vectors are as they were."""
    import lance

    lance.dataset(str(world.pool.path)).add_columns({"note": "artwork_id + 1"})
    ran = world.ran()
    assert not [name for name in ran.names if name.startswith(("fragment", "vectors", "means", "enriched"))]


def test_vectors_in_files_of_their_own_are_read(world):
    """A vector column that was added later lies in other files than the ids."""
    import lance

    before = world.bytes()
    lance.dataset(str(world.pool.path)).add_columns({"late": "vector"})
    world.embeddings(vector_column="late")
    world.ran()
    assert world.bytes() == before
    rows = lance.dataset(str(world.pool.path)).to_table()
    assert rows.schema.field("late").type == pa.list_(pa.float32(), 3)


def test_ids_that_have_only_null_vectors_are_counted_and_noted(world):
    world.pool.delete([VIEWED, 1, 2])
    world.pool.append([(VIEWED, None), (1, None), (1, None), (2, None), (2, a_vector()), (UNUSED[0], None)])
    notes = world.run().notes
    assert "vectors     the pool has only NULL vectors for 2 ids that image uses on one day" in notes, notes


@pytest.mark.parametrize("edited", ["the content filter", "a corrected feed day"])
def test_a_plan_names_the_edit_that_an_earlier_run_of_the_skeleton_took_up(world, edited):
    """And not the digests of the artifacts by which enrich has its effect."""
    world.run()
    if edited == "the content filter":
        edit(world.runtime, content_filter={"drop": {}})
    else:
        feed_day(world)
    run_skeleton_stage(Settings(), RANGE)
    plan = world.run(plan=True)
    what = "content_filter" if edited == "the content filter" else f"dt={BEFORE[1]}"
    assert {cause["kind"] for cause in plan.causes} == {"config" if edited == "the content filter" else "input"}
    assert plan.causes and all(what in cause["what"] for cause in plan.causes), plan.causes


def test_rows_are_compared_by_the_skeleton_that_each_partition_was_made_of(world):
    """A session that never ships is not covered any more: rows of `sessions` move, the skeleton's partition stays."""
    never = UNUSED[0]
    rewrite(world.root / "data/art/a.parquet", lambda table: table_with(
        table, artwork_id=never, kind="dropped"))  # fmt: skip
    rewrite(world.root / f"data/feed/dt={LAST}/p.parquet", lambda table: table_with(
        table, user_id=0, artwork_id=never, event="view", feed_session="of another"))  # fmt: skip
    world.ran()
    skeleton, enriched = read_last(world.output), read_last(world.enriched)
    world.pool.delete([never])
    world.pool.append([(VIEWED, a_vector())])
    report = world.run()
    assert read_last(world.output) == skeleton and not report.failures
    changed = [one != other for one, other in zip(enriched["image"], read_last(world.enriched)["image"], strict=True)]
    [line] = [line for line in report.changes if str(LAST) in line]
    assert f"image {sum(changed) / len(changed):.0%}" in line, line


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: bytes(byte ^ 0x55 for byte in data),
    "empty": lambda data: b"",
}
EDITS = {
    "vectors:image": lambda world: world.pool.append([(VIEWED, a_vector())]),
    "rolling:likes": lambda world: edit_first(world.aggregations, name="likes", max_items=1),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("step", EDITS)
def test_an_earlier_artifact_that_is_damaged_fails_no_run(world, step, damage):
    """Nothing needs it any more but the line that says what the run changed."""
    with opened(Settings()) as workspace:
        trace = workspace.traces.latest(f"{step}@{LAST}")
        path = workspace.store.path("", trace.artifact)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(DAMAGE[damage](data))
    EDITS[step](world)
    report = world.run()
    assert not report.failures and report.exit_code == 0
    [line] = [line for line in report.changes if str(LAST) in line]
    assert f"rows; more: daeda diff {LAST}" in line


def edit_first(path, **values: object) -> None:
    """Sets values of the first aggregation."""
    specs = yaml.safe_load(path.read_text())
    specs["aggregations"][0].update(values)
    path.write_text(yaml.safe_dump(specs))


def table_with(table: pa.Table, **values: object) -> pa.Table:
    """A table with one more row: its first with other values."""
    return pa.concat_tables(
        [table, pa.Table.from_pylist([{**table.slice(0, 1).to_pylist()[0], **values}], table.schema)]
    )


def read_last(output) -> dict[str, list]:
    return pq.read_table(output / f"dt={LAST}").to_pydict()
