"""`daeda snapshot …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_DONE
from daedalus.cli import output
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import CacheRoot, Config, Json, OutputRoot, SnapshotRange


def create(
    name: Annotated[str, Parameter(help="Its name: letters, digits, '.', '_' and '-'.")],
    *,
    range: SnapshotRange = None,
    stage: Annotated[str, Parameter(help="Whose partitions: skeleton or enrich.")] = "skeleton",
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Keep the partitions of a range, the qid map and _dataset.json as they are now, under a name.

    Copies nothing: no later run, --force, gc or removal changes or loses a byte of it.

    Example: daeda snapshot create march --range 202603
    """
    from daedalus.snapshots import commands, lines

    settings = settings_of(config, cache_root, output_root)
    return output.show(commands.create_snapshot(settings, name, range, stage), lines.head_lines, json)


def list(
    *, config: Config = "config", cache_root: CacheRoot = None, output_root: OutputRoot = None, json: Json = False
) -> int:
    """List the snapshots: stage, when each was made, days, rows, and the bytes that removing it would free.

    Example: daeda snapshot list
    """
    from daedalus.snapshots import commands, lines

    found = commands.list_snapshots(settings_of(config, cache_root, output_root))
    return output.show(found, lines.list_lines, json)


def show(
    name: Annotated[str, Parameter(help="Its name.")],
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show what a snapshot holds: days, rows, bytes, and the digest that says which data it is.

    Example: daeda snapshot show march
    """
    from daedalus.snapshots import commands, lines

    found = commands.show_snapshot(settings_of(config, cache_root, output_root), name)
    return output.show(found, lines.show_lines, json)


def diff(
    name: Annotated[str, Parameter(help="The snapshot to compare.")],
    other: Annotated[str | None, Parameter(help="The one to compare with; default: what is published now.")] = None,
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show what differs between two snapshots: days, rows, columns, and how they moved. Exits with 1 if anything does.

    Example: daeda snapshot diff march
    """
    from daedalus.upkeep import snapshot_diff as diffing

    with output.saying() as say:
        found = diffing.diff_snapshots(settings_of(config, cache_root, output_root), name, other, say)
    output.show(found, diffing.diff_lines, json)
    return EXIT_DAY_FAILED if found["days"] else EXIT_DONE


def remove(
    name: Annotated[str, Parameter(help="Its name.")],
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Remove a snapshot. Asks nothing; frees what nothing else holds.

    Example: daeda snapshot remove march
    """
    from daedalus.snapshots import commands, lines

    found = commands.remove_snapshot(settings_of(config, cache_root, output_root), name)
    return output.show(found, lines.remove_lines, json)


COMMANDS = {"snapshot": (create, list, show, diff, remove)}
