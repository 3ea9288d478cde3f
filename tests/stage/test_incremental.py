"""What a second run does: nothing that it need not, and all that it must."""

from __future__ import annotations

import datetime as dt
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from reference import Reference, differences, read_output
from small import DAYS, PROJECT, RANGE, edit, nothing_ran, rewrite

from daedalus.pipelines.training import run_skeleton_stage
from daedalus.stagecache.action_name import day_of, step_of
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.graph import build_graph
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened


def test_a_second_run_touches_nothing(warm):
    before = warm.stamps()
    assert nothing_ran(warm.run())
    assert warm.stamps() == before


def test_the_days_of_a_run_that_did_nothing_are_taken_down_for_unfinished_runs_alone(warm):
    """The records do not grow by ten years of days with each run that finds them as they were."""

    def days_of_the_last_run_and(*others: str) -> list[set[str]]:
        with opened(Settings()) as workspace:
            traces = workspace.traces
            return [traces.names_of_finished_days(run) for run in (traces.runs()[0], *others)]

    assert nothing_ran(warm.run())  # a copy of a world: all files are looked at
    assert days_of_the_last_run_and() == [set(map(str, DAYS))]
    assert nothing_ran(warm.run()) and days_of_the_last_run_and() == [set()]
    with opened(Settings()) as workspace:
        request = workspace.traces.run_records()[0].request
        workspace.traces.start_run("longer", {**request, "range": f"{DAYS[0]}..2026-03-31"})
    assert nothing_ran(warm.run()) and days_of_the_last_run_and("longer") == [set(map(str, DAYS))] * 2


def test_touched_files_recompute_nothing(warm):
    before = warm.stamps()
    for path in [*warm.root.glob("data/feed/*/*.parquet"), *warm.root.glob("data/catalog/*/*.parquet")]:
        os.utime(path)
    assert nothing_ran(warm.run())
    assert warm.stamps() == before


def test_one_row_less_writes_its_day_and_the_seven_after(warm):
    before = warm.stamps()
    day = DAYS[3]
    path = warm.feed_file(day)

    def without_a_like(table: pa.Table) -> pa.Table:
        event, user = table["event"].to_pylist(), table["user_id"].to_pylist()
        active = max(set(user) - {None}, key=user.count)
        at = next(i for i, e in enumerate(event) if e == "like" and user[i] == active)
        return pa.concat_tables([table.slice(0, at), table.slice(at + 1)])

    rewrite(path, without_a_like)
    report = warm.run()
    changed = warm.changed_days(before)
    window = [str(d) for d in DAYS[3:11]]
    assert set(changed) <= set(window) and window[0] in changed
    assert report.partitions["written"] == len(changed) >= 3
    check_against_reference(warm)


def test_the_steps_of_a_feed_day_come_one_after_the_other(warm):
    """They read its spine, which is in memory for some days at most."""
    with opened(Settings()) as workspace:
        graph = build_graph(workspace, list(DAYS), reconcile=False)
    partition = next(i for i, action in enumerate(graph.actions) if action.name == f"chunk@{DAYS[0]}")
    first = [action.day for action in graph.actions[: partition + 1] if action.day]
    assert first == sorted(first) and len(set(first)) > 3
    assert [action.day for action in graph.actions if action.step == "chunk"] == list(map(str, DAYS))


def test_a_column_that_no_one_reads_stops_at_the_spine(warm):
    before = warm.stamps()
    rewrite(warm.feed_file(DAYS[5]), lambda table: table.append_column("debug", pa.array([1] * table.num_rows)))
    report = warm.run()
    assert (report.steps["computed"], report.partitions["written"]) == (0, 0)
    assert report.steps["unchanged"] >= 1
    assert report.steps["unchanged"] <= 2  # the spine of the day, and its dislikes once they are history
    assert warm.stamps() == before


def test_a_comment_in_every_file_of_the_package_runs_nothing(warm, tmp_path):
    package = tmp_path / "edited"
    shutil.copytree(PROJECT / "daedalus", package / "daedalus")
    for path in package.rglob("*.py"):
        path.write_text(path.read_text() + "\n# a comment\n")
    found = warm.json("skeleton", "--range", RANGE, package=package)
    assert found["steps"]["computed"] == found["steps"]["unchanged"] == found["partitions"]["written"] == 0


