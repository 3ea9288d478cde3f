"""What of the installed packages tells, without importing any, that none was installed or removed."""

from __future__ import annotations

import os
import sys

from daedalus.base.file_stat import stat_of


def installed() -> list:
    """Changes whenever a package is installed or removed: their folders do."""
    folders = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    return [[path, stat_of(path)] for path in folders] + [os.environ.get("PYTHONPATH", ""), sys.version]
