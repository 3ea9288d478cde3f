"""Delta Lake and Iceberg tables as feed and views: the rows that the table has, by its own list of files."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from anything import anything, day
from deltalake import DeltaTable, write_deltalake
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from lake import KINDS, PATTERNS, Lake, append_delta, as_tables, delta_feed, delta_view, feed_days, rows_of, with_day
from pyiceberg.expressions import EqualTo
from pyiceberg.manifest import DataFileContent, FileFormat, ManifestFile
from pyiceberg.types import LongType, StringType
from pyroaring import BitMap
from reference import read_output
from small import answered, edit
from test_feed_shapes import left, run
from test_worlds import EXAMPLES, THOROUGH
from worlds import worlds

from daedalus.audit.audit import audit, differs
from daedalus.config.load import load_config
from daedalus.explain.row import explain_row
from daedalus.inputs.listing import FeedFolder
from daedalus.inputs.local_files import LocalNames
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings


@given(worlds(), st.sampled_from(KINDS), st.sampled_from(["delta", "iceberg"]))
@settings(THOROUGH, max_examples=max(EXAMPLES // 5, 4), phases=[Phase.generate])
def test_a_world_of_tables_gives_the_bytes_of_the_same_world_as_trees(pools, world, kind, format):
    assume(world.feed and all(world.views.values()))  # a table without rows has no files
    world.kinds = [0]
    with tempfile.TemporaryDirectory() as folder:
        plain, lake = Path(folder) / "plain", Path(folder) / "lake"
        world.build(plain, pools)
        as_tables(plain, lake, format, kind)
        expected, found = run(plain, world), run(lake, world)
        assert not found.failures
        assert left(lake) == left(plain)
        assert found.rows == expected.rows


class Lakes:
    """A small world, whose feed and one view are tables; the working directory is its root."""

    def __init__(self, root: Path, format: str, kind: str = "date") -> None:
        self.root, self.format, self.world = root, format, anything(14)
        self.world.runtime["embedding_coverage_filter"]["id_column"] = "artwork_id"
        self.world.write(root)
        self.catalog = root / "config/catalog.yaml"
        (root / "lake").mkdir()
        if format == "delta":
            delta_feed(root / "feed", root / "lake/feed", kind)
            delta_view(root / "catalog/Items", root / "lake/items")
        else:
            self.lake = Lake(root / "lake")
            self.table = self.lake.feed("feed", root / "feed", kind)
            self.items = self.lake.view("items", root / "catalog/Items")
        edit(self.catalog, feed={"path": "lake/feed", **({"partition": PATTERNS[kind]} if kind in PATTERNS else {})})
        edit(self.catalog, views__Items__source="lake/items")

    def run(self, **options):
        report = run_skeleton_stage(Settings(), self.world.range, allow_empty=True, **options)
        assert not report.failures
        return report

    def left(self) -> dict[str, bytes]:
        out = self.root / "data/training_output"
        return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.glob("dt=*/*.parquet"))}

    def cold(self) -> dict[str, bytes]:
        """What a run without a cache leaves."""
        report = run_skeleton_stage(Settings(cache_root="cold", output_root="cold/out"), self.world.range)
        assert not report.failures
        found = {
            str(p.relative_to("cold/out")): p.read_bytes() for p in sorted(Path("cold/out").glob("dt=*/*.parquet"))
        }
        shutil.rmtree("cold")
        return found

    def rows(self, number: int) -> pa.Table:
        return with_day(self.world.feed[f"dt={day(number)}/a.parquet"], day(number), "date")

    def append(self, rows: pa.Table) -> None:
        if self.format == "delta":
            append_delta(self.root / "lake/feed", rows)
        else:
            self.table.append(rows)

    def overwrite(self, number: int, rows: pa.Table) -> None:
        if self.format == "delta":
            write_deltalake("lake/feed", rows, mode="overwrite", predicate=f"dt = '{day(number)}'")
        else:
            self.table.overwrite(rows, EqualTo("dt", str(day(number))))

    def compact(self) -> None:
        """The rows of a day with several files, in one."""
        if self.format == "delta":
            DeltaTable("lake/feed").optimize.compact()
        else:
            self.overwrite(1, self.table.scan(EqualTo("dt", str(day(1)))).to_arrow())

    def version(self) -> int:
        return (
            DeltaTable("lake/feed").version() if self.format == "delta" else self.table.current_snapshot().snapshot_id
        )

    def steps(self, plan) -> dict[str, set[str]]:
        """The days of each step that a plan names."""
        found: dict[str, set[str]] = {}
        for row in plan.plan:
            found.setdefault(row["step"].partition(":")[0], set()).add(row["day"])
        return found

    def refused(self, *words: str) -> str:
        """The one message with which a run is refused, in which these words are."""
        told = answered("skeleton", "--range", self.world.range, "--progress", "none")
        assert told.returncode == 2 and "Traceback" not in told.stderr, told.stderr
        for word in words:
            assert word in " ".join(told.stderr.split()), told.stderr
        return told.stderr


@pytest.fixture(params=["delta", "iceberg"])
def lakes(request, tmp_path, monkeypatch) -> Lakes:
    monkeypatch.chdir(tmp_path)
    return Lakes(tmp_path, request.param)


def nothing_ran(report) -> bool:
    return report.steps["computed"] == report.steps["unchanged"] == 0


def test_an_unchanged_table_runs_nothing_and_its_folder_is_not_listed(lakes, monkeypatch):
    lakes.run()
    for name in ("lake/feed/stray.parquet", f"lake/feed/dt={day(1)}/stray.parquet", "lake/items/stray.parquet"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"no parquet")  # what the list does not name is never looked at
    seen = []
    monkeypatch.setattr("os.scandir", lambda path, real=os.scandir: seen.append(str(path)) or real(path))
    assert nothing_ran(lakes.run())
    folders = {path for path in seen if "lake/" in path}
    assert folders <= {"lake/feed/metadata", "lake/items/metadata"}
    assert lakes.left() == lakes.cold()


def test_an_appended_commit_runs_the_days_that_read_it(lakes):
    lakes.run()
    lakes.append(lakes.rows(1).slice(0, 2).set_column(1, "artwork_id", pa.array([77, 78])))
    plan = lakes.run(plan=True)
    assert lakes.steps(plan)["spine"] == {str(day(1))}
    assert str(day(0)) not in {row["day"] for row in plan.plan}
    assert any(f"{lakes.version()}" in note for note in plan.input_notes)
    lakes.run()
    assert lakes.left() == lakes.cold()


def test_the_same_rows_in_other_files_run_the_spine_and_nothing_after_it(lakes):
    rows = lakes.rows(1)
    lakes.overwrite(1, rows.slice(0, 2))
    lakes.append(rows.slice(2))
    lakes.run()
    before = lakes.left()
    lakes.compact()
    report = lakes.run()
    assert report.steps["computed"] == 0 and report.steps["unchanged"] == 1
    assert lakes.left() == before
    if lakes.format == "delta":
        DeltaTable("lake/feed").vacuum(0, dry_run=False, enforce_retention_duration=False)
        assert nothing_ran(lakes.run())


def test_an_older_version_is_read_by_its_number(lakes):
    old, before = lakes.version(), lakes.cold()
    lakes.overwrite(1, lakes.rows(1).slice(0, 1))
    assert lakes.cold() != before
    edit(lakes.catalog, feed__version=old)
    assert lakes.cold() == before
    lakes.run()
    edit(lakes.catalog, feed__version=None)
    lakes.run()
    assert lakes.left() == lakes.cold() != before


def test_a_view_in_an_older_version(lakes):
    before, items = lakes.cold(), rows_of(lakes.root / "catalog/Items")
    other = items.slice(0, 1)
    if lakes.format == "delta":
        old = DeltaTable("lake/items").version()
        append_delta(Path("lake/items"), other, mode="overwrite")
    else:
        old = lakes.items.current_snapshot().snapshot_id
        lakes.items.overwrite(other)
    assert lakes.cold() != before
    edit(lakes.catalog, views__Items__version=old)
    assert lakes.cold() == before


def test_commands_name_the_version_and_the_audit_reads_the_table(lakes):
    lakes.run()
    for command in (["cache", "status"], ["explain", "day", str(day(1))], ["config", "check"],
                    ["skeleton", "--range", lakes.world.range, "--progress", "none"]):  # fmt: skip
        told = answered(*command)
        assert told.returncode == 0 and str(lakes.version()) in told.stdout + told.stderr, (
            command,
            told.stdout,
            told.stderr,
        )
    found = audit(Settings(), None, 1000, 0)
    assert found["rows"] and not differs(found)
    rows = read_output("data/training_output")[day(2)]
    told = [explain_row(Settings(), str(day(2)), row["user_id"], row["artwork_id"])["rows"] for row in rows]
    lists = [kind for ones in told for one in ones for kind in one["columns"].values()]
    files = {event["file"] for kind in lists for event in kind.get("counted", [])}
    assert files and all(not file.startswith("/") and "dt=2026-" in file for file in files)


def test_a_listed_file_that_is_gone_fails_its_day(lakes):
    listed = sorted(Path("lake/feed").rglob("*.parquet"))
    gone = next(path for path in listed if str(day(1)) in str(path))
    gone.unlink()
    report = run_skeleton_stage(Settings(), lakes.world.range)
    assert {failure.day for failure in report.failures} == {str(day(1))}
    assert all(gone.name in failure.error for failure in report.failures)


def test_a_version_that_is_not_there(lakes):
    edit(lakes.catalog, feed__version=987654321)
    lakes.refused("catalog.yaml: feed.path", "987654321")


def test_without_the_package_the_extra_is_named(lakes, monkeypatch):
    package = {"delta": "deltalake", "iceberg": "pyiceberg"}[lakes.format]
    for name in [*sys.modules]:
        if name.partition(".")[0] == package or name.startswith(f"daedalus.inputs.lake.{lakes.format}"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    lakes.refused(f"pip install 'daedalus-skeleton[{lakes.format}]'", "feed.path")


def test_a_version_of_what_is_no_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lakes = Lakes(tmp_path, "delta")
    edit(lakes.catalog, feed={"path": "feed", "version": 3})
    lakes.refused("feed.version", "_delta_log")
    edit(lakes.catalog, feed={"path": "feed", "version": -3})
    lakes.refused("feed.version", ">= 0")
    edit(lakes.catalog, feed={"path": "feed"}, views__people__version=1)
    lakes.refused("views.people.version")


def test_files_of_a_table_by_a_pattern_are_refused(lakes):
    edit(lakes.catalog, views__Items__source="lake/items/**/*.parquet")
    lakes.refused("views.Items.source", "source: lake/items")


# What a Delta table may have


@pytest.fixture
def delta(tmp_path, monkeypatch) -> Lakes:
    monkeypatch.chdir(tmp_path)
    return Lakes(tmp_path, "delta")


def commit(table: str, *actions: dict) -> None:
    """The next commit of a Delta table, of these actions."""
    log = Path(table, "_delta_log")
    number = len(list(log.glob("*.json")))
    (log / f"{number:020}.json").write_text("\n".join(map(json.dumps, actions)))


def added(table: str) -> dict:
    """What a Delta table's log says of a file that it lists."""
    texts = [path.read_text() for path in sorted(Path(table, "_delta_log").glob("*.json"))]
    return [json.loads(line)["add"] for text in texts for line in text.split("\n") if '"add"' in line][-1]


