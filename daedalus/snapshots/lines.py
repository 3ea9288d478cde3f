"""Snapshots as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.base.terminal_text import counted

if TYPE_CHECKING:
    from daedalus.shapes.snapshots import SnapshotList, SnapshotRemoved, SnapshotShown


_TEXTS = 3  # columns of the list that are text; the others are numbers


def size(count: int) -> str:
    """Bytes in MiB, few in KiB."""
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.1f} KiB"


def list_lines(found: SnapshotList) -> list[str]:
    """A line a snapshot, below a head."""
    if not found["snapshots"]:
        return ["no snapshot; to make one: daeda snapshot create NAME"]
    rows = [("name", "stage", "made (UTC)", "days", "rows", "only here")]
    rows += [
        (one["name"], one["stage"], one["made"][:16].replace("T", " "), f"{one['days']:,}", f"{one['rows']:,}",
         size(one["only_here_bytes"]))
        for one in found["snapshots"]
    ]  # fmt: skip
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_aligned(cell, place, wide[place]) for place, cell in enumerate(row)) for row in rows]


def _aligned(cell: str, place: int, width: int) -> str:
    return cell.ljust(width) if place < _TEXTS else cell.rjust(width)


def show_lines(found: SnapshotShown) -> list[str]:
    """What it is, then a line a day."""
    return head_lines(found) + [
        f"  {day}  {one['rows']:>12,} rows  {size(one['bytes']):>12}  {one['digest'][:12]}"
        for day, one in found["days"].items()
    ]


def head_lines(found: SnapshotShown) -> list[str]:
    """What it is, without its days."""
    days, (first, last) = found["days"], found["range"]
    return [
        f"{found['name']}: {counted(len(days), 'day')} of {found['stage']}, {first} to {last}",
        f"  made      {found['made']}",
        f"  where     {found['where']}",
        f"  rows      {found['rows']:,}",
        f"  size      {size(found['bytes'])}, of which removing it frees {size(found['only_here_bytes'])}",
        f"  dataset   {found['dataset']}",
        f"  compile   {found['compile']}",
    ]


def remove_lines(found: SnapshotRemoved) -> list[str]:
    return [f"{found['name']} is removed; {size(found['freed_bytes'])} freed"]
