"""Sizes as people write them."""

from __future__ import annotations

import re

from daedalus.base.errors import DaedalusError

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def parse_size(text: str, where: str) -> int:
    """Bytes in a size such as `20GB`, `1.5 TB` or `512MiB`. Raises DaedalusError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?I?B)", text.strip().upper())
    if not match or match[2] not in _UNITS:
        raise DaedalusError("a size that cannot be read", where=where, found=repr(text),
                            expected="a number with B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 20GB")  # fmt: skip
    return int(float(match[1]) * _UNITS[match[2]])
