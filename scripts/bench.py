"""Measures the stages: cold in turn with other programs, then after changes against their own cold runs.

  scripts/bench [CASE ...] [--rows 300000] [--users 20000] [--artworks 60000] [--days 14] [--repeat 3]
                [--peer '[NAME=]FILE [ARGUMENTS]' ...] [--peer-small NAME=ARGUMENTS ...] [--peer-days [NAME=]N ...]
                [--peer-python FILE] [--cofacts DIR] [--small-days N] [--folder DIR] [--memory-limit 4GB]
                [--floats N ...] [--pool-rows N] [--map-sessions N ...] [--held MB ...] [--json]

    cold        the bench world, fresh cache, in turn with every peer, whose rows are compared with ours
    demo        the same in the demo's world: 120 small days
    cofacts     the same on the real input: 123 small days
    unchanged   a run, `cache status` and `explain day` when nothing changed, and what was imported
    aggregation one more aggregation          filter      one more value of the content filter
    corrected   one old feed file with fewer rows
    nightly     one new feed day, a pool grown by 1 %, new versions of 5 % of artworks and users: of some that
                no old day has, then of any
    day         one new day after another: the clock against the processor time of all cores, and the longest chain
    sizes       peak memory and time a row at 100k, 300k, 1M and 3M rows a day, memory_limit 2GB and 4GB; users and
                artworks grow with the rows
    heavy       one user with 100,000 events in a week, against the same world without that user
    enrich      columns of vectors: cold with the skeleton fresh, in turn with pyarrow, which writes the finished
                columns alone, and with DuckDB and numpy as written by hand; a pool grown by 1 %; another max_items;
                for each of --floats [256 and 768], with as many vectors as artworks. Both stages with nothing changed,
                in the demo's world. With --pool-rows N, peak memory with N vectors of 64 floats
    kinds       each kind of aggregation over 1, 3 and 7 days, added to a finished run, in turn with the same in DuckDB
                as written by hand, by a join and by window functions
    qids        the step `qids` alone: seconds of a day of --rows rows, with maps of --map-sessions [100 thousand,
                10 and 100 million: the last takes 10 GB and some minutes]; on the clock (s) and the processor (c)
    loader      `daedalus.torch` over the enriched days, vectors of --floats [64]: rows a second, lists padded and
                ragged, shuffled and not, by 0, 1 and 2 workers, in turn with a recipe that a cookbook could have and
                with pyarrow's own batches of the same columns; once with two vectors and a list, once with all lists
    link        the skeleton on 1, 2 and 4 Dask workers, which with scheduler and object store are beyond a link that is
                not held, then held to each of --held MB/s; with what scripts/scale.py must know to predict these runs.
                Needs root, iproute2 and the extra `dask`
    dask        both stages on two Dask workers, cold, with the output in a folder and in a bucket: which share of the
                processor time is the coordinator's

A peer is a script that takes ROOT OUT --days N, and what else is given with it; --peer-small is what it gets besides in
the demo and cofacts. --peer may be given several times; --peer-python has what they import.

CPU is the processor seconds, user and system, of a process and all that it started; memory the peak resident size of
the largest; seconds are of whole processes on the clock. Medians over the repeats; ratios to a peer are taken within
each turn. Figures are meant as ratios within one call: those by processor time on any machine, those by the clock on a
quiet one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from measuring.cluster import on_dask
from measuring.enrich import Enrich, memory, unchanged
from measuring.held_link import missing
from measuring.imports import imported
from measuring.kinds import kinds
from measuring.link import link
from measuring.loader import loader
from measuring.one_day import one_day
from measuring.peers import Peer, peers
from measuring.process import Failed, Measured, size_of
from measuring.qids import qids
from measuring.side_by_side import OURS, side_by_side
from measuring.worlds import FIRST, HISTORY, PROJECT, BenchWorld, World, cofacts, demo

HEAVY = 100_000 // 7  # events a day of the heavy user
BESIDE = PROJECT.parent / "shared"  # where peers and the real input may be


class Bench:
    """The cases; each prints its lines and adds to `found`."""

    def __init__(self, a: argparse.Namespace, all_peers: list[Peer]) -> None:
        self.a, self.folder, self.peers = a, a.folder, all_peers
        self.found: dict[str, object] = {"rows": a.rows, "users": a.users, "artworks": a.artworks, "days": a.days}
        self._cold: dict[int, Measured] = {}

    def say(self, line: str) -> None:
        print(line, file=sys.stderr if self.a.json else sys.stdout, flush=True)

    def world(self, days: int, heavy: int = 0) -> BenchWorld:
        name = f"world-{self.a.rows}-{days}" + (f"-heavy{heavy}" if heavy else "")
        sizes = {name: getattr(self.a, name) for name in ("rows", "users", "artworks")}
        return BenchWorld(self.folder / name, days, self.a.memory_limit, heavy, **sizes)

    def warmed(self, world: World) -> None:
        """Runs a cold run that serves as the measure of changes."""
        world.forget()
        cold = world.run()
        self._cold.setdefault(world.days, cold)
        self.say(f"  cold: {_spent(cold)} for {world.days} days, {cold.memory / 2**30:.2f} GiB")
        world.run()

    def median(self, name: str, once: Callable[[], Measured]) -> Measured:
        """The run of those repeated whose time on the clock is in the middle, with the median of each clock."""
        found = [once() for _ in range(self.a.repeat)]
        middle = sorted(found, key=lambda m: m.seconds)[len(found) // 2]
        seconds, cpu = (statistics.median(getattr(m, clock) for m in found) for clock in ("seconds", "cpu"))
        medians = Measured(seconds, cpu, middle.memory, middle.out)
        each = ", ".join(f"{m.seconds:.2f}/{m.cpu:.2f}" for m in found)
        self.say(f"  {name:<44}{medians.seconds:8.3f} s {medians.cpu:8.3f} CPU s  (of {each})")
        return medians

    def share(self, name: str, run: Measured, days: int) -> None:
        cold = self._cold[days]
        share, of_cpu = run.seconds / cold.seconds, run.cpu / cold.cpu
        self.say(f"  {name}: {_spent(run)}; {share:.1%} of cold, {of_cpu:.1%} of its CPU")
        self.found[name] = {**_clocks(run), "of_cold": round(share, 4), "of_cold_cpu": round(of_cpu, 4)}

    # Cases

    def cold(self) -> None:
        world = self.world(self.a.days)
        figures = side_by_side(world, self.peers, self.a.repeat, self.say, small=False)
        ours = figures[OURS]
        self._cold.setdefault(
            world.days, Measured(ours["seconds_a_day"] * world.days, ours["cpu_a_day"] * world.days, 0, "")
        )
        kept, output = size_of(world.root / "cache/artifacts"), size_of(world.output)
        ours |= {"cache_bytes": kept, "output_bytes": output, "cache_per_output": round(kept / output, 3)}
        self.found["cold"] = figures
        self.say(f"  cache {kept / 1e6:,.1f} MB, output {output / 1e6:,.1f} MB: {kept / output:.3f}")
        self._say_steps(world)

    def _say_steps(self, world: World) -> None:
        self.say(f"  {'step':<46}{'ran':>6}{'s a day':>10}{'MB a day':>10}")
        steps = world.steps()
        for step, count, seconds, size in steps:
            self.say(f"  {step[:45]:<46}{count:>6}{seconds / world.days:>10.3f}{size / world.days / 1e6:>10.2f}")
        self.found["steps"] = [{"step": s, "ran": n, "seconds": round(t, 3), "bytes": b} for s, n, t, b in steps]

    def demo(self) -> None:
        world = demo(self.folder / "demo", self.a.small_days)
        self.found["demo"] = side_by_side(world, self.peers, self.a.repeat, self.say, small=True)

    def cofacts(self) -> None:
        if not (self.a.cofacts / "feed").is_dir():
            self.say(f"  left out: no real input at {self.a.cofacts}")
            return
        world = cofacts(self.folder / "cofacts", self.a.cofacts, self.a.small_days)
        self.found["cofacts"] = side_by_side(world, self.peers, self.a.repeat, self.say, small=True)

    def unchanged(self) -> None:
        world = self.world(self.a.days)
        self.warmed(world)
        for name, arguments in (
            ("run", ["skeleton", "--progress", "none"]), ("cache status", ["cache", "status"]),
            ("explain day", ["explain", "day", str(world.last)]), ("--help", ["--help"]),
        ):  # fmt: skip
            found = self.median(name, lambda arguments=arguments: world.daeda(*arguments))  # type: ignore[misc]
            self.found[f"unchanged: {name}"] = _clocks(found)
        self.say(f"  heavy imports of a run: {imported(world, 'skeleton', '--progress', 'none')}")

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

        self.share("aggregation added", self.median("aggregation added", once), world.days)

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
            self.share(name, found, world.days)

    def corrected(self) -> None:
        world = self.world(60)
        self.warmed(world)
        path = next((world.root / f"data/feed/dt={FIRST + dt.timedelta(30)}").glob("*.parquet"))
        whole = pq.read_table(path)
        lengths = iter(range(whole.num_rows - 100, 0, -100))

        def once() -> Measured:
            pq.write_table(whole.slice(0, next(lengths)), path, compression="zstd")
            return world.run()

        self.share("one feed day corrected", self.median("one feed day corrected", once), 60)
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
        self._cold[61] = cold
        self.say(f"  cold: {_spent(cold)} for 60 days")
        (late.root / "later").rename(new)
        self._update(late, unseen=touched == "unseen")
        run = late.run()
        self.say(f"  {json.loads(run.out)['steps']}")
        self.share(f"nightly, {touched} entities, as_of {as_of}", run, 61)

    def _update(self, world: World, *, unseen: bool) -> None:
        """A newer version of 5 % of each view's entities, and 1 % more ids in the pool."""
        import lance

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
        pool = lance.dataset(str(world.root / "data/embeddings/artwork_embedding.lance"))
        ids = [-(10**9) - i for i in range(pool.count_rows() // 100)]  # of artworks that no old day has
        kind = pool.schema.field("vector").type
        vectors = pa.array([[0.0] * kind.list_size] * len(ids), kind)
        lance.write_dataset(pa.table({"artwork_id": ids, "vector": vectors}), pool.uri, mode="append")

    def day(self) -> None:
        self.found["day"] = one_day(self.world(2), self.a.repeat, os.cpu_count() or 1, self.say)

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
                found.append({"rows": rows, "memory_limit": limit, **_clocks(run),
                              "microseconds_a_feed_row": round(of_row, 3), "peak_bytes": run.memory})  # fmt: skip
                self.say(f"  {rows:>9,} rows a day, {limit}: {_spent(run)}, {of_row:.2f} us a feed row, "
                         f"peak {run.memory / 2**30:.2f} GiB")  # fmt: skip
            shutil.rmtree(world.root)
        self.found["sizes"] = found
        for name, value in kept.items():
            setattr(self.a, name, value)

    def heavy(self) -> None:
        self.a.users, users = 10_000, self.a.users
        self.a.rows, rows = 150_000, self.a.rows
        runs = {}
        for heavy in (0, HEAVY):
            world = self.world(8, heavy)

            def once(world: World = world) -> Measured:
                world.forget()
                return world.run()

            runs[heavy] = self.median(f"8 days, heavy user's events a day: {heavy}", once)
            self.say(f"  peak {runs[heavy].memory / 2**30:.2f} GiB")
        self.a.users, self.a.rows = users, rows
        times = {clock: round(getattr(runs[HEAVY], clock) / getattr(runs[0], clock), 3) for clock in ("seconds", "cpu")}
        self.found["heavy user"] = times
        self.say(f"  with the heavy user: {times['seconds']} times, {times['cpu']} times the CPU")

    def enrich(self) -> None:
        floats, found = self.a.floats or [256, 768], {}
        for count in floats:
            self.say(f"  {count} floats")
            one = Enrich(self.world(self.a.days), count, self.a.artworks, self.a.repeat, self.say)
            found[f"{count} floats"] = {"cold": one.against_others(), **one.after()}
        small = demo(self.folder / "demo", self.a.small_days)
        found["unchanged"] = unchanged(small, self.a.repeat, self.say)
        if self.a.pool_rows:
            found["memory"] = memory(self.world(self.a.days), 64, self.a.pool_rows, self.say)
        self.found["enrich"] = found

    def kinds(self) -> None:
        world = self.world(self.a.days)
        self.warmed(world)
        self.found["kinds"] = kinds(world, self.a.repeat, self.say)

    def qids(self) -> None:
        sizes = self.a.map_sessions or [10**5, 10**7, 10**8]
        self.found["qids"] = qids(self.folder, sizes, self.a.rows, self.say)

    def loader(self) -> None:
        world = self.world(self.a.days)
        floats = (self.a.floats or [64])[0]
        self.found["loader"] = loader(world, floats, self.a.artworks, self.a.repeat, self.say)

    def link(self) -> None:
        if why := missing():
            self.say(f"  left out: {why}")
            return

        def make(rows: int, days: int) -> BenchWorld:
            sizes = {"rows": rows, "users": max(rows // 15, 200), "artworks": max(rows // 5, 1000)}
            return BenchWorld(self.folder / f"link-{rows}-{days}", days, self.a.memory_limit, 0, **sizes)

        rates = [mb * 1e6 for mb in self.a.held or [0.4, 0.8]]
        self.found["link"] = link(make, self.a.rows, self.a.days, rates, self.folder / "link", self.say)

    def dask(self) -> None:
        self.found["dask"] = on_dask(self.world(self.a.days), self.a.repeat, self.say)


def _spent(run: Measured) -> str:
    return f"{run.seconds:.2f} s, {run.cpu:.2f} CPU s"


def _clocks(run: Measured) -> dict[str, float]:
    return {"seconds": round(run.seconds, 3), "cpu": round(run.cpu, 3)}


CASES = (
    "cold", "demo", "cofacts", "unchanged", "aggregation", "filter", "corrected", "nightly", "day", "sizes", "heavy",
    "enrich", "kinds", "qids", "loader", "link", "dask",
)  # fmt: skip


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the stages.")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[], metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rows", type=int, default=300_000, help="feed rows a day")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--artworks", type=int, default=60_000)
    parser.add_argument("--days", type=int, default=14, help="target days")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peer", action="append", help="[NAME=]FILE [ARGUMENTS], may be given several times")
    parser.add_argument("--peer-small", action="append", default=[], help="NAME=ARGUMENTS, more in demo and cofacts")
    parser.add_argument(
        "--peer-days", action="append", default=[], help="[NAME=]N: fewer, where days all cost the same"
    )
    parser.add_argument("--peer-python", default=sys.executable, help="the interpreter of the peers")
    parser.add_argument("--cofacts", type=Path, default=BESIDE / "realdata/cofacts", help="the real input")
    parser.add_argument("--small-days", type=int, help="fewer days in demo and cofacts")
    parser.add_argument("--folder", type=Path, default=PROJECT / "cache/bench", help="for worlds and outputs")
    parser.add_argument("--memory-limit", default="4GB")
    parser.add_argument("--floats", type=int, action="append", help="of a vector in enrich, any number of times")
    parser.add_argument("--pool-rows", type=int, help="in the case enrich, memory with as many vectors of 64 floats")
    parser.add_argument("--map-sessions", type=int, action="append", help="of the qid map in qids, any number of times")
    parser.add_argument("--held", type=float, action="append", help="MB/s of the link in link, any number of times")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser.parse_args()


def main() -> None:
    a = options()
    a.folder.mkdir(parents=True, exist_ok=True)
    naive = BESIDE / "bench/naive_duckdb.py"
    if a.peer is None and not naive.exists():
        print(f"no peer at {naive}: daeda is measured alone", file=sys.stderr)
    given = a.peer if a.peer is not None else [f"naive={naive}"] if naive.exists() else []
    bench = Bench(a, peers(given, a.peer_small, a.peer_days, a.peer_python, a.folder))
    for case in a.cases or CASES:
        bench.say(case)
        try:
            getattr(bench, case)()
        except Failed as error:
            sys.exit(f"{case}: {error}")
    if a.json:
        print(json.dumps(bench.found))


main()
