"""The steps of a day as a graph: what reads what, in layers, with the places of boxes and arrows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from daedalus.base.days import Day
from daedalus.config.steps import ORDER
from daedalus.explain.day import planned
from daedalus.stagecache.action_name import day_of, kind_of, step_of
from daedalus.stagecache.walk.outcome import HIT, MAYBE, RUN
from daedalus.stagecache.walk.plan import Verdict
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

WIDE, HIGH, BETWEEN, APART = 176, 34, 36, 9  # of a box; between layers, and boxes of a layer
_SWEEPS = 4
_WORST = (HIT, MAYBE, RUN)


class Node(TypedDict):
    """A step of the day or of none; or with `days` above 0 all steps of a kind of that many other days."""

    id: str
    step: str
    state: str
    days: int
    x: int
    y: int


class Arrow(TypedDict):
    """From a step to one that reads it; `path` is as SVG has it."""

    source: str
    target: str
    path: str


class Lineage(TypedDict):
    """The boxes and arrows, and the room that they take."""

    day: str
    width: int
    height: int
    nodes: list[Node]
    arrows: list[Arrow]


def lineage(settings: Settings, target: Day) -> Lineage:
    """What the steps of a day, as a run now would have them, read."""
    with opened(settings) as workspace:
        _, verdicts = planned(workspace, target)
    return drawn(str(target), verdicts)


def drawn(day: str, verdicts: Mapping[str, Verdict]) -> Lineage:
    """The graph of a plan of one day; steps of other days are one box a kind."""
    box = {name: _box_of(name, day) for name in verdicts}
    members: dict[str, list[str]] = defaultdict(list)
    for name, of in box.items():
        members[of].append(name)
    above: dict[str, set[str]] = {of: set() for of in members}
    for name, verdict in verdicts.items():
        above[box[name]] |= {box[up] for up in verdict.action.upstream if up in box and box[up] != box[name]}
    places = _placed(_layers(above), above)
    nodes: list[Node] = [
        {
            "id": of,
            "step": kind_of(names[0]),
            "state": max((verdicts[name].state for name in names), key=_WORST.index),
            "days": 0 if day_of(names[0]) in ("", day) else len({day_of(name) for name in names}),
            "x": places[of][0],
            "y": places[of][1],
        }
        for of, names in members.items()
    ]
    nodes.sort(key=lambda node: (node["x"], node["y"]))  # the order in which a keyboard goes through them
    arrows: list[Arrow] = [
        {"source": up, "target": of, "path": _curve(places[up], places[of])}
        for of, ups in above.items() for up in sorted(ups)
    ]  # fmt: skip
    width = max((x for x, _ in places.values()), default=0) + WIDE
    height = max((y for _, y in places.values()), default=0) + HIGH
    return {"day": day, "width": width, "height": height, "nodes": nodes, "arrows": arrows}


def _box_of(name: str, day: str) -> str:
    of = day_of(name)
    return name.removesuffix(f"@{day}") if of in ("", day) else f"{kind_of(name)}@others"


def _layers(above: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Each box in the layer after the last of those that it reads; one that is read late stands just before."""
    depth: dict[str, int] = {}

    def depth_of(box: str) -> int:
        if box not in depth:
            depth[box] = 0  # of a circle, which there is none of
            depth[box] = max((depth_of(up) + 1 for up in above[box]), default=0)
        return depth[box]

    for box in above:
        depth_of(box)
    below: dict[str, list[str]] = defaultdict(list)
    for box, ups in above.items():
        for up in ups:
            below[up].append(box)
    for box in sorted(depth, key=lambda one: -depth[one]):
        if below[box]:
            depth[box] = min(depth[under] for under in below[box]) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for box in sorted(depth, key=lambda one: (ORDER.get(step_of(one), len(ORDER)), one)):
        layers[depth[box]].append(box)
    return [layer for layer in layers if layer]


def _placed(layers: Sequence[Sequence[str]], above: Mapping[str, Iterable[str]]) -> dict[str, tuple[int, int]]:
    """Places of boxes: those of a layer in the order of the middle of what they are joined to."""
    order = [list(layer) for layer in layers]
    joined: dict[str, set[str]] = defaultdict(set)
    for box, ups in above.items():
        for up in ups:
            joined[box].add(up)
            joined[up].add(box)
    for _ in range(_SWEEPS):
        middle = {box: (at + 0.5) / len(layer) for layer in order for at, box in enumerate(layer)}
        for layer in order:
            layer.sort(key=lambda box: (_mean([middle[one] for one in joined[box]], middle[box]), box))
    tallest = max(map(len, order), default=0)
    places = {}
    for column, layer in enumerate(order):
        top = (tallest - len(layer)) * (HIGH + APART) // 2
        for row, box in enumerate(layer):
            places[box] = (column * (WIDE + BETWEEN), top + row * (HIGH + APART))
    return places


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _curve(source: tuple[int, int], target: tuple[int, int]) -> str:
    x0, y0, x1, y1 = source[0] + WIDE, source[1] + HIGH // 2, target[0], target[1] + HIGH // 2
    bend = max((x1 - x0) // 2, BETWEEN // 2)
    return f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"
