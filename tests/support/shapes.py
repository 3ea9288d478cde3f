"""The same feed in another shape: other names, times as whole numbers, other folders."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from daedalus.audit.reference import SPINE

NAMES = {column: f'the "{column[::-1]}"' for column in SPINE}
SWAPPED = {"user_id": "artwork_id", "artwork_id": "user_id"}  # each is there under the other's name


@dataclass
class Shape:
    """What of a feed is another: `names` by the spine's, the unit of whole numbers, the views' entities by view."""

    names: dict[str, str] = field(default_factory=dict)
    unit: str | None = None
    entities: dict[str, str] = field(default_factory=dict)
    partition: str | None = None
    unpadded: bool = False

    def table(self, table: pa.Table) -> pa.Table:
        """A file of the feed in this shape."""
        if self.unit:
            at = table.column_names.index("event_timestamp")
            table = table.set_column(at, "event_timestamp", whole_numbers(table["event_timestamp"], self.unit))
        named = table.rename_columns([self.names.get(name, name) for name in table.column_names])
        for name in set(self.names) - set(named.column_names):  # what stands under the spine's name is not read
            named = named.append_column(name, pa.array(["other"] * table.num_rows))
        return named

    def places(self, path: Path, table: pa.Table) -> dict[Path, pa.Table]:
        """A file of the feed in the folders of this shape, below the feed; over hours where it has some."""
        if self.partition is None:
            return {path: table}
        day = dt.date.fromisoformat(path.parent.name[3:])
        folder = day.strftime(self.partition.replace("%H", "{}"))
        if self.unpadded:
            folder = re.sub("=0+(?=[0-9])", "=", folder)
        if "{}" not in folder:
            return {Path(folder, path.name): table}
        half = table.num_rows // 2
        return {Path(folder.format(7 if self.unpadded else "07"), path.name): table.slice(half),
                Path(folder.format("23"), path.name): table.slice(0, half)}  # fmt: skip

    @property
    def feed(self) -> dict[str, Any]:
        """The keys of the catalog's feed."""
        found = {"columns": self.names, "timestamp_unit": self.unit, "partition": self.partition}
        return {key: value for key, value in found.items() if value}


def whole_numbers(times: pa.ChunkedArray, unit: str) -> pa.Array:
    """Times as whole numbers of a unit, rounded down."""
    known = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
    numbers = times.combine_chunks().cast(pa.int64()).to_pylist()
    size, own = known[unit], known[times.type.unit]
    return pa.array([None if n is None else n * own // size for n in numbers], pa.int64())


def reshape(root: Path, target: Path, shape: Shape) -> None:
    """A copy of a world's feed, catalog and config in a shape; paths of the catalog are made anew."""
    for file in sorted((root / "feed").rglob("*.parquet")):
        table = shape.table(pq.ParquetFile(file).read())
        for place, rows in shape.places(file.relative_to(root / "feed"), table).items():
            there = target / "feed" / place
            there.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, there)
    shutil.copytree(root / "config", target / "config")
    catalog = yaml.safe_load((root / "config/catalog.yaml").read_text())
    catalog["feed"] = {**catalog["feed"], "path": str(target / "feed"), **shape.feed}
    for name, own in shape.entities.items():
        _rename_entity(
            Path(catalog["views"][name]["source"]).parent, target / "catalog" / name, catalog["views"][name], own
        )
    (target / "config/catalog.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False))


def _rename_entity(source: Path, target: Path, view: dict, own: str) -> None:
    target.mkdir(parents=True)
    for file in source.glob("*.parquet"):
        table = pq.ParquetFile(file).read()
        names = [own if name == view["entity"] else name for name in table.column_names]
        pq.write_table(table.rename_columns(names), target / file.name)
    view |= {"source": str(target / "*.parquet"), "entity_column": own}
