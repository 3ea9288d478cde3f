"""`daeda init`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from daedalus.cli.output import show, to_stderr

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import Config, Json


def init(
    *,
    feed: Annotated[str, Parameter(help="Folder of events in parquet files, in folders by day.")],
    catalog: Annotated[
        str | None, Parameter(help="Folder with a folder of parquet files, or a file, per view.")
    ] = None,
    pool: Annotated[str | None, Parameter(help="Lance database of embeddings.")] = None,
    config: Config = "config",
    force: Annotated[bool, Parameter(negative=(), help="Replace an existing configuration.")] = False,
    yes: Annotated[
        bool, Parameter(negative=(), help="Ask nothing: take the first of equally likely readings.")
    ] = False,
    json: Json = False,
) -> int:
    """Write a commented first configuration for your parquet files, and list what to check in it.

    Folders, columns, times and events may have any names: what they are is found by looking.

    Example: daeda init --feed data/feed --catalog data/catalog --pool data/embeddings
    """
    from daedalus.init import lines, questions, write

    ask = questions.first if yes or json or not (sys.stdin.isatty() and sys.stderr.isatty()) else asked
    return show(write.init(config, feed, catalog, pool, force=force, ask=ask), lines.init_lines, json)


def asked(question: str, answers: Sequence[str]) -> int:
    """Asks on the terminal; an empty answer is the first."""
    for line in (question, *(f"  {place}  {answer}" for place, answer in enumerate(answers, 1))):
        to_stderr(line)
    while True:
        print(f"1 to {len(answers)} [1]: ", end="", file=sys.stderr, flush=True)
        given = sys.stdin.readline().strip()
        if not given:
            return 0
        if given.isdecimal() and 1 <= int(given) <= len(answers):
            return int(given) - 1
