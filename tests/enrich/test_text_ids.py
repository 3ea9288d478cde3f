"""The enrich stage of ids that are text: the vectors and means that the same ids have as whole numbers."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from enrich_worlds import EnrichWorld, enrich_worlds
from hypothesis import given, settings
from test_enrich_worlds import EXAMPLES, THOROUGH, as_rows, parts, run
from texts import Texts, artwork_name, with_texts

SAME = Texts(artwork_name, artwork_name)  # a user's id may be that of a vector, too


def of_ids(made: EnrichWorld) -> EnrichWorld:
    """The world, where embeddings are of columns that are text in the other."""
    aggregations = made.world.aggregations
    for one in aggregations:
        if one["agg"] in ("sum", "mean", "std") and one["column"] in ("artwork_id", "author_id"):
            one["agg"] = "max"
        one.pop("where", None)
        if one["agg"] == "flatten_distinct":
            one |= {"agg": "distinct", "column": "artwork_id"}
        elif one["column"] not in ("artwork_id", "author_id"):
            one["column"] = "author_id" if one["windows"] != "cumulative" else "artwork_id"
            one["agg"] = "list" if one["agg"] in ("sum", "mean", "std") else one["agg"]
    made.embeddings.columns = {
        name: {**entry, "of": "artwork_id"} if entry.get("of") not in (None, "artwork_id", "author_id", "user_id") else entry
        for name, entry in made.embeddings.columns.items()
    }
    return made


@given(enrich_worlds())
@settings(THOROUGH, max_examples=max(EXAMPLES // 2, 4))
def test_text_ids_have_the_vectors_of_the_numbers(made):
    of_ids(made)
    with tempfile.TemporaryDirectory() as folder:
        plain, texts = Path(folder) / "plain", Path(folder) / "texts"
        made.build(plain)
        with_texts(plain, texts, SAME)
        expected, found = run(plain, made), run(texts, made)
        assert not found.stages["skeleton"].failures
        assert [(f.day, f.step, of_texts(f.error)) for f in expected.failures] == [
            (f.day, f.step, of_texts(f.error)) for f in found.failures
        ]
        vectors = list(made.embeddings.columns)
        wanted, got = parts(plain / "enriched"), parts(texts / "enriched")
        assert wanted.keys() == got.keys()
        for day in wanted:
            assert {name: t.num_rows for name, t in wanted[day].items()} == {n: t.num_rows for n, t in got[day].items()}
            for name in wanted[day]:
                for column in vectors:
                    one, other = (as_rows(side[day][name].select([column])) for side in (wanted, got))
                    assert list(map(repr, one)) == list(map(repr, other))
        again = run(texts, made)
        ran = [again.steps["computed"], again.steps["unchanged"], again.partitions["written"]]
        assert ran == [0, 0, 0] or again.failures


def of_texts(error: str) -> str:
    """An error whose ids are numbers."""
    return re.sub(r"'a0*(\d+)'", r"\1", error).replace("/texts/", "/plain/")
