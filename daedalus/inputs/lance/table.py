"""Opens a Lance table by Lance's own library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ERRORS = (OSError, RuntimeError, ValueError)  # which one Lance raises, for a vanished table or another, varies
_IN_ITS_CODE = re.compile(r",? /\S+\.rs:\d+:\d+")  # where in Lance's code an error came from


def open_table(folder: str, version: int | None = None, options: Mapping[str, str] | None = None) -> Any:
    """A version of a table, the newest for None. `options` are for a folder on an object store. Raises ERRORS."""
    import lance

    return lance.dataset(folder, version=version, storage_options=dict(options or {}) or None)


def said(error: Exception) -> str:
    """What Lance says of a table that it cannot read, in a line."""
    return _IN_ITS_CODE.sub("", str(error).splitlines()[0])[:200]
