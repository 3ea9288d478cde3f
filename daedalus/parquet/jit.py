"""What functions that numba compiles have in common: their decorator, and memory that is given by its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic


def compiled(function: Callable) -> Callable:
    """The function, compiled when first called; the machine code is cached on disk if a folder can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no such folder
        return njit(nogil=True)(function)


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