def test_a_changed_writer_option_rewrites_every_partition(warm, edited):
    package = edited.edit("parquet/writer.py", "ROWS_PER_GROUP = 24_576", "ROWS_PER_GROUP = 17")
    found = warm.json("skeleton", "--range", f"{DAYS[0]}..{DAYS[1]}", package=package)
    assert found["partitions"]["written"] == 2
    assert found["steps"]["hit"] == 0


def test_an_added_aggregation_computes_itself_and_the_assembly(warm):
    spec = {"name": "share_cnt", "events": ["click"], "column": "artwork_id", "agg": "count", "windows": ["1d"]}
    warm.edit_aggregations(lambda specs: specs.append(spec))
    edit(warm.runtime, output_columns=[*outputs(warm), "share_cnt_1d"])
    report = warm.run()
    assert report.steps["computed"] == 2 * len(DAYS)  # the events were there: click_artwork_ids sees the same
    assert report.partitions["written"] == len(DAYS)
    check_against_reference(warm)


def outputs(world) -> list:
    import yaml

    return yaml.safe_load(world.runtime.read_text())["output_columns"]


def test_the_order_of_lists_that_mean_sets_changes_nothing(warm):
    def turn(specs):
        for spec in specs:
            spec["events"].reverse()
            if isinstance(spec["windows"], list):
                spec["windows"].reverse()

    warm.edit_aggregations(turn)
    edit(warm.runtime, platforms={"web": 3, "ios": 1, "android": 2})
    assert nothing_ran(warm.run())


def test_a_filter_edit_lists_and_joins_nothing_again(warm):
    edit(warm.runtime, content_filter__drop={"model_type": ["SD_V1_MODEL", "FLUX_MODEL"]})
    plan = warm.run(plan=True)
    assert {row["step"] for row in plan.plan} == {"content", "qids", "chunk"}
    assert warm.run().partitions["written"] == len(DAYS)
    check_against_reference(warm)


def test_a_filter_value_that_drops_no_row_runs_one_step(warm):
    edit(warm.runtime, content_filter__drop={"model_type": ["SD_V1_MODEL", "A_MODEL_THAT_NONE_HAS"]})
    report = warm.run()
    assert report.steps["unchanged"] == len(DAYS) and report.steps["computed"] == 0


def test_the_choice_of_output_columns_runs_no_list_again(warm):
    columns = yaml.safe_load(warm.runtime.read_text())["output_columns"]
    kept = [c for c in columns if c not in ("event", "country_code", "click_artwork_ids_3d")]
    edit(warm.runtime, output_columns=kept)
    assert {row["step"] for row in warm.run(plan=True).plan} == {"chunk"}
    warm.run()
    check_against_reference(warm)


def test_leaving_out_the_filter_ships_every_row_of_the_sessions(warm):
    edit(warm.runtime, content_filter__drop={})
    warm.run()
    check_against_reference(warm)


def test_going_back_to_an_old_config_is_all_hits_but_the_assembly(warm):
    old = warm.bytes()
    edit(warm.runtime, content_filter__drop={"model_type": ["FLUX_MODEL"]})
    warm.run()
    edit(warm.runtime, content_filter__drop={"model_type": ["SD_V1_MODEL"]})
    report = warm.run()
    assert {"qid_map.parquet"} <= set(old)
    assert report.steps["computed"] <= len(DAYS)
    found = {name: content for name, content in warm.bytes().items() if name != "qid_map.parquet"}
    assert found == {name: content for name, content in old.items() if name != "qid_map.parquet"}


def test_a_deleted_or_altered_partition_is_restored(warm):
    before, bytes_before = warm.stamps(), warm.bytes()
    shutil.rmtree(warm.output / f"dt={DAYS[2]}")
    altered = warm.output / f"dt={DAYS[4]}/part-0-0.parquet"
    altered.write_bytes(altered.read_bytes()[:-100])
    (warm.output / f"dt={DAYS[6]}/part-7-0.parquet").write_bytes(b"left behind")
    report = warm.run()
    assert report.partitions == {"written": 3, "kept": len(DAYS) - 3}
    assert report.steps["computed"] == 0
    assert warm.bytes() == bytes_before
    assert warm.changed_days(before) == [str(DAYS[2]), str(DAYS[4]), str(DAYS[6])]


