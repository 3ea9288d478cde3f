"""Bytecode of this package in the user's cache, where Python may not write it beside the code.

That is so where PYTHONDONTWRITEBYTECODE is set, and where a package is installed read-only. Without this every start
would compile all that it imports. Other packages are left alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from daedalus.base.user_cache import private_folder

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType


def keep_bytecode(package: str, folder: str) -> None:
    """From now on keeps the bytecode of a package's modules, if Python does not and there is a place for it."""
    if sys.pycache_prefix or not (sys.dont_write_bytecode or not os.access(folder, os.W_OK)):
        return
    kept = private_folder("bytecode")
    if kept:
        sys.meta_path.insert(0, _finder(f"{package}.", kept))  # type: ignore[arg-type]


def _finder(prefix: str, kept: str) -> object:
    from importlib.machinery import PathFinder, SourceFileLoader

    class Loader(SourceFileLoader):
        """Reads and writes bytecode in the folder, unless what lies beside the code is as new as the code."""

        def __init__(self, spec: ModuleSpec, path: str) -> None:
            super().__init__(spec.name, path)
            self._beside = spec.cached

        def get_code(self, fullname: str) -> CodeType | None:
            if self._beside and _is_newer(self._beside, self.path):
                return super().get_code(fullname)
            before = sys.pycache_prefix, sys.dont_write_bytecode
            sys.pycache_prefix, sys.dont_write_bytecode = kept, False
            try:
                return super().get_code(fullname)
            finally:
                sys.pycache_prefix, sys.dont_write_bytecode = before

    class Finder:
        """Finds modules where Python does."""

        def find_spec(
            self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            if not name.startswith(prefix):
                return None
            spec = PathFinder.find_spec(name, path, target)
            if spec and type(spec.loader) is SourceFileLoader:
                spec.loader = Loader(spec, spec.loader.path)
            return spec

    return Finder()


def _is_newer(file: str, other: str) -> bool:
    try:
        return os.stat(file).st_mtime_ns > os.stat(other).st_mtime_ns
    except OSError:
        return False
