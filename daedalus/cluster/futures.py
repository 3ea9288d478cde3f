"""Dask's futures as those of the standard library.

Dask's own `Client.get_executor` asks a future for its state a second time when it has the result. If the worker that
had the result has died in between, it takes the result for an error.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client


def submitted(client: Client, function: Callable[..., Any], *arguments: Any, **options: Any) -> Future:
    """Submits a call to Dask. The future is completed in the client's thread, and cancelled if Dask loses the task."""
    inner = client.submit(function, *arguments, pure=False, **options)
    outer: Future = Future()

    def cancelled(ended: Future) -> None:  # naming `outer` here, it would keep `inner`, and Dask the result, for long
        if ended.cancelled() and not inner.cancelled():
            inner.cancel()

    async def pass_on() -> None:
        try:
            result, error = await inner, None
        except Exception as raised:
            result, error = None, raised
        if error and inner.cancelled():
            outer.cancel()
            return
        with suppress(InvalidStateError):  # cancelled meanwhile
            if error:
                outer.set_exception(error)
            else:
                outer.set_result(result)

    outer.add_done_callback(cancelled)
    loop: Any = client.loop
    loop.add_callback(pass_on)
    return outer
