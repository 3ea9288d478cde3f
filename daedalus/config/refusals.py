"""What the rules of a configuration share: how they refuse, and rules for numbers and names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from daedalus.base.errors import DaedalusError
from daedalus.config.config import Config

MOST = 2**63 - 1  # what a 64-bit number holds
OWN = "daeda:"
RESERVED = {
    "qid": "qid is added last, automatically",
    "dt": "dt is the partition column",
    OWN: "names that begin with daeda: are reserved for this program",
}


def refuse(config: Config, file: str, key: str, what: str, found: object, expected: object, hint: str = "") -> NoReturn:
    """Raises DaedalusError for a key of a config file."""
    raise DaedalusError(what, where=config.where(file, key), found=found, expected=expected, hint=hint)


def between(config: Config, file: str, key: str, value: int, least: int, most: int = MOST) -> None:
    """Rejects a number that is not from `least` to `most`."""
    if value < least:
        refuse(config, file, key, "a number that is too small", value, f"at least {least}")
    if value > most:
        refuse(config, file, key, "a number that is too large", value, f"at most {most:,}")


def unique(config: Config, file: str, key: str, names: Iterable[str]) -> None:
    """Rejects empty and repeated names; case is ignored, as DuckDB does."""
    seen: dict[str, str] = {}
    for name in names:
        if not name:
            refuse(config, file, key, "an empty name", "''", "a column name")
        if name.casefold() in seen:
            refuse(config, file, key, "a name that appears twice", name, "names that differ in more than case")
        seen[name.casefold()] = name


def reserved(name: str) -> str | None:
    """Why an output column may not have a name, or None."""
    own = RESERVED[OWN] if name.casefold().startswith(OWN) else None
    return RESERVED.get(name.casefold(), own)
