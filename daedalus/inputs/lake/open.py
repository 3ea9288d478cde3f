"""Opens a table at a configured folder, with the package of its format, which is imported here alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from daedalus.base.errors import DaedalusError
from daedalus.base.installed import check_extra
from daedalus.config import CATALOG, Config
from daedalus.inputs.files import Names
from daedalus.inputs.lake.table import LakeTable, Place
from daedalus.objectstore.object_store import is_uri, library_options


def open_table(config: Config, files: Names, key: str, folder: str, format: str) -> LakeTable:
    """The table that the key names, in its newest version or the one that `version` beside the key says.

    `format` is "" for a folder that is no table: then `version` stands there, and is refused. Raises DaedalusError.
    """
    owner = key.rpartition(".")[0]
    view = owner.partition(".")[2]
    version = config.catalog.views[view].version if view else config.catalog.feed.version
    if not format:
        raise DaedalusError("a version of something that is not a table",
                            where=config.where(CATALOG, f"{owner}.version"),
                            found=f"{folder}, with neither _delta_log nor Iceberg's metadata/",
                            expected="a folder that is a table of Delta Lake or Iceberg",
                            hint="leave version out")  # fmt: skip
    options = library_options(config.runtime.object_store, folder) if is_uri(folder) else {}
    return open_at(Place(folder, version, config.where(CATALOG, key), files, options), format)


def open_at(place: Place, format: str) -> LakeTable:
    """The table of a format at a place. Raises DaedalusError."""
    return _reader(place, format)(place)


def _reader(place: Place, format: str) -> Callable[[Place], LakeTable]:
    """What reads the list of files of a format."""
    if format == "Delta":
        check_extra("delta", "deltalake", where=place.where, what="the package that reads Delta tables")
    else:
        check_extra("iceberg", "pyiceberg", where=place.where, what="the package that reads Iceberg tables")
    return import_module(f"daedalus.inputs.lake.{format.lower()}").read_table
