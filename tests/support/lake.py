"""The same feed and views as tables of Delta Lake and Iceberg, made by these formats' own packages."""

from __future__ import annotations

import datetime as dt
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from deltalake import write_deltalake
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.table import Table

from daedalus.objectstore.address import as_uri
from daedalus.objectstore.object_store import ObjectStore, split_uri

_KINDS = {
    "text": lambda day: {"dt": str(day)},
    "date": lambda day: {"dt": day},
    "number": lambda day: {"dt": int(f"{day:%Y%m%d}")},
    "parts": lambda day: {"year": day.year, "month": day.month, "day": day.day},
}
PATTERNS = {"number": "dt=%Y%m%d", "parts": "year=%Y/month=%m/day=%d"}  # of feed.partition, where it is needed
KINDS = list(_KINDS)


def with_day(table: pa.Table, day: dt.date, kind: str) -> pa.Table:
    """A day's rows with the columns by which their table is partitioned."""
    types = {"text": pa.string(), "date": pa.date32(), "number": pa.int64(), "parts": pa.int32()}
    for name, value in _KINDS[kind](day).items():
        table = table.append_column(name, pa.array([value] * table.num_rows, types[kind]))
    return table


def feed_days(root: Path) -> Iterator[tuple[dt.date, pa.Table]]:
    """The files of a feed that is a tree, by day."""
    for file in sorted(root.glob("dt=*/*.parquet")):
        yield dt.date.fromisoformat(file.parent.name[3:]), pq.ParquetFile(file).read()


def delta_feed(tree: Path, target: Path, kind: str = "text") -> None:
    """A tree as a Delta table, a commit a file."""
    for day, rows in feed_days(tree):
        append_delta(target, with_day(rows, day, kind), list(_KINDS[kind](day)))


def append_delta(target: Path, rows: pa.Table, by: list[str] | None = None, mode: str = "append") -> None:
    rows = rows.combine_chunks()  # the writer takes chunks side by side, and writes them in the order they come
    write_deltalake(str(target), rows, partition_by=by, mode=mode, schema_mode="merge" if mode == "append" else mode)


def delta_view(tree: Path, target: Path) -> None:
    append_delta(target, rows_of(tree))


def rows_of(folder: Path) -> pa.Table:
    """The rows of a view's files, in the order of their paths."""
    return pa.concat_tables(
        (pq.ParquetFile(file).read() for file in sorted(folder.glob("*.parquet"))), promote_options="permissive"
    )


class StoreIO(FileIO):
    """How pyiceberg writes into our object stores, under whatever addresses a table has."""

    def _file(self, location: str) -> StoreFile:
        uri = as_uri(location)[0]
        bucket, key = split_uri(uri)
        return StoreFile(location, ObjectStore(bucket, json.loads(self.properties["object_store"])), key)

    new_input = new_output = _file

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError


class StoreFile(InputFile, OutputFile):
    def __init__(self, location: str, store: ObjectStore, key: str) -> None:
        super().__init__(location)
        self._store, self._key = store, key

    def __len__(self) -> int:
        return self._store.head(self._key).size

    def exists(self) -> bool:
        return bool(self._store.list(self._key))

    def open(self, seekable: bool = True) -> io.BytesIO:
        return io.BytesIO(self._store.get(self._key)[0])

    def create(self, overwrite: bool = False) -> io.BytesIO:
        put = self._store.put

        class Written(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    put(key, self.getvalue())
                super().close()

        key = self._key
        return Written()

    def to_input_file(self) -> StoreFile:
        return self


class Lake:
    """Iceberg tables below a folder, or an address, with a catalog in that folder that only the tests ask."""

    def __init__(self, root: Path, address: str = "", store: dict[str, str] | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.address = address or f"file://{root}"
        options = {"py-io-impl": "lake.StoreIO", "object_store": json.dumps(store)} if store else {}
        self.catalog = SqlCatalog("tests", uri=f"sqlite:///{root}/catalog.db", warehouse=self.address, **options)
        self.catalog.create_namespace("tables")

    def table(self, name: str, rows: pa.Table, by: dict[str, str] | None = None, **properties: str) -> Table:
        """A new table with the columns of rows; `by` are transforms by column, such as day."""
        table = self.catalog.create_table(
            f"tables.{name}", rows.schema, location=f"{self.address}/{name}", properties=properties
        )
        if by:
            with table.update_spec() as spec:
                for column, transform in by.items():
                    spec.add_field(column, transform, column if transform == "identity" else f"{column}_{transform}")
        return table

    def feed(self, name: str, tree: Path, kind: str = "date") -> Table:
        """A tree as a table, a snapshot a file."""
        table = None
        for day, rows in feed_days(tree):
            rows = with_day(rows, day, kind)
            table = table or self.table(name, rows, dict.fromkeys(_KINDS[kind](day), "identity"))
            table.append(rows)
        assert table is not None
        return table

    def view(self, name: str, tree: Path) -> Table:
        rows = rows_of(tree)
        table = self.table(name, rows)
        table.append(rows)
        return table


def as_tables(root: Path, target: Path, format: str, kind: str) -> None:
    """A copy of a world in which feed and views are tables of a format."""
    shutil.copytree(root / "config", target / "config")
    path = target / "config/catalog.yaml"
    catalog = yaml.safe_load(path.read_text())
    tree, views = Path(catalog["feed"]["path"]), catalog["views"]
    catalog["feed"]["path"] = str(target / "feed")
    if kind in PATTERNS:
        catalog["feed"]["partition"] = PATTERNS[kind]
    lake = Lake(target) if format == "iceberg" else None
    if lake:
        lake.feed("feed", tree, kind)
    else:
        delta_feed(tree, target / "feed", kind)
    for name, view in views.items():
        source = Path(view["source"]).parent
        lake.view(name, source) if lake else delta_view(source, target / name)
        view["source"] = str(target / name)
    path.write_text(yaml.safe_dump(catalog, sort_keys=False))
