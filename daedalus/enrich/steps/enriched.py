"""enriched: a day's partition with its columns of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from daedalus.actions.actions import config_ingredients
from daedalus.actions.script import call_script
from daedalus.base.days import Day
from daedalus.base.durable import part_files
from daedalus.config.columns import spine_columns
from daedalus.config.config import RUNTIME
from daedalus.config.steps import ENRICHED, PARTITION
from daedalus.enrich.assembly import Enriched, Entry
from daedalus.skeleton.context import Make
from daedalus.stagecache.action import Counts
from daedalus.stagecache.action_name import ActionName


def build(make: Make, day: Day) -> str | None:
    """Reads the skeleton's partition, the vectors and means of each entry, and for means which rows ship."""
    chunk = make.need(PARTITION, day)
    shelf = make.context.publishing.enriched
    if chunk is None:
        return None
    assert shelf is not None
    enriched, ingredients = make.once(_enriched)
    vectors = {entry.name: make.need("vectors", entry.name, day) for entry in enriched.entries}
    means = {entry.name: make.need("means", entry.name, day) for entry in enriched.entries if entry.of is None}
    content = make.need("content", day) if means else None
    run = partial(_run, enriched, chunk, vectors, means, content)
    describe = partial(_describe, enriched, chunk, vectors, means, content)
    of_ids = [action for entry, action in vectors.items() if entry not in means]
    upstream = [chunk, *of_ids, *means.values(), *([content] if content else [])]
    beside = tuple(vectors[entry] for entry in means)  # for what is said of a vector that is not usable
    return make.add(
        ActionName(ENRICHED, day=day), run, ingredients, upstream,
        shelf=shelf, beside=beside, replaced=(chunk,), describe=describe,
    )  # fmt: skip


def _enriched(make: Make) -> tuple[Enriched, dict[str, str]]:
    """What all days have alike: what writes the partitions, and the ingredients."""
    config = make.context.config
    embeddings = config.runtime.embeddings
    assert embeddings is not None
    columns = embeddings.columns
    entries = [
        Entry(name, one.of, config.where(RUNTIME, f"embeddings.columns.{name}")) for name, one in columns.items()
    ]
    kinds = [(name, "mean_of" if one.of is None else "of", one.of or one.mean_of) for name, one in columns.items()]
    ingredients = {
        **config_ingredients({"embeddings.columns": kinds, "embeddings.dtype": embeddings.dtype}),
        **make.code_of(made := _made(spine_columns(config)["artwork_id"])),
    }
    return made(tuple(entries), embeddings.dtype), ingredients


def _made(kind: str) -> type[Enriched]:
    """What writes partitions with ids of a type."""
    if kind == "BIGINT":
        return Enriched
    from daedalus.enrich.text_ids.assembly import TextEnriched

    return TextEnriched


def _describe(
    enriched: Enriched, chunk: str, vectors: Mapping[str, str], means: Mapping[str, str], content: str | None,
    upstream: Mapping[str, Path],
) -> str:  # fmt: skip
    of_vectors, of_means = ({entry: upstream[action] for entry, action in made.items()} for made in (vectors, means))
    rows = upstream[content] if content else None
    parts = part_files(upstream[chunk])
    says = "the skeleton's part files, with columns of vectors in their places"
    return call_script(
        says, type(enriched).write, enriched, Path("enriched"), parts, of_vectors, of_means, rows, also=(Entry,)
    )


def _run(
    enriched: Enriched, chunk: str, vectors: Mapping[str, str], means: Mapping[str, str], content: str | None,
    upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    parts = part_files(upstream[chunk])
    if not parts:  # a day without rows has no partition
        return {"written": 0, "empty": 1}
    of_vectors, of_means = ({entry: upstream[action] for entry, action in made.items()} for made in (vectors, means))
    rows = enriched.write(out, parts, of_vectors, of_means, upstream[content] if content else None)
    return {"written": rows, "empty": 0}
