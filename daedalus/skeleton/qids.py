"""`qid_map.parquet`: one number for every feed_session that ever reached the output. It only grows.

The map is written before the partitions that use it. When it is not the file that we wrote last, it
is reconciled with what the partitions hold before anything else is done.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daedalus import digest
from daedalus.durable import move_file
from daedalus.errors import DaedalusError
from daedalus.skeleton.engine import Bindings, Duck, Ducks
from daedalus.skeleton.lineage import SharedNumbers
from daedalus.skeleton.parquet import ROWS_PER_GROUP, write_parquet
from daedalus.skeleton.ports import Digests, Facts, Scratch, SharedMap
from daedalus.skeleton.splice import stack
from daedalus.skeleton.sql import POSITION, ROW, Sql, parquet
from daedalus.stagecache.action import Again

_SESSIONS = f"""
    SELECT s.feed_session AS feed_session, min(s.event_timestamp) AS first_seen
    FROM {parquet("rows")} r JOIN {parquet("spine", positions=True)} s ON s.{POSITION} = r.{ROW}
    WHERE s.feed_session IS NOT NULL GROUP BY 1"""
# New sessions get max + 1 upwards, in order of their first event in the day's output, then by name.
DAY_SESSIONS = Sql(
    tables=(("known", f"""SELECT d.feed_session, d.first_seen, m.qid FROM ({_SESSIONS}) d
        LEFT JOIN {parquet("qid_map")} m ON m.feed_session = d.feed_session"""),),
    select=f"""
        SELECT feed_session, coalesce(qid, (SELECT coalesce(max(qid), -1) FROM {parquet("qid_map")})
            + row_number() OVER (PARTITION BY qid IS NULL ORDER BY first_seen, feed_session)) AS qid,
            qid IS NULL AS is_new FROM known ORDER BY qid""",
)  # fmt: skip
DAY_QIDS = Sql(f"""
    SELECT n.qid AS qid FROM {parquet("rows")} r JOIN {parquet("spine", positions=True)} s ON s.{POSITION} = r.{ROW}
    LEFT JOIN numbered n ON n.feed_session = s.feed_session ORDER BY r.{ROW}""")

_PAIRS = f"SELECT DISTINCT feed_session, qid FROM {parquet('held')} WHERE qid IS NOT NULL"
_UNKNOWN = "not reconciled"  # a lineage under which nothing was ever computed
_HINT = "restore qid_map.parquet from a backup, or move the old partitions away to number sessions anew"


class QidMap:
    """The map of one output root."""

    def __init__(
        self, root: Path, scratch: Scratch, digests: Digests, facts: Facts, ducks: Ducks,
        record: SharedMap | None = None,
    ) -> None:  # fmt: skip
        """`record` is the history that other machines share, if any."""
        self.path, self._root = root / "qid_map.parquet", root
        self._scratch, self._digests, self._facts, self._ducks = scratch, digests, facts, ducks
        self._state_key = f"qid_map:{root}"  # as configured, so that a project can be moved
        self.shared = SharedNumbers(record, scratch, self) if record else None
        self.current = _UNKNOWN  # the lineage; it changes when this process can no longer add to a shared one

    def lineage(self, *, reconcile: bool) -> str:
        """A name for the map as far as it only grew by our hand.

        With `reconcile` a map that is not ours is first brought in line with the partitions; without,
        it has a name under which nothing was ever computed. Raises DaedalusError when qids might be handed out twice.
        """
        if not self._root.is_dir() and not reconcile:
            self.current = self.offered()
            return self.current
        with self.exclusive():
            self.current = self._own(reconcile)
            if self.shared and reconcile:
                self.shared.join()
            elif self.current == _UNKNOWN and self.fresh():
                self.current = self.offered()
        return self.current

    def _own(self, reconcile: bool) -> str:
        state = self.state()
        content = self.content()
        ours = content in (state["digest"], state["next"])
        if ours and (not reconcile or state["partitions"] == self._stamp()):
            return state["lineage"]
        if not reconcile:
            return _UNKNOWN
        if self.path.exists() or self._partitions():
            with self._ducks.lease() as duck:
                self._reconcile(duck)
        after = self.content()
        return self.remember(state["lineage"] if ours and after == content else uuid.uuid4().hex, after)

    def settle(self) -> None:
        """Remembers what the partitions are like now, so that the next run need not look into them."""
        state = self._facts.fact(self._state_key)
        if state:
            self._facts.remember_fact(self._state_key, {**state, "partitions": self._stamp()})
            if self.shared:
                self.shared.settle()

    def offered(self) -> str:
        """The lineage that a fresh output would take up."""
        return (self.shared.offered() if self.shared else None) or _UNKNOWN

    def is_current(self) -> bool:
        """Whether no other process took another lineage meanwhile; if one did, it is this one's from now on."""
        before, self.current = self.current, self.state()["lineage"]
        return before == self.current

    def state(self) -> dict[str, Any]:
        """What was remembered of the map when it was last written here."""
        nothing = {"lineage": "", "digest": None, "next": None, "partitions": "", "shared": False}
        return {**nothing, **(self._facts.fact(self._state_key) or {})}

    def content(self) -> str:
        """The digest of the map's file; "" without one."""
        return self._digests.of(self.path)[0] if self.path.exists() else ""

    def rows(self) -> int:
        import pyarrow.parquet as pq

        return pq.read_metadata(self.path).num_rows if self.path.exists() else 0

    def fresh(self) -> bool:
        """Whether nothing was numbered here yet."""
        return not self.path.exists() and not self._partitions()

    def _stamp(self) -> str:
        """Changes when any partition does, as far as `stat` tells."""
        files = sorted(self._root.glob("dt=*/*.parquet"))
        stats = [(str(path.relative_to(self._root)), path.stat()) for path in files]
        return digest.of_json([[name, stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in stats])

    def assign(self, artifacts: Mapping[str, Path], out: Path) -> dict[str, int]:
        """Gives every session of a day's output a qid, and writes the column `qid`, aligned with the rows, to `out`.

        `artifacts` are `rows` (those that ship, by position in the spine) and `spine`. Raises Again when
        `current` is another lineage than before, or the map has other rows.
        """
        files = {name: [path] for name, path in artifacts.items()}
        with self.exclusive(), self._ducks.lease() as duck:
            if not self.is_current():
                raise Again
            numbered = duck.table(DAY_SESSIONS, self._with_map(files))
            added = numbered.filter(numbered["is_new"]).select(["feed_session", "qid"])
            if added.num_rows:
                if self.shared and self.state()["shared"]:
                    self.shared.claim(added)
                self.put_below(added)
            counts = duck.copy(DAY_QIDS, Bindings(files, {"numbered": numbered}), out)
            return {**counts, "new_sessions": added.num_rows, "map_rows": self.rows()}

    def put_below(self, added: Any) -> None:
        """Puts rows below those of the map, whose full row groups are copied as they lie."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        grown = self._scratch.path(".parquet")
        if not self.path.exists():
            write_parquet(grown, added.schema, [added])
        else:
            with pq.ParquetFile(self.path) as map:
                sizes = [map.metadata.row_group(i).num_rows for i in range(map.num_row_groups)]
                kept = next((i for i, size in enumerate(sizes) if size != ROWS_PER_GROUP), len(sizes))
                rest = map.read_row_groups(range(kept, len(sizes))) if kept < len(sizes) else added.slice(0, 0)
            more = self._scratch.path(".parquet")
            write_parquet(more, added.schema, [rest.select(added.column_names).cast(added.schema), added])
            try:
                stack(self.path, kept, more, grown)
            except ValueError:  # a map that another tool wrote
                rest = pq.read_table(self.path).select(added.column_names).cast(added.schema)
                write_parquet(grown, added.schema, [pa.concat_tables([rest, added])])
        self.commit(grown)

    def commit(self, grown: Path) -> None:
        """Puts a finished file into the map's place."""
        content = digest.of_file(grown)
        self.remember(self.current, self.content(), content)  # first: a crash leaves one of the two
        move_file(grown, self.path)
        self._digests.note(self.path, content)
        self.remember(self.current, content)

    def remember(self, lineage: str, content: str, next_content: str = "", shared: bool | None = None) -> str:
        """Takes down what the map is; whether its lineage is `shared` stays as it was if that is not said."""
        if shared is None:
            before = self.state()
            shared = before["lineage"] == lineage and before["shared"]
        state = {"lineage": lineage, "digest": content, "next": next_content or content, "partitions": ""}
        self._facts.remember_fact(self._state_key, {**state, "shared": shared})
        return lineage

    def _with_map(self, files: Mapping[str, list[Path]]) -> Bindings:
        return Bindings({**files, "qid_map": [self.path if self.path.exists() else self._empty_map()]})

    def _empty_map(self) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._scratch.path(".parquet")
        pq.write_table(pa.table({"feed_session": pa.array([], pa.string()), "qid": pa.array([], pa.int64())}), path)
        return path

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One process at a time; the lock goes with its process."""
        handle = os.open(self._root / ".qid_map.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    # Reconciling

    def _partitions(self) -> list[tuple[Path, bool]]:
        """(file, whether it carries feed_session) of every part that has a qid; unreadable parts are left out."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        found = []
        for path in sorted(self._root.glob("dt=*/*.parquet")):
            try:
                part = pq.ParquetFile(path)
            except (OSError, pa.ArrowException):
                continue
            if _numbers(part.metadata):
                found.append((path, "feed_session" in part.schema_arrow.names))
        return found

    def _reconcile(self, duck: Duck) -> None:
        held = self._partitions()
        problem = self._map_problem(duck)
        carrying = [path for path, carries in held if carries]
        if problem and len(carrying) < len(held):
            self._refuse(f"the qid map is {problem}, and the partitions do not carry feed_session", held[0][0])
        if not problem:
            self._check_bare(duck, [path for path, carries in held if not carries])
        if carrying:
            self._rebuild(duck, carrying, problem)
        elif problem:
            self.path.unlink(missing_ok=True)

    def _map_problem(self, duck: Duck) -> str:
        """Why the map cannot be used as it is, or ""."""
        import duckdb

        if not self.path.exists():
            return "missing"
        sound = Sql(f"""SELECT count(*) = count(DISTINCT feed_session) AND count(*) = count(DISTINCT qid)
            AND coalesce(min(qid), 0) >= 0 AND any_value(typeof(feed_session)) IS NOT DISTINCT FROM 'VARCHAR'
            AND any_value(typeof(qid)) IS NOT DISTINCT FROM 'BIGINT' AS ok FROM {parquet("qid_map")}""")
        try:
            ok = duck.table(sound, Bindings({"qid_map": [self.path]}))["ok"][0].as_py()
        except duckdb.Error:
            return "damaged"
        return "" if ok else "damaged"

    def _check_bare(self, duck: Duck, parts: list[Path]) -> None:
        """Partitions that hold only qids can at least show that the map is older than they are."""
        if not parts:
            return
        unknown = Sql(f"""SELECT count(*) AS n FROM {parquet("held")}
            WHERE qid IS NOT NULL AND qid NOT IN (SELECT qid FROM {parquet("qid_map")})""")
        if duck.table(unknown, Bindings({"held": parts, "qid_map": [self.path]}))["n"][0].as_py():
            self._refuse("the qid map does not know qids that partitions hold", parts[0])

    def _rebuild(self, duck: Duck, carrying: list[Path], problem: str) -> None:
        """Adds to the map what partitions say, or makes it anew out of them."""
        files: dict[str, list[Path]] = {"held": carrying}
        known = Bindings({**files, "qid_map": [self._empty_map()]}) if problem else self._with_map(files)
        union = f"SELECT feed_session, qid FROM {parquet('qid_map')} UNION {_PAIRS}"
        whole = duck.table(Sql(f"{union} ORDER BY qid, feed_session"), known)
        sessions, qids = whole["feed_session"], whole["qid"]
        if sessions.null_count or len(sessions.unique()) < whole.num_rows or len(qids.unique()) < whole.num_rows:
            self._refuse("the qid map and the partitions contradict each other", carrying[0])
        before = (
            0 if problem else duck.table(Sql(f"SELECT count(*) AS n FROM {parquet('qid_map')}"), known)["n"][0].as_py()
        )
        if whole.num_rows > before or problem:
            written = self._scratch.path(".parquet")
            duck.copy(Sql("SELECT * FROM whole ORDER BY qid"), Bindings(tables={"whole": whole}), written)
            move_file(written, self.path)

    def _refuse(self, what: str, part: Path) -> None:
        raise DaedalusError(
            what, where=str(self.path), found=f"qids in {part}", expected="a map that knows them", hint=_HINT
        )


def _numbers(metadata: Any) -> bool:
    """Whether a part has any qid that is not NULL, by its footer."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(j) for group in groups for j in range(group.num_columns)]
    qids = [chunk for chunk in chunks if chunk.path_in_schema == "qid"]
    return any(
        not c.is_stats_set or c.statistics.null_count is None or c.statistics.null_count < c.num_values for c in qids
    )
