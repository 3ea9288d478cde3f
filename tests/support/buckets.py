"""A test's own object store: moto's server on loopback, in this process, a bucket a test."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator

import pytest

from daedalus.objectstore.object_store import ObjectStore


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    application = create_backend_app("s3")  # moto's own server looks for the service at each request
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def s3_options(s3_endpoint: str) -> dict[str, str]:
    """What a config's `object_store` says to reach the server."""
    return {"endpoint": s3_endpoint, "region": "us-east-1", "access_key_id": "test", "secret_access_key": "test"}


def new_bucket(endpoint: str) -> str:
    """The URI of a new bucket."""
    import urllib.request

    name = f"b{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()
    return f"s3://{name}"


def _backend():
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def fill(bucket: str, objects: dict[str, bytes]) -> None:
    """Puts objects by key into a bucket, without a request for each."""
    for key, data in objects.items():
        _backend().put_object(bucket.removeprefix("s3://"), key, data)


def held(bucket: str, prefix: str = "") -> dict[str, bytes]:
    """The objects of a bucket by key, without a request for each."""
    keys = dict(_backend().buckets[bucket.removeprefix("s3://")].keys.items())
    return {key: keys[key].value for key in sorted(keys) if key.startswith(prefix)}


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """The URI of a new bucket."""
    return new_bucket(s3_endpoint)


@pytest.fixture
def objects(bucket: str, s3_options: dict[str, str]) -> ObjectStore:
    return ObjectStore(f"{bucket}/some/prefix", s3_options)
