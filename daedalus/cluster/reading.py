"""What workers are told of what a task reads, so that they can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from daedalus.cluster.carrier import CarriedArtifacts
from daedalus.config.steps import PARTITIONS
from daedalus.objectstore.part_list import PartList
from daedalus.output.partition_home import PartitionHome
from daedalus.stagecache.action import Action, Again
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.executor import Task, nobody


class Read(NamedTuple):
    """Tickets by artifact, and lists of published partitions by action."""

    tickets: Mapping[str, Any] = {}
    lists: Mapping[str, PartList | None] = {}


def is_told_at_once(task: Task, carried: CarriedArtifacts | None) -> bool:
    """Whether there is nothing to ask, to send or to list; else `answered` may block."""
    return task.ask is nobody and not carried and not _publishes(task)


def answered(task: Task, carried: CarriedArtifacts | None) -> Trace | Read:
    """The trace that answers a task if the shared cache has it; else what is told of what the task reads.

    When it returns, workers can read all upstream artifacts: by a shared folder, or what is `carried`.
    """
    if found := task.ask():
        return found
    published = {name: task.above[name] for name in task.digests if task.above[name].step in PARTITIONS}
    lists = {name: _listed(action, task.digests[name]) for name, action in published.items()}
    if _publishes(task):
        lists[task.action.name] = _there(task.action)
    artifacts = {name: artifact for name, artifact in task.digests.items() if name not in published}
    if carried:
        parts = {part: carried.tickets[part] for part in task.split} if isinstance(task.split, tuple) else {}
        return Read({**carried.tickets_of(artifacts.values()), **parts}, lists)
    if task.ask is not nobody:
        for name, artifact in artifacts.items():
            task.above[name].shelf.path(name, artifact)  # downloads to the shared folder what only the bucket has
    return Read({}, lists)


def fetching(task: Task, carried: CarriedArtifacts | None) -> Task:
    """The task with upstream shelves that fetch what other machines made, if no folder is shared."""
    if not carried:
        return task
    above = {name: replace(action, shelf=carried) if action.step not in PARTITIONS else action
             for name, action in task.above.items()}  # fmt: skip
    return replace(task, above=above)


def _publishes(task: Task) -> bool:
    """Whether what a task makes is a whole partition."""
    return task.action.step in PARTITIONS and not task.is_part


def _listed(action: Action, artifact: str) -> PartList | None:
    """The list of a published partition, if the output has lists. Raises Again when it is another one by now."""
    found = cast(PartitionHome, action.shelf).listed(action.name)
    if found and found.digest != artifact:
        raise Again([action.name])
    return found


def _there(action: Action) -> PartList | None:
    """The list of the partition that lies in the place of an action's, if the output has lists and it is whole."""
    found = cast(PartitionHome, action.shelf).listed(action.name)
    return None if found is None or action.shelf.problem(action.name, found.digest) else found