def test_partitions_outside_the_range_are_untouched(warm):
    stranger = warm.output / "dt=2025-12-31"
    stranger.mkdir()
    (stranger / "part-0-0.parquet").write_bytes(b"not ours")
    edit(warm.runtime, session_filter__drop_single_like=True)
    before = warm.stamps()
    warm.run(str(DAYS[0]))
    assert set(warm.changed_days(before)) <= {str(DAYS[0])}
    assert (stranger / "part-0-0.parquet").read_bytes() == b"not ours"


def test_a_day_whose_feed_went_away_loses_its_partition(warm):
    shutil.rmtree(warm.root / f"data/feed/dt={DAYS[-1]}")
    report = warm.run()
    assert report.days == {"total": len(DAYS), "done": len(DAYS) - 1, "empty": 1, "failed": 0}
    assert not (warm.output / f"dt={DAYS[-1]}").exists()
    assert nothing_ran(warm.run())


def test_a_partition_that_goes_is_named_before_and_after(warm):
    shutil.rmtree(warm.root / f"data/feed/dt={DAYS[-1]}")
    plan = warm.json("skeleton", "--range", RANGE, "--plan")["plan"]
    row = next(row for row in plan if row["step"] == "chunk" and row["day"] == str(DAYS[-1]))
    assert [(why["kind"], why["what"], why["new"]) for why in row["why"]] == [("input", "feed of the day", None)]
    assert "rows in 2 files" in row["why"][0]["old"]
    shown = warm.cli("skeleton", "--range", RANGE, "--plan").stdout
    assert f"dt={DAYS[-1]} would be removed: its day has no feed rows any more" in shown
    report = warm.run()
    assert report.partitions == {"written": 0, "kept": 13, "removed": 1} and report.exit_code == 0
    assert f"removed     dt={DAYS[-1]}: its day has no feed rows any more" in report.lines()
    assert "removed" not in warm.run().partitions


def test_a_damaged_or_missing_artifact_is_made_again_and_changes_nothing(warm):
    bytes_before = warm.bytes()
    artifacts = sorted(warm.root.glob("cache/artifacts/*/*.parquet"), key=lambda p: p.stat().st_size)
    artifacts[-1].unlink()
    artifacts[-2].write_bytes(artifacts[-3].read_bytes())
    report = warm.run()
    assert report.steps["computed"] == 0 and 2 <= report.steps["unchanged"] <= 4
    assert warm.bytes() == bytes_before
    assert nothing_ran(warm.run())


def test_a_damaged_trace_database_costs_time_not_truth(warm):
    bytes_before, before = warm.bytes(), warm.stamps()
    (warm.root / "cache/traces.db").write_bytes(b"not a database" * 100)
    for leftover in ("-wal", "-shm"):
        (warm.root / f"cache/traces.db{leftover}").unlink(missing_ok=True)
    warm.run()
    assert warm.bytes() == bytes_before
    assert warm.changed_days(before) == []


def test_force_computes_all_and_changes_nothing(warm):
    before = warm.stamps()
    report = warm.run(force=True)
    assert report.steps["hit"] == report.steps["computed"] == 0
    assert warm.stamps() == before


def check_against_reference(world) -> None:
    reference = Reference("config", DAYS)
    expected, found = reference.run(), read_output(world.output)
    for rows in (*expected.values(), *found.values()):
        for row in rows:
            row.pop("qid")
    assert differences(expected, found) == []


