"""`daeda init` finds out what a log of any shape is: its configuration is checked and run without an edit."""

from __future__ import annotations

import datetime as dt
import io
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import lake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from daedalus.base.errors import DaedalusError
from daedalus.cli.init import asked
from daedalus.init.lines import init_lines
from daedalus.init.write import init
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.upkeep.check_config import check_config
from daedalus.workspace.settings import Settings

UTC = dt.UTC


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows(make: Callable[[random.Random, dt.datetime], dict], days: Iterator[dt.date], each: int = 30) -> dict:
    """Rows by day, as `make` makes one of a time."""
    rng = random.Random(7)
    start = lambda day: dt.datetime.combine(day, dt.time())  # noqa: E731
    return {day: [make(rng, start(day) + dt.timedelta(seconds=rng.randrange(86_400))) for _ in range(each)]
            for day in days}  # fmt: skip


def some_days(first: str, *after: int) -> list[dt.date]:
    return [dt.date.fromisoformat(first) + dt.timedelta(days=number) for number in after]


def write(folder: str, made: list[dict], name: str = "part.parquet", **kinds: pa.DataType) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(made)
    for column, kind in kinds.items():
        table = table.set_column(table.column_names.index(column), column, table[column].cast(kind))
    pq.write_table(table, f"{folder}/{name}")


def millis(when: dt.datetime) -> int:
    return int(when.replace(tzinfo=UTC).timestamp() * 1000)


def catalog() -> dict:
    return yaml.safe_load(Path("mine/catalog.yaml").read_text())


def runtime() -> dict:
    return yaml.safe_load(Path("mine/training/runtime.yaml").read_text())


def aggregations() -> dict:
    found = yaml.safe_load(Path("mine/training/aggregations.yaml").read_text())["aggregations"]
    return {one["name"]: one for one in found}


def proposed(feed: str = "feed", views: str | None = None) -> dict:
    """What init finds, whose lines fit a terminal; nothing is left to look at."""
    found = init("mine", feed, views, None)
    assert found["edits"] == []
    assert max(map(len, init_lines(found))) <= 80 or any("DuckDB" in line for line in found["left_out"])
    return found


