"""What a thread is at, told from its stack: the innermost frame, or call in it, that is known decides.

A call in flight is no frame when it is C, as nearly all that costs time is. The instruction that a frame is at has a
place in the source, whose text names the call: `os.fsync`, `self._db.execute`.
"""

from __future__ import annotations

import linecache
import re
from itertools import islice
from types import CodeType, FrameType, ModuleType
from typing import NamedTuple

PREPARE, QUERY, ARRAYS, KERNELS, COMPILE = "prepare", "query", "arrays", "kernels", "compile"
DECODE, ENCODE, DIGEST, SYNC, FILES = "decode", "encode", "digest", "sync", "files"
RECORDS, IMPORT, PYTHON, WAITING, NATIVE = "records", "import", "python", "waiting", "native"
CAUSES = {
    PREPARE: "DuckDB parses, plans and imports tables",
    QUERY: "DuckDB runs",
    ARRAYS: "Arrow and numpy",
    KERNELS: "our compiled functions",
    COMPILE: "numba compiles or loads functions",
    DECODE: "parquet is read",
    ENCODE: "parquet is written",
    DIGEST: "content is hashed",
    SYNC: "fsync, renames and file locks",
    FILES: "other file system calls",
    RECORDS: "SQLite",
    IMPORT: "modules are imported",
    PYTHON: "all else",
    WAITING: "for another thread",
    NATIVE: "threads of libraries (not broken down)",
}

_BY_CALL = {  # the end of a call's dotted name
    **dict.fromkeys(("os.fsync", "os.fdatasync", "os.replace", "os.rename", "fcntl.flock", "fcntl.lockf"), SYNC),
    **dict.fromkeys(("compress", "write_table", "write_batch", "ParquetWriter"), ENCODE),
    **dict.fromkeys(("decompress", "read_row_group", "read_row_groups", "read_table", "ParquetFile"), DECODE),
    **dict.fromkeys(("time.sleep", "selector.select", "lock.acquire"), WAITING),
    **dict.fromkeys(("take", "filter", "sort_by", "combine_chunks", "to_numpy", "cast", "dictionary_encode"), ARRAYS),
    **dict.fromkeys(("astype", "cumsum", "argsort", "searchsorted", "to_pylist"), ARRAYS),
}
_BY_ROOT = {"os": FILES, "pa": ARRAYS, "pc": ARRAYS, "np": ARRAYS, "shutil": FILES}
_BY_MODULE = {  # the longest that is the module or above it
    "daedalus.sql.duck": QUERY, "duckdb": QUERY, "numpy": ARRAYS, "pyarrow": ARRAYS, "numba": COMPILE,
    "llvmlite": COMPILE, "daedalus.parquet.list_reader": DECODE, "daedalus.parquet.list_writer": ENCODE,
    "daedalus.parquet.writer": ENCODE, "daedalus.parquet.splice": ENCODE, "daedalus.base.digest": DIGEST,
    "hashlib": DIGEST, "daedalus.stagecache.records.traces": RECORDS, "daedalus.stagecache.records.day_stamps": RECORDS,
    "daedalus.stagecache.records.day_results": RECORDS, "threading": WAITING, "concurrent.futures": WAITING,
    "queue": WAITING, "selectors": WAITING, "pathlib": FILES, "shutil": FILES, "lance": DECODE,
}  # fmt: skip
_NAME = re.compile(r"[\w.]*$")
_PREPARING = ("sql", "register", "unregister", "connect", "extract_statements")  # calls of DuckDB


class Call(NamedTuple):
    """The call that a frame is at: its dotted name and its text; of what is no call, the text of the expression."""

    name: str
    text: str


class CauseOf:
    """Tells the cause of a frame, or None; asks once for each instruction that is seen."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[CodeType, str | None]] = {}  # a code in here is never another's id

    def __call__(self, frame: FrameType) -> str | None:
        code, at = frame.f_code, frame.f_lasti
        known = self._known.get((id(code), at))
        if known is None:
            known = self._known[id(code), at] = code, _cause(frame)
        return known[1]


def _cause(frame: FrameType) -> str | None:
    code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
    if code.co_filename.startswith("<frozen importlib") or (code.co_name == "<module>" and module != "__main__"):
        return IMPORT
    found = _of_module(module)
    call = _call(code, frame.f_lasti) if module.startswith("daedalus.") else None  # what others call is known by module
    if found == QUERY and call:
        return PREPARE if call.name.split(".")[-1] in _PREPARING or "SET " in call.text else QUERY
    if module.startswith("pyarrow.parquet"):
        return ENCODE if "Writer" in code.co_qualname or "write" in code.co_name else DECODE
    return (_of_call(frame, call) if call else None) or found


def _of_module(module: str) -> str | None:
    while module and module not in _BY_MODULE:
        module = module.rpartition(".")[0]
    return _BY_MODULE.get(module)


def _of_call(frame: FrameType, call: Call) -> str | None:
    root, *rest = call.name.split(".")
    if not call.text.endswith(")"):
        return WAITING if call.text.endswith("lock") else None  # `with self._lock`
    if _is_compiled(frame, root, rest):
        return KERNELS
    for start in range(len(rest) + 1):
        if cause := _BY_CALL.get(".".join([root, *rest][start:])):
            return cause
    if rest and rest[-1].startswith("execute"):
        return RECORDS  # in DuckDB's own module it is a query, see _cause
    return _BY_ROOT.get(root)


def _is_compiled(frame: FrameType, root: str, rest: list[str]) -> bool:
    """Whether a name, of a module or of one that a module has, is a function that numba compiles."""
    found = frame.f_globals.get(root) or frame.f_locals.get(root)
    for name in rest:
        if not isinstance(found, ModuleType):
            return False
        found = getattr(found, name, None)
    return type(found).__module__.startswith("numba.")


def _call(code: CodeType, at: int) -> Call | None:
    """What the instruction at an offset evaluates; None where the source does not say."""
    line, end, column, end_column = next(islice(code.co_positions(), at // 2, None), (None,) * 4)
    if line is None or end is None or column is None or end_column is None:
        return None
    lines = [linecache.getline(code.co_filename, number).encode() for number in range(line, end + 1)]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    text = b"".join(lines).decode(errors="replace").strip()
    name = _NAME.search(text[: _opening(text)] if text.endswith(")") else text)
    return Call(name[0], text) if name else None


def _opening(text: str) -> int:
    """Where the bracket opens that the last character closes.

    Python's parser must not be asked: in 3.11 it fails, here or in a step's thread, when two threads are in it.
    """
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if not depth:
            return at
    return len(text)
