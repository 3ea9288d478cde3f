"""Programs that compute the same rows without a cache: how each is called, and whether its rows are ours."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring.process import Measured, measure
from measuring.worlds import World, put_away


@dataclass(frozen=True)
class Peer:
    """A script that is called as `python FILE ROOT OUT --days N` and more arguments."""

    name: str
    command: tuple[str, ...]  # the interpreter, the file
    arguments: tuple[str, ...]
    small: tuple[str, ...]  # more, where days are small
    most_days: int | None  # for one whose days all cost the same
    folder: Path  # for its output, and for what numba compiles of it

    def days(self, world: World) -> int:
        return min(self.most_days or world.days, world.days)

    def output(self) -> Path:
        return self.folder / f"peer-{self.name}"

    def run(self, world: World, *, small: bool, days: int | None = None) -> Measured:
        """Raises Failed."""
        put_away(self.output())
        arguments = [*self.arguments, *(self.small if small else ())]
        wanted = ("--days", str(days or self.days(world)))
        environment = {"NUMBA_CACHE_DIR": str(self.folder / "compiled")}
        with world.for_peers():
            called = (*self.command, ".", str(self.output()), *wanted, *arguments)
            return measure(*called, cwd=world.root, environment=environment)


def peers(given: Sequence[str], small: Sequence[str], most: Sequence[str], python: str, folder: Path) -> list[Peer]:
    """The peers of the command line: `[NAME=]FILE [ARGUMENTS]`, and by name `NAME=ARGUMENTS` and `[NAME=]DAYS`."""
    more = dict(_named(text) for text in small)
    days = dict(_named(text) for text in most)
    found = []
    for text in given:
        name, rest = _named(text)
        file, *arguments = shlex.split(rest)
        path = Path(file).resolve()
        name = name or path.stem
        limit = days.get(name, days.get(""))
        found.append(Peer(name, (python, str(path)), tuple(arguments), tuple(shlex.split(more.get(name, ""))),
                          int(limit) if limit else None, folder.resolve()))  # fmt: skip
    if len({peer.name for peer in found}) < len(found):
        raise SystemExit("two peers of one name: give NAME=FILE")
    if unknown := (more.keys() | days.keys()) - {peer.name for peer in found} - {""}:
        raise SystemExit(f"no peer is called {', '.join(sorted(unknown))}")
    return found


def _named(text: str) -> tuple[str, str]:
    """(NAME, the rest) of `NAME=the rest`; the name is "" where there is none."""
    match = re.fullmatch(r"(?:([\w-]+)=)?(.*)", text, re.DOTALL)
    assert match
    return match[1] or "", match[2]


def compared(world: World, output: Path) -> dict[str, Any]:
    """Rows of the days that both have, over the columns that both have, and how many only one of the two has.

    Session numbers follow from which sessions ship: rows that differ are compared without them too.
    """
    import duckdb

    rows, whole, plain, lacking = 0, [0, 0], [0, 0], set()
    for theirs in sorted(output.glob("dt=*")):
        read = "read_parquet('{}/*.parquet', hive_partitioning = false)"
        ours, peers_own = (read.format(path) for path in (world.output / theirs.name, theirs))
        names, own = (duckdb.sql(f"SELECT * FROM {table}").columns for table in (peers_own, ours))
        lacking |= set(own) ^ set(names)
        names = [name for name in names if name in own]
        rows += duckdb.sql(f"SELECT count(*) FROM {peers_own}").fetchall()[0][0]
        for at, (left, right) in enumerate(((ours, peers_own), (peers_own, ours))):
            whole[at] += (differ := _only(left, right, names))
            plain[at] += _only(left, right, [name for name in names if name != "qid"]) if differ else 0
    found = {"rows": rows, "only_ours": whole[0], "only_theirs": whole[1]}
    if any(whole):
        found |= {"only_ours_but_for_qid": plain[0], "only_theirs_but_for_qid": plain[1]}
    return found | ({"columns_of_one": sorted(lacking)} if lacking else {})


def _only(left: str, right: str, names: Sequence[str]) -> int:
    """How many rows the left has that the right has not."""
    import duckdb

    columns = ", ".join(f'"{name}"' for name in names)
    sql = f"SELECT count(*) FROM (SELECT {columns} FROM {left} EXCEPT ALL SELECT {columns} FROM {right})"
    return duckdb.sql(sql).fetchall()[0][0]
