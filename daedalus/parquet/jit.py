"""What functions that numba compiles have in common: their decorator, how they are loaded, and memory that is given by
its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import njit
from numba.core import caching, cgutils, dispatcher, types
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.extending import intrinsic, overload

_TRIED = ("0.68.",)  # versions of numba whose machine code needs no more than this to be loaded
# Of those, what has a function count no references to arrays: each count locks a core's cache.
_UNCOUNTED: dict[str, Any] = {"_nrt": False} if numba.__version__.startswith(_TRIED) else {}
_WRITABLE: set[str] = set()  # folders of machine code


def compiled(function: Callable) -> Callable:
    """The function, compiled when first called; the machine code is cached on disk if a folder can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no such folder
        return njit(nogil=True)(function)


def inner(function: Callable) -> Callable:
    """A function that only compiled ones call: its machine code is part of theirs, so it needs none on the disk, which
    would have to be looked for at each start."""
    return njit(nogil=True)(function)


def uncounted(function: Callable) -> Callable:
    """An `inner` function that neither makes nor returns arrays, and so need not count references to those that it
    gets, nor to their slices: the function that calls it keeps them. The functions that it calls are compiled alike.
    """
    return njit(nogil=True, **_UNCOUNTED)(function)


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


def _ensure_once(self: caching._CacheLocator, ensure: Callable = caching._CacheLocator.ensure_cache_path) -> None:
    """Tries once whether a folder can be written, where numba tries it for each function."""
    if (folder := self.get_cache_path()) not in _WRITABLE:
        ensure(self)
        _WRITABLE.add(folder)


if numba.__version__.startswith(_TRIED):
    dispatcher.FunctionCache = _MachineCode  # type: ignore[attr-defined]  # where `njit(cache=True)` looks it up
    caching._CacheLocator.ensure_cache_path = _ensure_once  # type: ignore[method-assign]


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


def move(to: Any, at: int, source: Any, begin: int, count: int) -> None:
    """Copies `count` numbers of the array `source` from `begin` on to the array `to`, from `at` on; both may be one.

    Compiled code makes no slices for it: they are counted references, which takes longer than to copy a short list.
    """
    to[at : at + count] = source[begin : begin + count]


@intrinsic
def _move(typing, to, at, source, begin, count):  # type: ignore[no-untyped-def]
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def address(array: int, place: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            return builder.gep(data, [arguments[place]])

        size = context.get_abi_sizeof(context.get_data_type(source.dtype))
        cgutils.raw_memmove(builder, address(0, 1), address(2, 3), arguments[4], size)
        return context.get_dummy_value()

    if to.dtype == source.dtype and to.layout == source.layout == "C":
        return types.void(to, types.intp, source, types.intp, types.intp), code
    return None


@overload(move)
def _compiled_move(to, at, source, begin, count):  # type: ignore[no-untyped-def]
    def moved(to, at, source, begin, count):  # type: ignore[no-untyped-def]
        _move(to, at, source, begin, count)  # type: ignore[call-arg]  # numba gives the first

    return moved
