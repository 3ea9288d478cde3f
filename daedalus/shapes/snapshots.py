"""What `snapshot` prints."""

from typing import Annotated, TypedDict


class SnapshotSummary(TypedDict):
    """A snapshot."""

    name: Annotated[str, "Its name."]
    stage: Annotated[str, "`skeleton` or `enrich`."]
    made: Annotated[str, "When it was made, in UTC."]
    range: Annotated[list[str], "Its first and last day."]
    rows: Annotated[int, "Rows of all its days."]
    bytes: Annotated[int, "Size of its parts and of its qid map."]
    only_here_bytes: Annotated[int, "Of these, what nothing else holds: what removing it frees."]


class SnapshotListed(SnapshotSummary):
    """A snapshot in the list."""

    days: Annotated[int, "How many days it has."]


class SnapshotList(TypedDict):
    """All snapshots."""

    snapshots: Annotated[list[SnapshotListed], "The snapshots of every stage, the oldest first."]


class SnapshotDay(TypedDict):
    """A day of a snapshot."""

    rows: Annotated[int, "Its rows."]
    bytes: Annotated[int, "Size of its parts."]
    digest: Annotated[str, "SHA-256 of its parts, joined in order."]
    compile: Annotated[str | None, "Digest of the configuration that it was published with; null where nobody knows."]


class SnapshotShown(SnapshotSummary):
    """What `snapshot create` made, and `snapshot show` shows."""

    where: Annotated[str, "Its folder, or the address of its record."]
    compile: Annotated[str, "Digest of the configuration that had run last when it was made."]
    dataset: Annotated[str, "SHA-256 of its `_dataset.json`: says which data a model was trained on."]
    days: Annotated[dict[str, SnapshotDay], "By day: its partition."]


class SnapshotDayDiff(TypedDict):
    """A day that differs."""

    rows: Annotated[list[int], "Rows in the first and in the second; 0 where it is not there."]
    columns: Annotated[
        dict[str, float],
        "By column: in which share of the rows of both it differs; 1 for one that is new, gone or of another type. "
        "Empty where rows came or went, or only their order or the encoding of the files differs.",
    ]


class Moved(TypedDict):
    """How a column moved, over the days in which it differs."""

    null_share: Annotated[list[float | None], "The share of NULLs in the first and the second; null for no rows."]
    mean: Annotated[list[float | None], "The mean of its numbers, or lengths of its lists; null where it has none."]


class SnapshotDiff(TypedDict):
    """What differs between two snapshots. If anything does, the exit code is 1."""

    name: Annotated[str, "The first."]
    other: Annotated[str, "The second; `now` for what is published."]
    same_days: Annotated[int, "How many days are the same, byte by byte."]
    days: Annotated[dict[str, SnapshotDayDiff], "By day: those that differ; empty where none does."]
    moved: Annotated[dict[str, Moved], "By column: how it moved."]


class SnapshotRemoved(TypedDict):
    """What `snapshot remove` removed."""

    name: Annotated[str, "The snapshot."]
    freed_bytes: Annotated[int, "Bytes freed."]
