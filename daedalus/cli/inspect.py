"""`daeda compile`, `diff`, `runs`, `report`, `ui` and `audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_DONE, at_least
from daedalus.cli.output import SCHEMA, print_out, saying, show
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import (
        AuditRange,
        CacheRoot,
        Config,
        Day,
        DocumentFile,
        Json,
        OutputRoot,
        ReportAgainst,
        ReportFile,
        ReportRange,
        RowsFile,
    )
    from daedalus.shapes.report import Report


def compile(
    *,
    config: Config = "config",
    out: DocumentFile = None,
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show what the configuration means: each column's type and meaning, each step, and a digest of all that.

    Reads the schemas of the inputs, but no rows, and runs nothing. Configurations that mean the same have the same
    digest.

    Example: daeda compile --out compiled.json
    """
    from daedalus.compile import lines
    from daedalus.compile.resolve import compiled

    path = lines.check_out(out) if out is not None else None
    document = compiled(settings_of(config, cache_root, output_root))
    if path:
        lines.write_document(document, path)
    return show(document, lines.document_lines, json)


def diff(
    day: Day,
    *,
    against: Annotated[
        str | None,
        Parameter(help="Compare with what this run left (its id, or a prefix); default: before the last replacement."),
    ] = None,
    stage: Annotated[str | None, Parameter(help="skeleton or enrich; default: every stage of the config.")] = None,
    out: RowsFile = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show what a run changed in a day's partitions: rows added and removed, values changed by column, with examples.

    Example: daeda diff 2026-05-15
    """
    from daedalus.explain import diff as diffing

    found = diffing.diff_day(settings_of(config, cache_root, output_root), day, against, stage, out)
    return show(found, diffing.diff_lines, json)


def runs(
    *,
    last: Annotated[int, Parameter(help="How many runs to list.")] = 12,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """List the last runs: id, start, range, state, days, what each one changed, and why.

    Example: daeda runs
    """
    from daedalus.explain.run_history import list_runs, runs_lines

    at_least(1, last, "--last")
    return show(list_runs(settings_of(config, cache_root, output_root), last), runs_lines, json)


def report(
    *,
    range: ReportRange = None,
    against: ReportAgainst = None,
    out: ReportFile = "daeda-report.html",
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Write one HTML page about a range of days: state of each step, causes, rows left, columns by day, cost and runs.

    Example: daeda report --range 202602..202605
    """
    from daedalus.report.collect import collect
    from daedalus.report.page import check_out, page_lines, write_page

    path, settings = check_out(out), settings_of(config, cache_root, output_root)
    with saying() as say:
        found: Report = {**collect(settings, range, say, against), "file": str(path)}
    write_page(found, path)
    return show(found, page_lines, json)


def ui(
    *,
    range: ReportRange = None,
    port: Annotated[int, Parameter(help="Where to listen; default: a free port.")] = 0,
    host: Annotated[str, Parameter(help="An address of this machine that no other can reach.")] = "127.0.0.1",
    open: Annotated[bool | None, Parameter(help="Open the page in a browser; default: if there is a display.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
) -> int:
    """Show days, steps, rows and runs on a local page, beside whatever runs, until Ctrl-C; it writes nothing.

    Prints the page's address, which has a token, at once. Needs the extra `ui`.

    Example: daeda ui --range 202602..202605
    """
    from daedalus.base.installed import check_extra

    check_extra("ui", "starlette", where="daeda ui", what="starlette, of which the page is made,")
    check_extra("ui", "uvicorn", where="daeda ui", what="uvicorn, which serves the page,")
    from daedalus.ui.server import opening, serve

    settings = settings_of(config, cache_root, output_root)
    serve(settings, range, host=host, port=port, schema=SCHEMA, ready=opening(print_out, open))
    return EXIT_DONE


def audit(
    *,
    range: AuditRange = None,
    rows: Annotated[int, Parameter(help="How many output rows to compare, roughly.")] = 200,
    seed: Annotated[int, Parameter(help="Seed of the random sample.")] = 0,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Check a sample of output rows: recompute them from the raw feed in plain Python, without SQL or cache.

    Prints how many rows and columns were compared, what differs (then the exit code is 1) and, for each view, the
    share of rows whose features are newer than the event. With `splits`, also whether a user or a session is in two
    parts, over all rows of the range.

    Example: daeda audit --rows 500
    """
    from daedalus.audit import audit as auditing

    with saying() as say:
        found = auditing.audit(settings_of(config, cache_root, output_root), range, rows, seed, say)
    show(found, auditing.audit_lines, json)
    return EXIT_DAY_FAILED if auditing.is_wrong(found) else 0
