"""Plans a run without running anything: per action hit, run, or maybe (something upstream will run)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daedalus.stagecache.action import Action, Cause, Manifest, action_key, differences
from daedalus.stagecache.records.traces import Trace, Traces
from daedalus.stagecache.walk.outcome import HIT, MAYBE, RUN
from daedalus.stagecache.walk.second_level import SecondLevel


@dataclass(frozen=True)
class Lookup:
    """What the cache has for an action whose upstream is known: its key, and the trace that answers it."""

    key: str
    manifest: Manifest
    trace: Trace | None  # set only if its artifact exists and is intact
    previous: Trace | None  # of the action's last run or hit
    why: tuple[Cause, ...]  # empty on a hit


def look_up(
    action: Action, upstream: Mapping[str, str], traces: Traces, force: bool = False, *, is_new: bool = False
) -> Lookup:  # fmt: skip
    """Looks an action up: finds the trace that answers it, or the reasons why none does.

    `is_new`: no run or hit of it was on record when the walk began, so neither that nor a trace is looked for.
    """
    manifest = action.manifest(upstream)
    key = action_key(manifest)
    trace = None if is_new else traces.find(key)
    problem = action.shelf.problem(action.name, trace.artifact) if trace and not force else ""
    if trace and not force and not problem:
        return Lookup(key, manifest, trace, None, ())
    latest = None if is_new else traces.latest(action.name)
    if trace and force:
        why = [Cause("missing", "recomputed on request (--force)", None, None)]
    elif trace and (latest is None or latest.key == key):
        why = [Cause("missing", f"{problem} output", trace.artifact, None)]
    else:  # if there is a trace: an edit was undone, and a newer output has replaced the one of this key
        why = differences(latest.manifest if latest else None, manifest)
    return Lookup(key, manifest, None, latest, tuple(why))


def turned_back(action: Action, found: Trace, traces: Traces) -> tuple[Cause, ...]:
    """What changed since the action's last run or hit, when the cache still has its result from before."""
    latest = traces.latest(action.name)
    return tuple(differences(latest.manifest, found.manifest)) if latest and latest.key != found.key else ()


@dataclass(frozen=True)
class Verdict:
    """What a run now would do with an action."""

    action: Action
    state: str  # HIT, RUN or MAYBE
    why: tuple[Cause, ...]  # of a hit: what changed since its last run or hit
    trace: Trace | None  # of a hit the trace that answers, else the previous one, whose cost is the estimate
    key: str = ""


def make_plan(
    actions: Iterable[Action], traces: Traces, force: bool = False, level: SecondLevel | None = None
) -> list[Verdict]:
    """One verdict per action; `actions` are ordered so that upstream comes first.

    `level` may answer too, from what it knows without requests.
    """
    digests: dict[str, str] = {}
    latest = traces.latest_keys()
    waiting: dict[str, str] = {}  # actions that will or may run
    verdicts = []
    for action in actions:
        unsure = [name for name in action.upstream if name in waiting]
        if unsure:
            why = tuple(Cause("upstream", name, None, waiting[name]) for name in unsure)
            verdicts.append(Verdict(action, MAYBE, why, traces.latest(action.name)))
            waiting[action.name] = MAYBE
            continue
        found = look_up(action, digests, traces, force)
        trace = found.trace or (level.known(action, found.key) if level and not force else None)
        if trace:
            digests[action.name] = trace.artifact
            turned = latest.get(action.name, found.key) != found.key
            why = turned_back(action, trace, traces) if turned else ()
            verdicts.append(Verdict(action, HIT, why, trace, found.key))
        else:
            waiting[action.name] = RUN
            verdicts.append(Verdict(action, RUN, found.why, found.previous, found.key))
    return verdicts
