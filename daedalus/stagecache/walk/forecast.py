"""What a walk is expected to run, and how long each action takes: for who watches it, and for the order on a cluster.

A plan (plan.py) reads whole traces and checks artifacts; this asks the records three questions in all, and takes
artifacts for whole, so that a run can afford it before it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from daedalus.stagecache.action import Action, Counts, action_key
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.records.traces import Cost, Trace, Traces
from daedalus.stagecache.walk.executor import TINY
from daedalus.stagecache.walk.outcome import HIT, MAYBE, RUN, rows_out
from daedalus.stagecache.walk.second_level import SecondLevel

Guess = Callable[[Action], float]  # the seconds of an action whose like never ran here
Least = Callable[[Action, Mapping[str, str]], float]  # those of one that runs, given the states of what is upstream


class Expected(Struct, frozen=True):
    """What is expected of an action.

    `state` is HIT, RUN or MAYBE, `seconds` are those of the action if it runs, `chain` those of the longest chain of
    actions that run one after the other, from it on. `guessed`: nothing of its kind is in the records.
    """

    state: str
    seconds: float
    chain: float = 0.0
    guessed: bool = False


class Forecast(Struct, frozen=True):
    """What is expected of each action by name, and how many actions run at once; 0 when that is not known."""

    steps: Mapping[str, Expected] = {}
    workers: int = 0


def expected_seconds(
    last: Trace | Cost | None, kind: tuple[float, float] | None, above: Iterable[Counts]
) -> float | None:
    """What the action cost last, or its `kind` on other days, scaled by the rows that it will read now.

    `kind` has mean seconds and rows, `above` the counts of what is upstream. None when nothing like it ever ran.
    """
    if last:
        seconds, rows_then = last.seconds, float(last.counts.get("rows_in", 0))
    elif kind:
        seconds, rows_then = kind
    else:
        return None
    rows_now = sum(map(rows_out, above))
    scale = rows_now / rows_then if rows_now and rows_then else 1.0
    return round(seconds * scale, 4)


def forecast_walk(
    actions: Sequence[Action], traces: Traces, guess: Guess, least: Least, *, workers: int, force: bool,
    level: SecondLevel | None,
) -> Forecast:  # fmt: skip
    """The forecast of a walk over `actions`, upstream first."""
    costs, kinds = traces.latest_costs(), traces.costs()
    states = _states(actions, traces, costs, force, level)
    found: dict[str, tuple[float, bool]] = {}
    for action in actions:
        last = costs.get(action.name)
        if last and states[action.name] == HIT:
            found[action.name] = last.seconds, False
            continue
        above = [costs[name].counts for name in action.upstream if name in costs]
        seconds = expected_seconds(last, kinds.get(kind_of(action.name)), above)
        new = seconds is None
        found[action.name] = guess(action) if seconds is None else max(seconds, least(action, states)), new
    chains = _chains(actions, {name: 0.0 if states[name] == HIT else seconds for name, (seconds, _) in found.items()})
    steps = {name: Expected(states[name], seconds, chains[name], new) for name, (seconds, new) in found.items()}
    return Forecast(steps, min(workers, 1) if _are_tiny(steps.values()) else workers)


def _are_tiny(steps: Iterable[Expected]) -> bool:
    """Whether what runs is so short that one thread runs it all (see `Threads`)."""
    seconds = [step.seconds for step in steps if step.state != HIT]
    return sum(seconds) < TINY * len(seconds)


def _states(
    actions: Iterable[Action], traces: Traces, costs: Mapping[str, Cost], force: bool, level: SecondLevel | None
) -> dict[str, str]:
    """HIT, RUN or MAYBE by action."""
    states: dict[str, str] = {}
    made: dict[str, str] = {}
    artifacts = traces.artifacts()
    for action in actions:
        name = action.name
        if force or not all(above in made for above in action.upstream):
            states[name] = RUN if force else MAYBE
            continue
        key = action_key(action.manifest(made))
        artifact, last = artifacts.get(key), costs.get(name)
        if artifact and last and last.artifact != artifact and action.shelf.problem(name, artifact):
            artifact = None  # of an edit that was undone; newer output has replaced it
        if artifact is None and level and (trace := level.known(action, key)):
            artifact = trace.artifact
        states[name] = HIT if artifact else RUN
        if artifact:
            made[name] = artifact
    return states


def _chains(actions: Sequence[Action], seconds: Mapping[str, float]) -> dict[str, float]:
    """For each action its seconds and those of the longest chain of actions that wait for it."""
    below: dict[str, float] = {}
    chains: dict[str, float] = {}
    for action in reversed(actions):
        chains[action.name] = own = seconds[action.name] + below.get(action.name, 0.0)
        for name in (*action.reads, *action.after):
            below[name] = max(below.get(name, 0.0), own)
    return chains
