"""A parquet file of the input, as it was when it was looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daedalus.base.errors import DaedalusError, DayError
from daedalus.inputs.files import Files

Check = Callable[[str, Mapping[str, str]], None]  # (path, schema); raises DayError


@dataclass(frozen=True)
class InputFile:
    """A parquet file as it was when it was looked at. `schema` maps columns to DuckDB types.

    `label` is its name in ingredients, without the root folder. `times` are (min, max, rows) of event_timestamp per
    row group, in microseconds, if its statistics have them.
    """

    path: str
    label: str
    digest: str
    stamp: Any
    schema: Mapping[str, str]
    error: DaedalusError | None = None
    looked: int = 0  # when, in nanoseconds since 1970
    times: Sequence[Sequence[int]] = ()

    def check_unchanged(self, files: Files) -> None:
        """Raises DayError when the file is no longer the one that was looked at."""
        if not files.is_still(self.path, self.digest, self.stamp, self.looked):
            raise DayError("an input file changed while it was being read", where=self.path, hint="run again")
