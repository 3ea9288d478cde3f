"""A test's own object store: moto's server on loopback, in this process, a bucket a test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest

from daedalus.objectstore.object_store import ObjectStore


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


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


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """The URI of a new bucket."""
    return new_bucket(s3_endpoint)


@pytest.fixture
def objects(bucket: str, s3_options: dict[str, str]) -> ObjectStore:
    return ObjectStore(f"{bucket}/some/prefix", s3_options)
