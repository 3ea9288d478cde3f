"""The partition that lies there already: columns of it that would come out the same are not cut again.

What it was made of stands in the trace of the action that made it; that it still is what was made is told by its
bytes. Only a partition of one part is taken from, for its row groups are those of the rows that ship.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daedalus.base import digest
from daedalus.stagecache.action import Manifest

_ROWS = ("sessions", "content")  # what says which rows ship
RENAMED = "config:output_columns.renamed"  # an ingredient: names of columns in the output by those they are made under


@dataclass(frozen=True)
class EarlierPartition:
    """What an action made last: from which manifest, the digest of its partition, and the parts that lie there."""

    manifest: Manifest
    artifact: str
    parts: Mapping[str, Path]

    def sources(self, columns: Sequence[tuple[str, str]], now: Manifest, actions: Mapping[str, str]) -> set[str]:
        """Sources of `columns` that are here, all their columns, as they would be made `now`; `actions` make them."""
        recipe = [label for label in now if label.partition(":")[0] in ("code", "engine")]
        labels = {source: f"upstream:{action}" for source, action in actions.items()}
        same = {source for source, label in labels.items() if self.manifest.get(label) == now[label]}
        if any(self.manifest.get(label) != now[label] for label in recipe) or not same.issuperset(_ROWS):
            return set()
        had = {tuple(column) for column in json.loads(self.manifest["config:output_columns"])}
        return same - {source for name, source in columns if (name, source) not in had}

    def copied(self, path: Path) -> bool:
        """Makes `path` a copy of the one part, which nobody can change then; False when it is not what was made."""
        if len(self.parts) != 1:
            return False
        ((name, part),) = self.parts.items()
        try:
            shutil.copyfile(part, path)
            return digest.of_json({name: digest.of_file(path)}) == self.artifact
        except OSError:  # gone, or unreadable
            return False
