"""Action -> Manifest (labelled ingredients) -> ActionKey.

The manifest is the only thing that a key is made of, and the only thing that an explanation
compares. Downstream manifests hold upstream content digests, never upstream keys, so a step that
ran and gave the same bytes changes no other key (early cutoff needs no code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from daedalus.base import digest
from daedalus.base.errors import DaedalusError

Manifest = dict[str, str]  # label, such as "config:spine.deduplicate" or "upstream:spine@2026-05-12" -> value
Counts = dict[str, int]


class Again(DaedalusError):
    """What an action stood on is gone: a walk looks it up again, after the actions named `lost`."""

    def __init__(self, lost: Sequence[str] = ()) -> None:
        super().__init__(
            "an artifact of the shared cache cannot be had any more", found=", ".join(lost), hint="daeda skeleton"
        )
        self.lost = tuple(lost)


class CannotUse(Exception):
    """An answer of somebody else cannot be taken here."""


class Shelf(Protocol):
    """Where an action's output is kept, by content digest."""

    def stage(self, name: str) -> Path:
        """A path, not there yet, to write the output to."""

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        """Makes a staged output durable and visible, at once and whole. Returns (digest, bytes)."""

    def problem(self, name: str, artifact: str) -> str:
        """Why the artifact cannot be used ("missing", "damaged"), or "" when it can."""

    def path(self, name: str, artifact: str) -> Path:
        """Where a kept artifact lies. Raises Again when it cannot be had any more."""


@dataclass(frozen=True)
class Action:
    """A step bound to a day, its config and its inputs.

    `run(upstream paths by action name, staged output path)` writes the output and returns row counts.
    `after` orders without being an ingredient; `guards` must also have
    gone well. `is_unaffected(old, new)` tells of two manifests whether they surely give the same bytes, for what
    is quicker to tell than to run. `verify` is called after the run; it raises when an
    input file changed meanwhile. `describe(upstream paths)` is what runs, as text that can be run by hand.
    `moving()` are ingredients that may change while the walk goes on. `receive(counts)` is called in a worker
    before the answer of another machine is taken; it raises CannotUse.
    """

    name: str
    step: str
    day: str | None
    ingredients: Manifest
    upstream: tuple[str, ...]
    run: Callable[[Mapping[str, Path], Path], Counts]
    shelf: Shelf
    after: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    is_unaffected: Callable[[Manifest, Manifest], bool] = field(default=lambda old, new: False)
    verify: Callable[[], None] = field(default=lambda: None)
    describe: Callable[[Mapping[str, Path]], str] = field(default=lambda upstream: "")
    moving: Callable[[], Manifest] = field(default=lambda: {})
    receive: Callable[[Counts], None] | None = None

    def manifest(self, upstream_digests: Mapping[str, str]) -> Manifest:
        """All ingredients. Raises KeyError when an upstream digest is not known yet."""
        above = {f"upstream:{name}": upstream_digests[name] for name in self.upstream}
        return {"code:step": self.step, **self.ingredients, **self.moving(), **above}


def action_key(manifest: Manifest) -> str:
    return digest.of_json(manifest)


@dataclass(frozen=True)
class Cause:
    """One difference between two manifests."""

    kind: str  # config, code, input, upstream, engine or missing
    what: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.kind == "missing":
            return self.what
        old = "nothing" if self.old is None else self.old
        new = "nothing" if self.new is None else self.new
        return f"{self.kind} {self.what}: {old} -> {new}"


def differences(old: Manifest | None, new: Manifest) -> list[Cause]:
    """Why `new` is not `old`, one cause per label that differs."""
    if old is None:
        return [Cause("missing", "never computed", None, None)]
    causes = []
    for label in sorted(set(old) | set(new)):
        if old.get(label) != new.get(label):
            kind, _, what = label.partition(":")
            causes.append(Cause(kind, what, old.get(label), new.get(label)))
    return causes
