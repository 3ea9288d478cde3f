"""What of the installed packages tells, without importing any, that none was installed or removed."""

from __future__ import annotations

import os
import sys

from daedalus.base.file_stat import stat_of


def installed() -> list:
    """Changes whenever a package is installed or removed: their folders do."""
    folders = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    return [[path, stat_of(path)] for path in folders] + [os.environ.get("PYTHONPATH", ""), sys.version]


def check_extra(module: str, extra: str, where: str) -> None:
    """Raises DaedalusError, with what to install, if a library that only an extra brings is not there."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        from daedalus.base.errors import DaedalusError

        hint = f"pip install 'daedalus-skeleton[{extra}]'"
        raise DaedalusError(f"{module} is not installed", where=where, expected=f"the extra {extra}", hint=hint)