def protocol(*features: str) -> dict:
    return {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": list(features),
                         "writerFeatures": list(features)}}  # fmt: skip


def bitmap(*rows: int) -> str:
    """Numbers of rows as a deletion vector that stands in the log."""
    inner = BitMap(rows).serialize()
    data = struct.pack("<iqi", 1681511377, 1, 0) + inner
    data += b"\0" * (-len(data) % 4)
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    words = struct.unpack(f">{len(data) // 4}I", data)
    return "".join(digits[word // 85**place % 85] for word in words for place in (4, 3, 2, 1, 0))


def test_deletion_vectors_are_refused_and_a_table_that_could_have_some_is_read(delta):
    before = delta.cold()
    commit("lake/feed", protocol("deletionVectors", "timestampNtz"))
    assert delta.cold() == before
    file = added("lake/feed")
    vector = {"storageType": "i", "pathOrInlineDv": bitmap(0), "sizeInBytes": 34, "cardinality": 1}
    remove = {"path": file["path"], "deletionTimestamp": 1, "dataChange": True, "partitionValues": {}}
    commit("lake/feed", {"remove": remove}, {"add": {**file, "deletionVector": vector}})
    delta.refused("deletion vectors", "feed.path: lake/feed", "PURGE")


def test_column_mapping_is_refused(delta):
    write_deltalake("lake/mapped", pa.table({"a": [1]}))
    log = Path("lake/mapped/_delta_log/00000000000000000000.json")
    metadata = next(json.loads(line) for line in log.read_text().split("\n") if "metaData" in line)
    fields = json.loads(metadata["metaData"]["schemaString"])
    fields["fields"][0]["metadata"] = {"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "col-1"}
    mapping = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "1"}
    metadata["metaData"] |= {"schemaString": json.dumps(fields), "configuration": mapping}
    commit("lake/mapped", protocol("columnMapping"), metadata)
    edit(delta.catalog, views__Items__source="lake/mapped")
    delta.refused("column mapping", "views.Items.source: lake/mapped")


def test_a_log_that_is_damaged_or_of_the_future(delta):
    commit("lake/feed", protocol("featureOfTheFuture"))
    delta.refused("a Delta table cannot be read", "feed.path: lake/feed")
    Path("lake/feed/_delta_log/00000000000000000002.json").write_text("{")
    delta.refused("a Delta table cannot be read", "feed.path: lake/feed")


def test_a_file_elsewhere_and_odd_names(delta):
    """A shallow clone's log names whole addresses; names of files are parts of URLs."""
    before = delta.cold()
    file = added("lake/feed")
    here = Path("lake/feed", file["path"])
    there = delta.root / "else where%20" / "a+b é.parquet"
    there.parent.mkdir()
    here.rename(there)
    remove = {"path": file["path"], "deletionTimestamp": 1, "dataChange": True, "partitionValues": {}}
    commit("lake/feed", {"remove": remove}, {"add": {**file, "path": there.as_uri()}})
    assert delta.cold() == before
    inside = Path("lake/feed/a b%41.parquet")
    there.rename(inside)
    remove["path"] = there.as_uri()
    commit("lake/feed", {"remove": remove}, {"add": {**file, "path": "a%20b%2541.parquet"}})
    assert delta.cold() == before


def test_a_column_that_partitions_a_delta_table_is_not_read(delta):
    rows = delta.rows(1).append_column("country_code", pa.array([158] * delta.rows(1).num_rows, pa.int32()))
    append_delta(Path("lake/by_country"), rows, ["dt", "country_code"])
    edit(delta.catalog, feed__path="lake/by_country")
    report = run_skeleton_stage(Settings(), delta.world.range)
    assert all("country_code" in failure.error and "partition column" in failure.error for failure in report.failures)
    assert report.failures


@pytest.mark.parametrize("by", [[], ["artwork_id"], ["year", "month", "day"]])
def test_partitions_that_are_no_days_are_refused_with_what_would_be(delta, by):
    append_delta(Path("lake/other"), with_day(delta.rows(1), day(1), "parts"), by or None)
    edit(delta.catalog, feed__path="lake/other")
    told = delta.refused("feed.path", "not partitioned by day", "dt=YYYY-MM-DD", ", ".join(by) or "not partitioned")
    assert ('partition: "year=%Y/month=%m/day=%d"' in told) == (len(by) == 3)


def test_rows_of_no_day_are_passed_over_and_named(delta):
    before = delta.cold()
    append_delta(Path("lake/feed"), delta.rows(1).set_column(
        delta.rows(1).column_names.index("dt"), "dt", pa.nulls(delta.rows(1).num_rows, pa.date32())))  # fmt: skip
    assert delta.cold() == before
    assert any("ignored 1 partition" in note and "dt=null" in note for note in delta.run().input_notes)


def test_two_days_of_which_the_pattern_names_one(delta):
    rows = with_day(delta.rows(1).rename_columns({"dt": "loaded"}), day(0), "date")
    append_delta(Path("lake/two"), rows, ["loaded", "dt"])
    edit(delta.catalog, feed={"path": "lake/two", "partition": "made=%Y-%m-%d"})
    delta.refused("several partition fields that are dates", "loaded, dt")
    for name, expected in (("loaded", day(1)), ("dt", day(0))):
        edit(delta.catalog, feed={"path": "lake/two", "partition": f"{name}=%Y-%m-%d"})
        assert list(FeedFolder(load_config("config"), LocalNames()).days) == [expected]
    rows = with_day(delta.rows(1).rename_columns({"dt": "born"}), day(0), "number")
    append_delta(Path("lake/named"), rows, ["born", "dt"])
    edit(delta.catalog, feed={"path": "lake/named", "partition": "dt=%Y%m%d"})
    assert list(FeedFolder(load_config("config"), LocalNames()).days) == [day(0)]


# What an Iceberg table may have


@pytest.fixture
def iceberg(tmp_path, monkeypatch) -> Lakes:
    monkeypatch.chdir(tmp_path)
    return Lakes(tmp_path, "iceberg")


@pytest.mark.parametrize("transform", ["day", "hour"])
def test_days_of_a_transform(iceberg, transform):
    """Also: files that the table took over, whose columns have no ids."""
    before, paths = iceberg.cold(), []
    for number, rows in enumerate(table for _, table in feed_days(Path("feed"))):
        hours = pc.hour(rows["event_timestamp"])
        for hour in set(hours.to_pylist()):
            paths.append(str(iceberg.root / f"taken-{number}-{hour}.parquet"))
            pq.write_table(rows.filter(pc.equal(hours, hour)), paths[-1])
    table = iceberg.lake.table("by_time", rows, {"event_timestamp": transform})
    table.add_files(paths)
    edit(iceberg.catalog, feed__path="lake/by_time")
    assert iceberg.cold() == before
    with table.update_schema() as change:
        change.rename_column("event", "happened")
    edit(iceberg.catalog, feed__columns={"event": "happened"})
    iceberg.refused("under another name", "happened")
    with table.update_schema() as change:
        change.rename_column("happened", "event")
    with table.update_spec() as spec:
        spec.remove_field(f"event_timestamp_{transform}")
    table.append(rows)
    iceberg.refused("not partitioned by day", "not partitioned")


def test_renamed_columns_are_refused_only_where_they_are_read(iceberg):
    before = iceberg.cold()
    iceberg.run()
    with iceberg.table.update_schema() as change:
        change.add_column("later", LongType())
        change.rename_column("dt", "dt2")
    assert iceberg.cold() == before and nothing_ran(iceberg.run())
    with iceberg.table.update_schema() as change:
        change.rename_column("event", "happened")
    iceberg.refused("not the table's of that name", "event")  # although no file changed
    edit(iceberg.catalog, feed__columns={"event": "happened"})
    iceberg.refused("under another name", "happened")
    with iceberg.table.update_schema(allow_incompatible_changes=True) as change:
        change.rename_column("happened", "event")
        change.delete_column("feed_session")
    with iceberg.table.update_schema() as change:
        change.add_column("feed_session", StringType())
    edit(iceberg.catalog, feed__columns={})
    iceberg.refused("not the table's of that name", "feed_session")


def test_a_view_with_a_renamed_column(iceberg):
    with iceberg.items.update_schema() as change:
        change.rename_column("author", "by")
    with iceberg.items.update_schema() as change:
        change.add_column("author", LongType())
    iceberg.refused("the view Items", "not the table's of that name", "author")


def test_delete_files_are_refused(iceberg, monkeypatch):
    for content, format, word in ((1, "PARQUET", "position deletes"), (2, "PARQUET", "equality deletes"),
                                  (1, "PUFFIN", "deletion vectors"), (0, "ORC", "no parquet")):  # fmt: skip

        def entries(manifest, io, real=ManifestFile.fetch_manifest_entry, told=(content, format)):
            found = real(manifest, io)
            found[0].data_file._data[0], found[0].data_file._data[2] = DataFileContent(told[0]), FileFormat(told[1])
            return found

        with monkeypatch.context() as patch:
            patch.setattr(ManifestFile, "fetch_manifest_entry", entries)
            iceberg.refused("feed.path: lake/feed", word)


def test_the_newest_metadata_is_that_of_the_greatest_number_or_of_the_hint(iceberg):
    iceberg.append(iceberg.rows(1).slice(0, 1))
    files = sorted(Path("lake/feed/metadata").glob("*.metadata.json"))
    for name, newest in (("version-hint.text", files[-2]), ("", files[-1])):
        if name:
            (files[0].parent / name).write_text(newest.name)
        else:
            (files[0].parent / "version-hint.text").write_text("3")  # a number may be old
        found = FeedFolder(load_config("config"), LocalNames()).table
        assert found.version == json.loads(newest.read_text())["current-snapshot-id"]
    shutil.copy(files[-1], files[-1].with_name(files[-1].name[:6] + "lost.metadata.json"))
    iceberg.refused("not known which metadata", "lost.metadata.json", "version-hint.text")
    files[-1].with_name(files[-1].name[:6] + "lost.metadata.json").write_text("{")
    files[-1].unlink()
    iceberg.refused("an Iceberg table cannot be read", "feed.path: lake/feed")


def test_a_table_without_snapshots_has_no_partitions(iceberg):
    iceberg.lake.table("empty", iceberg.rows(1))
    edit(iceberg.catalog, feed__path="lake/empty")
    iceberg.refused("the feed has no partitions", "lake/empty")
    edit(iceberg.catalog, feed__path="lake/feed", views__Items__source="lake/empty")
    iceberg.refused("the view Items has no files")
