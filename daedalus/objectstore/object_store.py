"""Object stores by URI (s3://, gs://, az://): the only `import obstore`.

Credentials and endpoint come from the usual environment variables (AWS_…, GOOGLE_…, AZURE_…), or from the
config's `object_store`. Every call makes a few tries in a limited time, then raises an OSError with the URI.
An ETag is never taken for a digest; it is a hint that an object may still be the same.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from daedalus.base.errors import bare
from daedalus.base.installed import check_extra
from daedalus.base.retry import retried

SCHEMES = ("s3://", "gs://", "az://")
_PREFIXES = {"s3://": "aws_", "gs://": "google_", "az://": "azure_"}  # optional prefixes of option names
_KEYS = {  # as obstore names them
    "s3://": """access_key_id bucket bucket_name checksum_algorithm conditional_put container_authorization_token_file
        container_credentials_full_uri container_credentials_relative_uri copy_if_not_exists default_region
        disable_bulk_delete disable_tagging endpoint endpoint_url endpoint_url_sts imdsv1_fallback metadata_endpoint
        region request_payer role_arn role_session_name s3_express secret_access_key server_side_encryption
        session_token skip_signature sse_bucket_key_enabled sse_customer_key_base64 sse_kms_key_id token
        unsigned_payload virtual_hosted_style_request web_identity_token_file""",
    "gs://": """application_credentials base_url bearer_token bucket bucket_name service_account service_account_key
        service_account_path skip_signature""",
    "az://": """access_key account_key account_name authority_host authority_id bearer_token client_id client_secret
        container_name credential_type disable_tagging encryption_key endpoint fabric_cluster_identifier
        fabric_session_token fabric_token_service_url fabric_workload_host federated_token_file identity_endpoint
        master_key msi_endpoint msi_resource_id object_id sas_key sas_token skip_signature azure_storage_access_key
        azure_storage_account_key azure_storage_account_name azure_storage_authority_host azure_storage_authority_id
        azure_storage_client_id azure_storage_client_secret azure_storage_endpoint azure_storage_master_key
        azure_storage_sas_key azure_storage_sas_token azure_storage_tenant_id azure_storage_token
        azure_storage_use_emulator tenant_id token use_azure_cli use_emulator use_fabric_endpoint""",
}
_HARMLESS = """bucket bucket_name container_name region default_region account_name azure_storage_account_name endpoint
    endpoint_url endpoint_url_sts azure_storage_endpoint base_url metadata_endpoint msi_endpoint identity_endpoint
    authority_host azure_storage_authority_host checksum_algorithm conditional_put copy_if_not_exists request_payer
    server_side_encryption credential_type"""
_ENDPOINTS = {  # options that say where the store is, with and without the prefix, and variables that do too
    "s3://": ("endpoint endpoint_url", "AWS_ENDPOINT_URL AWS_ENDPOINT"),
    "gs://": ("base_url", "GOOGLE_BASE_URL"),
    "az://": ("endpoint azure_storage_endpoint", "AZURE_STORAGE_ENDPOINT AZURE_ENDPOINT"),
}
_BLOCK = 4 << 20  # bytes read at a time
_PAUSES = (0.0, 0.0)  # seconds before an object whose answer was cut is read again
_AT_ONCE = 16  # objects that are deleted


class Conflict(OSError):
    """A conditional write failed, because another writer changed the object first."""


def is_uri(path: object) -> bool:
    """Whether a path of the config names an object store."""
    return str(path).startswith(SCHEMES)


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket with its scheme, key) of a URI."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def account_name(options: Mapping[str, Any]) -> str:
    """Azure's account, as the options or the environment name it, or ""."""
    names = ("account_name", "azure_storage_account_name")
    given = (value for key, value in options.items() if not set(_names(key, "az://")).isdisjoint(names))
    return str(next(given, "") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", ""))


def known_keys(path: str) -> set[str]:
    """The options of the store of a URI, without the optional prefix."""
    return set(_KEYS[path[:5]].split())


def is_known(key: str, path: str) -> bool:
    """Whether the store of a URI has an option of that name."""
    return not known_keys(path).isdisjoint(_names(key, path))


def shown(key: str, value: object) -> object:
    """An option's value for display: `(set)` unless the option is known to be harmless."""
    names = {name for scheme in SCHEMES for name in _names(key, scheme)}
    harmless = isinstance(value, bool) or not names.isdisjoint(_HARMLESS.split())
    text = bare(value) if isinstance(value, str) else value
    return text if harmless and "@" not in str(text) else "(set)"


def _names(key: str, path: str) -> tuple[str, str]:
    """An option's name in lower case, with and without the store's prefix."""
    return key.lower(), key.lower().removeprefix(_PREFIXES[path[:5]])


def _options_of(options: Mapping[str, Any], uri: str) -> dict[str, Any]:
    """The options that the store of a URI has, since one `object_store` may configure stores of several kinds."""
    return {key: value for key, value in options.items() if is_known(key, uri)}


def library_options(options: Mapping[str, Any], uri: str) -> dict[str, str]:
    """The options of the store of a URI as strings, for libraries that read objects themselves (lance, polars)."""
    endpoint = _endpoint(options, uri)
    more = {"endpoint": endpoint} if endpoint and uri.startswith("s3://") else {}  # a variable they do not all know
    found = {**_options_of(options, uri), **more, **({"allow_http": True} if _is_http(options, uri) else {})}
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in found.items()}


