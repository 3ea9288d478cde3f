"""Options as the Python API takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daedalus.workspace.settings import Settings


def settings_of(config: str, cache_root: str | None, output_root: str | None, *more: int | None) -> Settings:
    """The settings of a command; what makes them is imported when it runs."""
    from daedalus.workspace.settings import Settings

    return Settings(config, cache_root, output_root, *more)
