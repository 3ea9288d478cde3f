"""`daeda init`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.cli.output import show

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import Config, Json, Replace


def init(
    *,
    feed: Annotated[str, Parameter(help="Folder of dt=YYYY-MM-DD/*.parquet.")],
    catalog: Annotated[str, Parameter(help="Folder with a folder of parquet files, or a file, per view.")],
    pool: Annotated[str | None, Parameter(help="Lance database of embeddings.")] = None,
    config: Config = "config",
    force: Replace = False,
    json: Json = False,
) -> int:
    """Write a commented first configuration for your parquet files, and list what to check in it.

    Example: daeda init --feed data/feed --catalog data/catalog --pool data/embeddings
    """
    from daedalus.init import write

    return show(write.init(config, feed, catalog, pool, force=force), write.init_lines, json)
