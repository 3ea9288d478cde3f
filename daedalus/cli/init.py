"""`daeda init` and `daeda demo`: where to begin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from daedalus.cli.output import print_out, show, to_stderr

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import Config, Json, Replace


def init(
    *,
    feed: Annotated[str, Parameter(help="Folder of events in parquet files, in folders by day.")],
    catalog: Annotated[
        str | None, Parameter(help="Folder with a folder of parquet files, or a file, per view.")
    ] = None,
    pool: Annotated[str | None, Parameter(help="Lance database of embeddings.")] = None,
    config: Config = "config",
    force: Replace = False,
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
