"""Makes a sample world of daedalus/demo/world.py, which `daeda demo` shows, of any size.

  world.py ROOT [--start 2026-01-20 --end 2026-05-31] [--rows 1200] [--users 400] [--artworks 3000]
           [--half-hours 6] [--heavy 0] [--floats 32] [--seed 7]

ROOT/data is what the default config reads; one that is there is replaced.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
from pathlib import Path

from daedalus.demo.world import World


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a sample world.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--start", type=dt.date.fromisoformat, default=dt.date(2026, 1, 20))
    parser.add_argument("--end", type=dt.date.fromisoformat, default=dt.date(2026, 5, 31))
    parser.add_argument("--rows", type=int, default=1200, help="feed rows a day")
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--artworks", type=int, default=3000)
    parser.add_argument("--half-hours", type=int, default=6, help="of the day's 48, how many a user is there in")
    parser.add_argument("--heavy", type=int, default=0, help="events a day of one user beside the others")
    parser.add_argument("--floats", type=int, default=32, help="components of a vector of the pool")
    parser.add_argument("--seed", type=int, default=7)
    a = parser.parse_args()
    shutil.rmtree(a.root / "data", ignore_errors=True)
    world = World(a.root, a.seed, a.users, a.artworks, a.start, a.end, a.half_hours)
    world.write(a.rows, a.heavy, a.floats)


if __name__ == "__main__":
    main()
