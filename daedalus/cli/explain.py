"""`daeda explain …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.cli.output import show
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import CacheRoot, Config, Day, Json, OutputRoot, Step


def day(
    day: Day,
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show each step of a day: its state, why it would run, its rows and cost. Then the rows left after each filter.

    Example: daeda explain day 2026-05-15
    """
    from daedalus.explain import day as explain

    return show(explain.explain_day(settings_of(config, cache_root, output_root), day), explain.day_lines, json)


def step(
    day: Day,
    step: Step,
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Print what a step of a day runs: SQL for DuckDB or Python, with the files it reads.

    Example: daeda explain step 2026-05-15 rolling:like_artwork_ids
    """
    from daedalus.explain import day as explain

    found = explain.explain_step(settings_of(config, cache_root, output_root), day, step)
    return show(found, explain.step_lines, json)


def row(
    day: Day,
    *,
    user: Annotated[str, Parameter(help="user_id of the row.", allow_leading_hyphen=True)],
    artwork: Annotated[str, Parameter(help="artwork_id of the row.", allow_leading_hyphen=True)],
    column: Annotated[
        str | None, Parameter(help="Show only this column, which an aggregation or `embeddings` makes.")
    ] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show which events, in which files, a row's aggregations are made of, which ids its vectors, and what is left out.

    Example: daeda explain row 2026-05-15 --user 7 --artwork 3 --column like_artwork_ids_7d
    """
    from daedalus.explain import row as explain_row
    from daedalus.explain.row_lines import row_lines

    settings = settings_of(config, cache_root, output_root)
    return show(explain_row.explain_row(settings, day, user, artwork, column), row_lines, json)


COMMANDS = {"explain": (day, step, row)}