class Object(Struct, frozen=True):
    """One object. `stamp` joins its ETag, size and time: if it is equal, the bytes are probably the same."""

    uri: str
    size: int
    stamp: str
    modified: float  # seconds since the epoch
    etag: str = ""


@dataclass
class Traffic:
    """Requests and bytes so far, without retries inside the client."""

    requests: int = 0
    received: int = 0
    sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, received: int = 0, sent: int = 0) -> None:
        with self._lock:
            self.requests += 1
            self.received += received
            self.sent += sent


class ObjectStore:
    """The objects under one URI, by key relative to it. Safe to use from several threads.

    `options` are obstore's (`endpoint`, `region`, `access_key_id` …); `patience` is the seconds that a request
    and its retries may take together, transfers apart. Raises DaedalusError (exit 2) without the extra `object-store`.
    """

    def __init__(
        self, uri: str, options: Mapping[str, Any] | None = None, *, patience: float = 30.0, tries: int = 4
    ) -> None:
        _check_installed(uri)
        self.uri, self.traffic = uri.rstrip("/"), Traffic()
        self._options, self._patience, self._tries = dict(options or {}), patience, tries
        self._opening = threading.Lock()
        self._opened: Any = None

    def of(self, key: str) -> str:
        """The URI of a key."""
        return f"{self.uri}/{key}" if key else self.uri

    def key(self, uri: str) -> str:
        """The key of a URI below this one."""
        return uri.removeprefix(self.uri).lstrip("/")

    def list(self, prefix: str = "") -> list[Object]:
        """All objects whose keys begin with `prefix`, sorted by key; makes a request per 1,000."""
        import obstore

        found: list[Object] = []
        with self._errors(prefix):
            for batch in obstore.list(self._store, prefix=_folder(prefix), chunk_size=1000):
                self.traffic.add()
                found += [self._object(meta) for meta in batch if meta["path"].startswith(prefix)]
        return sorted(found, key=lambda one: one.uri)

    def head(self, key: str) -> Object:
        """An object's size, stamp and time. Raises FileNotFoundError."""
        import obstore

        with self._errors(key):
            self.traffic.add()
            return self._object({**obstore.head(self._store, key), "path": key})

    def get(self, key: str, *, most: int | None = None) -> tuple[bytes, Object]:
        """(bytes, object) of a small object; tries again when the download breaks off.

        Raises FileNotFoundError, and OSError for an object of more than `most` bytes.
        """
        import obstore
        from obstore.exceptions import BaseError

        def read() -> tuple[bytes, Object]:
            got = obstore.get(self._store, key)
            if most is not None and got.meta["size"] > most:
                raise OSError(errno.EFBIG, f"an object of {got.meta['size']:,} bytes", self.of(key))
            data = bytes(got.bytes())
            self.traffic.add(received=len(data))
            return data, self._object({**got.meta, "path": key})

        def was_cut(error: Exception) -> bool:  # the client tries again itself, but not once an answer has begun
            return isinstance(error, BaseError) and "body error" in str(error)

        with self._errors(key):
            return retried(read, on=was_cut, pauses=_PAUSES, clean=self.traffic.add)

    def fetch(self, key: str, path: Path) -> Object:
        """Downloads an object to a new file, tries again when it breaks off. Raises FileNotFoundError."""
        return retried(
            lambda: self._fetch(key, path),
            on=lambda error: isinstance(error, OSError) and not isinstance(error, FileNotFoundError),
            pauses=_PAUSES,
            clean=lambda: path.unlink(missing_ok=True),
        )

    def _fetch(self, key: str, path: Path) -> Object:
        import obstore

        received = 0
        with self._errors(key), path.open("wb") as out:
            got = obstore.get(self._store, key)
            for block in got.stream(min_chunk_size=_BLOCK):
                received += out.write(block)
            self.traffic.add(received=received)
            if received != got.meta["size"]:
                raise OSError(errno.EIO, f"cut at {received:,} of {got.meta['size']:,} bytes", self.of(key))
            return self._object({**got.meta, "path": key})

    def put(self, key: str, data: bytes | Path, *, create: bool = False, replaces: str | None = None) -> str:
        """Writes an object atomically; returns its ETag.

        With `create` the object must not exist yet (else FileExistsError); with `replaces` it must still have
        that ETag (else Conflict).
        """
        if replaces is None:
            return self._put(key, data, "create" if create else "overwrite")
        try:
            return self._put(key, data, self._as_it_was(key, replaces))
        except FileNotFoundError:
            raise self._changed(key) from None

    def _put(self, key: str, data: bytes | Path, mode: Any) -> str:
        import obstore

        with self._errors(key):
            size = len(data) if isinstance(data, bytes) else data.stat().st_size
            self.traffic.add(sent=size)
            return _quoted(obstore.put(self._store, key, data, mode=mode)["e_tag"])

    def _as_it_was(self, key: str, etag: str) -> dict[str, str]:
        """The condition that an object has an ETag. Google compares generations instead, so we ask for that first."""
        import obstore

        if not self.uri.startswith("gs://"):
            return {"e_tag": etag}
        with self._errors(key):
            self.traffic.add()
            found = obstore.head(self._store, key)
        if _quoted(found["e_tag"]) != etag:
            raise self._changed(key)
        return {"e_tag": etag, "version": str(found["version"])}

    def _changed(self, key: str) -> Conflict:
        return Conflict(errno.EAGAIN, "changed by another writer", self.of(key))

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; missing ones are no error."""
        from concurrent.futures import ThreadPoolExecutor

        listed = list(keys)
        most = 256 if self.uri.startswith("az://") else 1000  # in a request
        for begin in range(0, len(listed), most):
            some = listed[begin : begin + most]
            try:
                self._delete(some)
            except FileNotFoundError:  # Azure and Google tell of a missing one, and may have left the others
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    list(pool.map(self._delete_one, some))

    def _delete(self, keys: Sequence[str]) -> None:
        import obstore

        with self._errors(keys[0]):
            self.traffic.add()
            obstore.delete(self._store, keys)

    def _delete_one(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self._delete([key])

    @property
    def _store(self) -> Any:
        with self._opening:
            if self._opened is None:
                self._opened = _open(self.uri, self._options, self._patience, self._tries)
            return self._opened

    def _object(self, meta: Mapping[str, Any]) -> Object:
        """What a listing and an answer say alike: no versions, which are not listed, and no parts of a second."""
        etag, time = _quoted(meta.get("e_tag")), meta["last_modified"].replace(microsecond=0)
        return Object(self.of(meta["path"]), meta["size"], f" {etag} {meta['size']} {time}", time.timestamp(), etag)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turns obstore's errors into those of files."""
        from obstore import exceptions

        where = self.of(key)
        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError):
            raise FileNotFoundError(errno.ENOENT, "no such object", where) from None
        except exceptions.AlreadyExistsError:
            raise FileExistsError(errno.EEXIST, "already exists", where) from None
        except exceptions.PreconditionError:
            raise self._changed(key) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise PermissionError(errno.EACCES, self._text(error), where) from None
        except exceptions.BaseError as error:
            raise OSError(errno.EIO, self._text(error), where) from None

    def _text(self, error: Exception) -> str:
        """An error's first line, without secret values of the options."""
        return _first_line(error, self._options)


