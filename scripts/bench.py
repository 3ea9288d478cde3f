"""Measures the skeleton stage: cold against a hand-written peer, then after changes against its own cold run.

  scripts/bench [CASE ...] [--rows 300000] [--users 20000] [--artworks 60000] [--days 14] [--repeat 3]
                [--peer FILE] [--peer-days N] [--folder DIR] [--memory-limit 4GB] [--json]

    cold        fresh cache, against the peer in turn, and the peer's rows against ours
    unchanged   a run, `cache status` and `explain day` when nothing changed, and what was imported
    aggregation one more aggregation          filter      one more value of the content filter
    corrected   one old feed file with fewer rows
    nightly     one new feed day, a pool grown by 1 %, new versions of 5 % of artworks and users: of some that
                no old day has, then of any
    sizes       peak memory and time a row at 100k, 300k, 1M and 3M rows a day, memory_limit 2GB and 4GB; users and
                artworks grow with the rows
    heavy       one user with 100,000 events in a week, against the same world without that user

Times are wall seconds of whole processes, medians over the repeats; figures are meant as ratios within one
call on a quiet machine. Memory is the peak resident size of the process.
"""

from __future__ import annotations

import argparse
import copy
import datetime as dt
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

PROJECT = Path(__file__).resolve().parent.parent
FIRST = dt.date(2026, 5, 1)  # of the target days; the peer takes whole months
HISTORY = 8  # feed days before the first target day
HEAVY = 100_000 // 7  # events a day of the heavy user


@dataclass
class Measured:
    """One process: wall seconds, peak resident bytes, what it printed."""

    seconds: float
    memory: int
    out: str


def measure(*command: str, cwd: Path) -> Measured:
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(command)} failed")
    return Measured(time.perf_counter() - began, usage.ru_maxrss * 1024, out)


