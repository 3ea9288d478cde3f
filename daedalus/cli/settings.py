"""Options as the Python API takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daedalus.workspace.settings import Settings


def settings_of(
    config: str, cache_root: str | None, output_root: str | None, day_workers: int | None = None,
    entity_spine_chunk_rows: int | None = None, enriched_root: str | None = None,
) -> Settings:  # fmt: skip
    """The settings of a command; what makes them is imported when it runs."""
    from daedalus.workspace.settings import Settings

    return Settings(config, cache_root, output_root, day_workers, entity_spine_chunk_rows, enriched_root)
