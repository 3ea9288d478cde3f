"""Actions, their manifests (labelled ingredients), and the key of a manifest.

A key is the digest of a manifest and of nothing else, and explanations compare manifests. A manifest
holds the content digests of upstream artifacts, never their keys, so a step that runs and gives the
same bytes changes no other key (early cutoff needs no code).
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
    """An artifact that an action reads is gone: the walk looks the action up again, after the actions named `lost`."""

    def __init__(self, lost: Sequence[str] = ()) -> None:
        super().__init__(
            "an artifact of the shared cache is no longer available", found=", ".join(lost), hint="run again"
        )
        self.lost = tuple(lost)


class CannotUse(Exception):
    """A result that another machine made cannot be used here."""


class Shelf(Protocol):
    """Stores the outputs of actions by content digest."""

    def stage(self, name: str) -> Path:
        """A path to write the output to, where nothing exists yet."""

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        """Makes a staged output durable and visible, atomically. Returns (digest, bytes)."""

    def problem(self, name: str, artifact: str) -> str:
        """Why the artifact cannot be used, such as "missing" or "damaged"; "" when it can."""

    def path(self, name: str, artifact: str) -> Path:
        """The path of a kept artifact. Raises Again when it is no longer available."""


@dataclass(frozen=True)
class Part:
    """One of the parts that an action is computed in."""

    index: int
    count: int

    def of(self, many: int) -> range:
        """Its share of so many things in a row."""
        return range(many * self.index // self.count, many * (self.index + 1) // self.count)


@dataclass(frozen=True)
class Parts:
    """How several workers compute an action, a part each: put together, the parts are the bytes that `run` writes.

    In how many parts changes no byte, so no key says it. `rows(rows by upstream action)` is how many rows there are to
    work on. `run(part, upstream paths, path to write)` makes a part and returns its counts, which are added up;
    `join(paths of all parts, upstream paths, staged output path)` puts them together, and its counts replace those.
    """

    rows: Callable[[Mapping[str, int]], int]
    run: Callable[[Part, Mapping[str, Path], Path], Counts]
    join: Callable[[Sequence[Path], Mapping[str, Path], Path], Counts]


@dataclass(frozen=True)
class InOrder:
    """How an action that comes `after` another one is computed so that only a small part of it waits for its turn.

    `before` makes of what the action reads what is to be done in turn. `turn` reads that and nothing else; it waits,
    and runs on the machine that the walk is on. `rest` reads all of it, and writes the bytes that `run` writes. What
    the first two make is removed when the action is done, and has no trace.
    """

    before: Action
    turn: Action
    rest: Action


@dataclass(frozen=True)
class Action:
    """A step bound to a day, its config and its inputs.

    `run(upstream paths by action name, staged output path)` writes the output and returns row counts.
    `after` names actions that must end before this one, without being ingredients; those in `guards` must also
    succeed, and so must those `beside`, whose paths `run` gets too: they say where something is, not what it is, so
    the bytes must not depend on them. Those `replaced` are upstream whose artifacts lie where others may put a new one
    at any time, so they are looked at again after the run. `is_unaffected(old, new)` returns whether two manifests are
    certain to give the same bytes, where that is quicker to find out than to run. `verify` is called after the run; it
    raises when an input file changed meanwhile. `describe(upstream paths)` returns what runs as text that can be run by
    hand. `moving()` returns ingredients that may change during the walk. `receive(counts)` is called in a worker before
    a result of another machine is used; it raises CannotUse. With `parts` it may be computed in parts, and with
    `in_order` as that says.
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
    beside: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    is_unaffected: Callable[[Manifest, Manifest], bool] = field(default=lambda old, new: False)
    verify: Callable[[], None] = field(default=lambda: None)
    describe: Callable[[Mapping[str, Path]], str] = field(default=lambda upstream: "")
    moving: Callable[[], Manifest] = field(default=lambda: {})
    receive: Callable[[Counts], None] | None = None
    parts: Parts | None = None
    in_order: InOrder | None = None

    @property
    def tasks(self) -> tuple[Action, ...]:
        """What may be run of it by name: the action, and those that it is made of."""
        made_of = self.in_order
        return (self, made_of.before, made_of.turn, made_of.rest) if made_of else (self,)

    @property
    def reads(self) -> tuple[str, ...]:
        """The actions whose artifacts `run` gets."""
        return (*self.upstream, *self.beside)

    def manifest(self, upstream_digests: Mapping[str, str]) -> Manifest:
        """All ingredients by label. Raises KeyError when an upstream digest is not known yet."""
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
    """The causes by which `new` differs from `old`, one per label."""
    if old is None:
        return [Cause("missing", "never computed", None, None)]
    causes = []
    for label in sorted(set(old) | set(new)):
        if old.get(label) != new.get(label):
            kind, _, what = label.partition(":")
            causes.append(Cause(kind, what, old.get(label), new.get(label)))
    return causes
