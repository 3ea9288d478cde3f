"""`daeda init` and `daeda demo`: where to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.cli.output import print_out, show

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import Config, Json


def init(
    *,
    feed: Annotated[str, Parameter(help="Folder of dt=YYYY-MM-DD/*.parquet.")],
    catalog: Annotated[str, Parameter(help="Folder with a folder of parquet files, or a file, per view.")],
    pool: Annotated[str | None, Parameter(help="Lance database of embeddings.")] = None,
    config: Config = "config",
    force: Annotated[bool, Parameter(negative=(), help="Replace an existing configuration.")] = False,
    json: Json = False,
) -> int:
    """Write a commented first configuration for your parquet files, and list what to check in it.

    Example: daeda init --feed data/feed --catalog data/catalog --pool data/embeddings
    """
    from daedalus.init import write

    return show(write.init(config, feed, catalog, pool, force=force), write.init_lines, json)


def demo(
    folder: Annotated[str, Parameter(help="The folder to make, or to go on in.")] = "daeda-demo",
    *,
    days: Annotated[int | None, Parameter(help="Of how many days; default: 120.")] = None,
    rows: Annotated[int | None, Parameter(help="Feed rows a day; default: 1200.")] = None,
) -> int:
    """Make a sample world, run all of it, edit a filter, and show what is run again and why.

    What it does is printed as commands that one can type. Called again, it goes on where it was interrupted.

    Example: daeda demo
    """
    from pathlib import Path

    from daedalus.demo.show import show as show_demo

    return show_demo(Path(folder), days, rows, print_out)
