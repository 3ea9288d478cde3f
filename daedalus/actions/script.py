"""What a step in Python runs, as a script for people: the call, with what it needs imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def call_script(says: str, function: Callable, *arguments: object, also: tuple[type, ...] = ()) -> str:
    """A script that calls one of our functions; `also` are types that occur inside the arguments.

    The functions and the types of arguments are imported by name, so their reprs must be such as Python reads.
    """
    types = [kind for one in arguments if (kind := type(one)).__module__.startswith("daedalus.")]
    needed: list[Any] = [function, *types, *also]
    imports = {f"from {one.__module__} import {one.__qualname__.partition('.')[0]}" for one in needed}
    call = [f"{needed[0].__qualname__}(", *(f"    {_shown(one)}," for one in arguments), ")"]
    return "\n".join([f"# {says}", "from pathlib import Path, PosixPath", *sorted(imports), *call])


def _shown(value: object) -> str:
    return f"Path({str(value)!r})" if isinstance(value, Path) else repr(value)
