"""Input files as they were when they were looked at, and what looks at them; schemas are remembered by digest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.errors import DaedalusError, DayError
from daedalus.base.ports import Facts
from daedalus.inputs.file_formats import FORMATS, format_of
from daedalus.inputs.files import Files

if TYPE_CHECKING:
    from daedalus.sql.own_columns import OwnColumns

UNREADABLE = "unreadable"  # in place of a digest
_FORM = 3  # version of what is remembered of a footer

Check = Callable[[str, Mapping[str, str]], None]  # (path, schema); raises DayError


@dataclass(frozen=True)
class InputFile:
    """A parquet file as it was when it was looked at. `schema` maps columns to DuckDB types.

    `label` is its name in ingredients, without the root folder. `times` are (min, max, rows) of event_timestamp per
    row group, in microseconds, if its statistics have them. `own` are a feed's own names, where it has some: `schema`
    has the spine's names then, with the file's types.
    """

    path: str
    label: str
    digest: str
    stamp: Any
    schema: Mapping[str, str]
    error: DaedalusError | None = None
    looked: int = 0  # when, in nanoseconds since 1970
    times: Sequence[Sequence[int]] = ()
    rows: int = 0
    own: OwnColumns | None = None

    @property
    def format(self) -> str:
        """Its format by FORMATS; a view's file of any other name is read as parquet."""
        return format_of(self.path) or "parquet"

    def check_unchanged(self, files: Files) -> None:
        """Raises DayError when the file is no longer the one that was looked at."""
        if not files.is_still(self.path, self.digest, self.stamp, self.looked):
            raise DayError("an input file changed while it was being read", where=self.path, hint="run again")


class Inputs:
    """Looks at input files, each at most once a run."""

    def __init__(self, files: Files, facts: Facts) -> None:
        self.files, self.facts = files, facts
        self._footers: dict[str, Any] | None = None
        self._checked: set[tuple] = set()

    def prepare(self, paths: Sequence[str]) -> None:
        """Looks at many files at once, for `look`."""

        def looked(path: str, local: Path, content: str) -> None:
            with suppress(DaedalusError):  # `look` reports it
                self._learn(path, str(local), content)

        self.files.prepare(paths, looked)

    def look(self, path: str, label: str, check: Check) -> InputFile:
        """Digest and schema of a file; what `check` raises, or an unreadable footer, becomes its `error`."""
        looked = time.time_ns()
        try:
            content, stamp = self.files.of(path)
        except OSError as error:
            return InputFile(path, label, UNREADABLE, None, {}, unreadable(path, error.strerror))
        except DaedalusError as error:
            return InputFile(path, label, UNREADABLE, None, {}, error)
        try:
            footer = self._footer(path, content)
            schema = footer["columns"]
            checked = (check, *schema.items())
            if checked not in self._checked:
                check(path, schema)
                self._checked.add(checked)
        except DaedalusError as error:
            return InputFile(path, label, content, stamp, {}, error)
        return InputFile(path, label, content, stamp, schema, looked=looked, times=footer["times"], rows=footer["rows"])

    def look_whole(self, path: str, label: str) -> InputFile:
        """Looks at a file that is no parquet: digest only. Raises OSError or DaedalusError."""
        looked = time.time_ns()
        content, stamp = self.files.of(path)
        return InputFile(path, label, content, stamp, {}, looked=looked)

    def field_ids(self, file: InputFile) -> Mapping[str, int | None]:
        """The ids of a parquet file's columns by name, None for none; a fact apart from footers. Raises DayError."""
        key = f"ids:{file.digest}"
        found = self.facts.fact(key)
        if found is None:
            from daedalus.inputs.footers import read_field_ids

            with self.files.fetch({file.path: file.digest}) as local:
                found = _read(read_field_ids, file.path, local[file.path])
            self.facts.remember_fact(key, found)
        return found

    def _footer(self, path: str, content: str) -> dict[str, Any]:
        key = f"file:{content}"
        if key not in self._known and _is_read(found := self.facts.fact(key)):  # learned meanwhile
            self._known[key] = found
        if key not in self._known:
            with self.files.fetch({path: content}) as local:
                self._learn(path, local[path], content)
        return self._known[key]

    @property
    def _known(self) -> dict[str, Any]:
        if self._footers is None:
            self._footers = {key: found for key, found in self.facts.facts("file:").items() if _is_read(found)}
        return self._footers

    def _learn(self, path: str, local: str, content: str) -> None:
        key = f"file:{content}"
        if key not in self._known:
            self._known[key] = {"form": _FORM, **_footer_of(path, local)}
            self.facts.remember_fact(key, self._known[key])


_HINT = "restore or remove the file, then run again"


def unreadable(path: str, why: object, kind: type[DaedalusError] = DayError, hint: str = _HINT) -> DaedalusError:
    return kind("a parquet file cannot be read", where=path, found=" ".join(str(why).split())[:200],
                expected="a whole parquet file", hint=hint)  # fmt: skip


def first_unreadable(
    files: Mapping[str, str], kind: type[DaedalusError] = DaedalusError, hint: str = _HINT
) -> DaedalusError | None:
    """The error of the first of some files, local ones by the path to name, that cannot be read to its end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path, local in files.items():
        try:
            with open(local, "rb") as opened, pq.ParquetFile(opened) as file:
                for _ in file.iter_batches(use_threads=False):
                    pass
        except (pa.ArrowException, OSError) as error:
            return unreadable(path, error, kind, hint)
    return None


def _is_read(footer: dict | None) -> bool:
    """Whether what is remembered of a footer has the current form."""
    return footer is not None and footer.get("form") == _FORM


def _footer_of(path: str, local: str) -> dict:
    """What is read of a file's schema, from its local copy."""
    return _read(FORMATS[format_of(path) or "parquet"].read_footer, path, local)


def _read(read: Callable[[str], dict], path: str, local: str) -> dict:
    """What `read` makes of a local copy of the file at `path`. Raises DayError."""
    import pyarrow as pa

    try:
        return read(local)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from None
