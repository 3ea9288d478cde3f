"""What the command line and Python callers may set over the configuration."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from daedalus.base.errors import at_least
from daedalus.config import Config, load_config
from daedalus.config.steps import SKELETON
from daedalus.workspace.output_roots import check_roots

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class Settings:
    """What the command line may set over the config; None leaves the config's value.

    `output_root` is the skeleton's, `enriched_root` that of the enriched partitions.
    """

    config: str = "config"
    cache_root: str | None = None
    output_root: str | None = None
    day_workers: int | None = None
    entity_spine_chunk_rows: int | None = None
    enriched_root: str | None = None

    @property
    def options(self) -> str:
        """The options by which another command finds the same config, cache and output: "" or ` --config mine`."""
        return self._with_root(self.output_root)

    def run(self, config: Config, model: str | None = None) -> str:
        """The command that makes what a config, which is this one applied, has: such as `daeda enrich --config mine`.

        With an output root of the skeleton it makes that alone; a `model` is trained.
        """
        stage = SKELETON if self.output_root is not None else config.stages[-1]
        options = self._with_root(self.output_root if stage is SKELETON else self.enriched_root)
        if model is None:
            return f"daeda {stage.name}{options}"
        return f"daeda pipeline train {shlex.quote(model)}{' --skeleton-only' * (stage is SKELETON)}{options}"

    def _with_root(self, output_root: str | None) -> str:
        given = {"--config": self.config if self.config != "config" else None, "--cache-root": self.cache_root,
                 "--output-root": output_root}  # fmt: skip
        return "".join(f" {option} {shlex.quote(value)}" for option, value in given.items() if value is not None)

    def opens(self, usual: Callable[..., Opened]) -> Callable[..., Opened]:
        """What opens a workspace: the usual one, or one that only reads (see reading.py)."""
        return usual

    def applied(self) -> Config:
        """The config of the folder with these values in it. Raises DaedalusError."""
        config = load_config(self.config)
        import msgspec

        given = {k: v for k, v in dataclasses.asdict(self).items() if v is not None and k != "config"}
        for key in ("day_workers", "entity_spine_chunk_rows"):
            at_least(1, given.get(key), "--" + key.replace("_", "-"))
        enriched, runtime = given.pop("enriched_root", None), config.runtime
        if enriched is not None and runtime.embeddings:
            embeddings = msgspec.structs.replace(runtime.embeddings, output_root=enriched)
            given["embeddings"] = embeddings
        config = dataclasses.replace(config, runtime=msgspec.structs.replace(runtime, **given))
        check_roots(config, {*given, *(["embeddings.output_root"] if enriched is not None else [])})
        return config
