"""What is installed, without importing any of it: whether that has changed, and whether an extra is there."""

from __future__ import annotations

import os
import sys

from daedalus.base.errors import DaedalusError
from daedalus.base.file_stat import stat_of


def installed() -> list:
    """Changes whenever a package is installed or removed: their folders do."""
    folders = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    return [[path, stat_of(path)] for path in folders] + [os.environ.get("PYTHONPATH", ""), sys.version]


class MissingExtra(DaedalusError, ImportError):
    """What was asked for needs packages of an extra that are not installed."""


def check_extra(extra: str, module: str, *, where: str, what: str) -> None:
    """Raises MissingExtra (exit 2) if a module of an extra is not installed; `what` names what people know it as."""
    from importlib.util import find_spec

    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # the package that it is in
        found = None
    if found is None:
        raise MissingExtra(f"{what} is not installed", where=where, hint=f"pip install 'daedalus-skeleton[{extra}]'")
