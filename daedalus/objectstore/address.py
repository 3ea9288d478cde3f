"""Addresses of objects as other programs write them, and what we make of them."""

from __future__ import annotations

import re

from daedalus.base.errors import DaedalusError, bare
from daedalus.objectstore.object_store import SCHEMES, is_uri

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SAME = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az", "adl": "az"}
_HADOOP = ("abfs", "abfss", "wasb", "wasbs")  # …://container@account.some.host/path


def as_uri(location: str) -> tuple[str, str]:
    """(URI, Azure's account or "") of an address such as s3a://… or abfss://…; what we do not know stays as it is."""
    match = _ADDRESS.fullmatch(location)
    scheme, rest = (match[1].lower(), match[2]) if match else ("", location)
    if scheme in _SAME:
        return f"{_SAME[scheme]}://{rest}", ""
    if scheme in _HADOOP:
        place, _, key = rest.partition("/")
        container, _, host = place.partition("@")
        return f"az://{container}/{key}", host.partition(".")[0]
    return location, ""


def check_address(path: str, where: str) -> None:
    """Raises DaedalusError for an address of a kind that we do not know, and would take for a local path."""
    if is_uri(path) or not _ADDRESS.match(path):
        return
    meant, account = as_uri(path)
    hint = f"did you mean {bare(meant)}?" if is_uri(meant) else "a local path has no scheme before it"
    if account:
        hint += f" the account is object_store's account_name: {account}"
    raise DaedalusError("an address that is not understood", where=where, found=bare(path),
                        expected=f"a local path, or {', '.join(SCHEMES)}", hint=hint)  # fmt: skip
