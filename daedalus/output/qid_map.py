"""`qid_map.parquet`: one number for every feed_session that ever reached the output. It only grows.

The map is written before the partitions that use it: a day's new sessions as a piece that lies below it, and what lies
there becomes part of the file when the run ends. Sessions are looked up in an index, so that a day costs what its own
sessions do, however many the map has. When map and pieces are not those that we wrote last, they are reconciled with
what the partitions hold before anything else is done.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError
from daedalus.base.ports import Scratch
from daedalus.output.map_home import MapHome, MapState, SharedMap
from daedalus.output.numbers.number_sessions import DAY_QIDS, DAY_SESSIONS, SESSION_NAMES, sessions_in_memory
from daedalus.output.numbers.session_index import SessionIndex
from daedalus.output.numbers.whole_map import write_below, write_whole
from daedalus.output.part_file import bound_parts
from daedalus.output.shared_numbers import SharedNumbers
from daedalus.parquet.writer import write_plain
from daedalus.sql.duck import Bindings, Duck, Ducks
from daedalus.sql.text import Sql, parquet
from daedalus.stagecache.action import Again
from daedalus.tables.artifacts import write_table

_UNKNOWN = "not reconciled"  # a lineage under which nothing was ever computed
_HINT = "restore qid_map.parquet from a backup, or move the old partitions away to number sessions from the start"


class QidMap:
    """The map of one output root, which lies in its `home`."""

    def __init__(
        self, home: MapHome, index: SessionIndex, scratch: Scratch, ducks: Ducks, record: SharedMap | None = None
    ) -> None:  # fmt: skip
        """`record` is the history that other machines share, if any; for a home on this machine only."""
        self._home, self._index, self._scratch, self._ducks = home, index, scratch, ducks
        self.shared = SharedNumbers(record, scratch, self) if record else None
        self.current = _UNKNOWN  # the lineage; it changes when this process can no longer add to a shared one

    @property
    def where(self) -> str:
        """A path or URI that changes whenever the map does."""
        return self._home.where

    def file(self) -> Path | None:
        """A local file with the whole map, for who reads it while it is held."""
        files = self._files()
        return files[0] if len(files) == 1 else write_whole(files, self._scratch) if files else None

    def is_whole(self) -> bool:
        """Whether all of it is surely in the file that readers of the output look for."""
        return self._home.is_whole()

    def _files(self) -> list[Path]:
        return [file.fetch() for file in self._home.files()]

    def lineage(self, *, reconcile: bool) -> str:
        """A name for the map as far as it only grew by our hand.

        With `reconcile` a map that is not ours is first brought in line with the partitions; without,
        it has a name under which nothing was ever computed. Raises DaedalusError when qids might be handed out twice.
        """
        if not self._home.is_there() and not reconcile:
            self.current = self.offered()
            return self.current
        with self.exclusive():
            self.current = self._own(reconcile)
            if self.shared and reconcile:
                self.shared.join()
            elif self.shared and self.current == _UNKNOWN and self.fresh():
                self.current = self.offered()
        return self.current

    def _own(self, reconcile: bool) -> str:
        home = self._home
        state, content = home.state(), home.content()
        ours = content in (state["digest"], state["next"])
        if ours and (not reconcile or state["partitions"] == home.stamp()):
            return state["lineage"]
        if not reconcile:
            return _UNKNOWN
        held = home.held()
        if (content or held) and not (ours and self._has(held)):
            with self._ducks.lease() as duck:
                self._reconcile(duck, held)
        after = home.content()
        return self.remember(state["lineage"] if ours and after == content else uuid.uuid4().hex, after)

    def settle(self) -> None:
        """Remembers what the partitions are like now, so that the next run need not look into them."""
        self.finish()
        self._home.settle()
        if self.shared:
            self.shared.settle()

    def finish(self) -> None:
        """Writes what runs have put below the map into it."""
        home = self._home
        if home.is_whole():
            return
        with self.exclusive():
            home.look_again()
            if not self._is_ours(self.content()):
                return
            home.clean()
            if home.is_whole():
                return
            grown = write_whole(self._files(), self._scratch)
            content = digest.of_file(grown)
            self._index.bring_to(home.files())
            self._index.also(content)
            try:
                home.grow(grown, content, self.state()["lineage"])
            except DaedalusError:
                if not home.is_whole():
                    raise

    def offered(self) -> str:
        """The lineage that a fresh output would take up."""
        return (self.shared.offered() if self.shared else None) or _UNKNOWN

    def is_current(self) -> bool:
        """Whether no other process took another lineage meanwhile; if one did, it is this one's from now on."""
        before, self.current = self.current, self.state()["lineage"]
        return before == self.current

    def exclusive(self) -> AbstractContextManager[None]:
        """One at a time."""
        return self._home.exclusive()

    def state(self) -> MapState:
        """What was remembered of the map when it was last written here."""
        return self._home.state()

    def content(self) -> str:
        """The digest of the map's file; "" without one."""
        return self._home.content()

    def rows(self) -> int:
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self._files())

    def fresh(self) -> bool:
        """Whether nothing was numbered here yet."""
        return not self.content() and not self._home.held()

    def assign(self, artifacts: Mapping[str, Path], out: Path) -> dict[str, int]:
        """Gives every session of a day's output a qid, and writes the column `qid`, aligned with the rows, to `out`.

        `artifacts` are `sessions`, and `content`, which of their rows ship. Raises Again when
        `current` is another lineage than before, or the map has other rows.
        """
        with self._numbering():
            before, day = self._index.rows, sessions_in_memory(artifacts)
            if day is None:
                counts = self._assign_by_sql({name: [path] for name, path in artifacts.items()}, out)
            else:
                added, qids = day.numbered(self._index.numbers(day.names), self._index.next)
                self._add(added)
                counts = {"rows": write_table(out, qids), "new_sessions": added.num_rows}
            return {**counts, "map_rows": before + counts["new_sessions"]}

    def number(self, sessions: Path, name: str, out: Path) -> dict[str, int]:
        """Gives each of a day's sessions, as `write_sessions` wrote them in their order, a qid; writes these to `out`.

        Raises Again as `assign` does.
        """
        from daedalus.output.numbers.day_sessions import read_column, write_column

        with self._numbering():
            before, names = self._index.rows, read_column(sessions)
            numbers, new = self._index.continued(names)
            self._add(new)
            write_column(out, name, numbers)
            return {"new_sessions": new.num_rows, "map_rows": before + new.num_rows}

    @contextmanager
    def _numbering(self) -> Iterator[None]:
        """Holds the map, of which the index is then. Raises Again or DayError if no number may be handed out."""
        with self.exclusive():
            if not self.is_current():
                raise Again
            files = self._home.files()
            self._check_ours(files[-1].content if files else "")
            self._index.bring_to(files)
            yield

    def _assign_by_sql(self, files: dict[str, list[Path]], out: Path) -> dict[str, int]:
        with self._ducks.lease() as duck:
            known = self._index.known(duck.table(SESSION_NAMES, Bindings(files))["feed_session"])
            part = self._scratch.path(".parquet")
            write_plain(part, known.schema, [known])
            numbered = duck.table(DAY_SESSIONS, Bindings({**files, "qid_map": [part]}))
            part.unlink()
            added = numbered.filter(numbered["is_new"]).select(["feed_session", "qid"])
            self._add(added)
            counts = duck.copy(DAY_QIDS, Bindings(files, {"numbered": numbered}), out)
            return {**counts, "new_sessions": added.num_rows}

    def _add(self, added: Any) -> None:
        """Puts the sessions of a day that are new into the map."""
        if added.num_rows:
            if self.shared and self.state()["shared"]:
                self.shared.claim(added)
            self.put_below(added)

    def _check_ours(self, content: str) -> None:
        """Raises DayError when the map is not what this program left: numbers might be handed out twice."""
        if not self._is_ours(content):
            raise DayError("the qid map was replaced during the run", where=self.where,
                           hint="run again: the map is first reconciled with the partitions")  # fmt: skip

    def put_below(self, added: Any) -> None:
        """Puts rows below those of the map."""
        piece = self._scratch.path(".parquet")
        write_below(piece, added, self._index.rows)
        before = self.content()
        self._home.add(piece, self.current)
        self._index.follow(before, added, self.content())

    def _is_ours(self, content: str) -> bool:
        state = self.state()
        return content in (state["digest"], state["next"])

    def commit(self, grown: Path) -> None:
        """Puts a finished file into the map's place."""
        self._home.grow(grown, digest.of_file(grown), self.current)

    def remember(self, lineage: str, content: str, shared: bool | None = None) -> str:
        """Takes down what the map is; whether its lineage is `shared` stays as it was if that is not said."""
        self._home.remember(lineage, content, shared)
        return lineage

    def _with_map(self, files: Mapping[str, list[Path]]) -> Bindings:
        return Bindings({**files, "qid_map": self._files() or [self._empty_map()]})

    def _empty_map(self) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._scratch.path(".parquet")
        pq.write_table(pa.table({"feed_session": pa.array([], pa.string()), "qid": pa.array([], pa.int64())}), path)
        return path

    # Reconciling

    def _has(self, held: Sequence[tuple[Path, bool]]) -> bool:
        """Whether our map surely has what partitions hold: after a run that died, this spares a look into all of it."""
        from daedalus.output.numbers.agreement import agrees

        self._index.bring_to(self._home.files())
        return agrees(self._index, held)

    def check(self) -> None:
        """Raises the DaedalusError of `lineage` with `reconcile`; brings nothing in line."""
        home = self._home
        if not home.is_there():
            return
        with self.exclusive():
            state, content = home.state(), home.content()
            if content in (state["digest"], state["next"]) and state["partitions"] == home.stamp():
                return
            held = home.held()
            if content or held:
                with self._ducks.lease() as duck:
                    self._examined(duck, held)

    def _reconcile(self, duck: Duck, held: Sequence[tuple[Path, bool]]) -> None:
        problem, whole = self._examined(duck, held)
        if whole is not None:
            written = self._scratch.path(".parquet")
            rows = duck.table(Sql("SELECT * FROM whole ORDER BY qid"), Bindings(tables={"whole": whole}))
            write_plain(written, rows.schema, [rows])
        if problem:
            self._home.drop()
        if whole is not None:
            self._home.lay(written)

    def _examined(self, duck: Duck, held: Sequence[tuple[Path, bool]]) -> tuple[str, Any]:
        """(why the map cannot be used as it is, or ""; the rows that it must have, None if it has them).

        Raises DaedalusError when map and partitions cannot both be right.
        """
        problem = self._map_problem(duck)
        carrying = [path for path, carries in held if carries]
        if problem and len(carrying) < len(held):
            self._refuse(f"the qid map is {problem}, and the partitions do not carry feed_session", held[0][0])
        if not problem:
            self._check_bare(duck, [path for path, carries in held if not carries])
        return problem, self._united(duck, carrying, problem) if carrying else None

    def _map_problem(self, duck: Duck) -> str:
        """Why the map cannot be used as it is, or ""."""
        import duckdb

        files = self._files()
        if not files:
            return "missing"
        sound = Sql(f"""SELECT count(*) = count(DISTINCT feed_session) AND count(*) = count(DISTINCT qid)
            AND coalesce(min(qid), 0) >= 0 AND any_value(typeof(feed_session)) IS NOT DISTINCT FROM 'VARCHAR'
            AND any_value(typeof(qid)) IS NOT DISTINCT FROM 'BIGINT' AS ok FROM {parquet("qid_map")}""")
        try:
            ok = duck.table(sound, Bindings({"qid_map": files}))["ok"][0].as_py()
        except duckdb.Error:
            return "damaged"
        return "" if ok else "damaged"

    def _check_bare(self, duck: Duck, parts: list[Path]) -> None:
        """Partitions that hold only qids can at least show that the map is older than they are."""
        if not parts:
            return
        held, bound = bound_parts("held", parts, self._with_map({}))
        unknown = Sql(f"""SELECT count(*) AS n FROM {held}
            WHERE qid IS NOT NULL AND qid NOT IN (SELECT qid FROM {parquet("qid_map")})""")
        if duck.table(unknown, bound)["n"][0].as_py():
            self._refuse("the qid map does not know qids that partitions hold", parts[0])

    def _united(self, duck: Duck, carrying: list[Path], problem: str) -> Any:
        """The rows of the map and those that partitions say, or the latter alone; None if the map has them all."""
        known = Bindings({"qid_map": [self._empty_map()]}) if problem else self._with_map({})
        held, known = bound_parts("held", carrying, known)
        pairs = f"SELECT DISTINCT feed_session, qid FROM {held} WHERE qid IS NOT NULL"
        union = f"SELECT feed_session, qid FROM {parquet('qid_map')} UNION {pairs}"
        whole = duck.table(Sql(f"{union} ORDER BY qid, feed_session"), known)
        sessions, qids = whole["feed_session"], whole["qid"]
        if sessions.null_count or len(sessions.unique()) < whole.num_rows or len(qids.unique()) < whole.num_rows:
            self._refuse("the qid map and the partitions contradict each other", carrying[0])
        if problem:
            return whole
        before = duck.table(Sql(f"SELECT count(*) AS n FROM {parquet('qid_map')}"), known)["n"][0].as_py()
        return whole if whole.num_rows > before else None

    def _refuse(self, what: str, part: Path) -> None:
        raise DaedalusError(
            what, where=self.where, found=f"qids in {part}", expected="a map that knows them", hint=_HINT
        )
