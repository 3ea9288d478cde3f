"""`daeda explain …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.cli.output import show
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import CacheRoot, Config, Json, OutputRoot


def day(
    day: Annotated[str, Parameter(help="YYYY-MM-DD")],
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show each step of a day: its state, why it would run, its rows and cost; and the rows left after each filter.

    Example: daeda explain day 2026-05-15
    """
    from daedalus.explain import day as explain

    return show(explain.explain_day(settings_of(config, cache_root, output_root), day), explain.day_lines, json)


def step(
    day: Annotated[str, Parameter(help="YYYY-MM-DD")],
    step: Annotated[str, Parameter(help="A step, as `explain day` names it.")],
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Print what a step of a day runs: SQL for DuckDB with the files it reads, or Python.

    Example: daeda explain step 2026-05-15 rolling:like_artwork_ids
    """
    from daedalus.explain import day as explain

    found = explain.explain_step(settings_of(config, cache_root, output_root), day, step)
    return show(found, explain.step_lines, json)


def row(
    day: Annotated[str, Parameter(help="YYYY-MM-DD")],
    *,
    user: Annotated[str, Parameter(help="user_id of the row.", allow_leading_hyphen=True)],
    artwork: Annotated[str, Parameter(help="artwork_id of the row.", allow_leading_hyphen=True)],
    column: Annotated[str | None, Parameter(help="Only this column, of an aggregation or of vectors.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show which events, in which files, make up a row's lists, and which ids its vectors; what is left out, and why.

    Example: daeda explain row 2026-05-15 --user 7 --artwork 3 --column like_artwork_ids_7d
    """
    from daedalus.explain import row as explain_row
    from daedalus.explain.row_lines import row_lines

    settings = settings_of(config, cache_root, output_root)
    return show(explain_row.explain_row(settings, day, user, artwork, column), row_lines, json)


COMMANDS = (day, step, row)
