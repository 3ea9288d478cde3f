"""A proxy on loopback in front of an object store, that does to answers what networks and stores do."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch
from urllib.parse import urlsplit

from daedalus.sharing import bucket

Fault = Callable[[str, str], str | None]  # (method, path) -> what happens to the answer, or None
FAULTS = ("hang", "500", "503", "reset", "cut", "truncate", "flip")
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Proxy:
    """Forwards to `target`; `fault` says what to do to each request.

    `requests` are those that came, `carried` the bytes of bodies both ways, by path.
    """

    def __init__(self, target: str) -> None:
        self.fault: Fault = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.carried: Counter[str] = Counter()
        self.hang_seconds = 2.0
        host = urlsplit(target)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                proxy.requests.append((self.command, self.path))
                proxy.carried[self.path] += len(body)
                fault = proxy.fault(self.command, self.path)
                if fault == "hang":
                    time.sleep(proxy.hang_seconds)
                if fault in ("hang", "reset"):
                    self.close_connection = True
                    return
                if fault in ("500", "503"):
                    self._answer(int(fault), {}, b"<Error><Code>SlowDown</Code></Error>")
                    return
                there = http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
                there.request(self.command, self.path, body, headers)
                got = there.getresponse()
                data = got.read()
                proxy.carried[self.path] += len(data)
                there.close()
                kept = {k: v for k, v in got.getheaders() if k.lower() not in _HOP}
                if self.command == "HEAD":  # no body, and yet the length of one
                    kept["content-length"] = got.getheader("content-length") or "0"
                if fault == "lost":  # it was done, and nobody hears of it
                    self.close_connection = True
                    return
                if fault == "truncate":
                    data = data[: len(data) // 2]
                if fault == "flip" and data:
                    data = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
                self._answer(got.status, kept, data, cut=fault == "cut")

            def _answer(self, status: int, headers: dict[str, str], data: bytes, cut: bool = False) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                if self.command != "HEAD":
                    self.send_header("content-length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[: len(data) // 2] if cut else data)
                if cut:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Within, answers fail, and a shared cache that is opened waits for none of them longer than half a second.

        Only within: on a busy machine half a second is not enough for every answer of a store that is well.
        """
        self.fault = fault
        try:
            with patch.multiple(bucket, _PATIENCE=0.5, _TRANSFER_PATIENCE=0.5):
                yield
        finally:
            self.fault = lambda method, path: None

    def count(self, method: str, within: str = "") -> int:
        return sum(m == method and within in p for m, p in self.requests)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