def arrow_filesystem(uri: str, options: Mapping[str, Any]) -> Any:
    """A pyarrow file system over the store of a URI; paths in it are URIs without their scheme."""
    _check_installed(uri)
    from obstore.fsspec import FsspecStore
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    client: Any = {"allow_http": _is_http(options, uri)}
    store = FsspecStore(uri.partition("://")[0], config=_options_of(options, uri), client_options=client)  # type: ignore[call-overload]
    return PyFileSystem(FSSpecHandler(store))


def _check_installed(uri: str) -> None:
    check_extra("object-store", "obstore", where=bare(uri), what="the client of object stores")


def variables(uri: str) -> str:
    """How the environment variables begin that the store of a URI reads, for messages."""
    return f"{_PREFIXES[uri[:5]].upper()}…"


def _endpoint(options: Mapping[str, Any], uri: str) -> str:
    names, environment = (text.split() for text in _ENDPOINTS[uri[:5]])
    given = (value for key, value in options.items() if not set(_names(key, uri)).isdisjoint(names))
    return str(next(given, "") or next(filter(None, map(os.environ.get, environment)), ""))


def _is_http(options: Mapping[str, Any], uri: str) -> bool:
    return _endpoint(options, uri).startswith("http://")


def _open(uri: str, options: dict[str, Any], patience: float, tries: int) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    client = {"connect_timeout": timedelta(seconds=min(patience, 5)), "read_timeout": timedelta(seconds=patience),
              "timeout": timedelta(hours=1), "allow_http": _is_http(options, uri)}  # fmt: skip
    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)}
    retries = {"max_retries": tries, "retry_timeout": timedelta(seconds=patience), "backoff": backoff}
    try:
        return from_url(uri, config=_options_of(options, uri), client_options=client, retry_config=retries)  # type: ignore[call-overload]
    except (BaseError, ValueError) as error:
        raise OSError(errno.EINVAL, _first_line(error, options), uri) from None


def _quoted(etag: str | None) -> str:
    """An ETag as a header has it: Azure lists it without the quotes."""
    return f'"{etag}"' if etag and not etag.endswith('"') else etag or ""


def _folder(prefix: str) -> str | None:
    """The folder of a prefix, since a store lists by whole path segments."""
    return prefix.rpartition("/")[0] or None


def _first_line(error: Exception, options: Mapping[str, Any]) -> str:
    text = bare(str(error).strip())
    for key, value in options.items():
        if len(str(value)) > 3 and shown(key, value) == "(set)":
            text = text.replace(str(value), "(set)")
    return text.splitlines()[0][:300] if text else type(error).__name__
