"""Bad config, arguments and input: exit 2 (1 for one day's file), one message that says where, nothing half-written."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pyarrow as pa
import pytest
from reference import Reference, differences, read_output
from small import DAYS, RANGE, edit, rewrite

from daedalus.base.errors import DaedalusError
from daedalus.cli.main import main
from daedalus.config.load import read_yaml


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def set_runtime(**values):
    return lambda world: edit(world.runtime, **values)


def set_view(**values):
    return lambda world: edit(world.catalog, **{f"views__artwork_tack__{k}": v for k, v in values.items()})


def set_aggregation(**values):
    return lambda world: world.edit_aggregations(lambda specs: specs[0].update(values))


def write(name: str, text: str):
    return lambda world: (world.root / name).write_text(text)


def view_file(change):
    return lambda world: rewrite(next(world.root.glob("data/catalog/artwork_tack/part-1.parquet")), change)


def text_column(name):
    return lambda table: table.set_column(
        table.column_names.index(name), name, table[name].cast(pa.string()) if name != "tack_ids" else pa.array(["x"] * table.num_rows)
    )  # fmt: skip


def far_times(name):
    """Nanoseconds that somebody put into a column of milliseconds."""
    far = lambda table: pa.array([1_772_400_000_000_000_000] * table.num_rows, pa.int64()).cast(pa.timestamp("ms"))  # noqa: E731
    return lambda table: table.set_column(table.column_names.index(name), name, far(table))


def doubled(first: str, then: str) -> str:
    """Twelve values, each of nine of the one before."""
    lines = [then.format(name=chr(98 + i), members=",".join([f"*{chr(97 + i)}"] * 9)) for i in range(12)]
    return f"{first}\n" + "\n".join(lines) + "\n"


BOMB = doubled("a: &a [x,x,x,x,x,x,x,x,x]", "{name}: &{name} [{members}]")
MERGES = doubled("a: &a {k: 1, l: 2}", "{name}: &{name} {{<<: [{members}]}}")
CASES = {
    "no config folder": (lambda w: shutil.rmtree(w.root / "config"), ["config"]),
    "a missing file": (lambda w: w.aggregations.unlink(), ["aggregations.yaml"]),
    "broken YAML": (write("config/catalog.yaml", "feed: {path: data\n"), ["catalog.yaml", "line"]),
    "a list for a mapping": (write("config/training/runtime.yaml", "- 1\n"), ["runtime.yaml", "mapping"]),
    "a key that stands twice": (write("config/catalog.yaml", "feed: {path: a}\nfeed: {path: b}\n"), ["catalog.yaml", "duplicate key"]),
    "aliases that multiply": (write("config/catalog.yaml", BOMB), ["catalog.yaml: line 6", "aliases that expand to more than 100,000"]),
    "aliases that multiply beside much else": (
        write("config/catalog.yaml", BOMB + f"z: [{'1,' * 110_000}]\n"), ["catalog.yaml: line", "aliases"]),
    "merges that multiply": (write("config/catalog.yaml", MERGES), ["catalog.yaml: line 6", "aliases that expand to more than"]),
    "an alias to what it is in": (write("config/catalog.yaml", "feed: &x\n  path: *x\n"), ["catalog.yaml: line", "aliases"]),
    "values nested without end": (write("config/catalog.yaml", "feed:\n" + " [" * 10_000), ["catalog.yaml: line 2", "100 deep"]),
    "mappings nested without end": (write("config/catalog.yaml", "feed: " + "{a: " * 10_000), ["catalog.yaml: line 1", "100 deep"]),
    "a file of 11 MB": (write("config/catalog.yaml", "#" * (11 << 20)), ["catalog.yaml", "too large", "10,485,760"]),
    "two documents": (write("config/catalog.yaml", "feed: {path: a}\n---\nviews: {}\n"), ["catalog.yaml: line 2", "another document"]),
    "a tag that makes objects": (
        write("config/catalog.yaml", "feed:\n  path: !!python/object/apply:os.getcwd []\n"), ["catalog.yaml: line 2", "python/object"]),
    "a tag that nobody knows": (write("config/catalog.yaml", "feed:\n  path: !mine data\n"), ["catalog.yaml: line 2", "!mine"]),
    "a number in base 8": (write("config/training/runtime.yaml", "a: 1\nday_workers: 010\n"), ["runtime.yaml: line 2", "base 8", "as 8"]),
    "a number in base 60": (write("config/training/runtime.yaml", "day_workers: 1:30\n"), ["runtime.yaml: line 1", "base 60", "as 90"]),
    "an unknown key": (set_runtime(spine__lookbak_days=7), ["spine.lookbak_days", "lookback_days"]),
    "an unknown key where there are few": (
        lambda world: edit(world.runtime, splits={"train": {"days": "2026-02-01"}}),
        ["splits.train", "one of by, parts, salt"]),
    "an unknown key of a view": (set_view(as_off="day"), ["views.artwork_tack.as_off", "as_of"]),
    "a missing key": (write("config/training/runtime.yaml", "feed_start: '202602'\nfeed_end: '202602'\n"), ["output_columns"]),
    "a wrong type": (set_runtime(spine__lookback_days="seven"), ["spine.lookback_days", "int", "str"]),
    "a wrong choice": (set_view(as_of="never"), ["views.artwork_tack.as_of", "never", "'latest' or 'day'"]),
    "a month that is none": (set_runtime(feed_start="202613"), ["feed_start", "202613"]),
    "a range that ends first": (set_runtime(feed_end="202501"), ["feed_end"]),
    "no workers": (set_runtime(day_workers=0), ["day_workers", "at least 1"]),
    "a bad duration": (set_aggregation(windows=["1d", "soon"]), ["aggregations[0].windows[1]", "soon"]),
    "a window of ages": (set_aggregation(windows=["1d", "36501d"]), ["aggregations[0].windows[1]", "36501d", "36500d"]),
    "a window beyond the calendar": (set_aggregation(windows=["999999w"]), ["aggregations[0].windows[0]", "cumulative"]),
    "output in the place of the feed": (set_runtime(output_root="./data/feed/"), ["runtime.yaml: output_root", "feed.path"]),
    "output in a partition of the feed": (set_runtime(output_root="data/feed/dt=2026-02-03"), ["output_root", "feed.path"]),
    "output in the place of a view": (set_runtime(output_root="data/catalog/artwork_tack"), ["output_root", "views.artwork_tack"]),
    "output behind a link to the feed": (
        lambda w: ((w.root / "link").symlink_to("data/feed"), edit(w.runtime, output_root="link")), ["output_root", "feed.path"]),
    "output that a view would read": (
        lambda w: (edit(w.catalog, views__artwork_tack__source="data/**/*.parquet"), edit(w.runtime, output_root="data/out")),
        ["output_root", "views.artwork_tack"]),
    "a cache in the pool": (set_runtime(cache_root="data/embeddings/artwork_embedding.lance/cache"), ["cache_root", "embedding_coverage_filter.uri"]),
    "an output that is nowhere": (set_runtime(output_root=""), ["runtime.yaml: output_root", "empty"]),
    "a lookback of ages": (set_runtime(spine__lookback_days=800_000), ["spine.lookback_days", "36,500"]),
    "a lateness of ages": (set_runtime(spine__lateness_days=3_000_000), ["spine.lateness_days", "36,500"]),
    "more items than can be counted": (set_aggregation(max_items=2**63), ["aggregations[0].max_items", "at most"]),
    "a recent column without a name": (set_runtime(recent_published__column=""), ["recent_published.column", "empty"]),
    "lists of lists": (set_aggregation(column="tack_ids", agg="list"), ["aggregations[0].column", "BIGINT[]", "count"]),
    "times that nothing can hold": (
        lambda w: (edit(w.runtime, ages__user_age="user_profile:created_at"),
                   rewrite(next(w.root.glob("data/catalog/user_profile/*.parquet")), far_times("created_at"))),
        ["user_profile", "parquet: created_at", "milliseconds"]),
    "a bad recent window": (set_runtime(recent_published__window="0d"), ["recent_published.window", "0d"]),
    "an unknown agg": (set_aggregation(agg="median"), ["aggregations[0].agg", "median"]),
    "an unknown column": (set_aggregation(column="artwrk_id"), ["aggregations[0].column", "artwork_id"]),
    "flattening no list": (set_aggregation(agg="flatten_distinct", column="author_id"), ["aggregations[0].column", "BIGINT"]),
    "an unknown view": (set_runtime(feature_refs=["user_profil:safe_search"]), ["feature_refs[0]", "user_profile"]),
    "an unknown feature": (set_runtime(ages__user_age="user_profile:born"), ["ages.user_age", "born"]),
    "no reference": (set_runtime(enrich=["author_id"]), ["enrich[0]", "view:feature"]),
    "an age of no time": (set_runtime(ages__user_age="user_profile:safe_search"), ["ages.user_age", "BOOLEAN"]),
    "a column no one makes": (set_runtime(output_columns=["user_id", "artwrk_id"]), ["output_columns[1]", "artwork_id"]),
    "an ambiguous column": (set_runtime(output_columns=["user_id", "created_at"]), ["output_columns[1]", "produced more than once"]),
    "a column twice": (set_runtime(output_columns=["user_id", "USER_ID"]), ["output_columns", "twice"]),
    "a reserved column": (set_runtime(output_columns=["user_id", {"name": "qid", "default": 1}]), ["output_columns[1]", "qid"]),
    "SQL that is no constant": (
        set_runtime(output_columns=["user_id", {"name": "x", "default_sql": "1); DROP TABLE x; --"}]), ["output_columns[1]"]),
    "SQL that reads a file": (
        set_runtime(output_columns=["user_id", {"name": "x", "default_sql": "(SELECT 1 FROM read_csv('/etc/hosts'))"}]),
        ["output_columns[1]", "constant"]),
    "SQL that is never the same": (
        set_runtime(output_columns=["user_id", {"name": "x", "default_sql": "random()"}]), ["output_columns[1]", "random"]),
    "two expressions": (set_runtime(output_columns=["user_id", {"name": "x", "default_sql": "1), (2"}]), ["output_columns[1]", "more than one"]),
    "a default that is no literal": (set_runtime(output_columns=["user_id", {"name": "x", "default": {"a": 1}}]), ["output_columns[1].default", "default_sql"]),
    "a default of two kinds": (set_runtime(output_columns=["user_id", {"name": "x", "default": [1, "a"]}]), ["output_columns[1].default"]),
    "a platform that is no number": (set_runtime(platforms={"ios": 1, "web": "x"}), ["platforms.web", "int", "str"]),
    "a platform too large": (set_runtime(platforms={"ios": 2**40}), ["platforms.ios"]),
    "aggregations that are no list": (write("config/training/aggregations.yaml", "aggregations: {}\n"), ["aggregations", "array"]),
    "a name in two views": (lambda w: (edit(w.catalog, views__artwork_generation__features=["author_id", "model_id", "model_type"]), edit(w.runtime, output_columns=["user_id"])), ["aggregations[1].column", "produced more than once"]),
    "a filter on nothing": (set_runtime(content_filter__drop={"model_typ": ["X"]}), ["content_filter.drop.model_typ", "model_type"]),
    "a filter of another type": (set_runtime(content_filter__drop={"width": ["wide"]}), ["content_filter.drop.width[0]", "INTEGER"]),
    "a NUL in a path": (set_runtime(output_root="a\0b"), ["output_root", "NUL"]),
    "an output of another kind of address": (set_runtime(output_root="gcs://b/out"), ["output_root", "gcs://b/out", "did you mean gs://b/out"]),
    "a pool of another kind of address": (set_runtime(embedding_coverage_filter__uri="abfss://c@acc.dfs.core.windows.net/p"), ["embedding_coverage_filter.uri", "did you mean az://c/p", "account_name: acc"]),
    "a cache in a bucket": (set_runtime(cache_root="s3://b/cache"), ["cache_root", "s3://b/cache", "cache_remote"]),
    "a NUL in the pool's path": (set_runtime(embedding_coverage_filter__uri="a\0b"), ["embedding_coverage_filter.uri", "NUL"]),
    "a bad DuckDB setting": (set_runtime(compute__duckdb_config={"thread": 2}), ["compute.duckdb_config", "thread"]),
    "no feed": (lambda w: shutil.rmtree(w.root / "data/feed"), ["feed.path", "data/feed"]),
    "a feed without partitions": (lambda w: [shutil.rmtree(p) for p in w.root.glob("data/feed/*")], ["feed.path", "dt=YYYY-MM-DD"]),
    "a view without files": (lambda w: shutil.rmtree(w.root / "data/catalog/artwork_tack"), ["views.artwork_tack.source"]),
    "a broken view file": (lambda w: (w.root / "data/catalog/artwork_tack/part-1.parquet").write_bytes(b"PAR1"), ["part-1.parquet"]),
    "a view column gone": (set_view(features=["tack_ids", "tacks"]), ["views.artwork_tack", "tacks"]),
    "view types that clash": (view_file(text_column("tack_ids")), ["part-1.parquet: tack_ids", "VARCHAR", "BIGINT[]"]),
    "an entity of text": (set_view(source="data/strings/*.parquet"), ["views.artwork_tack.entity", "VARCHAR", "BIGINT"]),
    "no pool": (set_runtime(embedding_coverage_filter__table="embedding"), ["embedding_coverage_filter", "embedding.lance"]),
    "a pool without that id": (set_runtime(embedding_coverage_filter__id_column="id"), ["embedding_coverage_filter.id_column", "artwork_id"]),
    "a name that is SQL": (set_runtime(feature_refs=['user_profile:x"; DROP TABLE spine; --']), ["feature_refs[0]", "DROP TABLE"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused(cold, capsys, case):
    change, named = CASES[case]
    (cold.root / "data/strings").mkdir()
    from pyarrow import parquet

    table = parquet.read_table(cold.root / "data/catalog/artwork_tack/part-0.parquet")
    parquet.write_table(text_column("artwork_id")(table), cold.root / "data/strings/part-0.parquet")
    change(cold)
    assert command("skeleton", "--range", RANGE, "--progress", "none") == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert lines[0].startswith("error: ") and "Traceback" not in err
    for name in named:
        assert name in err, err
    assert not list(cold.output.rglob("*.parquet"))
    assert not list(cold.root.rglob(".daeda-*"))


UNREAD = {
    "2026-02-30": "a date", "2026-01-01T25:00:00Z": "a date", "2026-01-01T00:00:00+99:99": "a date",
    "!!timestamp foo": "a date", "!!timestamp ''": "a date", "!!timestamp [a]": "scalar",
    "0x_": "a number", "0b_": "a number", "!!int abc": "a number", "!!int ''": "a number", "!!int [a]": "scalar",
    "!!int 0o8": "a number", "9" * 5000: "5,000 characters", "-" + "9" * 5000: "5,001 characters",
    "0" + "7" * 9000: "9,001 characters", "0x" + "f" * 5000: "5,002 characters", "0b" + "1" * 20_000: "20,002 characters",
    ":".join(["1"] * 3000): "5,999 characters", ":".join(["1"] * 100): "base 60", "1:30": "as 90",
    "!!float x": "a number", "!!float ''": "a number", "!!float 1:2:x": "a number", "!!float {a: 1}": "scalar",
    "!!float " + ":".join(["1"] * 3000): "5,999 characters", "!!float " + ":".join(["1"] * 200): "a number",
    "!!bool maybe": "true or false", "!!bool ''": "true or false", "!!bool [a]": "scalar", "!!null [a]": "scalar",
    "!!map ab": "mapping", "!!map [a, b]": "mapping", "!!set ab": "mapping", "!!seq ab": "sequence", "!!omap ab": "sequence",
    "!!binary é": "base64", "!!binary a": "base64",
}  # fmt: skip


@pytest.mark.parametrize("value", UNREAD, ids=lambda value: value[:20])
@pytest.mark.parametrize("place", ["value", "key", "list"])
def test_yaml_that_python_cannot_hold_is_refused_by_line(tmp_path, value, place):
    path = tmp_path / "runtime.yaml"
    line = {"value": f"feed_start: {value}", "key": f"? {value}\n: 1", "list": f"names: [a, {{b: {value}}}]"}[place]
    path.write_text(f"first: 1\n{line}\nlast: 1\n")
    with pytest.raises(DaedalusError) as refused:
        read_yaml(path)
    error = refused.value
    assert error.exit_code == 2 and f"{path}: line 2" in error.text() and len(error.text()) < 1500
    if place == "value":
        assert UNREAD[value] in error.text(), error.text()


def test_a_date_that_is_none_ends_a_check_with_a_message(cold, capsys):
    text = cold.runtime.read_text()
    cold.runtime.write_text(text.replace("feed_start: ", "feed_start: 2026-02-30 #", 1))
    assert command("config", "check") == 2
    _, err = capsys.readouterr()
    assert "runtime.yaml: line 1" in err and "2026-02-30" in err and "Traceback" not in err


ARGUMENTS = {
    "an unknown option": ["skeleton", "--rang", RANGE],
    "an unknown command": ["skeletons"],
    "a bad range": ["skeleton", "--range", "2026-02-30"],
    "a range backwards": ["skeleton", "--range", "2026-02-05..2026-02-01"],
    "no number": ["skeleton", "--day-workers", "two"],
    "too few": ["skeleton", "--entity-spine-chunk-rows", "0"],
    "an unknown progress": ["skeleton", "--progress", "loud"],
    "the rest of the pipeline": ["pipeline", "train", "dssm_ranking"],
    "a day that is none": ["explain", "day", "yesterday"],
    "two days": ["explain", "day", "2026-02-01..2026-02-02"],
    "no config there": ["cache", "status", "--config", "nowhere"],
    "no range": ["skeleton", "--range", ""],
    "a year before all": ["skeleton", "--range", "0001-01-01"],
    "no output": ["skeleton", "--output-root", ""],
    "no cache": ["skeleton", "--cache-root", ""],
    "a trace without a file": ["skeleton", "--trace", ""],
    "fewer than none": ["cache", "verify", "--recompute", "-1"],
    "no size": ["cache", "gc", "--max-bytes", "-1"],
    "no age": ["cache", "gc", "--older-than", "nan"],
    "no runs": ["runs", "--last", "0"],
    "an output that is the feed": ["skeleton", "--output-root", "data/feed"],
    "an output that is a file": ["skeleton", "--output-root", "config/catalog.yaml"],
    "a cache that is a file": ["skeleton", "--cache-root", "config/catalog.yaml"],
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_refused(cold, capsys, case):
    assert command(*ARGUMENTS[case]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and "Traceback" not in err
    assert not list(cold.output.rglob("*.parquet"))


def garbage(path):
    path.write_bytes(b"PAR1 and then nothing")


BAD_FILES = {
    "no parquet": (garbage, "part-1.parquet"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "part-1.parquet"),
    "a text for a number": (lambda path: rewrite(path, text_column("user_id")), "part-1.parquet: user_id"),
    "a required column gone": (lambda path: rewrite(path, lambda t: t.drop(["event"])), "part-1.parquet: event"),
    "times that nothing can hold": (
        lambda path: rewrite(path, far_times("event_timestamp")),
        "part-1.parquet: event_timestamp",
    ),
    "bytes damaged inside": (lambda path: damage(path), "part-1.parquet"),
}


def damage(path) -> None:
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)


@pytest.mark.parametrize("case", BAD_FILES)
def test_one_bad_file_fails_only_the_days_that_need_it(cold, capsys, case):
    change, named = BAD_FILES[case]
    bad = DAYS[8]
    change(cold.feed_file(bad))
    assert command("skeleton", "--range", RANGE, "--json", "--progress", "none") == 1
    import json

    found = json.loads(capsys.readouterr().out)
    assert found["days"] == {"total": 14, "done": 8, "empty": 0, "failed": 1, "blocked": 5}
    first = found["failures"][0]
    assert first["day"] == str(bad) and named in first["error"] and "Traceback" not in first["error"]
    assert found["steps"]["blocked"] > 0
    good = DAYS[:8]
    shutil.rmtree(cold.feed_file(bad).parent)
    expected = {day: rows for day, rows in Reference("config", good).run().items() if day in good}
    assert differences(expected, read_output(cold.output)) == []
    assert not list(cold.root.rglob(".daeda-*"))


def test_a_name_with_quotes_and_semicolons_is_only_a_name(cold):
    odd = "x\"; DROP TABLE spine; --'%(a)s{b}"
    for path in cold.root.glob("data/catalog/artwork_aesthetic/*.parquet"):
        rewrite(path, lambda table: table.rename_columns([odd if n == "aes_score" else n for n in table.column_names]))
    edit(cold.catalog, views__artwork_aesthetic__features=[odd])
    edit(
        cold.runtime,
        feature_refs=[f"artwork_aesthetic:{odd}"],
        enrich=[f"artwork_aesthetic:{odd}", "artwork_tack:tack_ids", "artwork_properties:author_id"],
        animated_model_type=None,
        content_filter__drop={odd: [5.0]},
        output_columns=["user_id", "artwork_id", "event_timestamp", "event", odd, f"agg {odd}_1d", "user_age"],
    )
    spec = {"name": f"agg {odd}", "events": ["like", odd], "column": odd, "agg": "distinct", "windows": ["1d"]}
    cold.edit_aggregations(lambda specs: specs.__setitem__(slice(None), [spec]))
    report = cold.run(str(DAYS[3]))
    assert not report.failures
    assert differences(Reference("config", [DAYS[3]]).run(), read_output(cold.output)) == []


SAID = {
    "a range without its option": (["skeleton", "202602..202605"], ["use --range 202602..202605", "where:    daeda skeleton"]),
    "a day without what to explain": (["explain", "2026-05-15"], ["daeda explain day 2026-05-15"]),
    "a missing day": (["diff"], ["DAY is missing", "daeda diff --help"]),
    "a missing option": (["explain", "row", "2026-05-15"], ["--user is missing", "daeda explain row --help"]),
    "one word too many": (["cache", "status", "now"], ["too many arguments: 'now'", "daeda cache status --help"]),
    "a day in another order": (["explain", "day", "15.05.2026"], ["a day that cannot be read", "expected: a day, YYYY-MM-DD"]),
    "a report for nowhere": (["report", "--out", "nodir/x.html"], ["nodir: no such folder"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_a_refusal_says_what_was_meant(warm, capsys, case):
    arguments, named = SAID[case]
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and all(name in err for name in named), err


HINTS = {
    "a wrong type": (set_runtime(spine__lookback_days="seven"), ["found:    seven (str)", "expected: int"]),
    "a window without its unit": (set_runtime(recent_published__window=30), ["found:    30 (int)", "such as 30d"]),
    "a number that YAML takes for text": (
        set_runtime(spine__lookback_days="1e-3"), ["YAML reads 1e-3 as text; the number is 1.0e-3"]),
    "a filter by a number that YAML takes for text": (
        set_runtime(content_filter__drop={"width": ["1.5E3"]}), ["content_filter.drop.width[0]", "the number is 1.5e+3"]),
    "an answer for an event": (set_aggregation(events=[True]), ["YAML reads yes, no, on and off as true and false"]),
    "a filter by an answer": (set_runtime(content_filter__drop={"model_type": [False]}), ["YAML reads yes, no, on and off"]),
    "a date for a month": (set_runtime(feed_start=dt.date(2026, 2, 1)), ["feed_start", "put quotes around it"]),
    "a date for a default": (set_runtime(output_columns=["user_id", {"name": "x", "default": dt.date(2026, 2, 1)}]), ["put quotes around it"]),
    "a number without end": (set_runtime(spine__lookback_days=float("inf")), ["found:    inf (float)", "expected: int"]),
    "a misspelt choice": (set_aggregation(agg="cont"), ["found:    'cont'", "did you mean 'count'?"]),
    "misspelt windows": (set_aggregation(windows="cumulativ"), ["did you mean 'cumulative'?"]),
    "a feature that is not enriched": (set_runtime(enrich=[]), ["add artwork_properties:author_id under enrich"]),
    "a misspelt time": (
        set_view(timestamp_field="updatd_at"),
        ["views.artwork_tack.timestamp_field", "found:    updatd_at", "did you mean 'updated_at'?"],
    ),
    "no constant": (
        set_runtime(output_columns=["user_id", {"name": "x", "default_sql": "user_id"}]), ["x is not a constant: it holds a column"]),
    "no feed": (lambda w: shutil.rmtree(w.root / "data/feed"), ["found:    data/feed, in "]),
    "no config": (lambda w: shutil.rmtree(w.root / "config"), ["config, in ", "daeda init"]),
}  # fmt: skip


@pytest.mark.parametrize("case", HINTS)
def test_a_refusal_says_how_to_mend_it(warm, capsys, case):
    change, named = HINTS[case]
    change(warm)
    assert command("skeleton", "--range", RANGE, "--progress", "none", "--json") == 2
    out, err = capsys.readouterr()
    assert all(name in err for name in named), err
    refused = json.loads(out)["error"]
    assert set(refused) == {"what", "where", "found", "expected", "hint"} and refused["what"] in err


def test_merges_and_aliases_that_stay_small_are_taken(warm):
    """And are what they stand for."""
    before = warm.bytes()
    text = warm.aggregations.read_text()
    aliased = text.replace("events: [like]", "events: &likes [like]", 1).replace("events: [like]", "events: *likes")
    assert aliased.count("*likes") > 3
    warm.aggregations.write_text(aliased)
    runtime = warm.runtime.read_text()
    merged = runtime.replace("spine:\n", "spine:\n  <<: {deduplicate: false}\n")
    assert merged != runtime
    warm.runtime.write_text(merged)
    assert warm.run().steps["computed"] == 0 and warm.bytes() == before


def test_a_default_that_yaml_took_for_text_is_noted(cold, capsys):
    columns = ["user_id", "artwork_id", "event_timestamp", "event", {"name": "rate", "default": "1e-3"}]
    edit(cold.runtime, output_columns=columns)
    assert command("config", "check") == 0
    assert (
        "note: output_columns: the default of rate: YAML reads 1e-3 as text; the number is 1.0e-3"
        in capsys.readouterr().err
    )
