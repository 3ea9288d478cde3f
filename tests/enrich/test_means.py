"""The compiled means against exact fractions, bit by bit, and free of the order of items and rows."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daedalus.enrich.compiled_exact import exact_mean
from daedalus.enrich.compiled_means import NO_VECTOR, NOT_USABLE, means, move, prepared

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
NAN = 0x7FC00000
HARD = {
    "float16": [1.0, 1.0009765625, -1.0, 65504.0, 6e-8, -6e-8, 0.333251953125],
    "float32": [1.0, 1 + 2.0**-23, 1e30, -1e30, 3.4028234663852886e38, 2.0**-149, -(2.0**-149), 2.0**-126, 0.1],
    "float64": [1.0, 1 + 2.0**-24, 1 + 2.0**-24 + 2.0**-52, 1e300, -1e300, 1.7976931348623157e308, 5e-324, -5e-324,
                3.4028235677973366e38, 2.0**-150, 3 * 2.0**-150, 2.0**199, -(2.0**200), 0.1],
}  # fmt: skip


def nearest(number: Fraction) -> float:
    """The float32 nearest to a number, ties to even; beyond the largest, infinite."""
    if not number:
        return 0.0
    size = abs(number)
    place = size.numerator.bit_length() - size.denominator.bit_length()
    place -= size < Fraction(2) ** place  # 2^place <= size < 2^(place + 1)
    unit = Fraction(2) ** max(place - 23, -149)
    found = round(size / unit) * unit  # of a fraction: ties to even
    return math.copysign(math.inf if found >= 2**128 else float(found), number)


def expected(vectors: np.ndarray, items: list[int]) -> list[int] | None:
    """The bits of the mean's components, or None."""
    taken = [vectors[i].astype(np.float64).tolist() for i in items if i >= 0]
    if not taken or NOT_USABLE in items:
        return None
    means = []
    for numbers in zip(*taken, strict=True):
        if all(map(math.isfinite, numbers)):
            means.append(nearest(sum(map(Fraction, numbers), Fraction(0)) / len(numbers)))
        else:
            means.append(sum(x for x in numbers if not math.isfinite(x)))
    found = np.array(means, np.float32)
    return np.where(np.isnan(found), NAN, found.view(np.uint32)).tolist()


def of_rows(vectors: np.ndarray, rows: list[list[int]]) -> tuple[list[list[int] | None], np.ndarray, np.ndarray]:
    """(the bits of each row's mean, or None; which mean it is; where the first item is that is not usable)."""
    sizes = np.array([len(row) for row in rows], np.int64)
    codes = np.array([code for row in rows for code in row], np.int32)
    ready = prepared(vectors, int(sizes.max(initial=0)))
    index, values, refused = means(ready, codes, np.cumsum(sizes) - sizes, sizes)
    return [values[i].view(np.uint32).tolist() if i >= 0 else None for i in index], index, refused


@st.composite
def worlds(draw):
    """Vectors of a type, tame or hard, and rows of lists that are often alike."""
    kind = draw(st.sampled_from(sorted(HARD)))
    width = int(kind[5:])
    number = draw(st.sampled_from([
        st.floats(-1, 1, width=width), st.sampled_from(HARD[kind]), st.floats(width=width),
        st.floats(allow_nan=False, allow_infinity=False, width=width),
        st.one_of(st.sampled_from(HARD[kind]), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0])),
    ]))  # fmt: skip
    count, dim = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    vectors = draw(st.lists(st.lists(number, min_size=dim, max_size=dim), min_size=count, max_size=count))
    lists = draw(st.lists(st.lists(st.integers(-2, count - 1), max_size=9), min_size=1, max_size=4))
    rows = draw(st.lists(st.sampled_from(lists), max_size=12))
    limit = draw(st.sampled_from([None, 1, 2, 3, 4, 5]))
    return np.array(vectors, kind), [row[:limit] for row in rows]


@given(world=worlds())
@settings(max_examples=EXAMPLES, deadline=None)
def test_means_are_the_exact_ones_correctly_rounded(world):
    vectors, rows = world
    found, index, refused = of_rows(vectors, rows)
    assert found == [expected(vectors, row) for row in rows]
    begins = np.cumsum([0, *map(len, rows)])
    for row, items in enumerate(rows):
        assert refused[row] == (begins[row] + items.index(NOT_USABLE) if NOT_USABLE in items else -1)
    made = [row for row in range(len(rows)) if index[row] >= 0]
    for before, row in pairwise(made):
        one, other = (sorted(c for c in rows[r] if c >= 0) for r in (before, row))
        assert index[row] - index[before] == (one != other)