class World:
    """A folder with feed, catalog, pool and config, as scripts/world.py makes it, and runs over its last days."""

    def __init__(self, root: Path, a: argparse.Namespace, days: int, *, heavy: int = 0) -> None:
        self.days, self.memory_limit = days, a.memory_limit
        self.last = FIRST + dt.timedelta(days=days - 1)
        self._at(root)
        stamp = json.dumps([a.rows, a.users, a.artworks, days, heavy, (PROJECT / "scripts/world.py").read_text()])
        if not (root / "made").exists() or (root / "made").read_text() != stamp:
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir(parents=True)
            start = FIRST - dt.timedelta(days=HISTORY)
            options = {"start": start, "end": self.last, "rows": a.rows, "users": a.users, "artworks": a.artworks,
                       "half-hours": 48, "heavy": heavy}  # fmt: skip
            arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
            subprocess.run([sys.executable, str(PROJECT / "scripts/world.py"), str(root), *arguments], check=True)
            (root / "made").write_text(stamp)
        self.reset_config()

    def _at(self, root: Path) -> None:
        self.root, training = root, root / "config/training"
        self.runtime, self.aggregations = training / "runtime.yaml", training / "aggregations.yaml"

    def copied(self, root: Path) -> World:
        """The same world elsewhere, without what was made of it."""
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns("cache", "training_output"))
        other = copy.copy(self)
        other._at(root)
        return other

    def reset_config(self) -> None:
        shutil.rmtree(self.root / "config", ignore_errors=True)
        shutil.copytree(PROJECT / "config", self.root / "config")
        limits = {"threads": os.cpu_count(), "memory_limit": self.memory_limit, "temp_directory": "cache/tmp"}
        self.edit(feed_start=str(FIRST), feed_end=str(self.last), compute={"engine": "duckdb", "duckdb_config": limits})

    def edit(self, **values: object) -> None:
        self.runtime.write_text(yaml.safe_dump({**yaml.safe_load(self.runtime.read_text()), **values}, sort_keys=False))

    def forget(self) -> None:
        for folder in ("cache", "data/training_output"):
            shutil.rmtree(self.root / folder, ignore_errors=True)

    def daeda(self, *arguments: str) -> Measured:
        return measure(str(PROJECT / ".venv/bin/daeda"), *arguments, cwd=self.root)

    def run(self, days: int | None = None) -> Measured:
        last = FIRST + dt.timedelta(days=(days or self.days) - 1)
        return self.daeda("skeleton", "--json", "--progress", "none", "--range", f"{FIRST}..{last}")

    def steps(self) -> list[tuple[str, int, float, int]]:
        """(step, how many ran, seconds in all, bytes in all) of every trace there is."""
        with sqlite3.connect(self.root / "cache/traces.db") as db:
            kind = "substr(name, 1, instr(name || '@', '@') - 1)"
            return db.execute(
                f"select {kind}, count(*), sum(seconds), sum(bytes) from traces group by 1 order by 3 desc"
            ).fetchall()


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class StageWorker:
    """The cases; each prints its lines and adds to `found`."""

    def __init__(self, a: argparse.Namespace) -> None:
        self.a, self.folder = a, a.folder
        self.found: dict[str, object] = {"rows": a.rows, "users": a.users, "artworks": a.artworks, "days": a.days}
        self._cold: dict[int, float] = {}

    def say(self, line: str) -> None:
        print(line, file=sys.stderr if self.a.json else sys.stdout, flush=True)

    def world(self, days: int, **options: int) -> World:
        name = f"world-{self.a.rows}-{days}" + "".join(f"-{k}{v}" for k, v in options.items())
        return World(self.folder / name, self.a, days, **options)

    def warmed(self, world: World) -> None:
        """Runs a cold run whose time serves as the measure of changes."""
        world.forget()
        cold = world.run()
        self._cold.setdefault(world.days, cold.seconds)
        self.say(f"  cold: {cold.seconds:.1f} s for {world.days} days, {cold.memory / 2**30:.2f} GiB")
        world.run()

    def median(self, name: str, once: Callable[[], Measured]) -> Measured:
        found = [once() for _ in range(self.a.repeat)]
        seconds = [m.seconds for m in found]
        middle = sorted(found, key=lambda m: m.seconds)[len(found) // 2]
        self.say(f"  {name:<44}{statistics.median(seconds):8.3f} s  (of {', '.join(f'{s:.2f}' for s in seconds)})")
        return middle

    def share(self, name: str, seconds: float, days: int) -> None:
        share = seconds / self._cold[days]
        self.say(f"  {name}: {seconds:.2f} s, {share:.1%} of cold")
        self.found[name] = {"seconds": round(seconds, 3), "of_cold": round(share, 4)}

    # Cases

    def cold(self) -> None:
        world, a = self.world(self.a.days), self.a
        ours, theirs, peak = [], [], 0
        peer_days = min(a.peer_days or a.days, a.days)
        for _ in range(a.repeat):
            if a.peer:
                shutil.rmtree(self.folder / "peer", ignore_errors=True)
                world.edit(feed_start=f"{FIRST:%Y%m}", feed_end=f"{world.last:%Y%m}")
                command = [sys.executable, str(a.peer), ".", str(self.folder / "peer"), "--days", str(peer_days)]
                peer = measure(*command, cwd=world.root)
                theirs.append(peer.seconds / peer_days)
                self.say(f"  peer   {theirs[-1]:6.2f} s a day, {peer.memory / 2**30:.2f} GiB")
                world.reset_config()
            world.forget()
            run = world.run()
            ours.append(run.seconds / a.days)
            peak = max(peak, run.memory)
            self.say(f"  daeda  {ours[-1]:6.2f} s a day, {run.memory / 2**30:.2f} GiB")
        self._cold.setdefault(a.days, statistics.median(ours) * a.days)
        kept, output = size_of(world.root / "cache/artifacts"), size_of(world.root / "data/training_output")
        figures = {"seconds_a_day": round(statistics.median(ours), 3), "peak_bytes": peak, "cache_bytes": kept,
                   "output_bytes": output, "cache_per_output": round(kept / output, 3)}  # fmt: skip
        if theirs:
            figures["peer_seconds_a_day"] = round(statistics.median(theirs), 3)
            figures["times_the_peer"] = round(statistics.median(theirs) / statistics.median(ours), 2)
            figures["rows_compared"], figures["rows_that_differ"] = self._compare(world)
        self.found["cold"] = figures
        self.say("  " + ", ".join(f"{k} {v:,}" for k, v in figures.items()))
        self.say(f"  {'step':<46}{'ran':>6}{'s a day':>10}{'MB a day':>10}")
        steps = world.steps()
        for step, count, seconds, size in steps:
            self.say(f"  {step[:45]:<46}{count:>6}{seconds / a.days:>10.3f}{size / a.days / 1e6:>10.2f}")
        self.found["steps"] = [{"step": s, "ran": n, "seconds": round(t, 3), "bytes": b} for s, n, t, b in steps]

    def _compare(self, world: World) -> tuple[int, int]:
        """(rows of the days that both have, rows that only one has), over every column."""
        import duckdb

        rows = differing = 0
        for theirs in sorted((self.folder / "peer").glob("dt=*")):
            read = "read_parquet('{}/*.parquet', hive_partitioning = false)"
            ours = world.root / "data/training_output" / theirs.name
            a, b = (read.format(path) for path in (ours, theirs))
            names = ", ".join(f'"{c}"' for c in duckdb.sql(f"SELECT * FROM {b}").columns)
            rows += duckdb.sql(f"SELECT count(*) FROM {b}").fetchall()[0][0]
            for left, right in ((a, b), (b, a)):
                sql = f"SELECT count(*) FROM (SELECT {names} FROM {left} EXCEPT ALL SELECT {names} FROM {right})"
                differing += duckdb.sql(sql).fetchall()[0][0]
        return rows, differing

    def unchanged(self) -> None:
        world = self.world(self.a.days)
        self.warmed(world)
        for name, arguments in (
            ("run", ["skeleton", "--progress", "none"]), ("cache status", ["cache", "status"]),
            ("explain day", ["explain", "day", str(world.last)]), ("--help", ["--help"]),
        ):  # fmt: skip
            found = self.median(name, lambda arguments=arguments: world.daeda(*arguments))  # type: ignore[misc]
            self.found[f"unchanged: {name}"] = round(found.seconds, 3)
        found = measure(sys.executable, "-c", _IMPORTED, cwd=world.root).out.splitlines()[-1]
        self.say(f"  heavy imports of a run: {found}")

    def aggregation(self) -> None:
        world = self.world(self.a.days)

        def once() -> Measured:
            self.warmed(world)
            whole = yaml.safe_load(world.aggregations.read_text())
            whole["aggregations"].append({
                "name": "click_artwork_author_ids", "events": ["click"], "column": "author_id", "agg": "distinct",
                "windows": ["1d", "3d", "7d"], "max_items": 200,
            })  # fmt: skip
            world.aggregations.write_text(yaml.safe_dump(whole, sort_keys=False))
            columns = yaml.safe_load(world.runtime.read_text())["output_columns"]
            world.edit(output_columns=[*columns, *(f"click_artwork_author_ids_{d}d" for d in (1, 3, 7))])
            run = world.run()
            world.reset_config()
            return run

        self.share("aggregation added", self.median("aggregation added", once).seconds, world.days)

    def filter(self) -> None:
        world = self.world(self.a.days)

        def once(drop: list[str]) -> Measured:
            self.warmed(world)
            world.edit(content_filter={"drop": {"model_type": drop}})
            run = world.run()
            world.reset_config()
            return run

        edits = {"filter value added": ["SD_V1_MODEL", "FLUX_MODEL"], "filter value exchanged": ["FLUX_MODEL"]}
        for name, drop in edits.items():
            found = self.median(name, lambda drop=drop: once(drop))  # type: ignore[misc]
            self.share(name, found.seconds, world.days)

    def corrected(self) -> None:
        world = self.world(60)
        self.warmed(world)
        path = next((world.root / f"data/feed/dt={FIRST + dt.timedelta(30)}").glob("*.parquet"))
        whole = pq.read_table(path)
        lengths = iter(range(whole.num_rows - 100, 0, -100))

        def once() -> Measured:
            pq.write_table(whole.slice(0, next(lengths)), path, compression="zstd")
            return world.run()

        self.share("one feed day corrected", self.median("one feed day corrected", once).seconds, 60)
        pq.write_table(whole, path, compression="zstd")

    def nightly(self) -> None:
        for touched in ("unseen", "any"):
            for as_of in ("latest", "day"):
                if (touched, as_of) != ("unseen", "day"):
                    self._nightly(touched, as_of)

    def _nightly(self, touched: str, as_of: str) -> None:
        """Works on a copy of the world, in which the last day comes late."""
        world = self.world(61)
        late = world.copied(self.folder / "nightly")
        late.reset_config()
        catalog = yaml.safe_load((late.root / "config/catalog.yaml").read_text())
        for view in catalog["views"].values():
            view["as_of"] = as_of
        (late.root / "config/catalog.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False))
        new = late.root / f"data/feed/dt={late.last}"
        new.rename(late.root / "later")
        cold = late.run(60)
        self._cold[61] = cold.seconds
        self.say(f"  cold: {cold.seconds:.1f} s for 60 days")
        (late.root / "later").rename(new)
        self._update(late, unseen=touched == "unseen")
        run = late.run()
        self.say(f"  {json.loads(run.out)['steps']}")
        self.share(f"nightly, {touched} entities, as_of {as_of}", run.seconds, 61)

    def _update(self, world: World, *, unseen: bool) -> None:
        """A newer version of 5 % of each view's entities, and 1 % more ids in the pool."""
        import lancedb

        rng = np.random.default_rng(5)
        night = dt.datetime.combine(world.last, dt.time())
        for folder in sorted((world.root / "data/catalog").iterdir()):
            table = pq.read_table(folder / "part-0.parquet")
            count = table.num_rows // 20
            chosen = table.take(pa.array(rng.choice(table.num_rows, count, replace=False)))
            entity = next(name for name in ("artwork_id", "user_id") if name in chosen.schema.names)
            others = table[entity].take(pa.array(rng.choice(table.num_rows, count, replace=False)))  # with other values
            chosen = chosen.set_column(chosen.schema.get_field_index(entity), entity, others)
            places = {name: chosen.schema.get_field_index(name) for name in chosen.schema.names}
            if unseen:
                ids = pa.array(np.arange(chosen.num_rows) - 10**9, chosen.schema.field(entity).type)
                chosen = chosen.set_column(places[entity], entity, ids)
                if "author_id" in places:
                    chosen = chosen.set_column(places["author_id"], "author_id", pa.array(ids, pa.int64()))
            times = pa.array([night] * chosen.num_rows, pa.timestamp("us"))
            chosen = chosen.set_column(places["updated_at"], "updated_at", times)
            pq.write_table(chosen, folder / "part-9.parquet", compression="zstd")
        pool = lancedb.connect(str(world.root / "data/embeddings")).open_table("artwork_embedding")
        ids = [-(10**9) - i for i in range(pool.count_rows() // 100)]  # of artworks that no old day has
        pool.add(pa.table({"artwork_id": ids, "vector": pa.array([[0.0] * 4] * len(ids), pa.list_(pa.float32(), 4))}))

    def sizes(self) -> None:
        kept = {name: getattr(self.a, name) for name in ("rows", "users", "artworks", "memory_limit")}
        found = []
        for rows in (100_000, 300_000, 1_000_000, 3_000_000):
            self.a.rows, self.a.users, self.a.artworks = rows, rows // 15, rows // 5
            for limit in ("2GB", "4GB"):
                self.a.memory_limit = limit
                world = self.world(2)
                world.forget()
                run = world.run()
                of_row = run.seconds / (rows * (HISTORY + 2)) * 1e6
                found.append({"rows": rows, "memory_limit": limit, "seconds": round(run.seconds, 2),
                              "microseconds_a_feed_row": round(of_row, 3), "peak_bytes": run.memory})  # fmt: skip
                self.say(f"  {rows:>9,} rows a day, {limit}: {run.seconds:7.1f} s, {of_row:.2f} us a feed row, "
                         f"peak {run.memory / 2**30:.2f} GiB")  # fmt: skip
            shutil.rmtree(world.root)
        self.found["sizes"] = found
        for name, value in kept.items():
            setattr(self.a, name, value)

    def heavy(self) -> None:
        self.a.users, users = 10_000, self.a.users
        self.a.rows, rows = 150_000, self.a.rows
        seconds = {}
        for heavy in (0, HEAVY):
            world = self.world(8, heavy=heavy)

            def once(world: World = world) -> Measured:
                world.forget()
                return world.run()

            run = self.median(f"8 days, heavy user's events a day: {heavy}", once)
            seconds[heavy] = run.seconds
            self.say(f"  peak {run.memory / 2**30:.2f} GiB")
        self.a.users, self.a.rows = users, rows
        self.found["heavy user"] = round(seconds[HEAVY] / seconds[0], 3)
        self.say(f"  with the heavy user: {self.found['heavy user']} times")


_IMPORTED = """
import sys
from daedalus.cli.main import main
try:
    main(["skeleton", "--progress", "none"])
except SystemExit:
    pass
print(sorted({"duckdb", "pyarrow", "lancedb", "numba", "polars", "numpy"} & set(sys.modules)) or "none")
"""
CASES = ("cold", "unchanged", "aggregation", "filter", "corrected", "nightly", "sizes", "heavy")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the skeleton stage.")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[], metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rows", type=int, default=300_000, help="feed rows a day")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--artworks", type=int, default=60_000)
    parser.add_argument("--days", type=int, default=14, help="target days")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peer", type=Path, default=PROJECT.parent / "shared/bench/naive_duckdb.py")
    parser.add_argument("--peer-days", type=int, help="fewer days for the peer, whose days all cost the same")
    parser.add_argument("--folder", type=Path, default=PROJECT / "cache/bench", help="for worlds and outputs")
    parser.add_argument("--memory-limit", default="4GB")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    a = parser.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    if not a.peer.exists():
        print(f"no peer at {a.peer}: daeda is measured alone", file=sys.stderr)
        a.peer = None
    bench = StageWorker(a)
    for case in a.cases or CASES:
        bench.say(case)
        getattr(bench, case)()
    if a.json:
        print(json.dumps(bench.found))


main()
