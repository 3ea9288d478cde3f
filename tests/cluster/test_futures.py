"""Dask's futures as those of the standard library, whatever becomes of the task once its result is here."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

pytest.importorskip("distributed")
from distributed.client import FutureCancelledError

from daedalus.cluster.futures import submitted


class Inner:
    """A future of Dask, of a task that is lost as soon as its result was given."""

    def __init__(self, result=None, error: Exception | None = None) -> None:
        self.result, self.error, self.status, self.gone = result, error, "pending", threading.Event()

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        self.status = "lost"
        if self.error:
            raise self.error
        return self.result

    def cancelled(self) -> bool:
        return isinstance(self.error, FutureCancelledError) or self.gone.is_set()

    def cancel(self) -> None:
        self.gone.set()


@pytest.fixture
def client():
    """What runs coroutines in a thread of its own, as Dask's client does, and gives out one future."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def add_callback(coroutine) -> None:
        asyncio.run_coroutine_threadsafe(coroutine(), loop)

    yield SimpleNamespace(loop=SimpleNamespace(add_callback=add_callback))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def future_of(client, inner: Inner):
    client.submit = lambda function, *arguments, pure, **options: inner
    return submitted(client, print)


def test_a_result_stays_one_though_its_worker_died_meanwhile(client):
    """Dask's own executor took it for an error: `not enough values to unpack`."""
    assert future_of(client, Inner(result=("made", None))).result(timeout=20) == ("made", None)


def test_an_error_is_raised(client):
    with pytest.raises(ValueError, match="of the step"):
        future_of(client, Inner(error=ValueError("of the step"))).result(timeout=20)


def test_what_dask_lost_is_cancelled(client):
    future, done = future_of(client, Inner(error=FutureCancelledError("key", "scheduler lost"))), threading.Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(20)
    with pytest.raises(CancelledError):
        future.result()


def test_cancelling_cancels_the_task(client):
    client.loop.add_callback = lambda coroutine: None  # never answered
    inner = Inner()
    future = future_of(client, inner)
    assert future.cancel() and inner.gone.is_set()
