"""Google's XML API, as obstore speaks it, in front of fake-gcs-server, an emulator of Google Cloud Storage.

The emulator answers reads, lists and deletions itself, and decides about generations. It takes uploads through Google's
JSON API alone, so these are passed on in that form; the parts of a large upload are joined here.
"""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}
_CONDITION = "x-goog-if-generation-match"
Answer = tuple[int, dict[str, str], bytes]


class XmlApi:
    """A server on loopback that passes requests on to the emulator at `host:port`."""

    def __init__(self, target: str) -> None:
        api, self._parts = self, dict[str, dict[int, bytes]]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if not hasattr(self, "there"):
                    self.there = http.client.HTTPConnection(target, timeout=60)
                status, headers, data = api._answer(self, body)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                if "content-length" not in headers:
                    self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, asked: BaseHTTPRequestHandler, body: bytes) -> Answer:
        url = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        bucket, _, key = url.path.lstrip("/").partition("/")
        upload = query.get("uploadId", "")
        if asked.command == "POST" and "uploads" in query:
            upload = uuid.uuid4().hex
            self._parts[upload] = {}
            return 200, {}, _xml("InitiateMultipartUploadResult", UploadId=upload)
        if asked.command == "PUT" and upload:
            self._parts[upload][int(query["partNumber"])] = body
            return 200, {"etag": f'"{query["partNumber"]}"'}, b""
        if asked.command == "POST" and upload:
            whole = b"".join(part for _, part in sorted(self._parts.pop(upload).items()))
            status, headers, data = self._put(asked, bucket, key, whole)
            done = _xml("CompleteMultipartUploadResult", ETag=headers.get("etag", ""))
            return status, headers, done if status == 200 else data
        if asked.command == "PUT":
            return self._put(asked, bucket, key, body)
        return _passed_on(asked.there, asked.command, asked.path, body, dict(asked.headers))  # type: ignore[attr-defined]

    def _put(self, asked: BaseHTTPRequestHandler, bucket: str, key: str, body: bytes) -> Answer:
        query = {"uploadType": "multipart"}  # version 1.54 of the emulator overlooks the condition of plain uploads
        if (generation := asked.headers.get(_CONDITION)) is not None:
            query["ifGenerationMatch"] = generation
        path = f"/upload/storage/v1/b/{quote(bucket)}/o?{urlencode(query)}"
        between = uuid.uuid4().hex
        about = json.dumps({"name": unquote(key)})
        head = f"--{between}\r\ncontent-type: application/json\r\n\r\n{about}\r\n--{between}\r\n\r\n"
        whole = b"".join([head.encode(), body, f"\r\n--{between}--".encode()])
        kind = {"content-type": f"multipart/related; boundary={between}"}
        status, _, data = _passed_on(asked.there, "POST", path, whole, kind)  # type: ignore[attr-defined]
        if status != 200:
            return status, {}, data
        made = json.loads(data)
        return 200, {"etag": f'"{made["etag"]}"', "x-goog-generation": made["generation"]}, b""


def _passed_on(
    there: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str]
) -> Answer:
    kept = {name: value for name, value in headers.items() if name.lower() not in _HOP}
    there.request(method, path, body, kept)
    got = there.getresponse()
    data, found = got.read(), {name.lower(): value for name, value in got.getheaders()}
    length = {"content-length": found["content-length"]} if method == "HEAD" and "content-length" in found else {}
    return got.status, {name: value for name, value in found.items() if name not in _HOP} | length, data


def _xml(kind: str, **fields: str) -> bytes:
    return f"<{kind}>{''.join(f'<{k}>{v}</{k}>' for k, v in fields.items())}</{kind}>".encode()