def runs(month: str) -> list[dict]:
    """The rows of a month's partitions, once check and run have passed with no edit."""
    assert check_config(Settings("mine"))["bad_files"] == []
    report = run_skeleton_stage(Settings("mine"), month)
    assert report.exit_code == 0 and report.rows["written"] > 0 and report.rows["strays"] == 0
    files = sorted(Path(runtime()["output_root"]).glob("dt=*/*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_a_shop_with_milliseconds_in_folders_of_year_month_and_day():
    """Its product view has names of its own, and its session is not ours; a month needs no zero."""
    make = lambda rng, when: {  # noqa: E731
        "visitorid": rng.randrange(40), "itemid": 10_000 + rng.randrange(50), "timestamp": millis(when),
        "action": rng.choice(["view", "view", "addtocart", "purchase", "hide"]), "price": rng.random() * 9,
        "quantity": rng.choice([1, 2, None]), "country": rng.choice(["DE", "fr"]), "os": rng.choice(["ios", "web"]),
        "visit_id": f"v{rng.randrange(300)}"}  # fmt: skip
    for day, made in rows(make, some_days("2024-02-27", *range(5))).items():
        write(f"feed/year={day.year}/month={day.month}/day={day.day}", made)
    born = dt.datetime(2024, 1, 1)
    write("views/products", [{"product": 10_000 + n, "updated": born, "brand": f"b{n % 3}", "published_at": born}
                             for n in range(50)])  # fmt: skip
    write("views/people", [{"id": n, "updated_at": born, "signup_date": born.date()} for n in range(900)])
    proposed("feed", "views")
    feed, views = catalog()["feed"], catalog()["views"]
    assert feed == {"path": "feed", "partition": "year=%Y/month=%m/day=%d", "timestamp_unit": "ms",
                    "columns": {"user_id": "visitorid", "artwork_id": "itemid", "event_timestamp": "timestamp",
                                "event": "action", "feed_session": "visit_id", "country_code": "country",
                                "platform_code": "os"}, "extra_columns": ["price", "quantity"]}  # fmt: skip
    assert (views["products"]["entity"], views["products"]["entity_column"]) == ("artwork_id", "product")
    assert (views["people"]["entity"], views["people"]["entity_column"]) == ("user_id", "id")
    assert runtime()["ages"] == {"user_age": "people:signup_date", "item_age": "products:published_at"}
    assert sorted(runtime()["platforms"]) == ["ios", "web"]
    made = aggregations()
    assert made["hide_item_ids"]["windows"] == "cumulative" and made["view_item_ids"]["events"] == ["view"]
    assert {"purchase_item_cnts", "purchase_item_brands", "purchase_price_sum", "purchase_price_mean",
            "purchase_quantity_sum", "seconds_since_purchase"} <= set(made)  # fmt: skip
    shipped = runs("202402..202403")
    assert {"visitorid", "itemid", "timestamp", "action", "price", "item_age", "qid"} <= set(shipped[0])
    assert any(row["seconds_since_purchase_3d"] is not None for row in shipped)
    assert {row["country_code"] for row in shipped} == {276, 250}


def test_ratings_like_movielens_from_their_one_csv():
    """No event, no session, no folders: the line that init gives makes a feed of it, and the rest is found."""
    rng, lines = random.Random(3), ["userId,movieId,rating,timestamp"]
    for day in some_days("1997-03-01", 0, 3, 4, 20):
        start = dt.datetime.combine(day, dt.time(), UTC).timestamp()
        lines += [f"{rng.randrange(1, 40)},{rng.randrange(1, 200)},{rng.choice([0.5, 3, 4.5])},{start + n * 60:.0f}"
                  for n in range(40)]  # fmt: skip
    Path("ml").mkdir()
    Path("ml/ratings.csv").write_text("\n".join(lines) + "\n")
    for given in ("ml", "ml/ratings.csv"):
        with pytest.raises(DaedalusError, match="not a feed by day") as refused:
            init("mine", given, None, None)
        line = rewrites(refused.value)
    assert 'make_timestamp(CAST("timestamp" AS BIGINT) * 1000000)' in line and "'rating' AS \"event\"" in line
    assert refused.value.exit_code == 2 and not Path("mine").exists()
    proposed("ml_by_day")
    assert catalog()["feed"]["columns"] == {
        "user_id": "userId", "artwork_id": "movieId", "event_timestamp": "timestamp"}  # fmt: skip
    assert catalog()["feed"]["timestamp_unit"] == "s" and catalog()["feed"]["extra_columns"] == ["rating"]
    assert list(aggregations()) == [
        "rating_movie_ids",
        "rating_movie_cnts",
        "rating_rating_mean",
        "seconds_since_rating",
    ]
    shipped = runs("199703")
    assert len(shipped) == len(lines) - 1 and "movieId" in shipped[0]


def rewrites(error: DaedalusError) -> str:
    """The line that an error gives, once DuckDB has run it as it stands."""
    line = error.hint.split(": ", 1)[1]
    with duckdb.connect() as connection:
        connection.execute(line)
    return line


def test_years_of_sparse_days_with_hours_below():
    make = lambda rng, when: {  # noqa: E731
        "reader": rng.randrange(30), "article_id": rng.randrange(90), "occurred_at": when,
        "kind": rng.choice(["impression", "open", "share"]), "position": rng.randrange(20)}  # fmt: skip
    for day, made in rows(make, some_days("2019-01-05", 0, 400, 401, 900, 1500), 12).items():
        for row in made:
            write(f"news/dt={day}/hour={row['occurred_at']:%H}", [row], f"{row['occurred_at']:%M%S}.parquet",
                  occurred_at=pa.timestamp("ns", "America/Lima"))  # fmt: skip
    proposed("news")
    assert catalog()["feed"]["partition"] == "dt=%Y-%m-%d/hour=%H" and "timestamp_unit" not in catalog()["feed"]
    assert catalog()["feed"]["columns"] == {"user_id": "reader", "artwork_id": "article_id",
                                            "event_timestamp": "occurred_at", "event": "kind"}  # fmt: skip
    assert aggregations()["view_article_ids"]["events"] == ["impression"]
    assert runtime()["feed_start"] == "201901" and runtime()["spine"]["lateness_days"] == 0
    assert len(runs("202002")) == 24 and "qid" not in runs("202002")[0]


def test_music_in_folders_without_keys_whose_days_are_those_of_another_zone():
    """What is played in the evening lies in the folder of the next day, as its makers count days."""
    make = lambda rng, when: {  # noqa: E731
        "listener_id": rng.randrange(20), "track_id": rng.randrange(80), "artist_id": rng.randrange(9),
        "played_at": when,
        "event_type": rng.choice(["play", "skip", "like"]), "seconds_played": rng.randrange(300),
        "session": f"s{rng.randrange(40)}"}  # fmt: skip
    for day, made in rows(make, some_days("2023-05-01", *range(4)), 60).items():
        parted = [day, day + dt.timedelta(days=1)]
        for place in parted:
            late = [row for row in made if (row["played_at"].hour >= 16) == (place != day)]
            write(f"plays/{place:%Y/%m/%d}", late, f"{day}.parquet")
    found = proposed("plays")
    assert catalog()["feed"]["partition"] == "%Y/%m/%d" and runtime()["spine"]["lateness_days"] == 1
    assert any(guess["key"] == "spine.lateness_days" for guess in found["guesses"])
    made = aggregations()
    assert made["skip_track_ids"]["windows"] == "cumulative" and {"like_track_cnts", "like_seconds_played_sum"} <= set(
        made
    )
    assert len(runs("202305")) > 200


def test_text_ids_under_other_names_are_found():
    """Whatever the columns are called, values that views have say whose ids they are."""
    people, goods = [f"u-{n:03}" for n in range(60)], [f"P{n:04}" for n in range(70)]
    make = lambda rng, when: {  # noqa: E731
        "customer_uuid": rng.choice(people), "sku": rng.choice(goods), "ts": when,
        "event_name": rng.choice(["view", "buy"]),
        "request_id": f"{rng.random()}", "member_source": "mail"}  # fmt: skip
    for day, made in rows(make, some_days("2024-07-01", 0, 1), 80).items():
        write(f"feed/day={day:%Y%m%d}", made)
    born = dt.datetime(2024, 6, 25)
    write("views/a", [{"k": sku, "modified": born, "seller": people[n % 50], "created_at": born}
                      for n, sku in enumerate(goods)])  # fmt: skip
    write("views/b", [{"key": person, "modified": born, "tier": "gold"} for person in people])
    found = init("mine", "feed", "views", None)
    assert catalog()["feed"] == {"path": "feed", "partition": "day=%Y%m%d", "columns": {
        "user_id": "customer_uuid", "artwork_id": "sku", "event_timestamp": "ts", "event": "event_name",
        "feed_session": "request_id"}}  # fmt: skip
    views = catalog()["views"]
    assert [(view["entity"], view["entity_column"]) for view in views.values()] == [
        ("artwork_id", "k"),
        ("user_id", "key"),
    ]
    assert any("values" in guess["by"] for guess in found["guesses"])
    assert runtime()["recent_published"]["author"] == "a:seller"
    shipped = runs("202407")
    assert {row["customer_uuid"] for row in shipped} <= set(people)
    assert any(row["user_recent_published_items"] for row in shipped)


def unlike(layout: str) -> None:
    for number, day in enumerate(some_days("2024-03-01", 0, 1)):
        when = dt.datetime.combine(day, dt.time(12))
        made = [{"user_id": n, "artwork_id": 50 + n, "event_timestamp": when, "event": "like"} for n in range(3)]
        write(
            f"feed/{layout.format(day=day, number=number, letter='ab'[number])}".rstrip("/"), made, f"{number}.parquet"
        )


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ("", "files without folders of days"),
        ("month={day:%Y-%m}", "folders named month=%Y-%m do not name a day"),
        ("region={letter}/dt={day}", "folders not named after days, such as region=a"),
        ("dt={day}/shard={letter}", "folders named shard=a below those of days"),
        ("week={number}", "folders not named after days, such as week=0"),
    ],
)  # fmt: skip
def test_folders_that_no_pattern_names_are_told_with_the_line_that_makes_them_fit(layout, told):
    unlike(layout)
    with pytest.raises(DaedalusError, match=re.escape(told)) as refused:
        init("mine", "feed", None, None)
    rewrites(refused.value)
    assert init("mine", "feed_by_day", None, None)["days"] == ["2024-03-01", "2024-03-02"]
    written = next(Path("feed_by_day").rglob("*.parquet"))
    assert ("region" in layout) == ("region" in pq.read_schema(written).names)
    assert len(runs("202403")) == 6


