"""Which part an id is drawn for, in plain Python, and outputs to split."""

from __future__ import annotations

import datetime as dt
import shutil
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from small import PROJECT, edit

MASK = 2**64 - 1


def mixed(number: int) -> int:
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & MASK
    return number ^ number >> 31


def draw(one: int | str | None, salt: str) -> int:
    """As docs/training.md says it."""
    if one is None:
        return -1
    data = one.to_bytes(8, "little", signed=True) if isinstance(one, int) else one.encode()
    found = int.from_bytes(sha256(salt.encode()).digest()[:8], "little")
    for at in range(0, len(data), 8):
        found = mixed(found ^ int.from_bytes(data[at : at + 8], "little"))
    return mixed(found ^ len(data)) >> 11


def part_of(one: int | str | None, parts: dict[str, float], salt: str) -> str | None:
    share, end = Fraction(draw(one, salt), 2**53), Fraction(0)
    for name, wide in parts.items():
        end += Fraction(str(wide))
        if 0 <= share < end:
            return name
    return None


def config_with(root: Path, **splits: object) -> Path:
    """The default configuration with splits, and with the session in the output."""
    shutil.copytree(PROJECT / "config", root / "config")
    columns = ["user_id", {"name": "visit", "from": "feed_session"}, "event"]
    edit(root / "config/training/runtime.yaml", embeddings=None, output_columns=columns, splits=splits)
    return root / "config"


def published(root: Path, tables: dict[dt.date, pa.Table]) -> Path:
    """Partitions of two parts each, of row groups of five rows, at root/out."""
    for day, rows in tables.items():
        folder = root / f"out/dt={day}"
        folder.mkdir(parents=True)
        for part, (at, length) in enumerate(((0, len(rows) // 2), (len(rows) // 2, None))):
            pq.write_table(rows.slice(at, length), folder / f"part-{part}-0.parquet", row_group_size=5)
    return root / "out"
