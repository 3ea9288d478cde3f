"""published: the latest row of every artwork as an event of its author."""

from __future__ import annotations

from functools import partial

from daedalus.actions.actions import Reading
from daedalus.config.columns import Ref, spine_columns
from daedalus.skeleton.arrow.view_rows import write_published
from daedalus.skeleton.context import Make
from daedalus.sql.text import TIME, Sql, name, parquet
from daedalus.stagecache.action_name import ActionName


def list_published(published_at: str, author: str, *, every_version: bool, is_day: bool = False,
                   user: str = "BIGINT", artwork: str = "BIGINT") -> Sql:  # fmt: skip
    """SQL of the latest row of every artwork of `view` as an event of its author: user_id, ts, value.

    With `is_day` the time is a DATE, which counts as its midnight. `user` and `artwork` are the types of their ids.
    """
    time = f"CAST({name(published_at)} AS TIMESTAMP)" if is_day else name(published_at)
    newest = f"row_number() OVER (PARTITION BY artwork_id ORDER BY {TIME} DESC NULLS LAST) = 1"
    rows = f"(SELECT * FROM {parquet('view')} QUALIFY {newest})" if every_version else parquet("view")
    return Sql(f"""
        SELECT CAST({name(author)} AS {user}) AS user_id, {time} AS ts,
            CAST(artwork_id AS {artwork}) AS value FROM {rows}
        WHERE {name(author)} IS NOT NULL AND {name(published_at)} IS NOT NULL
        ORDER BY user_id, ts, value""")


def build(make: Make) -> str:
    """Reads the view that has the times and authors of artworks."""
    recent, views = make.context.runtime.recent_published, make.context.sources.views
    assert recent is not None
    published, author = Ref.parse(recent.published_at), Ref.parse(recent.author)
    assert published and author
    view, spine = views[published.view], spine_columns(make.context.config)
    sql = list_published(published.feature, author.feature, every_version=view.view.as_of == "day",
                         is_day=view.types[published.feature] == "DATE",
                         user=spine["user_id"], artwork=spine["artwork_id"])  # fmt: skip
    config = {"recent_published.published_at": recent.published_at, "recent_published.author": recent.author}
    arrow = partial(write_published, published.feature, author.feature, (spine["user_id"], spine["artwork_id"]),
                    view.view.as_of == "day")  # fmt: skip
    reading = Reading({"view": [make.need("view", published.view)]})
    return make.sql(ActionName("published"), sql, reading, config, arrow=arrow)
