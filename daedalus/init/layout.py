"""How somebody's feed lies in folders: the pattern of its days, or what stands in the way of one."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daedalus.base.errors import DaedalusError
from daedalus.config.partition_pattern import DEFAULT, PartitionPattern
from daedalus.inputs.file_formats import format_of, table_format
from daedalus.inputs.lake.days import days_of, pattern_of
from daedalus.inputs.lake.open import open_at
from daedalus.inputs.lake.table import Place
from daedalus.inputs.local_files import LocalNames
from daedalus.objectstore.globs import HIDDEN

TEXTS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
_PACKED = (".gz", ".zst", "")
_LEVELS = 4
_LOOKED_AT = 2000  # folders of a level
_NUMBERS = {"Y": r"(?:19|20)\d\d", "m": r"\d\d?", "d": r"\d\d?", "H": r"\d\d?"}
_SEPARATORS = ("-", "", "_", ".")
_ORDERS = {"": ("Ymd", "dmY", "mdY", "Ym", "Y"), "Y": ("md", "m"), "Ym": ("d",), "Ymd": ("H",)}


@dataclass(frozen=True)
class Layout:
    """A feed's folder, and the pattern of its days; `problem` is why there is none, and `files` are then all there are.

    `keys` and `dates` are the names before `=` in its folders: those of values, and those of parts of a date.
    """

    path: str
    partition: str = ""
    problem: str = ""
    found: str = ""
    files: Sequence[str] = field(default=())
    format: str = "parquet"
    keys: Sequence[str] = field(default=())
    dates: Sequence[str] = field(default=())

    @property
    def endings(self) -> list[str]:
        """How the names of the files end."""
        return sorted({ending(file) for file in self.files})


def ending(file: str) -> str:
    """How a file's name ends, with that of its compression."""
    name = os.path.basename(file)
    packed = next(end for end in _PACKED if name.lower().endswith(end))
    plain = name[: len(name) - len(packed)]
    return name[len(os.path.splitext(plain)[0]) :]


def text_format(file: str) -> str | None:
    """csv or json, for a file whose name says so."""
    low = file.lower()
    return next((kind for end, kind in TEXTS.items() for packed in _PACKED if low.endswith(end + packed)), None)


def layout(path: str) -> Layout:
    """What lies at a path: a folder of days, or other files that hold a feed."""
    if os.path.isfile(path):
        kind = "parquet" if format_of(path) else text_format(path) or ""
        return Layout(path, problem="a single file", found=os.path.basename(path), files=[path] * bool(kind),
                      format=kind or "parquet")  # fmt: skip
    if kind := table_format(LocalNames(), path):
        return _of_table(Place(path, None, f"--feed {path}", LocalNames(), {}), kind)
    root = _inner(Path(path))
    levels: list[str] = []
    stage, problem = "", ""
    names = [[name] for name in _folders(root)]
    while names and not problem and len(levels) < _LEVELS:
        level, stage, problem = _level([name[-1] for name in names], stage)
        if level:
            levels.append(level)
            fitting = [name for name in names if PartitionPattern("/".join(levels)).fits(name) is not None]
            names = [[*name, inner] for name in fitting[:_LOOKED_AT] for inner in _folders(root.joinpath(*name))]
    pattern = "/".join(levels)
    if stage in ("Ymd", "YmdH") and any(_days(root, pattern)):
        return Layout(str(root) if str(root) != str(Path(path)) else path, pattern)
    return _other(path, pattern, problem)


def _of_table(place: Place, kind: str) -> Layout:
    """The days of a table of Delta Lake or Iceberg, by its own list of files: others may lie in its folder."""
    table = open_at(place, kind)
    values = table.files[0].values if table.files else {}
    pattern = pattern_of(values) or DEFAULT
    try:
        days, _ = days_of(table, PartitionPattern(pattern), place.where)
    except DaedalusError as error:
        days, found = {}, str(error.found)
    else:
        found = f"{len(table.files)} files"
    if days:
        return Layout(place.folder, pattern)
    return Layout(place.folder, problem=f"a table of {kind} without partitions by day", found=found,
                  files=[file.path for file in table.files], format=kind.lower())  # fmt: skip


