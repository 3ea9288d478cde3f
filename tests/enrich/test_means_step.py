"""The step of means: what it reads, and what its key says."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest

from daedalus.enrich.steps import means

DAY = dt.date(2026, 5, 15)


class Made:
    """Stands in for `Actions`: notes what a step needs and adds."""

    def __init__(self, monkeypatch, lists: dict[str, str | None], spine: bool = True) -> None:
        self.needed, self.added, self._spine = [], [], spine
        column = SimpleNamespace(mean_of="likes_7d", max_items=50)
        embeddings = SimpleNamespace(columns={"average": column}, dtype="float16")
        catalog = SimpleNamespace(feed=SimpleNamespace(extra_columns=[]))
        config = SimpleNamespace(catalog=catalog, feed_types={})
        self.context = SimpleNamespace(config=config, runtime=SimpleNamespace(embeddings=embeddings))
        monkeypatch.setattr(means, "id_lists", lambda config: lists)

    def need(self, *subject):
        self.needed.append(subject)
        return "@".join(map(str, subject)) if self._spine else None

    def once(self, function, *subject):
        return function(self, *subject)

    def code_of(self, function):
        return {f"code:{function.__name__}": ""}

    def add(self, name, run, ingredients, upstream, **rest):
        self.added.append((str(name), run, ingredients, upstream))
        return str(name)


READS = [("likes", ("rolling", DAY, "likes")), (None, ("recent_published", DAY))]


@pytest.mark.parametrize(("aggregation", "lists"), READS)
def test_the_step_reads_its_lists_and_vectors(monkeypatch, aggregation, lists):
    make = Made(monkeypatch, {"likes_7d": aggregation})
    assert means.build(make, "average", DAY) == f"means:average@{DAY}"
    assert make.needed == [("vectors", "average", DAY), lists]
    (_, _, ingredients, upstream) = make.added[0]
    assert upstream == ["@".join(map(str, lists)), f"vectors@average@{DAY}"]
    assert {label: value for label, value in ingredients.items() if label.startswith("config:")} == {
        "config:embeddings.columns.average.mean_of": '"likes_7d"',
        "config:embeddings.columns.average.max_items": "50",
        "config:embeddings.dtype": '"float16"',
    }
    assert {"code:mean_lists", "engine:numba"} <= ingredients.keys()


def test_a_day_without_vectors_has_no_means(monkeypatch):
    make = Made(monkeypatch, {"likes_7d": None}, spine=False)
    assert means.build(make, "average", DAY) is None
    assert not make.added


def test_the_code_that_the_key_holds_reaches_the_kernels():
    from daedalus.enrich.list_means import mean_lists
    from daedalus.stagecache.fingerprint import of_python

    text = of_python(mean_lists).text
    for name in ("sums_moved", "exact_mean", "is_open", "write_means", "_slices"):
        assert f"def {name}(" in text
