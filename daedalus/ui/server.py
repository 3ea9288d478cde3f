"""The server: questions by address, each answered in a thread of its own, so that a slow one holds up no other."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from daedalus.base.days import parse_range
from daedalus.base.errors import DaedalusError, problem_of
from daedalus.ui.guard import Guard, check_host, names_of, new_token
from daedalus.ui.pages import FILES, PAGES, error_page
from daedalus.ui.questions import ANSWERS, Asked
from daedalus.workspace.reading import ReadingSettings
from daedalus.workspace.settings import Settings

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.types import ASGIApp

_AT_ONCE = 8  # questions that are being answered; more wait
_MOST_PORT = 65535
_QUICK = 4  # the same of those that take no time: they wait for no slow ones
_QUICK_PATHS = ("/live", "/going-on")
_OWN_POLICY = {"/report": {"content-security-policy": "frame-ancestors 'none'"}}  # it brings a stricter one
_HTML, _JSON = "text/html; charset=utf-8", "application/json"


class Site:
    """The pages and answers about one configuration."""

    def __init__(self, settings: Settings, range: str | None, *, token: str, schema: int) -> None:
        self._settings, self._range, self._base, self._schema = ReadingSettings.of(settings), range, f"/{token}", schema
        self._slow, self._quick = CapacityLimiter(_AT_ONCE), CapacityLimiter(_QUICK)

    def routes(self) -> list[Mount]:
        answers = [Route(f"/api{path}", self._answer(path, ask)) for path, ask in ANSWERS.items()]
        pages = [Route(path, self._page(path, page)) for path, page in PAGES.items()]
        files = [Route(f"/{name}", partial(_file, name)) for name in FILES]
        return [Mount(self._base, routes=[*files, *answers, *pages])]

    def asked(self, request: Request) -> Asked:
        return Asked(self._settings, self._range, request.path_params, dict(request.query_params))

    def _answer(self, path: str, ask: Callable[[Asked], Mapping[str, Any]]) -> Callable:
        """The endpoint of a question that is answered as JSON."""

        async def endpoint(request: Request) -> Response:
            return await self._in_thread(path, self._answered, ask, self.asked(request))

        return endpoint

    def _answered(self, ask: Callable[[Asked], Mapping[str, Any]], asked: Asked) -> Response:
        try:
            found, status = ask(asked), 200
        except Exception as error:  # one question's failure is its answer
            found, status = {"error": problem_of(error)}, _status_of(error)
        return Response(json.dumps({"schema": self._schema, **found}), status, media_type=_JSON)

    def _page(self, path: str, page: Callable[[Asked, str], str]) -> Callable:
        """The endpoint of a page."""

        async def endpoint(request: Request) -> Response:
            return await self._in_thread(path, self._shown, path, page, self.asked(request))

        return endpoint

    def _shown(self, path: str, page: Callable[[Asked, str], str], asked: Asked) -> Response:
        try:
            text, status = page(asked, self._base), 200
        except Exception as error:
            text, status = error_page(asked, self._base, problem_of(error)), _status_of(error)
        return Response(text, status, _OWN_POLICY.get(path) if status == 200 else None, media_type=_HTML)

    async def _in_thread(self, path: str, work: Callable[..., Response], *values: Any) -> Response:
        """Left to itself when nobody waits for it any more, also at the end."""
        limiter = self._quick if path in _QUICK_PATHS else self._slow
        return await anyio.to_thread.run_sync(partial(work, *values), abandon_on_cancel=True, limiter=limiter)

    async def missing(self, request: Request, error: Exception) -> Response:
        """What is answered to an address that there is not."""
        problem = DaedalusError("there is no such page", where=request.url.path.removeprefix(self._base)).as_json()
        if request.url.path.startswith(f"{self._base}/api/"):
            return Response(json.dumps({"schema": self._schema, "error": problem}), 404, media_type=_JSON)
        return Response(error_page(self.asked(request), self._base, problem), 404, media_type=_HTML)


async def _file(name: str, request: Request) -> Response:
    text, kind = FILES[name]
    return Response(text(), media_type=kind)


def _status_of(error: Exception) -> int:
    return 400 if isinstance(error, DaedalusError) else 500


def app(settings: Settings, range: str | None, *, token: str, host: str, port: int, schema: int) -> ASGIApp:
    """The whole site behind its guard."""
    site = Site(settings, range, token=token, schema=schema)
    inner = Starlette(routes=site.routes(), exception_handlers={HTTPException: site.missing})
    return Guard(inner, token, names_of(host, port))


def serve(
    settings: Settings, range: str | None, *, host: str, port: int, schema: int, ready: Callable[[str], None]
) -> None:  # fmt: skip
    """Serves until Ctrl-C; `ready` is told the address at once. Raises DaedalusError for what is refused first."""
    import uvicorn

    check_host(host)
    if range is not None:
        parse_range(range)
    settings.applied()
    listening, token = _listen(host, port), new_token()
    host, port = listening.getsockname()[:2]
    check_host(host)  # what a name leads to is not written in it
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/{quote(token)}/"
    whole = app(settings, range, token=token, host=host, port=port, schema=schema)
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    server = uvicorn.Server(uvicorn.Config(
        whole, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=1,
    ))  # fmt: skip
    with listening, _ended_by_signals(server):
        ready(address)
        server.run(sockets=[listening])
    _leave()


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the server from now on, also before uvicorn waits for them; it hands them on to here again
    after all is closed, where they change nothing."""

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def opening(say: Callable[[str], None], wanted: bool | None) -> Callable[[str], None]:
    """What says the address, and opens it in a browser: if that is wanted, or there is a display."""

    def ready(address: str) -> None:
        say(address)
        if _has_display() if wanted is None else wanted:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()  # some wait for their end

    return ready


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _listen(host: str, port: int) -> socket.socket:
    """A socket at the address; with port 0 at a free one. Raises DaedalusError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= _MOST_PORT:
        raise DaedalusError("not a port", where="--port", found=port, expected=f"0 (a free one) to {_MOST_PORT}")
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        found = error.strerror or str(error)
        raise DaedalusError("the page cannot be served there", where=f"--port {port}", found=found,
                            expected="a free port", hint="leave --port out: then one is chosen") from None  # fmt: skip
    return listening


def _leave() -> None:
    """Ends the process at once if answers are still being made: nobody waits for them, and nothing is half-written."""
    if any("AnyIO worker" in thread.name for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
