"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from daedalus.workspace.settings import Settings

ProgressKind = Literal["auto", "tui", "plain", "none"]
Config = Annotated[str, Parameter(help="Folder with catalog.yaml and training/*.yaml.")]
CacheRoot = Annotated[str | None, Parameter(help="Folder of the cache; default: the config's cache_root.")]
OutputRoot = Annotated[str | None, Parameter(help="Where partitions go; default: the config's output_root.")]
AllowEmpty = Annotated[
    bool, Parameter(negative=(), help="Take a range without any feed rows: its partitions are removed.")
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print one JSON object on stdout, nothing else.")]


def settings_of(config: str, cache_root: str | None, output_root: str | None, *more: int | None) -> Settings:
    """The options as the Python API takes them."""
    from daedalus.workspace.settings import Settings

    return Settings(config, cache_root, output_root, *more)
