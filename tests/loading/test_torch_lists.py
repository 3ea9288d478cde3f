"""`daedalus.torch`: lists of a block as batches have them, wherever their items lie, against plain Python."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="PyTorch is not installed")

from daedalus.parquet.lists.column_lists import Piece, ReadLists
from daedalus.torch.blocks import Block, Maker, Part
from daedalus.torch.forms import Padded, Ragged, Vectors
from daedalus.torch.lists import Rows, only
from daedalus.torch.memory import OwnMemory

KINDS = ("i4", "i8", "f2", "f4", "f8", "u1")
ROWS = st.lists(st.one_of(st.none(), st.lists(st.integers(0, 99), max_size=12)), max_size=8)


def odd(items: np.ndarray) -> np.ndarray:
    """The same, at an odd address."""
    memory = np.zeros(items.nbytes + 1, np.uint8)
    memory[1:] = items.view(np.uint8)
    return memory[1:].view(items.dtype)


@st.composite
def read(draw, kind: str, rows: list) -> ReadLists:
    """Lists as read: their items in pieces that end anywhere, values or numbers of some."""
    items = np.array([item for some in rows for item in some or ()], kind)
    ends = sorted(draw(st.lists(st.integers(0, len(items)), max_size=3)))
    several = draw(st.booleans())
    dictionary, numbers = np.unique(items, return_inverse=True)
    pieces = []
    for part, numbered in zip(np.split(items, ends), np.split(numbers, ends), strict=True):
        form = draw(st.sampled_from(["values", "u2", "u4"])) if kind != "u1" else "values"
        if form == "values":
            pieces.append(Piece(odd(part), None))
        else:
            values = dictionary.copy() if several else dictionary
            pieces.append(Piece(odd(numbered.astype(form)), values))
    lengths = np.array([len(some or ()) for some in rows], np.int64)
    return ReadLists(lengths, np.array([some is not None for some in rows], bool), pieces)


def batch_of(form, several, rows, cuts):
    """The tensors of some rows, as parts of one batch, as lists."""
    count = sum(len(some.lengths) for some in several)
    block = Block([form.hold(several, Rows.of(np.array(rows, np.int64), count))], None)
    edges = [0, *sorted(cuts), len(rows)]
    parts = [Part(block, a, b, None) for a, b in pairwise(edges)]
    ((batch,)) = Maker([form], OwnMemory()).make([parts])
    return [tensor.tolist() for tensor in batch.values()]


@given(st.data(), st.sampled_from(KINDS))
@settings(max_examples=150, deadline=None)
def test_lists_come_from_wherever_they_lie(data, kind):
    whole = [data.draw(ROWS) for _ in range(data.draw(st.integers(1, 3)))]
    several = [data.draw(read(kind, rows)) for rows in whole]
    lists = [some or [] for rows in whole for some in rows]
    if data.draw(st.booleans()):  # those that a filter left
        keep = [data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))) for rows in whole]
        several = [only(some, np.array(kept, bool)) for some, kept in zip(several, keep, strict=True)]
        lists = [some for some, kept in zip(lists, chain(*keep), strict=True) if kept]
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10, unique=True)) if lists else []
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=2))
    chosen = [lists[row] for row in rows]
    items, offsets = batch_of(Ragged("x"), several, rows, cuts)
    assert items == [item for some in chosen for item in some]
    assert offsets == [sum(map(len, chosen[:row])) for row in range(len(chosen) + 1)]
    length = data.draw(st.integers(1, 9))
    padded, lengths = batch_of(Padded("x", length), several, rows, cuts)
    fill = 255 if kind == "u1" else -1
    expected = [some[:length] + [np.nan if kind[0] == "f" else fill] * (length - len(some)) for some in chosen]
    np.testing.assert_array_equal(np.array(padded), np.array(expected).reshape(np.shape(padded)))
    assert lengths == [min(len(some), length) for some in chosen]


@given(st.data(), st.sampled_from(["f2", "f4"]), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_vectors_come_from_wherever_they_lie(data, kind, length):
    vector = st.lists(st.integers(0, 99), min_size=length, max_size=length)
    whole = [data.draw(st.lists(st.one_of(st.none(), vector), max_size=6)) for _ in range(2)]
    several = [data.draw(read(kind, rows)) for rows in whole]
    lists = [some for rows in whole for some in rows]
    rows = data.draw(st.permutations(range(len(lists))))
    vectors, valid = batch_of(Vectors("x", length), several, rows, [len(rows) // 2])
    assert vectors == [lists[row] or [0] * length for row in rows]
    assert valid == [lists[row] is not None for row in rows]
