"""partition (stored name `chunk`): the output columns of a target day's rows that ship, in part files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from daedalus.base import digest
from daedalus.base.days import ONE_DAY, Day
from daedalus.base.durable import part_files
from daedalus.config.columns import makers
from daedalus.config.steps import PARTITION
from daedalus.output.cut_partition import ParquetSink
from daedalus.output.earlier_partition import RENAMED, EarlierPartition
from daedalus.parquet.rename import rename_columns
from daedalus.skeleton.context import Make
from daedalus.stagecache.action import Counts, Manifest
from daedalus.stagecache.action_name import ActionName
from daedalus.tables.artifacts import rows_of


def build(make: Make, day: Day) -> str | None:
    """Reads the steps that made the output columns, and `content` for the rows that ship."""
    spine = make.need("spine", day)
    if spine is None:
        return None
    context, publishing = make.context, make.context.publishing
    columns, sources = _output_columns(make, day)
    sources |= {"sessions": make.need("sessions", day), "content": make.need("content", day)}
    if publishing.numbered:
        columns.append(("qid", "qids"))
        sources["qids"] = make.need("qids", day)
    rows = context.runtime.entity_spine_chunk_rows
    ingredients = {
        "config:output_columns": digest.canonical_json(columns),
        "config:entity_spine_chunk_rows": str(rows),
        **make.code_of(ParquetSink),
    }
    if names := context.config.renamed:
        ingredients |= {RENAMED: digest.canonical_json(names), **make.code_of(rename_columns)}
    window = [make.need("spine", day - i * ONE_DAY) for i in range(context.runtime.spine.lookback_days, 0, -1)]
    guards = tuple(name for name in window if name)  # step 1 reads the whole window, needed or not
    name = ActionName(PARTITION, day=day)
    earlier = partial(publishing.earlier, str(name))
    run = partial(_run, ParquetSink(tuple(columns), rows), names, spine, sources, ingredients, earlier)
    return make.add(name, run, ingredients, [spine, *sources.values()], shelf=publishing.partitions, guards=guards)


def _output_columns(make: Make, day: Day) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(the output columns in order as (column, source), the action of each source)."""
    config = make.context.config
    known = makers(config)
    by_name = {aggregation.name: aggregation for aggregation in config.aggregations}
    columns, sources = [], {}
    for output in config.output_columns:
        maker = known[output.made_from][0] if output.made_from in known else None
        if maker is None or maker.kind in ("feature", "age"):
            source = "attributes"
            sources[source] = make.need("attributes", day)
        elif maker.kind == "aggregation":
            source = str(ActionName("rolling", maker.source))
            sources[source] = make.need("rolling", day, by_name[maker.source])
        elif maker.kind in ("recent", "step"):
            source = "recent_published" if maker.kind == "recent" else maker.source
            sources[source] = make.need(source, day)
        else:
            source = "sessions"
        columns.append((output.made_from, source))
    return columns, sources


def _run(
    sink: ParquetSink, names: Mapping[str, str], spine: str, sources: Mapping[str, str], ingredients: Manifest,
    earlier: Callable[[], EarlierPartition | None], upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    if not rows_of(upstream[spine]):
        return {"written": 0, "empty": 1}

    def reused(free: Path) -> dict[str, Path]:
        before = earlier()
        if names or (before and RENAMED in before.manifest):
            return {}  # its columns have other names than the artifacts'
        now = {**ingredients, **{f"upstream:{name}": path.stem for name, path in upstream.items()}}  # named by digest
        same = before.sources(sink.columns, now, sources) if before else set()
        return dict.fromkeys(same, free) if before and same and before.copied(free) else {}

    artifacts = {source: upstream[name] for source, name in sources.items()}
    rows = sink.write(out, artifacts, reused)
    for part in part_files(out) if names else ():
        rename_columns(part, names)
    return {"written": rows, "empty": 0}
