"""means: per row of the sessions the mean of the vectors of a list, for one entry of `embeddings.columns`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from daedalus.actions.actions import config_ingredients
from daedalus.actions.script import call_script
from daedalus.base.days import Day
from daedalus.config.columns import spine_columns
from daedalus.config.embeddings import id_lists
from daedalus.config.schema import Aggregation
from daedalus.enrich.list_means import ListMeans, mean_lists
from daedalus.skeleton.context import Make
from daedalus.stagecache.action import Counts
from daedalus.stagecache.action_name import ActionName
from daedalus.stagecache.fingerprint import version

Mean = Callable[[ListMeans, Path, Path, Path], Counts]


def build(make: Make, entry: str, day: Day) -> str | None:
    """Reads the lists, of an aggregation or recent_published, and the vectors of their ids."""
    vectors = make.need("vectors", entry, day)
    if vectors is None:
        return None
    aggregation, ingredients, mean, of = make.once(_column, entry)
    lists = make.need("rolling", day, aggregation) if aggregation else make.need("recent_published", day)
    run, describe = partial(_run, mean, of, lists, vectors), partial(_describe, mean, of, lists, vectors)
    return make.add(ActionName("means", entry, day), run, ingredients, [lists, vectors], describe=describe)


def _column(make: Make, entry: str) -> tuple[Aggregation | None, dict[str, str], Mean, ListMeans]:
    """What all days have alike: the aggregation that has the lists, the ingredients, and what makes means of what."""
    embeddings = make.context.runtime.embeddings
    assert embeddings is not None
    column = embeddings.columns[entry]
    assert column.mean_of is not None
    at = f"embeddings.columns.{entry}"
    config = {
        f"{at}.mean_of": column.mean_of,
        f"{at}.max_items": column.max_items,
        "embeddings.dtype": embeddings.dtype,
    }
    ingredients = {
        **make.code_of(mean := _mean(spine_columns(make.context.config)["artwork_id"])),
        "engine:numba": version("numba"),
        **config_ingredients(config),
    }
    of = ListMeans(column.mean_of, column.max_items, embeddings.dtype)
    return id_lists(make.context.config)[column.mean_of], ingredients, mean, of


def _mean(kind: str) -> Mean:
    """What makes the means of lists of ids of a type."""
    if kind == "BIGINT":
        return mean_lists
    from daedalus.enrich.text_ids.means import mean_text_lists

    return mean_text_lists


def _describe(mean: Mean, entry: ListMeans, lists: str, vectors: str, upstream: Mapping[str, Path]) -> str:
    says = (
        f"the mean of the vectors of {entry.max_items or 'all'} ids of each list {entry.column}, by row of the sessions"
    )
    return call_script(says, mean, entry, upstream[lists], upstream[vectors], Path("means.parquet"))


def _run(mean: Mean, entry: ListMeans, lists: str, vectors: str, upstream: Mapping[str, Path], out: Path) -> Counts:
    return mean(entry, upstream[lists], upstream[vectors], out)