@pytest.mark.parametrize("layout", ["{day:%d.%m.%Y}", "d{day:%Y_%m_%d}", "y={day:%Y}/{day:%m%d}", "in/one/dt={day}"])
def test_folders_of_days_in_any_spelling(layout):
    unlike(layout)
    Path("feed", "_tmp").mkdir()
    assert proposed()["days"] == ["2024-03-01", "2024-03-02"]
    assert len(runs("202403")) == 6


@pytest.mark.parametrize(("layout", "pattern"), [("{day:%m-%d-%Y}", "%m-%d-%Y"), ("{day:%d-%m-%Y}", "%d-%m-%Y")])
def test_which_number_is_the_month_is_seen_by_the_times(layout, pattern):
    unlike(layout)
    proposed()
    assert catalog()["feed"]["partition"] == pattern and len(runs("202403")) == 6


def test_folders_of_other_days_than_their_rows_are_doubted():
    made = [
        {"user_id": n, "artwork_id": n, "event_timestamp": dt.datetime(2024, 1, 9), "event": "like"} for n in range(9)
    ]
    write("feed/date=20240101", made)
    found = init("mine", "feed", None, None)
    assert [(edit["key"], edit["why"][:4]) for edit in found["edits"]] == [("feed.partition", "100%")]
    assert Path("mine/catalog.yaml").read_text().count("# TODO 100%") == 1


