"""The decorator of functions that numba compiles."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit


def compiled(function: Callable) -> Callable:
    """The function, compiled when first called; the machine code is cached on disk if a folder can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no such folder
        return njit(nogil=True)(function)
