"""partition (stored name `chunk`): the output columns of a target day's rows that ship, in part files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daedalus.base import digest
from daedalus.base.days import ONE_DAY, Day
from daedalus.base.durable import part_files
from daedalus.config import Config
from daedalus.config.columns import makers
from daedalus.config.steps import PARTITION
from daedalus.output.cut_partition import ParquetSink
from daedalus.output.earlier_partition import RENAMED, EarlierPartition
from daedalus.skeleton.context import Make
from daedalus.skeleton.partition_parts import cut_part, sources_in_parts, whole_of
from daedalus.stagecache.action import Counts, Manifest, Part, Parts
from daedalus.stagecache.action_name import ActionName
from daedalus.tables.artifacts import rows_of


def build(make: Make, day: Day) -> str | None:
    """Reads the steps that made the output columns, and `content` for the rows that ship."""
    spine = make.need("spine", day)
    if spine is None:
        return None
    context, publishing = make.context, make.context.publishing
    columns = make.once(_columns)
    wanted = {source: make.need(step, day, *of) for source, (step, *of) in columns.sources.items()}
    sources = {**wanted, "sessions": make.need("sessions", day), "content": make.need("content", day)}
    if publishing.numbered:
        sources["qids"] = make.need("qids", day)
    window = [make.need("spine", day - i * ONE_DAY) for i in range(context.runtime.spine.lookback_days, 0, -1)]
    guards = tuple(name for name in window if name)  # step 1 reads the whole window, needed or not
    name = ActionName(PARTITION, day=day)
    earlier = partial(publishing.earlier, str(name))
    made = _Made(columns, spine, sources, earlier)
    parts = Parts(lambda known: known[sources["content"]], made.run_part, made.join)
    upstream = [spine, *sources.values()]
    return make.add(
        name, made.run, columns.ingredients, upstream, shelf=publishing.partitions, guards=guards, parts=parts
    )


@dataclass(frozen=True)
class _Columns:
    """What all days have alike of their columns: what writes them, the names in the output of those that are renamed,
    by source what its step is asked for by, and the ingredients."""

    sink: ParquetSink
    names: Mapping[str, str]
    sources: Mapping[str, tuple]
    ingredients: Manifest


def _columns(make: Make) -> _Columns:
    config = make.context.config
    columns, sources = _output_columns(config)
    if make.context.publishing.numbered:
        columns.append(("qid", "qids"))
    rows = config.runtime.entity_spine_chunk_rows
    ingredients = {
        "config:output_columns": digest.canonical_json(columns),
        "config:entity_spine_chunk_rows": str(rows),
        **make.code_of(ParquetSink),
    }
    if names := config.renamed:
        from daedalus.parquet.rename import rename_columns

        ingredients |= {RENAMED: digest.canonical_json(names), **make.code_of(rename_columns)}
    return _Columns(ParquetSink(tuple(columns), rows), names, sources, ingredients)


def _output_columns(config: Config) -> tuple[list[tuple[str, str]], dict[str, tuple]]:
    """(the output columns in order as (column, source), what each source is asked for by)."""
    known = makers(config)
    by_name = {aggregation.name: aggregation for aggregation in config.aggregations}
    columns, sources = [], dict[str, tuple]()
    for output in config.output_columns:
        maker = known[output.made_from][0] if output.made_from in known else None
        if maker is None or maker.kind in ("feature", "age"):
            source = "attributes"
            sources[source] = (source,)
        elif maker.kind == "aggregation":
            source = str(ActionName("rolling", maker.source))
            sources[source] = ("rolling", by_name[maker.source])
        elif maker.kind in ("recent", "step"):
            source = "recent_published" if maker.kind == "recent" else maker.source
            sources[source] = (source,)
        else:
            source = "sessions"
        columns.append((output.made_from, source))
    return columns, sources


@dataclass(frozen=True)
class _Made:
    """How a partition is made of its `sources`, whole or in parts; `earlier()` is the one in its place."""

    columns: _Columns
    spine: str
    sources: Mapping[str, str]
    earlier: Callable[[], EarlierPartition | None]

    def run(self, upstream: Mapping[str, Path], out: Path) -> Counts:
        return self.join((), upstream, out)

    def join(self, parts: Sequence[Path], upstream: Mapping[str, Path], out: Path) -> Counts:
        """Writes the partition; columns that are in parts are not cut again."""
        if not rows_of(upstream[self.spine]):
            return {"written": 0, "empty": 1}

        def reused(free: Path) -> dict[str, Path]:
            before, same = self._same(upstream)
            if same or parts:
                free.parent.mkdir()
            found = dict.fromkeys(same, free) if before and same and before.copied(free) else {}
            cut = sources_in_parts(self.columns.sink.columns) if parts else []
            cut = [source for source in cut if source not in same]
            return {**(dict.fromkeys(cut, whole_of(parts, free.with_name("parts"))) if cut else {}), **found}

        rows = self.columns.sink.write(out, self._artifacts(upstream), reused)
        if self.columns.names:
            from daedalus.parquet.rename import rename_columns

            for part in part_files(out):
                rename_columns(part, self.columns.names)
        return {"written": rows, "empty": 0}

    def run_part(self, part: Part, upstream: Mapping[str, Path], out: Path) -> Counts:
        """Cuts some row groups of what the partition in its place does not have."""
        _, same = self._same(upstream)
        columns = [(name, source) for name, source in self.columns.sink.columns if source not in same]
        cut_part(columns, self._artifacts(upstream), part, out)
        return {}

    def _artifacts(self, upstream: Mapping[str, Path]) -> dict[str, Path]:
        return {source: upstream[name] for source, name in self.sources.items()}

    def _same(self, upstream: Mapping[str, Path]) -> tuple[EarlierPartition | None, set[str]]:
        """The partition in this one's place, and the sources of its columns that are the same."""
        before = self.earlier()
        if before is None or len(before.parts) != 1:
            return None, set()
        if self.columns.names or RENAMED in before.manifest:  # its columns have other names than the artifacts'
            return None, set()
        above = {f"upstream:{name}": path.stem for name, path in upstream.items()}  # named by digest
        return before, before.sources(self.columns.sink.columns, {**self.columns.ingredients, **above}, self.sources)
