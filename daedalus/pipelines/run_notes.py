"""What a run's closing summary says beyond numbers: why steps ran, what the cache saved, where rows went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from daedalus.base.terminal_text import counted, cut, wrapped
from daedalus.explain.cause_lines import headline
from daedalus.explain.causes import CauseFinder
from daedalus.objectstore.object_store import Traffic
from daedalus.pipelines.run_report import cached_note
from daedalus.stagecache.action import Action, Cause
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.outcome import HIT, UNCHANGED, Outcome

_CAUSES = 4  # that the summary names


def run_notes(
    actions: Iterable[Action], outcomes: Mapping[str, Outcome], hits: int, fresh_seconds: float, finder: CauseFinder
) -> list[str]:
    """All that follows, in the order of the summary; the last two as `cached_note` wants them."""
    cut, saved = cutoff_note(actions, outcomes), cached_note(outcomes, hits, fresh_seconds)
    return [*null_vector_notes(outcomes), *cause_notes(outcomes, finder), *saved, *cut, *prediction_note(outcomes)]


def null_vector_notes(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Of how many ids that an embedding column uses the pool has only NULL vectors, on the day with most."""
    most: dict[str, int] = {}
    for outcome in outcomes.values():
        if count := outcome.counts.get("null_vectors", 0):
            column = kind_of(outcome.name).partition(":")[2]
            most[column] = max(count, most.get(column, 0))
    lines = (f"the pool has only NULL vectors for {counted(count, 'id')} that {column} uses on one day"
             for column, count in most.items())  # fmt: skip
    return [cut(f"{'vectors' if place == 0 else '':<12}{line}") for place, line in enumerate(lines)]


def cause_notes(outcomes: Mapping[str, Outcome], finder: CauseFinder) -> list[str]:
    """What made steps run, apart from what is downstream: each cause with the step-days it touched, most first."""
    touched: Counter[str] = Counter()
    cached: Counter[str] = Counter()  # by steps that what was made before answers
    followed = 0
    for outcome in outcomes.values():
        if outcome.ran or (outcome.state == HIT and outcome.why):
            said = _said(finder.told(outcome.name, outcome.why))
            (touched if outcome.ran else cached).update(said)
            followed += outcome.ran and not said
    if not touched and not followed:
        return []
    lines = [f"{count:,} x {what}" for what, count in touched.most_common(_CAUSES)]
    kept = [(what, count) for what, count in cached.most_common() if what not in touched]
    lines += [f"{count:,} x {what}, in the cache" for what, count in kept[: max(_CAUSES - len(lines), 1)]]
    more = len(touched) + len(kept) - len(lines)
    lines += [f"and {counted(more, 'more cause')}"] if more else []
    lines += [f"{followed:,} downstream"] if followed else []
    return [cut(f"{'why' if place == 0 else '':<12}{line}") for place, line in enumerate(lines)]


def _said(causes: Iterable[Cause]) -> set[str]:
    """What an action ran for, apart from what it only follows; a statement changes with its config."""
    own = [cause for cause in causes if cause.kind != "upstream"]
    return {headline(vars(cause)) for cause in [c for c in own if c.kind != "code"] or own}


def traffic_note(traffic: Traffic | None) -> list[str]:
    """What went to and from object stores."""
    if traffic is None:
        return []
    received, sent = traffic.received / 2**20, traffic.sent / 2**20
    return [f"objects     {traffic.requests:,} requests, {received:,.1f} MiB read, {sent:,.1f} MiB written"]


def cutoff_note(actions: Iterable[Action], outcomes: Mapping[str, Outcome]) -> list[str]:
    """What need not run because steps above it gave the bytes that they gave before."""
    same = [name for name, outcome in outcomes.items() if outcome.state == UNCHANGED]
    below, cached = set(same), []
    for action in actions:  # upstream stands first
        if not below.isdisjoint(action.upstream):
            below.add(action.name)
            if outcomes[action.name].state == HIT:
                cached.append(outcomes[action.name])
    if not cached:
        return []
    seconds = sum(outcome.seconds for outcome in cached)
    return [f"cutoff      {len(same)} ran, same bytes: saved {len(cached):,} step-days, about {seconds:.1f} s"]


def prediction_note(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Recorded cost against what it took, where there was a record."""
    known = [outcome for outcome in outcomes.values() if outcome.ran and outcome.expected is not None]
    if not known:
        return []
    expected = sum(outcome.expected or 0 for outcome in known)
    took = sum(outcome.seconds for outcome in known)
    return [f"predicted   {expected:.1f} s of work for {len(known):,} of the steps that ran, took {took:.1f} s"]


def shared_notes(found: Mapping | None) -> list[str]:
    """What the shared cache gave and took, and what of it was not used."""
    if found is None:
        return []
    lines = [
        f"shared      {found['hits']:,} steps taken, {found['fetched_bytes'] / 1e6:,.1f} MB fetched; "
        f"{found['shared']:,} steps added",
        f"            {found['requests']:,} requests, {found['received'] / 1e6:,.1f} MB received, "
        f"{found['sent'] / 1e6:,.1f} MB sent",
    ]
    if found["not_shared"]:
        lines.append(f"            {found['not_shared']:,} steps not shared yet: a later run does it")
    if found["not_used"]:
        what = ", ".join(f"{count:,} {why}" for why, count in sorted(found["not_used"].items()))
        lines += wrapped(f"not used: {what}", " " * 12)
    return lines
