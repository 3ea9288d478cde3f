"""What a run changed in the partitions that were there before: a line each, and what `daeda diff` starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from daedalus.base.terminal_text import counted, cut
from daedalus.config.steps import PARTITION, SKELETON, Stage
from daedalus.explain.earlier import columns_of, sources_of, vector_columns
from daedalus.output.cut_partition import cut_sample
from daedalus.stagecache.records.traces import Trace

if TYPE_CHECKING:
    from daedalus.workspace.workspace import StageOutput, Workspace

_WITHOUT_COLUMNS = ("spine", "content", "qids")  # no column that a config names comes from these sources


def fact_of(stage: Stage, day: str) -> str:
    """The key under which the last replacement of a partition is remembered."""
    return f"diff:{day}" if stage is SKELETON else f"diff:{stage.name}:{day}"


class ChangeNotes:
    """Records which partitions a run replaces, and describes in a line each what differs."""

    def __init__(self, workspace: Workspace, run: str) -> None:
        self._workspace, self._traces, self._run = workspace, workspace.traces, run
        self._before: dict[tuple[str, str], Trace | None] = {}  # by day and stage
        for output in workspace.outputs.values():
            output.partitions.before_replacing(partial(self._replaced, output))

    def _replaced(self, output: StageOutput, day: str) -> None:
        """Takes down which partition lies there: the last that was made may not have come to its place."""
        name = f"{output.stage.partition}@{day}"
        last, lies = self._traces.latest(name), output.partitions.look(day)
        if last and lies and lies[0] != last.artifact:
            last = self._traces.with_artifact(name, lies[0]) or last
        self._before[day, output.stage.name] = last

    def summary(self, most: int = 8) -> list[str]:
        """Lines for people, of some days; shares are those of the first rows. Stores what `diff_day` needs."""
        stages = {name: output.stage for name, output in self._workspace.outputs.items()}
        notes = {fact_of(stages[name], day): {"run": self._run, "before": trace.key if trace else ""}
                 for (day, name), trace in self._before.items()}  # fmt: skip
        self._traces.remember_facts(notes)
        days = sorted({day for day, _ in self._before})
        lines = []
        for day in days[:most]:
            said = {name: self._brief(day, stage) for name, stage in stages.items() if (day, name) in self._before}
            lines.append(cut(f"changed     {day}: {_joined(said)}"))
        hidden = len(days) - most
        return [*lines, f"            and {hidden} more days: daeda diff DAY"] if hidden > 0 else lines

    def _brief(self, day: str, stage: Stage) -> str:
        """What differs in a day's partition, for one line."""
        before, after = self._before[day, stage.name], self._traces.latest(f"{stage.partition}@{day}")
        if before is None or after is None or before.key == after.key:
            return "rewritten: something had changed it since a run wrote it"
        rows = [trace.counts.get("written", 0) for trace in (before, after)]
        counts = f"{counted(rows[0], 'row')}" + (f" -> {rows[1]:,}" if rows[0] != rows[1] else "")
        shares = self._skeleton_shares(before, after) if stage is SKELETON else self._vector_shares(day, before, after)
        if shares is None:
            return f"{counts}; more: daeda diff {day}"
        named = ", ".join(
            f"{name} {'<1%' if share < 0.005 else f'{share:.0%}'}" for name, share in list(shares.items())[:3]
        )
        more = f" and {len(shares) - 3} more" if len(shares) > 3 else ""
        return f"{counts}; {named or _column_changes(before, after, stage)}{more}"

    def _skeleton_shares(self, before: Trace, after: Trace) -> dict[str, float] | None:
        """Share of rows in which a column differs, the largest first; None where rows are others."""
        old, new = sources_of(before), sources_of(after)
        return self._shares(old, new) if _same_rows(old, new) else None

    def _shares(self, old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, float] | None:
        found = dict[str, float]()
        ships = {column.made_from for column in self._workspace.config.output_columns}
        for source in new:
            if source in _WITHOUT_COLUMNS or old.get(source) == new[source]:
                continue
            tables = [self._sample({**new, source: one[source]}, source) for one in (old, new) if source in one]
            if any(table is None for table in tables):
                return None
            was = tables[0] if len(tables) == 2 else tables[0].select([])
            found |= _share(was, tables[-1], ships.__contains__)
        return _largest_first(found)

    def _sample(self, artifacts: Mapping[str, str], source: str) -> Any:
        """An artifact's columns in the partition's first row group; None when an artifact is gone or damaged."""
        needed = {name: artifacts[name] for name in (source, "sessions", "content")}
        paths = self._workspace.store.all_intact(needed.values())
        if paths is None:
            return None
        from daedalus.explain.value_differences import read

        out = self._workspace.scratch.path(".parquet")
        cut_sample({name: paths[artifact] for name, artifact in needed.items()}, source, out)
        return read([out])

    def _vector_shares(self, day: str, before: Trace, after: Trace) -> dict[str, float] | None:
        """The same of columns of vectors."""
        now = self._traces.latest(f"{PARTITION}@{day}")
        then = self._before.get((day, SKELETON.name)) or now
        if now is None or then is None or not _is_of(before, then) or not _is_of(after, now):
            return None
        if not _same_rows(sources_of(then), sources_of(now)):
            return None
        from daedalus.explain.vector_sample import sample_of_vectors

        old, new = (sample_of_vectors(self._workspace.store, *pair) for pair in ((before, then), (after, now)))
        return _largest_first(_share(old, new)) if old is not None and new is not None else None


def _joined(said: Mapping[str, str]) -> str:
    """What is said of each stage's partition, once where it is the same."""
    if len(said) > 1 and len(set(said.values())) == 1:
        return f"{next(iter(said.values()))} ({' and '.join(said)})"
    return "; ".join(text if name == SKELETON.name else f"{name} {text}" for name, text in said.items())


def _same_rows(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Whether the same rows ship, by the artifacts that two partitions were built from."""
    return all(old.get(source) == new.get(source) for source in ("sessions", "content"))


def _is_of(enriched: Trace, skeleton: Trace) -> bool:
    return sources_of(enriched)[PARTITION] == skeleton.artifact


def _largest_first(shares: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _share(old: Any, new: Any, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, float]:
    from daedalus.explain.value_differences import changed

    shares = {name: changed(old, new, name)["share"] for name in filter(wanted, new.column_names)}
    return {name: share for name, share in shares.items() if share}


def _column_changes(before: Trace, after: Trace, stage: Stage) -> str:
    """Which columns of the partition were added or removed."""
    old, new = ([name for name, _ in columns_of(trace)] if stage is SKELETON else [*vector_columns(trace)]
                for trace in (before, after))  # fmt: skip
    gone, came = [name for name in old if name not in new], [name for name in new if name not in old]
    changes = [f"{', '.join(names)} {word}" for names, word in ((came, "added"), (gone, "removed")) if names]
    same = (
        "the same values in another order or encoding"
        if stage is SKELETON
        else "the vectors of the first rows are the same"
    )
    return "; ".join(changes) or same
