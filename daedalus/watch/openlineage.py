"""Sends runs and datasets to an OpenLineage backend by the official client (the extra `lineage`).

A run of a stage is an OpenLineage run, with a child run for each day that it works on. If the backend cannot
be reached, a warning is printed, the run goes on, and nothing more is sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import daedalus
from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError, bare
from daedalus.base.installed import check_extra
from daedalus.config import Config
from daedalus.config.partition_pattern import PartitionPattern
from daedalus.config.steps import SKELETON, Stage
from daedalus.stagecache.walk.outcome import FAILED, HIT, Outcome
from daedalus.stagecache.walk.progress import Progress

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

    from daedalus.stagecache.walk.forecast import Forecast

_NAMESPACE = "daedalus"
_PRODUCER = f"daedalus-skeleton/{daedalus.__version__}"
_SECONDS = 3.0  # until a request times out


class Lineage(Progress):
    """Sends the events of a run to an http(s) address, or appends them to a file, a line of JSON each.

    Raises DaedalusError (exit 2) without the client, and for a file that cannot be written.
    """

    def __init__(self, target: str, config: Config, warn: Callable[[str], None]) -> None:
        self._client, self._config, self._warn = _client(target), config, warn
        self._runs = {stage: str(uuid.uuid4()) for stage in config.stages}
        self._open: set[str] = set()
        self._failed: set[Stage] = set()

    def begin(self, days: list[str], actions: int, forecast: Forecast) -> None:
        self._open = set(days)
        for stage in self._runs:
            self._emit("START", stage, inputs=self._inputs(stage), outputs=[_written(self._config.root_of(stage))])

    def finished(self, outcome: Outcome) -> None:
        if outcome.state == FAILED:
            self._failed |= {stage for stage in self._runs if outcome.step in stage.steps}

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        self._open.discard(day)
        for stage in self._runs:
            if own := [outcome for outcome in outcomes if outcome.step in stage.steps]:
                self._stage_done(stage, day, own)

    def _stage_done(self, stage: Stage, day: str, outcomes: list[Outcome]) -> None:
        """Tells of a stage's day, if anything ran for it."""
        if all(outcome.state == HIT for outcome in outcomes):
            return
        run, inputs = str(uuid.uuid4()), self._inputs_of_day(stage, day)
        self._emit("START", stage, inputs=inputs, run=run)
        partition = next((outcome for outcome in outcomes if outcome.step == stage.partition), None)
        if partition is None or not partition.good:
            self._failed.add(stage)
            errors = [f"{outcome.name}: {outcome.error}" for outcome in outcomes if outcome.state == FAILED]
            self._emit("FAIL", stage, inputs=inputs, run=run, error="; ".join(errors) or "blocked")
            return
        name = f"{self._config.root_of(stage)}/dt={day}"
        written = _written(name, partition.counts.get("written", 0), partition.bytes)
        self._emit("COMPLETE", stage, inputs=inputs, outputs=[written], run=run)

    def end(self) -> None:
        """Sends each stage's last event: COMPLETE, FAIL if days failed, or ABORT if the run was interrupted."""
        for stage in self._runs:
            state = "ABORT" if self._open else "FAIL" if stage in self._failed else "COMPLETE"
            error = "some days failed" if state == "FAIL" else ""
            outputs = [_written(self._config.root_of(stage))]
            self._emit(state, stage, inputs=self._inputs(stage), outputs=outputs, error=error)

    def _inputs(self, stage: Stage) -> list[Any]:
        if stage.name == SKELETON.name:
            return [_read(name, fields) for name, fields in _sources(self._config)]
        return [_read(self._config.runtime.output_root), _pool_of(self._config)]

    def _inputs_of_day(self, stage: Stage, day: str) -> list[Any]:
        if stage.name == SKELETON.name:
            feed = self._config.catalog.feed
            return [_read(f"{feed.path}/{PartitionPattern(feed.partition).folder_of(Day.fromisoformat(day))}")]
        return [_read(f"{self._config.runtime.output_root}/dt={day}"), _pool_of(self._config)]

    def _emit(self, state: str, stage: Stage, *, inputs: list[Any], outputs: list[Any] | None = None,
              run: str = "", error: str = "") -> None:  # fmt: skip
        """Sends an event of a stage's run, or of the `run` of one of its days. After an error it warns, and no more is
        sent."""
        if self._client is None:
            return
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

        above, job = self._runs[stage], f"{stage.name}.day" if run else stage.name
        facets = _run_facets(stage, above if run else None, error)
        try:
            self._client.emit(RunEvent(
                eventType=RunState[state], eventTime=datetime.now(UTC).isoformat(), producer=_PRODUCER,
                run=Run(run or above, facets), job=Job(_NAMESPACE, job), inputs=inputs, outputs=outputs or [],
            ))  # fmt: skip
        except Exception as problem:  # the run goes on, whatever the backend does
            self._client = None
            self._warn(f"lineage is no longer sent: {bare(str(problem).splitlines()[0])[:200]}")


def _client(target: str) -> OpenLineageClient | None:
    check_extra("lineage", "openlineage.client", where="--openlineage", what="the OpenLineage client")
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.file import FileConfig, FileTransport
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    if target.startswith(("http://", "https://")):
        once = {"total": 0}
        return OpenLineageClient(transport=HttpTransport(HttpConfig(url=target, timeout=_SECONDS, retry=once)))
    try:
        Path(target).open("a").close()
    except OSError as error:
        raise DaedalusError("the lineage file cannot be written", where=f"--openlineage {target}", found=error.strerror,
                            expected="an http(s) address, or a file that can be written") from None  # fmt: skip
    return OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=target, append=True)))


def _sources(config: Config) -> Iterator[tuple[str, list[str]]]:
    """What a run reads: (name in the config, columns that the config names)."""
    yield config.catalog.feed.path, []
    for view in config.catalog.views.values():
        yield view.source, [view.own_entity, view.timestamp_field, *view.features]
    coverage = config.runtime.embedding_coverage_filter
    if coverage.enabled:
        yield f"{coverage.uri}/{coverage.table}", [coverage.id_column]


def _pool_of(config: Config) -> Any:
    """The pool as the enrich stage reads it."""
    coverage, embeddings = config.runtime.embedding_coverage_filter, config.runtime.embeddings
    assert embeddings is not None
    return _read(f"{coverage.uri}/{coverage.table}", [coverage.id_column, embeddings.vector_column])


def _written(name: str, rows: int | None = None, size: int | None = None) -> Any:
    """An output dataset by its name in the config, in the namespace `file`."""
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    counted = statistics.OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size)
    return OutputDataset("file", bare(name), {} if rows is None else {"outputStatistics": counted})


def _read(name: str, fields: list[str] | None = None) -> Any:
    """An input dataset by its name in the config, with the columns that are read, if given."""
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import schema_dataset

    schema = schema_dataset.SchemaDatasetFacet([schema_dataset.SchemaDatasetFacetFields(n) for n in fields or []])
    return InputDataset("file", bare(name), facets={"schema": schema} if fields else {})


def _run_facets(stage: Stage, parent: str | None, error: str) -> dict[str, Any]:
    from openlineage.client.facet_v2 import error_message_run, parent_run

    facets: dict[str, Any] = {}
    if parent:
        above = parent_run.Job(_NAMESPACE, stage.name)
        facets["parent"] = parent_run.ParentRunFacet(parent_run.Run(parent), above)
    if error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "python")
    return facets
