"""The numbers of the sessions of a qid map, to be looked up without reading it.

An index is derived from the map, and names the contents that it was made of: it is used for those and no others, and
what is missing, damaged or of another map is made anew by one scan. It knows sessions by hashes alone, of 128 bits,
SipHash under a random key of its own. So two of n sessions share one with a chance of n² / 2^129, which for a billion
is 10^-21, and nobody who does not know the key can bring that about by choosing names.

What was added last is in memory; when that is much it becomes a file, and files that are not much smaller than the one
before are merged with it. So an entry is written some log2(n) times in all, and a lookup asks few files.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base import digest
from daedalus.base.durable import move_file
from daedalus.base.ports import Digests, Scratch
from daedalus.output.numbers.entries import Entries

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Made = tuple[str, Callable[[], Path]]  # the content of a map up to the end of one of its files, and how to get that
_FORM = 1
_IN_MEMORY = 1 << 20  # entries, of 24 bytes
_FEW = 1 << 16  # of which no files are kept: to read the map is as soon done
_RECORD = "index.json"


class SessionIndex:
    """The index of one map, kept in a folder; unfinished files are in `scratch`. Used by one thread at a time."""

    def __init__(self, folder: Path, scratch: Scratch, digests: Digests) -> None:
        self._folder, self._scratch, self._digests = folder, scratch, digests
        self._forget()
        self._contents: set[str] = set()  # what is kept comes first

    def _forget(self) -> None:
        self._key = secrets.token_bytes(16)
        self._contents = {""}  # of the map of which this has all sessions
        self._files: list[Entries] = []
        self._last: Entries | None = None  # those in memory
        self._is_saved = True
        self.next = 0  # the number of the next new session

    @property
    def rows(self) -> int:
        return sum(map(len, self._all))

    @property
    def _all(self) -> list[Entries]:
        return [*self._files, *([self._last] if self._last else [])]

    def bring_to(self, states: Sequence[Made]) -> None:
        """Makes it that of a map in so many files, of which each adds rows to those before. Raises OSError."""
        begin = self._known_of(states)
        if begin is None:
            self._open()
            begin = self._known_of(states)
        if begin is None:
            self._forget()
            begin = 0
        for content, fetch in states[begin:]:
            for rows in _rows_of(fetch()):
                self._take(rows)
            self._contents = {content}
        if begin == 0:
            self.save()

    def _known_of(self, states: Sequence[Made]) -> int | None:
        """How many of the files this has all rows of; None if it has others."""
        contents = ["", *(content for content, _ in states)]
        return next((place for place in reversed(range(len(contents))) if contents[place] in self._contents), None)

    def follow(self, before: str, rows: pa.Table, after: str) -> None:
        """Takes in rows that were put below those of a map of one content; it is of another now."""
        if before in self._contents:
            self._take(rows)
            self._contents = {after}

    def also(self, content: str) -> None:
        """The map will have another content with the same rows."""
        self._contents.add(content)
        self._is_saved = False
        self.save()

    def _take(self, rows: pa.Table) -> None:
        import numpy as np

        from daedalus.tables.sorting import whole

        if rows.num_rows == 0:
            return
        numbers = whole(rows["qid"]).to_numpy().astype(np.int64, copy=False)
        new = Entries.of(self._hashes(whole(rows["feed_session"])), numbers)
        self.next = max(self.next, int(numbers.max()) + 1)
        self._last = Entries.merged(self._last, new) if self._last else new
        self._is_saved = False
        if len(self._last) >= _IN_MEMORY:
            self._to_file()

    def _to_file(self) -> None:
        """Moves what is in memory to a file, and merges files that have become too many."""
        if self._last is None:
            return
        self._files.append(self._last.written(self._scratch.path(".entries")))
        self._last = None
        while len(self._files) > 1 and len(self._files[-2]) < 2 * len(self._files[-1]):
            other, one = self._files.pop(), self._files.pop()
            self._files.append(Entries.merged(one, other, self._scratch.path(".entries")))
            for merged in (one, other):
                if merged.path and merged.path.parent != self._folder:
                    merged.path.unlink(missing_ok=True)

    def known(self, sessions: pa.Array) -> pa.Table:
        """Those of the sessions that the map has, with their numbers; and, without a name, its largest number."""
        import numpy as np
        import pyarrow as pa

        from daedalus.tables.sorting import whole

        names = whole(sessions) if isinstance(sessions, pa.ChunkedArray) else sessions
        numbers = self.numbers(names)
        found = np.flatnonzero(numbers >= 0)
        last = np.array([self.next - 1] if self.next else [], np.int64)
        seen = names.take(pa.array(found)).cast(pa.string())
        return pa.table({
            "feed_session": pa.concat_arrays([seen, pa.nulls(len(last), pa.string())]),
            "qid": pa.array(np.concatenate([numbers[found], last])),
        })  # fmt: skip

    def numbers(self, names: pa.Array) -> np.ndarray:
        """The number of each session, and -1 for those that the map has not."""
        import numpy as np

        numbers = np.full(len(names), -1)
        hashes = self._hashes(names)
        order = np.argsort(hashes[:, 0])
        for entries in self._all:
            entries.look_up(hashes, order, numbers)
        return numbers

    def continued(self, names: pa.Array) -> tuple[pa.Array, pa.Table]:
        """(the number of each session, where those that the map has not get the next ones, in their order; these)."""
        import numpy as np
        import pyarrow as pa

        numbers = self.numbers(names)
        new = np.flatnonzero(numbers < 0)
        numbers[new] = np.arange(self.next, self.next + len(new))
        return pa.array(numbers), pa.table({"feed_session": names.take(pa.array(new)), "qid": numbers[new]})

    def _hashes(self, names: pa.Array) -> np.ndarray:
        import numpy as np
        import pyarrow as pa

        from daedalus.output.numbers.compiled_lookup import hashes

        texts = names.cast(pa.large_string())
        _, offsets, data = texts.buffers()
        found = np.empty((len(texts), 2), np.uint64)
        if len(texts):
            begins = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
            read = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
            first, second = np.frombuffer(self._key, "<u8")
            hashes(begins, read, first, second, found)
        return found

    # On disk

    def save(self) -> None:
        """Keeps it for later runs, unless it is soon made again. Raises OSError."""
        if self._is_saved or self.rows < _FEW:
            return
        self._to_file()
        self._folder.mkdir(parents=True, exist_ok=True)
        known = {one["name"]: one for one in self._read().get("files", [])}
        try:
            files = [known.get(entries.path.name) or self._kept(entries) for entries in self._files if entries.path]
        except FileNotFoundError:  # another process has kept its own meanwhile
            return
        record = {"form": _FORM, "key": self._key.hex(), "contents": sorted(self._contents), "next": self.next,
                  "files": files}  # fmt: skip
        written = self._scratch.path(".json")
        written.write_text(json.dumps(record))
        move_file(written, self._folder / _RECORD)
        self._is_saved = True
        self._sweep({one["name"] for one in files})

    def _kept(self, entries: Entries) -> dict[str, Any]:
        """Moves a finished file to its folder, and says what it is."""
        assert entries.path is not None
        path = self._folder / entries.path.name
        move_file(entries.path, path)
        entries.path = path
        content = digest.of_file(path)
        self._digests.note(path, content)
        return {"name": path.name, "rows": len(entries), "digest": content}

    def _sweep(self, kept: set[str]) -> None:
        """Removes files that are not named any more; who has them open can still read them."""
        for path in self._folder.glob("*.entries"):
            if path.name not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / _RECORD).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and found.get("form") == _FORM else {}

    def _open(self) -> None:
        """Takes up what is kept, if it is whole."""
        record = self._read()
        self._forget()
        if not record:
            return
        try:
            files = []
            for one in record["files"]:
                path = self._folder / one["name"]
                if self._digests.of(path)[0] != one["digest"]:
                    return
                files.append(Entries.opened(path, one["rows"]))
        except (OSError, ValueError):
            return
        self._key, self._contents = bytes.fromhex(record["key"]), set(record["contents"])
        self._files, self.next = files, record["next"]


def _rows_of(path: Path) -> Iterator[pa.Table]:
    """The rows of a file of a map, some at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups: list[int] = []
        rows = 0
        for group in range(file.num_row_groups):
            more = file.metadata.row_group(group).num_rows
            if groups and rows + more > _IN_MEMORY:
                yield file.read_row_groups(groups, ["feed_session", "qid"], use_threads=False)
                groups, rows = [], 0
            groups.append(group)
            rows += more
        if groups:
            yield file.read_row_groups(groups, ["feed_session", "qid"], use_threads=False)
