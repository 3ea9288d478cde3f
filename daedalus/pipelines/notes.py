"""What a run's closing summary says beyond numbers: why steps ran, what was spared, where rows went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from textwrap import wrap

from daedalus.objects import Traffic
from daedalus.pipelines.explain import FUNNEL
from daedalus.pipelines.report import spared_note
from daedalus.stagecache.action import Action
from daedalus.stagecache.outcome import HIT, UNCHANGED, Outcome

_CAUSES = 4  # that the summary names


def run_notes(actions: Iterable[Action], outcomes: Mapping[str, Outcome], hits: int, stood_seconds: float) -> list[str]:
    """All that follows, in the order of the summary; the last two as `spared_note` wants them."""
    cut, spared = cutoff_note(actions, outcomes), spared_note(outcomes, hits, stood_seconds)
    return [*funnel_note(outcomes), *cause_notes(outcomes), *spared, *cut, *prediction_note(outcomes)]


def cause_notes(outcomes: Mapping[str, Outcome]) -> list[str]:
    """What made steps run, apart from what only followed: each cause with the step-days it touched, most first."""
    touched: Counter[str] = Counter()
    for outcome in outcomes.values():
        if outcome.ran:
            causes = [cause for cause in outcome.why if cause.kind != "upstream"]
            said = [cause for cause in causes if cause.kind != "code"] or causes  # a statement changes with its config
            touched.update({cause.what if cause.kind == "missing" else f"{cause.kind} {cause.what}" for cause in said})
    ran = sum(outcome.ran for outcome in outcomes.values())
    followed = ran - sum(any(cause.kind != "upstream" for cause in o.why) for o in outcomes.values() if o.ran)
    lines = [f"{count:,} x {what}" for what, count in touched.most_common(_CAUSES)]
    if len(touched) > _CAUSES:
        lines.append(f"and {len(touched) - _CAUSES:,} more causes")
    if followed:
        lines.append(f"{followed:,} only followed")
    return [f"{'why' if place == 0 else '':<12}{line}"[:80] for place, line in enumerate(lines)]


def traffic_note(traffic: Traffic | None) -> list[str]:
    """What went to and from object stores."""
    if traffic is None:
        return []
    received, sent = traffic.received / 2**20, traffic.sent / 2**20
    return [f"objects     {traffic.requests:,} requests, {received:,.1f} MiB read, {sent:,.1f} MiB written"]


def funnel_note(outcomes: Mapping[str, Outcome]) -> list[str]:
    """The target days' rows after each step that drops some, over the days that were walked to their end."""
    ends = [outcome for outcome in outcomes.values() if outcome.step == "chunk" and outcome.good]
    stages = []
    for label, (step, count) in FUNNEL.items():
        if step == "chunk":
            continue  # it ships what content leaves
        found = [outcomes.get(f"{step}@{end.day}") for end in ends]
        stages.append(f"{label} {sum(outcome.counts.get(count, 0) for outcome in found if outcome):,}")
    text = f"{' > '.join(stages)} rows of {len(ends)} days"
    return wrap(text, 80, initial_indent=f"{'funnel':<12}", subsequent_indent=" " * 12) if ends else []


def cutoff_note(actions: Iterable[Action], outcomes: Mapping[str, Outcome]) -> list[str]:
    """What was spared because steps ran and gave the bytes that they gave before."""
    same = [name for name, outcome in outcomes.items() if outcome.state == UNCHANGED]
    below, spared = set(same), []
    for action in actions:  # upstream stands first
        if not below.isdisjoint(action.upstream):
            below.add(action.name)
            if outcomes[action.name].state == HIT:
                spared.append(outcomes[action.name])
    if not same:
        return []
    seconds = sum(outcome.seconds for outcome in spared)
    return [f"cutoff      {len(same)} ran, same bytes: {len(spared):,} step-days spared, about {seconds:.1f} s"]


def prediction_note(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Recorded cost against what it took, where there was a record."""
    known = [outcome for outcome in outcomes.values() if outcome.ran and outcome.expected is not None]
    if not known:
        return []
    expected = sum(outcome.expected or 0 for outcome in known)
    took = sum(outcome.seconds for outcome in known)
    return [f"predicted   {expected:.1f} s for {len(known):,} of the steps that ran, took {took:.1f} s"]


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
        lines += wrap(f"not used: {what}", 80, initial_indent=" " * 12, subsequent_indent=" " * 12)
    return lines
