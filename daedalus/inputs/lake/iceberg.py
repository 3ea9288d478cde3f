"""Iceberg tables: the files of a snapshot, by the table's metadata and manifests; no catalog is asked."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestFile
from pyiceberg.partitioning import PartitionField
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.transforms import DayTransform, HourTransform, IdentityTransform, VoidTransform
from pyiceberg.types import DateType

from daedalus.base.errors import DaedalusError
from daedalus.inputs.lake.table import Columns, LakeFile, LakeTable, Place, first_line, labelled
from daedalus.objectstore.address import as_uri
from daedalus.objectstore.object_store import account_name, is_uri

_NUMBERED = re.compile(r"v?([0-9]+)(-.*)?(\.gz)?\.metadata\.json(\.gz)?")
_FIRST = date(1970, 1, 1)


def read_table(place: Place) -> LakeTable:
    """Reads metadata and manifests. Raises DaedalusError (exit 2) for what cannot be read as it is meant."""
    reading = _Reading(place)
    try:
        metadata = FromInputFile.table_metadata(reading.new_input(_metadata_file(place)))
        snapshot = _snapshot(place, metadata)
        table = _Table(place, metadata, snapshot)
        manifests = snapshot.manifests(reading) if snapshot else []
        files = [file for manifest in manifests for file in table.files(manifest, reading)]
    except DaedalusError:
        raise
    except Exception as error:  # the package raises many kinds
        raise place.refuse("an Iceberg table cannot be read", first_line(error),
                           "metadata and manifests that are whole", "see metadata/ in it") from None  # fmt: skip
    found = snapshot.snapshot_id if snapshot else None
    return LakeTable("Iceberg", place.folder, found, files, table.partitioned, table.columns)


def _metadata_file(place: Place) -> str:
    """The newest metadata file: the one that version-hint.text names in full, else the one of the greatest number."""
    folder = f"{place.folder}/metadata"
    names = [path.rpartition("/")[2] for path in place.files.matching(f"{folder}/*.metadata.json*")]
    try:
        hint = place.files.read(f"{folder}/version-hint.text").decode().strip()
    except FileNotFoundError:
        hint = ""
    if hint and not hint.isdecimal():
        return f"{folder}/{hint.removesuffix('.metadata.json')}.metadata.json"
    numbered = [(int(match[1]), name) for name in names if (match := _NUMBERED.fullmatch(name))]
    newest = sorted(name for number, name in numbered if number == max(numbered)[0])
    if len(newest) != 1:  # a commit that lost leaves its file; which one won only the catalog knows
        raise place.refuse("it is not known which metadata of an Iceberg table is the newest",
                           ", ".join(newest) or ", ".join(names), "one file of the greatest number",
                           "name it in metadata/version-hint.text")  # fmt: skip
    return f"{folder}/{newest[0]}"


def _snapshot(place: Place, metadata: TableMetadata) -> Snapshot | None:
    if place.version is None:
        return metadata.current_snapshot()
    if found := metadata.snapshot_by_id(place.version):
        return found
    known = [str(one.snapshot_id) for one in metadata.snapshots]
    raise place.refuse("a snapshot that the Iceberg table does not have", place.version,
                       f"one of {', '.join(known[-5:])}")  # fmt: skip


class _Table:
    """A snapshot of a table."""

    def __init__(self, place: Place, metadata: TableMetadata, snapshot: Snapshot | None) -> None:
        self._place, self._metadata, self._specs = place, metadata, metadata.specs()
        self._location = _path(place, metadata.location)
        schema = metadata.schema()
        if place.version is not None and snapshot and snapshot.schema_id is not None:
            schema = next((one for one in metadata.schemas if one.schema_id == snapshot.schema_id), schema)
        self._schema = schema
        here = not is_uri(self._location) and os.path.realpath(self._location) == os.path.realpath(place.folder)
        self._folder = place.folder if here else self._location

    @property
    def partitioned(self) -> list[str]:
        """By what new files are."""
        return [self._told(field) for field in self._specs[self._metadata.default_spec_id].fields]

    def _told(self, field: PartitionField) -> str:
        source = self._schema.find_column_name(field.source_id) or field.name
        return source if isinstance(field.transform, IdentityTransform) else f"{field.transform}({source})"

    @property
    def columns(self) -> Columns:
        """By field ids: names may have meant other columns before."""
        ids = {field.name: field.field_id for field in self._schema.fields}
        mapping = self._metadata.name_mapping()
        mapped = (
            {name: field.field_id for field in mapping for name in field.names if field.field_id} if mapping else {}
        )
        outside = {field.name: "a default that files of before do not have" for field in self._schema.fields
                   if field.initial_default is not None}  # fmt: skip
        identity = [field for spec in self._specs.values() for field in spec.fields
                    if isinstance(field.transform, IdentityTransform)]  # fmt: skip
        for field in identity:
            if name := self._schema.find_column_name(field.source_id):
                outside.setdefault(name, "a partition column, which this file does not hold")
        return Columns(ids, mapped, outside)

    def files(self, manifest: ManifestFile, reading: _Reading) -> Iterator[LakeFile]:
        """The files that a manifest lists as there."""
        fields = self._specs[manifest.partition_spec_id].fields
        days = frozenset(field.name for field in fields if self._is_day(field))
        for entry in manifest.fetch_manifest_entry(reading):
            file = entry.data_file
            if manifest.content == ManifestContent.DELETES or file.content != DataFileContent.DATA:
                self._refuse_deletes(file)
            if file.file_format != FileFormat.PARQUET:
                raise self._place.refuse("an Iceberg table with files that are no parquet",
                                         f"{file.file_format}: {file.file_path}", "parquet files")  # fmt: skip
            own = ((field, file.partition[i]) for i, field in enumerate(fields))
            values = {field.name: _day(field, value) if field.name in days else value for field, value in own
                      if not isinstance(field.transform, VoidTransform)}  # fmt: skip
            path = _path(self._place, file.file_path)
            yield LakeFile(*labelled(path, self._location, lambda label: f"{self._folder}/{label}"), values, days)

    def _is_day(self, field: PartitionField) -> bool:
        """Whether the values of a partition field are days."""
        if isinstance(field.transform, DayTransform | HourTransform):
            return True
        types = [found.field_type for schema in self._metadata.schemas if (found := _field(schema, field.source_id))]
        return isinstance(field.transform, IdentityTransform) and bool(types) and isinstance(types[-1], DateType)

    def _refuse_deletes(self, file: DataFile) -> None:
        kind = "equality deletes" if file.content == DataFileContent.EQUALITY_DELETES else "position deletes"
        kind = "deletion vectors" if file.file_format == FileFormat.PUFFIN else kind
        raise self._place.refuse("an Iceberg table with delete files, which are not read", f"{kind}: {file.file_path}",
                                 "files with all their rows", "rewrite the table's data files")  # fmt: skip


def _field(schema: Schema, number: int) -> Any:
    return next((field for field in schema.fields if field.field_id == number), None)


def _day(field: PartitionField, value: Any) -> object:
    """The date of a value that counts days, or hours, since 1970; what is no such number as it is."""
    if not isinstance(value, int):
        return value
    count = value // 24 if isinstance(field.transform, HourTransform) else value
    try:
        return _FIRST + timedelta(days=count)
    except OverflowError:
        return value


def _path(place: Place, location: str) -> str:
    """A location of the metadata as we write paths. Raises DaedalusError for one that we cannot reach."""
    found, account = as_uri(location)
    if account and account != (ours := account_name(place.options) or account):
        raise place.refuse("an Iceberg table with files in another storage account", location, f"the account {ours}")
    if found.startswith("file:"):
        return "/" + found.removeprefix("file:").lstrip("/")
    if is_uri(found) or "://" not in found:
        return found
    raise place.refuse("an Iceberg table with files in an unknown place", location, "paths, or s3://, gs://, az://")


class _Reading(FileIO):
    """The input files as pyiceberg reads them."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    def new_input(self, location: str) -> InputFile:
        return _Input(location, self._place)

    def new_output(self, location: str) -> OutputFile:
        raise NotImplementedError

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError


class _Input(InputFile):
    def __init__(self, location: str, place: Place) -> None:
        super().__init__(location)
        self._place = place

    @property
    def _bytes(self) -> bytes:
        return self._place.files.read(_path(self._place, self.location))

    def __len__(self) -> int:
        return len(self._bytes)

    def exists(self) -> bool:
        return True

    def open(self, seekable: bool = True) -> InputStream:
        return io.BytesIO(self._bytes)