def test_lines_of_json_and_times_of_text():
    made = [f'{{"user": {n}, "item": {n * 7}, "when_at": "2024-01-0{1 + n % 2} 10:00:00", "type": "click"}}'
            for n in range(30)]  # fmt: skip
    Path("log").mkdir()
    Path("log/a.jsonl").write_text("\n".join(made) + "\n")
    with pytest.raises(DaedalusError, match="JSON files, not parquet") as refused:
        init("mine", "log", None, None)
    rewrites(refused.value)
    proposed("log_by_day")
    assert len(runs("202401")) == 30


def test_two_readings_that_are_equally_likely_are_asked_about():
    made = [{"viewer": n % 9, "member": n % 7, "item": n, "ts": dt.datetime(2024, 1, 1, 10), "event": "like"}
            for n in range(50)]  # fmt: skip
    write("feed/dt=2024-01-01", made)
    questions = []

    def second(question: str, answers: list[str]) -> int:
        questions.append((question, answers))
        return 1

    found = init("mine", "feed", None, None)
    assert catalog()["feed"]["columns"]["user_id"] == "viewer"
    assert [edit["key"] for edit in found["edits"]] == ["feed.columns.user_id"]
    assert "# TODO" in Path("mine/catalog.yaml").read_text()
    found = init("mine", "feed", None, None, force=True, ask=second)
    assert questions == [("Which column is the user?", ["viewer (its name)", "member (its name)"])]
    assert catalog()["feed"]["columns"]["user_id"] == "member" and found["edits"] == []
    assert len(runs("202401")) == 50


def test_what_no_view_can_be_is_told_with_a_line():
    write("feed/dt=2024-01-01", [{"userId": 1, "movieId": n, "ts": dt.datetime(2024, 1, 1), "event": "like"}
                                 for n in range(9)])  # fmt: skip
    write("views/movies", [{"movieId": n, "title": f"t{n}"} for n in range(9)])
    Path("views/tags.csv").write_text("movieId,tag\n1,a\n")
    found = init("mine", "feed", "views", None)
    assert found["views"] == [] and len(found["left_out"]) == 2
    for line in found["left_out"]:
        with duckdb.connect() as connection:
            connection.execute(line.split("in DuckDB: ")[1])
    found = init("mine", "feed", "views", None, force=True)
    assert found["views"] == ["movies_timed", "tags"]
    runs("202401")


@pytest.mark.parametrize("kind", lake.KINDS)
def test_a_table_is_read_by_its_own_list(kind):
    """Its folder also holds files that are in it no more."""
    unlike("dt={day}")
    os.rename("feed", "tree")
    lake.delta_feed(Path("tree"), Path("feed"), kind)
    lake.append_delta(Path("views/people"), people := pa.table({"user_id": [0, 1, 2], "tier": ["a", "b", "c"],
                      "updated_at": pa.array([dt.datetime(2024, 1, 1)] * 3, pa.timestamp("us"))}))  # fmt: skip
    lake.append_delta(Path("views/people"), people.drop_columns("tier"), mode="overwrite")
    found = proposed("feed", "views")
    assert catalog()["feed"].get("partition", "dt=%Y-%m-%d") == lake.PATTERNS.get(kind, "dt=%Y-%m-%d")
    assert found["views"] == [] and catalog()["feed"]["path"] == "feed"
    runs("202403")


