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
    feed: Annotated[str, Parameter(help="Folder of the events: parquet files in one folder per day.")],
    catalog: Annotated[
        str | None, Parameter(help="Folder of the views: one parquet file, or one folder of them, per view.")
    ] = None,
    pool: Annotated[str | None, Parameter(help="Folder of the Lance database with the embeddings.")] = None,
    config: Config = "config",
    force: Replace = False,
    yes: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Ask nothing: of equally likely answers, take the first.")
    ] = False,
    json: Json = False,
) -> int:
    """Write a first configuration for your parquet files, with comments, and list what to check in it.

    Folders, columns and events may have any names: init looks into the files to find out what is what.

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
    folder: Annotated[str, Parameter(help="The folder to create, or to continue in.")] = "daeda-demo",
    *,
    days: Annotated[int | None, Parameter(help="How many days to generate; default: 120.")] = None,
    rows: Annotated[int | None, Parameter(help="Feed rows per day; default: 1200.")] = None,
) -> int:
    """Generate sample data, run every stage, edit a filter, and show what would rerun and why.

    Prints each thing it does as a command that you can type yourself. If interrupted, run it again to continue.

    Example: daeda demo
    """
    from pathlib import Path

    from daedalus.demo.show import show as show_demo

    return show_demo(Path(folder), days, rows, print_out)
