"""LanceDB, without the client of a REST service that it imports: two thirds of its import, and nobody here calls it."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

_CLIENT = "lance_namespace_urllib3_client"


def import_lancedb() -> Any:
    """The module `lancedb`. Of the client it imports the models that it names; the rest comes when it is asked for."""
    if _CLIENT not in sys.modules:
        _defer(_CLIENT)
    import lancedb

    return lancedb


def _defer(package: str) -> None:
    """Lets a package's submodules be imported without its `__init__`, which runs when a name of it is asked for."""
    spec = find_spec(package)
    if spec is None or spec.loader is None:
        return
    module, loader = module_from_spec(spec), spec.loader

    def of_package(name: str) -> Any:
        vars(module).pop("__getattr__", None)
        loader.exec_module(module)
        return getattr(module, name)

    vars(module)["__getattr__"] = of_package
    sys.modules[package] = module