def test_a_table_without_days_is_told_with_the_line_that_makes_them():
    unlike("dt={day}")
    os.rename("feed", "tree")
    for _, table in lake.feed_days(Path("tree")):
        lake.append_delta(Path("feed"), table)
    with pytest.raises(DaedalusError, match="table of Delta without partitions by day") as refused:
        init("mine", "feed", None, None)
    assert "FROM delta_scan('feed')" in refused.value.hint and "PARTITION_BY (dt)" in refused.value.hint


def test_views_may_lie_beside_the_feed():
    unlike("dt={day}")
    Path("data").mkdir()
    Path("feed").rename("data/feed")
    write("data/goods", [{"artwork_id": n, "updated_at": dt.datetime(2024, 1, 1), "size": n} for n in range(50, 53)])
    assert proposed("data/feed", "data")["views"] == ["goods"]
    assert [row["size"] for row in runs("202403")] == [50, 51, 52] * 2


def test_a_terminal_is_asked_until_the_answer_is_one(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("3\nx\n2\n\n"))
    assert asked("Which?", ["a", "b"]) == 1 and asked("Which?", ["a", "b"]) == 0
    told = capsys.readouterr()
    assert not told.out and told.err.count("1 to 2 [1]: ") == 4 and "  2  b" in told.err


def test_ids_as_large_as_times_and_names_in_capitals():
    made = [{"USER_ID": 1_500_000_000_000_000_000 + n % 5, "VIDEO_ID": 1_600_000_000 + n, "EVENT": "watched",
             "DATE": dt.date(2024, 1, 1), "WATCHED_AT": 1_704_067_200_000_000 + n * 1_000_001, "session_id": 7}
            for n in range(40)]  # fmt: skip
    write("feed/dt=2024-01-01", made)
    found = proposed()
    assert catalog()["feed"]["columns"] == {"user_id": "USER_ID", "artwork_id": "VIDEO_ID", "event": "EVENT",
                                            "event_timestamp": "WATCHED_AT"}  # fmt: skip
    assert catalog()["feed"]["timestamp_unit"] == "us" and "seconds_since_watched" in aggregations()
    assert found["left_out"] == ["the feed's session_id: a session must be text, and this is BIGINT"]
    assert len(runs("202401")) == 40


OURS = {
    "user_id": [1, 2],
    "artwork_id": [1, 2],
    "event_timestamp": [dt.datetime(2024, 1, 1)] * 2,
    "event": ["like"] * 2,
}
OTHER_TYPES = {
    "times of text": {"event_timestamp": ["2024-01-01T10:00:00+02:00"] * 2},
    "times with a fraction": {"event_timestamp": [1704067200.5, 1704067201.25]},
    "events of yes and no": {"event": [True, False]},
    "no event at all": {"event": pa.nulls(2)},
    "events of lists": {"event": [["like"], ["x"]]},
    "sessions that are numbers": {"feed_session": [7, 8]},
    "decimals": {"user_id": pa.array([1, 2], pa.decimal128(12, 0)), "current_like_count": [1.0, 2.0]},
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_types_that_no_run_takes_are_mended_by_the_line(kind):
    Path("feed/dt=2024-01-01").mkdir(parents=True)
    pq.write_table(pa.table(OURS | OTHER_TYPES[kind]), "feed/dt=2024-01-01/a.parquet")
    with pytest.raises(DaedalusError) as refused:
        init("mine", "feed", None, None)
    rewrites(refused.value)
    assert init("mine", "feed_by_day", None, None)["days"] == ["2024-01-01", "2024-01-01"]
    assert len(runs("202401")) == 2


def test_columns_without_telling_names_are_guessed_and_named():
    write("feed/dt=2024-01-01", [{"a": n % 5, "b": n, "c": dt.datetime(2024, 1, 1), "d": "click"} for n in range(30)])
    found = init("mine", "feed", None, None)
    assert catalog()["feed"]["columns"] == {"user_id": "a", "artwork_id": "b", "event_timestamp": "c", "event": "d"}
    assert {edit["key"] for edit in found["edits"]} == {"feed.columns.user_id", "feed.columns.artwork_id"}
    assert len(runs("202401")) == 30


def test_columns_that_can_be_no_ids_are_refused_with_what_is_there():
    write("feed/dt=2024-01-01", [{"payload": {"user": 1}}])
    with pytest.raises(DaedalusError, match="ids of users or ids of items or times") as refused:
        init("mine", "feed", None, None)
    assert "payload" in refused.value.found and not Path("mine").exists()
