"""What functions that numba compiles have in common: their decorator, how they are loaded, and memory that is given by
its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import njit
from numba.core import cgutils, dispatcher, types
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.extending import intrinsic

_TRIED = ("0.68.",)  # versions of numba whose machine code needs no more than this to be loaded


def compiled(function: Callable) -> Callable:
    """The function, compiled when first called; the machine code is cached on disk if a folder can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no such folder
        return njit(nogil=True)(function)


class _MachineCode(FunctionCache):
    """The machine code of a function on the disk. Ours is loaded without what only compiling needs.

    Before it loads any, numba gets to know all of Python and numpy that it could compile, which takes a quarter of a
    second. What compiles does that itself when it begins. No key sees this class: what is loaded is the same code.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if not self._py_func.__module__.startswith("daedalus."):
            return super().load_overload(sig, target_context)
        rtsys.initialize(target_context)  # what machine code calls
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


if numba.__version__.startswith(_TRIED):
    dispatcher.FunctionCache = _MachineCode  # type: ignore[attr-defined]  # where `njit(cache=True)` looks it up


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """The address as what `carray` takes."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code


@intrinsic
def number_at(typing: Any, address: Any) -> Any:
    """The 16 bits at an address, which need not be even."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = cgutils.ir.IntType(16)
        found = builder.load(builder.inttoptr(arguments[0], number.as_pointer()))
        found.align = 1
        return found

    return types.uint16(address), code
