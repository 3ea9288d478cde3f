"""`daeda cache …` and `daeda config …`."""

from __future__ import annotations

from functools import partial
from json import dumps
from typing import TYPE_CHECKING, Annotated, Literal

from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_DONE, DaedalusError, at_least
from daedalus.cli.output import print_notes, print_out, show
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import CacheRoot, Config, DryRun, Json, OutputRoot, StatusRange


def status(
    *,
    range: StatusRange = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show which days of a range are fresh, stale, missing or empty. Fresh: a run would compute nothing.

    Example: daeda cache status --range 202602..202605
    """
    from daedalus.upkeep.status import cache_status, status_lines

    settings = settings_of(config, cache_root, output_root)
    lines = partial(status_lines, options=settings.options, span=range or "")
    return show(cache_status(settings, range), lines, json)


def verify(
    *,
    recompute: Annotated[int, Parameter(help="Also rerun this many cached steps and compare their bytes.")] = 0,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Read every cached artifact, and set aside those whose bytes do not match their digest. Then read the snapshots.

    Exits with 1 if a snapshot is damaged: no run makes it good.

    Example: daeda cache verify --recompute 20
    """
    from daedalus.upkeep.verify import cache_verify, verify_lines

    at_least(0, recompute, "--recompute")
    found = cache_verify(settings_of(config, cache_root, output_root), recompute)
    show(found, verify_lines, json)
    return EXIT_DAY_FAILED if found.get("snapshots", {}).get("damaged") else EXIT_DONE


def gc(
    *,
    max_bytes: Annotated[int | None, Parameter(help="Stop once the cache is no larger than this.")] = None,
    older_than: Annotated[float | None, Parameter(help="Remove only what is older than this many days.")] = None,
    dry_run: DryRun = False,
    remote: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Clean up the shared cache (cache_remote) instead.")
    ] = False,
    also_config: Annotated[
        list[str] | None, Parameter(help="With --remote: also keep what this config folder needs; may be repeated.")
    ] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Remove artifacts that neither the config nor the last complete run needs, cheapest to rebuild first.

    With --remote: remove what none of the given configs needs, if it is older than --older-than days (default: 1).

    Example: daeda cache gc --dry-run
    """
    settings = settings_of(config, cache_root, output_root)
    at_least(0, max_bytes, "--max-bytes")
    at_least(0, older_than, "--older-than")
    if remote and max_bytes is None:
        from daedalus.upkeep.shared_gc import shared_gc, shared_gc_lines

        gone = shared_gc(settings, also_config or [], older_than_days=older_than, dry_run=dry_run)
        return show(gone, shared_gc_lines, json)
    if remote or also_config:
        raise DaedalusError("options that cannot be combined", where="daeda cache gc",
                            found="--remote and --max-bytes" if remote else "--also-config",
                            expected="--remote, with --older-than or --also-config")  # fmt: skip
    from daedalus.upkeep.gc import cache_gc, gc_lines

    found = cache_gc(settings, max_bytes=max_bytes, older_than_days=older_than, dry_run=dry_run)
    return show(found, gc_lines, json)


def check(
    *, config: Config = "config", cache_root: CacheRoot = None, output_root: OutputRoot = None, json: Json = False
) -> int:
    """Validate the config and the inputs, and print every value and where it comes from. Runs nothing.

    Exits with 1 if unusable feed files would make days fail.

    Example: daeda config check
    """
    from daedalus.upkeep import check_config as checking

    found = checking.check_config(settings_of(config, cache_root, output_root))
    print_notes(found["notes"])
    show(found, checking.check_lines, json)
    return EXIT_DAY_FAILED if found["failing_days"] else 0


def schema(file: Annotated[Literal["catalog", "runtime", "aggregations"], Parameter(help="Which file.")]) -> int:
    """Print the JSON Schema of a config file, with which editors complete and check YAML.

    Example: daeda config schema runtime
    """
    from daedalus.upkeep import check_config as checking

    print_out(dumps(checking.schema(file), indent=2))
    return 0


COMMANDS = {"cache": (status, verify, gc), "config": (check, schema)}