@given(world=worlds(), seed=st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES, deadline=None)
def test_neither_the_order_of_items_nor_of_rows_changes_a_bit(world, seed):
    vectors, rows = world
    found, _, _ = of_rows(vectors, rows)
    order = seed.sample(range(len(rows)), len(rows))
    other, _, _ = of_rows(vectors, [seed.sample(rows[row], len(rows[row])) for row in order])
    assert other == [found[row] for row in order]


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("size", [2, 3, 48, 50])
def test_sums_that_are_moved_over_many_rows_stay_exact(kind, size):
    """Usual components, among them some that are too small to be summed without loss."""
    random = np.random.default_rng(size)
    vectors = random.normal(size=(60, 8)) * 2.0 ** random.integers(-40, 1, (60, 8))
    vectors = np.where(random.random((60, 8)) < 0.2, 0.0, vectors).astype(kind)
    items = random.integers(-1, 60, size).tolist()
    rows = []
    for _ in range(80):
        items = [*random.integers(-1, 60, random.integers(0, 3)).tolist(), *items][:size]
        rows.append(items)
    found, index, _ = of_rows(vectors, rows)
    assert found == [expected(vectors, row) for row in rows]
    assert max(index) > 20


def test_sums_that_are_moved_have_no_error():
    """Components that are as long and as large as can be, in lists as long as can be."""
    random = np.random.default_rng(3)
    vectors = 1 - random.random((40, 2)) * 2.0**-10
    rounded = prepared(vectors, 50).rounded
    total, counts, held = np.zeros(2), np.zeros(40, np.int32), np.zeros(0, np.int32)
    for row in range(60):
        fresh = random.integers(0, 40, 50).astype(np.int32)
        items = fresh if row % 20 == 0 else np.concatenate([fresh[: row % 20], held])[:50]
        move(total, rounded, held, items, counts)
        assert list(map(Fraction, total)) == [sum(map(Fraction, column), Fraction(0)) for column in rounded[items].T]
        assert not counts.any()
        held = items


def test_a_mean_that_is_too_small_for_a_float_keeps_its_sign():
    """Though what it is made of is lost when it is summed beside larger numbers."""
    vectors = np.array([[2.0**-160], [-(2.0**-230)], [2.0**-230], [2.0**-160]])
    assert of_rows(vectors, [[0], [1], [2], [1, 2]])[0] == [[0], [1 << 31], [0], [0]]


@pytest.mark.parametrize("count", [2, 3, 6, 7, 48])
def test_means_half_way_between_floats_and_beside_them(count):
    half = 1 + Fraction(1, 1 << 24)
    for beside in (0, 1, -1, 8, -8):
        rest = count * half + Fraction(beside, 1 << 46) - (count - 2)  # beside 1.0s, in two items
        first = np.float32(rest)
        vectors = np.array([[1.0], [first], [float(rest - Fraction(float(first)))]], np.float32)
        assert sum(map(Fraction, vectors[1:, 0].tolist())) == rest
        items = [0] * (count - 2) + [1, 2]
        found = of_rows(vectors, [items[1:], items])[0]
        assert found == [expected(vectors, items[1:]), expected(vectors, items)]
        assert found[1] == [0x3F800001 if beside > 0 else 0x3F800000]


@given(
    numbers=st.lists(st.one_of(st.floats(), st.sampled_from(HARD["float64"])), min_size=1, max_size=8),
    repeats=st.integers(1, 3),
)
@settings(max_examples=4 * EXAMPLES, deadline=None)
def test_the_exact_sum_alone(numbers, repeats):
    """Which decides where sums of doubles leave a mean open; it leaves its room as it was."""
    vectors, limbs = np.array(numbers)[:, None], np.zeros(72, np.int64)
    items = list(range(len(numbers))) * repeats
    found = exact_mean(vectors[items, 0], limbs)
    assert [int(np.float32(found).view(np.uint32))] == expected(vectors, items)
    assert not limbs.any()


def test_lists_without_anything():
    nothing = np.zeros((0, 3), np.float32)
    assert of_rows(nothing, [[], [NO_VECTOR], [NOT_USABLE]])[0] == [None, None, None]
    assert of_rows(nothing, [])[0] == []
    assert of_rows(np.zeros((1, 0), np.float16), [[0]])[0] == [[]]


def test_lists_that_vectors_are_not_prepared_for_are_refused():
    ready, sizes = prepared(np.ones((1, 3), np.float32), 3), np.array([5])
    with pytest.raises(ValueError, match="5 items, where 4"):
        means(ready, np.zeros(5, np.int32), np.array([0]), sizes)