def _inner(root: Path) -> Path:
    """The folder itself, or the one below that is all there is in it and says nothing of a day."""
    for _ in range(_LEVELS):
        folders, files = _folders(root), [name for name in _names(root) if not (root / name).is_dir()]
        if len(folders) != 1 or files or _level(folders, "")[0]:
            break
        root = root / folders[0]
    return root


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith(HIDDEN))
    except OSError:
        return []


def _folders(folder: Path) -> list[str]:
    return [name for name in _names(folder)[:_LOOKED_AT] if (folder / name).is_dir()]


def _level(names: Sequence[str], stage: str) -> tuple[str, str, str]:
    """(the pattern of most names of a level, what is known of a day with it, what is in the way of a pattern)."""
    best: tuple[int, str, str] = (0, "", "")
    for order in _ORDERS.get(stage, ()):
        for pattern, count in _patterns(names, order).most_common(1):
            if count > best[0]:
                best = (count, pattern, order)
    if best[0] * 2 >= len(names) or best[1] == DEFAULT:
        done = stage + best[2] if stage else "".join(sorted(best[2], key="Ymd".index))
        return best[1], done, ""
    folder = (
        f"folders named {names[0]} below those of days"
        if stage
        else f"folders not named after days, such as {names[0]}"
    )
    return "", stage, folder


def _patterns(names: Sequence[str], order: str) -> Counter[str]:
    """Patterns in which the numbers of a date stand in an order, by how many names they fit."""
    found: Counter[str] = Counter()
    for separator in _SEPARATORS if len(order) > 1 else ("",):
        wide = {"m": r"\d\d", "d": r"\d\d"} if len(order) > 1 else {}
        date = re.escape(separator).join(f"({wide.get(part, _NUMBERS[part])})" for part in order)
        for name in names:
            if match := re.fullmatch(rf"([^\d%]*){date}([^\d%]*)", name):
                parts = separator.join(f"%{part}" for part in order)
                text = f"{match[1]}{parts}{match[len(order) + 2]}"
                if PartitionPattern(text).fits([name]) is not None:
                    found[text] += 1
    return found


def _days(root: Path, pattern: str) -> Iterator[str]:
    """The parquet files in the folders that a pattern fits."""
    depth = len(pattern.split("/"))
    for folder, folders, files in os.walk(root):
        above = Path(folder).relative_to(root).parts
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)] if len(above) < depth else []
        if len(above) == depth and PartitionPattern(pattern).fits(list(above)) is not None:
            yield from (name for name in files if format_of(name) and not name.startswith(HIDDEN))


def _other(path: str, pattern: str, problem: str) -> Layout:
    """What is there instead of folders of days with parquet files."""
    found = {"parquet": list[str](), "csv": list[str](), "json": list[str]()}
    values: dict[str, set[str]] = {}
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
        for name in sorted(files):
            kind = "parquet" if format_of(name) else text_format(name)
            if kind and not name.startswith(HIDDEN):
                found[kind].append(os.path.join(folder, name))
                for key, _, value in (part.partition("=") for part in Path(folder).relative_to(path).parts):
                    values.setdefault(key, set()).update([value] * bool(value))
    format, there = max(found.items(), key=lambda item: len(item[1]))
    shown = ", ".join(os.path.relpath(file, path) for file in there[:3]) + (" …" if len(there) > 3 else "")
    if format != "parquet":
        problem = f"{format.upper()} files, not parquet"
    elif not problem:
        problem = f"folders named {pattern} do not name a day" if pattern else "files without folders of days"
    named = {key: all(re.fullmatch(r"[\d\-_.T:]+", value) for value in some) for key, some in values.items() if some}
    shown = shown or ", ".join(_names(Path(path))[:3]) or "nothing"
    return Layout(path, problem=problem, found=shown, files=there, format=format,
                  keys=[key for key, date in named.items() if not date],
                  dates=[key for key, date in named.items() if date])  # fmt: skip