def test_a_change_of_entities_that_no_day_has_runs_no_day(warm):
    """New rows for entities that never occur: the views are made anew, and no step of any day runs."""
    catalog = warm.root / "data/catalog"
    for view, entity in (("artwork_properties", "artwork_id"), ("artwork_generation", "artwork_id"),
                         ("artwork_tack", "artwork_id"), ("user_profile", "user_id")):  # fmt: skip
        path = catalog / view / "part-0.parquet"
        table = pq.read_table(path)
        unknown = table.slice(0, 3).set_column(
            table.schema.get_field_index(entity), entity, pa.array([-5, -6, -7], table.schema.field(entity).type)
        )
        if view == "artwork_properties":  # or else their authors have published more
            authors = pa.array([-8, -8, -8], table.schema.field("author_id").type)
            unknown = unknown.set_column(table.schema.get_field_index("author_id"), "author_id", authors)
        pq.write_table(pa.concat_tables([table, unknown]), path)
    report = warm.run()
    assert report.steps["computed"] == 5 and report.steps["unchanged"] == 0  # four views, and the publications
    check_against_reference(warm)
    assert nothing_ran(warm.run())


def test_a_change_of_one_entity_runs_the_days_that_have_it(warm):
    """The latest row of one artwork changes: days without it are not even read."""
    path = warm.root / "data/catalog/artwork_generation/part-1.parquet"
    table = pq.read_table(path)
    older = dict(
        zip(
            *pq.read_table(path.with_name("part-0.parquet"), columns=["artwork_id", "updated_at"]).to_pydict().values(),
            strict=True,
        )
    )
    days: dict[int, set] = {}
    for day in DAYS:
        for artwork in pq.read_table(warm.root / f"data/feed/dt={day}", columns=["artwork_id"])[
            "artwork_id"
        ].to_pylist():
            days.setdefault(artwork, set()).add(day)
    rows = table.select(["artwork_id", "updated_at"]).to_pylist()
    latest = [
        i
        for i, row in enumerate(rows)
        if row["artwork_id"] in days and row["updated_at"] > older.get(row["artwork_id"], row["updated_at"].min)
    ]
    rare = min(latest, key=lambda i: len(days[rows[i]["artwork_id"]]))
    touched = len(days[rows[rare]["artwork_id"]])
    model = [v + 100 if i == rare else v for i, v in enumerate(table["model_id"].to_pylist())]
    pq.write_table(table.set_column(table.schema.get_field_index("model_id"), "model_id", pa.array(model)), path)
    report = warm.run()
    executed = report.steps["computed"] + report.steps["unchanged"]
    rolling = 8 * touched  # of one aggregation, on the days whose window it is in, and their assembly
    assert touched < len(DAYS) / 2 and 1 < executed <= 1 + 4 * touched + 2 * rolling
    check_against_reference(warm)
    assert nothing_ran(warm.run())


class Begun(Progress):
    """Takes down which steps run."""

    def __init__(self) -> None:
        super().__init__()
        self.days: dict[str, set[str]] = {}

    def started(self, name: str) -> None:
        self.days.setdefault(step_of(name), set()).add(day_of(name))


def test_versions_of_a_day_run_no_day_before_it(warm):
    """With `as_of: day`, days do not see what is known only since later ones, and none of their steps runs."""
    whole = yaml.safe_load(warm.catalog.read_text())
    for view in whole["views"].values():
        view["as_of"] = "day"
    warm.catalog.write_text(yaml.safe_dump(whole, sort_keys=False))
    warm.run()
    since = DAYS[len(DAYS) // 2]
    path = warm.root / "data/catalog/artwork_generation/part-1.parquet"
    table = pq.read_table(path)
    places = {name: table.schema.get_field_index(name) for name in table.column_names}
    time = pa.array([dt.datetime.combine(since, dt.time())] * table.num_rows, table.schema.field("updated_at").type)
    model = pa.array(
        [(value or 0) + 100 for value in table["model_id"].to_pylist()], table.schema.field("model_id").type
    )
    changed = table.set_column(places["updated_at"], "updated_at", time)
    changed = changed.set_column(places["model_id"], "model_id", model)
    pq.write_table(pa.concat_tables([table, changed]), path)
    begun = Begun()
    report = run_skeleton_stage(Settings(), RANGE, progress=begun)
    late = {str(day) for day in DAYS if day >= since}
    assert begun.days["attributes"] == begun.days["content"] == begun.days["event_values"] == late
    assert report.steps["hit"] > report.steps["computed"]
    check_against_reference(warm)
    assert nothing_ran(warm.run())
