"""The configuration as a value: the three files of a folder, validated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from daedalus.base.days import Day, DayRange, parse_range
from daedalus.config.duckdb_settings import allowed_settings
from daedalus.config.schema import Aggregation, Catalog, OutputColumn, Runtime
from daedalus.config.steps import ENRICH, SKELETON, Stage

CATALOG = "catalog.yaml"


RUNTIME = "training/runtime.yaml"


AGGREGATIONS = "training/aggregations.yaml"


@dataclass(frozen=True)
class Config:
    """The three files of one config folder, validated."""

    folder: Path
    catalog: Catalog
    runtime: Runtime
    aggregations: tuple[Aggregation, ...]
    # Of the feed's extra columns, and of ids that are text, once files were seen.
    feed_types: Mapping[str, str] = field(default_factory=dict)

    def where(self, file: str, key: str) -> str:
        return f"{self.folder / file}: {key}"

    @property
    def duckdb_settings(self) -> dict[str, Any]:
        """`compute.duckdb_config`, with aliases replaced. Raises DaedalusError."""
        return allowed_settings(self.runtime.compute.duckdb_config, self.where(RUNTIME, "compute.duckdb_config"))

    @property
    def output_columns(self) -> tuple[OutputColumn, ...]:
        columns = self.runtime.output_columns
        return tuple(OutputColumn(name=c) if isinstance(c, str) else c for c in columns)

    @property
    def renamed(self) -> dict[str, str]:
        """Name in the output by the name under which a column is made, where they differ."""
        return {one.made_from: one.name for one in self.output_columns if one.name != one.made_from}

    def made_from(self, output: str) -> str:
        """The name under which an output column is made."""
        return next((one.made_from for one in self.output_columns if one.name == output), output)

    @property
    def meaning(self) -> str:
        """All of it that anything made may follow from, as text: what is expected of that, and splits, are not."""
        return repr((self.catalog, structs.replace(self.runtime, expect=None, splits=None), self.aggregations))

    @property
    def reads_pool(self) -> bool:
        """Whether anything is read of the embedding pool."""
        return self.runtime.embedding_coverage_filter.enabled or self.runtime.embeddings is not None

    @property
    def stages(self) -> Sequence[Stage]:
        """The stages that it has."""
        return (SKELETON, ENRICH) if self.runtime.embeddings else (SKELETON,)

    def root_of(self, stage: Stage) -> str:
        """The output root of a stage."""
        embeddings = self.runtime.embeddings if stage is ENRICH else None
        return embeddings.output_root if embeddings else self.runtime.output_root

    def of_stage(self, stage: Stage) -> Config:
        """What of it a stage's bytes follow from: the skeleton's from all but the embeddings."""
        if stage is not SKELETON or self.runtime.embeddings is None:
            return self
        expect = self.runtime.expect.without(self.runtime.embeddings.columns) if self.runtime.expect else None
        return replace(self, runtime=structs.replace(self.runtime, embeddings=None, expect=expect))

    def range(self, text: str | None) -> DayRange:
        """The days that a text such as `202602..202605` names; without one, those of feed_start to feed_end."""
        if text is not None:
            return parse_range(text)
        first, last = parse_range(str(self.runtime.feed_start)), parse_range(str(self.runtime.feed_end))
        return DayRange(first.first, last.last)

    def session_range(self, days: Iterable[Day]) -> set[Day]:
        """Some days and those of the range; there are qids if a partition of theirs has sessions."""
        return set(self.range(None)) | set(days)
