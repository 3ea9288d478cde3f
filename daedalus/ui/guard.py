"""Who may ask: only this machine, at our own address, with the token; and only to read.

The token is the first part of each path, not a cookie: a browser sends a cookie of 127.0.0.1 to every port of it, so to
whatever else listens there; two pages would take each other's; and a link to a view would not open by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from daedalus.base.errors import DaedalusError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",  # the path has the token
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
_METHODS = ("GET", "HEAD")
_OUR_OWN = (b"same-origin", b"none")  # of Sec-Fetch-Site: asked by our page, or typed


def new_token() -> str:
    return secrets.token_urlsafe(24)


def check_host(host: str) -> None:
    """Raises DaedalusError for an address at which others than this machine could ask."""
    try:
        inside = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise DaedalusError(
            "the page is for this machine alone", where="--host", found=host, expected="127.0.0.1, ::1 or localhost",
            hint="from elsewhere: ssh -L 8800:127.0.0.1:8800 HOST, and --port 8800 there",
        )  # fmt: skip


def names_of(host: str, port: int) -> list[bytes]:
    """What a browser may call us by: another name that leads here was made to lead here."""
    known = dict.fromkeys((host, "127.0.0.1", "localhost", "::1"))
    names = [f"[{name}]" if ":" in name else name for name in known]
    return [f"{name}:{port}".encode() for name in names]


class Guard:
    """Answers what may not be asked, and lets the rest through; its answers say nothing of what there is."""

    def __init__(self, app: ASGIApp, token: str, names: Sequence[bytes]) -> None:
        self._app, self._token, self._names = app, token.encode(), names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in _HEADERS.items() if name not in given]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if refused := self._refusal(scope):
            await _answer(with_headers, *refused)
        else:
            await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and text of a refusal; None for what may be asked."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._names:
            return 403, "This page answers to 127.0.0.1 and localhost at its own port, and to no other name."
        given = scope["path"].encode("utf-8", "replace").split(b"/")[1:2]
        if not given or not secrets.compare_digest(given[0], self._token):
            return 403, "Wrong address: open the one that daeda ui printed. It has a token, and ends with the command."
        if headers.get(b"sec-fetch-site", [b"none"])[0] not in _OUR_OWN:
            return 403, "Another page asked for this: put the address into the browser's address bar."
        if scope["method"] not in _METHODS:
            return 405, "This page is read, and nothing else."
        return None


async def _answer(send: Send, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 405:
        headers.append((b"allow", ", ".join(_METHODS).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
