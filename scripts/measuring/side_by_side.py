"""daeda and its peers, cold and in turn on one world: medians, and ratios within each turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from measuring.peers import Peer, compared
from measuring.process import Failed, Measured, size_of
from measuring.worlds import World

OURS = "daeda"


@dataclass
class Runs:
    """What one program did: its runs, a turn each, over `days`; and the bytes that it wrote."""

    days: int
    runs: list[Measured] = field(default_factory=list)
    bytes: int = 0

    def a_day(self, clock: str) -> list[float]:
        return [getattr(run, clock) / self.days for run in self.runs]

    def figures(self) -> dict[str, Any]:
        return {
            "days": self.days,
            "cpu_a_day": round(statistics.median(self.a_day("cpu")), 4),
            "seconds_a_day": round(statistics.median(self.a_day("seconds")), 4),
            "peak_bytes": max(run.memory for run in self.runs),
            "output_bytes_a_day": self.bytes // self.days,
        }


def side_by_side(
    world: World, peers: Sequence[Peer], repeat: int, say: Callable[[str], None], *, small: bool
) -> dict[str, Any]:  # fmt: skip
    """Runs all in turn and says what each took; the figures by program, of those that did not fail."""
    every = {peer.name: Runs(peer.days(world)) for peer in peers} | {OURS: Runs(world.days)}
    failed: dict[str, str] = {}
    for turn in range(repeat):
        for peer in (*peers, None) if turn % 2 == 0 else (None, *reversed(peers)):
            name = peer.name if peer else OURS
            if name in failed:
                continue
            try:
                if turn == 0 and peer:  # what it compiles is compiled then
                    peer.run(world, small=small, days=1)
                run = peer.run(world, small=small) if peer else _cold(world)
            except Failed as error:
                if not peer:
                    raise
                failed[name] = str(error)
                say(f"  {name} failed: {error}")
                continue
            every[name].runs.append(run)
            every[name].bytes = size_of(peer.output() if peer else world.output)
            say(f"  {name:<14}{_figures(run, every[name].days)}")
    figures: dict[str, Any] = {name: runs.figures() for name, runs in every.items() if name not in failed}
    for peer in peers:
        if peer.name not in failed:
            for clock in ("cpu", "seconds"):
                figures[peer.name][f"{OURS}_takes_{clock}"] = _ratios(every[OURS], every[peer.name], clock)
            figures[peer.name]["compared"] = compared(world, peer.output())
    for line in _lines(figures):
        say(f"  {line}")
    return figures | {name: {"failed": why} for name, why in failed.items()}


def _cold(world: World) -> Measured:
    world.forget()
    return world.run()


def _figures(run: Measured, days: int) -> str:
    return f"{run.cpu / days:9.3f} CPU s a day{run.seconds / days:9.3f} s a day{run.memory / 2**30:7.2f} GiB"


def _ratios(ours: Runs, theirs: Runs, clock: str) -> dict[str, float]:
    """How many times theirs ours is, within each turn."""
    pairs = [own / other for own, other in zip(ours.a_day(clock), theirs.a_day(clock), strict=True)]
    return {"times": round(statistics.median(pairs), 3), "least": round(min(pairs), 3), "most": round(max(pairs), 3)}


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    yield (f"{'':<14}{'days':>5}{'CPU s a day':>13}{'s a day':>10}{'peak GiB':>10}{'MB a day':>10}"
           f"   {OURS} takes, CPU           on the clock")  # fmt: skip
    for name, found in sorted(figures.items(), key=lambda item: item[0] != OURS):
        times = "".join(f"   {_times(found.get(f'{OURS}_takes_{clock}'))}" for clock in ("cpu", "seconds"))
        sizes = f"{found['peak_bytes'] / 2**30:>10.2f}{found['output_bytes_a_day'] / 1e6:>10.2f}"
        clocks = f"{found['cpu_a_day']:>13.3f}{found['seconds_a_day']:>10.3f}"
        yield f"{name:<14}{found['days']:>5}{clocks}{sizes}{times}".rstrip()
    for name, found in figures.items():
        if "compared" in found:
            yield f"rows of {name}: " + ", ".join(f"{what} {count}" for what, count in found["compared"].items())


def _times(ratios: dict[str, float] | None) -> str:
    return f"{ratios['times']:.2f} times ({ratios['least']:.2f} to {ratios['most']:.2f})" if ratios else ""
