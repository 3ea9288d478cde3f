"""The `daeda` command line. The only place that prints results and errors, and sets exit codes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from daedalus.errors import EXIT_DAY_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED, DaedalusError, Interrupted

if TYPE_CHECKING:
    from daedalus.pipelines.report import RunReport
    from daedalus.pipelines.workspace import Settings
    from daedalus.stagecache.progress import Progress

app = App(
    name="daeda", version=lambda: _version(), help="Build training data by the day, recomputing only what changed."
)
_RUN, _UNDERSTAND = Group("Run", sort_key=1), Group("Understand and trust", sort_key=2)
_TEND, _SHELL = Group("Set up and tend", sort_key=3), Group("Shell", sort_key=4)
cache_app = App(name="cache", help="Look at, check and tidy the cache.", group=_TEND)
explain_app = App(name="explain", help="Say why a day is what it is.", group=_UNDERSTAND)
config_app = App(name="config", help="Check the configuration, and describe it to editors.", group=_TEND)
pipeline_app = App(name="pipeline", help="Stages of a model's training pipeline.", group=_RUN)
for sub in (cache_app, config_app, explain_app, pipeline_app):
    app.command(sub)

ProgressKind = Literal["auto", "tui", "plain", "none"]
Config = Annotated[str, Parameter(help="Folder of catalog.yaml and training/*.yaml.")]
CacheRoot = Annotated[str | None, Parameter(help="Where artifacts are kept; the config's cache_root.")]
OutputRoot = Annotated[str | None, Parameter(help="Where partitions go; the config's output_root.")]
Trace = Annotated[str | None, Parameter(help="Also write what ran when to this file, for Perfetto or Chrome.")]
OpenLineage = Annotated[str | None, Parameter(help="Also tell this OpenLineage address, or append to this file.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print one JSON object on stdout, nothing else.")]


@app.command(group=_RUN)
def skeleton(
    *,
    range: Annotated[str | None, Parameter(help="202602..202605, 2026-05-01..2026-05-15 or 2026-05-15.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    day_workers: Annotated[int | None, Parameter(help="Days worked on at once.")] = None,
    entity_spine_chunk_rows: Annotated[int | None, Parameter(help="Rows of an output part file.")] = None,
    resume: Annotated[bool, Parameter(negative=(), help="Take up the last unfinished run.")] = False,
    force: Annotated[bool, Parameter(negative=(), help="Recompute the range.")] = False,
    plan: Annotated[bool, Parameter(negative=(), help="Say what would run and why; run nothing.")] = False,
    json: Json = False,
    progress: Annotated[ProgressKind, Parameter(help="How to show progress, on stderr.")] = "auto",
    trace: Trace = None,
    openlineage: OpenLineage = None,
    executor: Annotated[Literal["threads", "dask"], Parameter(help="Where steps run: here, or on Dask.")] = "threads",
    scheduler: Annotated[str | None, Parameter(help="A Dask scheduler; else a local cluster is started.")] = None,
) -> int:
    """Compute what changed and publish the partitions of a range of days.

    Example: daeda skeleton --range 202602..202605 --resume
    """
    settings = _settings(config, cache_root, output_root, day_workers, entity_spine_chunk_rows)
    from daedalus.pipelines.training import run_skeleton_stage

    watched = _progress(progress, trace, openlineage, settings)
    report = run_skeleton_stage(
        settings, range, resume=resume, force=force, plan=plan, progress=watched, executor=executor, scheduler=scheduler
    )
    return _finish(report, json)


@pipeline_app.command
def train(
    name: Annotated[str, Parameter(help="The model's name; it lands in the run's record.")],
    *,
    skeleton_only: Annotated[bool, Parameter(negative=(), help="Stop after the skeleton stage.")] = False,
    target_date: Annotated[str | None, Parameter(help="One day, YYYY-MM-DD; else the config's range.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
    progress: ProgressKind = "auto",
    trace: Trace = None,
    openlineage: OpenLineage = None,
) -> int:
    """Run the training pipeline of a model, as far as its skeleton stage.

    Example: daeda pipeline train dssm_ranking --skeleton-only --target-date 2026-05-15
    """
    if not skeleton_only:
        raise DaedalusError(
            "the stages after the skeleton are not part of this tool",
            where="daeda pipeline train",
            found="no --skeleton-only",
            expected="--skeleton-only",
            hint=f"daeda pipeline train {name} --skeleton-only",
        )
    from daedalus.pipelines.training import run_skeleton_stage

    settings = _settings(config, cache_root, output_root)
    report = run_skeleton_stage(
        settings, target_date, model=name, progress=_progress(progress, trace, openlineage, settings)
    )
    return _finish(report, json)


@explain_app.command
def day(
    day: Annotated[str, Parameter(help="YYYY-MM-DD")],
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show each step of a day: hit or to run, why, its rows and cost, and where the day's rows went.

    Example: daeda explain day 2026-05-15
    """
    from daedalus.pipelines import explain

    found = explain.explain_day(_settings(config, cache_root, output_root), day)
    return _show(found, explain.day_lines, json)


@explain_app.command
def step(
    day: Annotated[str, Parameter(help="YYYY-MM-DD")],
    step: Annotated[str, Parameter(help="A step, as `explain day` names it.")],
    *,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Print what a step of a day runs: SQL ready for DuckDB, with the files it reads, or the Python.

    Example: daeda explain step 2026-05-15 rolling:like_artwork_ids
    """
    from daedalus.pipelines import explain

    found = explain.explain_step(_settings(config, cache_root, output_root), day, step)
    return _show(found, explain.step_lines, json)


@explain_app.command
def row(
    day: Annotated[str, Parameter(help="YYYY-MM-DD")],
    *,
    user: Annotated[int, Parameter(help="user_id of the row.")],
    artwork: Annotated[int, Parameter(help="artwork_id of the row.")],
    column: Annotated[str | None, Parameter(help="One output column of an aggregation.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show which source events, in which files, make up a row's lists, and which were left out and why.

    Example: daeda explain row 2026-05-15 --user 7 --artwork 3 --column like_artwork_ids_7d
    """
    from daedalus.pipelines import explain_row

    settings = _settings(config, cache_root, output_root)
    return _show(explain_row.explain_row(settings, day, user, artwork, column), explain_row.row_lines, json)


@app.command(group=_UNDERSTAND)
def diff(
    day: Annotated[str, Parameter(help="YYYY-MM-DD")],
    *,
    against: Annotated[str | None, Parameter(help="A run's id, or its beginning; else the last replacement.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Show what a run changed in a day's partition: rows, columns, shares and examples.

    Example: daeda diff 2026-05-15
    """
    from daedalus.pipelines import diff as diffing

    found = diffing.diff_day(_settings(config, cache_root, output_root), day, against)
    return _show(found, diffing.diff_lines, json)


@app.command(group=_UNDERSTAND)
def report(
    *,
    range: Annotated[str | None, Parameter(help="Days, as of `daeda skeleton`; else the config's.")] = None,
    out: Annotated[str, Parameter(help="The HTML file to write.")] = "daeda-report.html",
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Write one HTML page about a range of days: states, causes, funnel, columns by day, cost and runs.

    Example: daeda report --range 202602..202605
    """
    from daedalus.report.collect import collect
    from daedalus.report.page import check_out, page_lines, write_page

    path, settings = check_out(out), _settings(config, cache_root, output_root)
    found = collect(settings, range, _to_stderr)
    found["file"] = str(path)
    write_page(found, path)
    return _show(found, page_lines, json)


@app.command(group=_UNDERSTAND)
def audit(
    *,
    range: Annotated[str | None, Parameter(help="Days to draw from; else all that are published.")] = None,
    rows: Annotated[int, Parameter(help="About how many output rows to compare.")] = 200,
    seed: Annotated[int, Parameter(help="Another seed, another sample.")] = 0,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Make sampled output rows again from the raw feed, by plain Python that knows no SQL and no cache.

    Says how many rows and columns were compared and what differs (exit 1), and, for each view, the share of
    rows whose features are younger than the event.

    Example: daeda audit --rows 500
    """
    from daedalus.audit import audit as auditing

    found = auditing.audit(_settings(config, cache_root, output_root), range, rows, seed, _to_stderr)
    _show(found, auditing.audit_lines, json)
    return EXIT_DAY_FAILED if auditing.differs(found) else 0


@app.command(group=_TEND)
def init(
    *,
    feed: Annotated[str, Parameter(help="Folder of dt=YYYY-MM-DD/*.parquet.")],
    catalog: Annotated[str, Parameter(help="Folder with a folder of parquet files for each view.")],
    pool: Annotated[str | None, Parameter(help="Lance database of embeddings.")] = None,
    config: Config = "config",
    force: Annotated[bool, Parameter(negative=(), help="Replace a configuration that is there.")] = False,
    json: Json = False,
) -> int:
    """Write a commented first configuration from a look at your parquet files, and say what to look at.

    Example: daeda init --feed data/feed --catalog data/catalog --pool data/embeddings
    """
    from daedalus.starting import write

    return _show(write.init(config, feed, catalog, pool, force=force), write.init_lines, json)


@cache_app.command
def status(
    *, config: Config = "config", cache_root: CacheRoot = None, output_root: OutputRoot = None, json: Json = False
) -> int:
    """Show which days of the config's range are fresh, stale, missing or empty.

    Example: daeda cache status
    """
    from daedalus.pipelines import cache

    return _show(cache.cache_status(_settings(config, cache_root, output_root)), cache.status_lines, json)


@cache_app.command
def verify(
    *,
    recompute: Annotated[int, Parameter(help="Also execute that many hits again and compare bytes.")] = 0,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Read every artifact again and set aside those whose bytes are not what their name says.

    Example: daeda cache verify --recompute 20
    """
    from daedalus.pipelines import cache

    settings = _settings(config, cache_root, output_root)
    return _show(cache.cache_verify(settings, recompute), cache.verify_lines, json)


@cache_app.command
def gc(
    *,
    max_bytes: Annotated[int | None, Parameter(help="Only until the cache is that small.")] = None,
    older_than: Annotated[float | None, Parameter(help="Only what is older than that many days.")] = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would go; remove nothing.")] = False,
    remote: Annotated[
        bool, Parameter(negative=(), help="In the shared cache (cache_remote), not the local one.")
    ] = False,
    also_config: Annotated[
        list[str] | None, Parameter(help="With --remote: other configs' folders to keep for.")
    ] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Free what neither the config nor the last complete run needs, the cheapest to rebuild first.

    With --remote: what none of the given configs needs and is older than --older-than days, or else than one day.

    Example: daeda cache gc --dry-run
    """
    from daedalus.pipelines import cache

    settings = _settings(config, cache_root, output_root)
    if remote and max_bytes is None:
        from daedalus.pipelines.shared_gc import shared_gc, shared_gc_lines

        gone = shared_gc(settings, also_config or [], older_than_days=older_than, dry_run=dry_run)
        return _show(gone, shared_gc_lines, json)
    if remote or also_config:
        raise DaedalusError("options that do not go together", where="daeda cache gc",
                            found="--remote and --max-bytes" if remote else "--also-config",
                            expected="--remote, with --older-than or --also-config")  # fmt: skip
    found = cache.cache_gc(settings, max_bytes=max_bytes, older_than_days=older_than, dry_run=dry_run)
    return _show(found, cache.gc_lines, json)


@config_app.command
def check(
    *, config: Config = "config", cache_root: CacheRoot = None, output_root: OutputRoot = None, json: Json = False
) -> int:
    """Validate config and inputs without running anything; print every value and where it comes from.

    Example: daeda config check
    """
    from daedalus.pipelines import checking

    return _show(checking.check_config(_settings(config, cache_root, output_root)), checking.check_lines, json)


@config_app.command
def schema(file: Annotated[Literal["catalog", "runtime", "aggregations"], Parameter(help="Which file.")]) -> int:
    """Print the JSON Schema of a config file, for editors that complete and check YAML.

    Example: daeda config schema runtime
    """
    from daedalus.pipelines import checking

    _print(json.dumps(checking.schema(file), indent=2))
    return 0


@app.command(group=_SHELL)
def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")]) -> int:
    """Print what makes a shell complete commands and options; how to use it stands in its first lines.

    Example: daeda completion bash
    """
    where = {"bash": "~/.local/share/bash-completion/completions/daeda", "zsh": "a folder of $fpath, as _daeda",
             "fish": "~/.config/fish/completions/daeda.fish"}  # fmt: skip
    script = app.generate_completion(prog_name="daeda", shell=shell)
    head, _, rest = script.partition("\n")  # zsh wants its #compdef on the first line
    _print(f"{head}\n# Put this file to {where[shell]}\n{rest}")
    return 0


def _settings(config: str, cache_root: str | None, output_root: str | None, *more: int | None) -> Settings:
    from daedalus.pipelines.workspace import Settings

    return Settings(config, cache_root, output_root, *more)


def _version() -> str:
    """The version, and those of the engines that make the bytes."""
    from importlib import metadata

    from daedalus import __version__

    engines = ("duckdb", "pyarrow", "numba", "lancedb")
    return "\n".join([f"daeda {__version__}", *(f"  {name} {metadata.version(name)}" for name in engines)])


def _progress(kind: ProgressKind, trace: str | None, openlineage: str | None, settings: Settings) -> Progress:
    """What watches the run: the picture on a terminal, lines elsewhere, on stderr; trace file and lineage if asked."""
    shown = _shown_progress(kind)
    watchers = [shown]
    if trace is not None:
        from pathlib import Path

        from daedalus.watching import TraceFile

        watchers.append(TraceFile(Path(trace)))
    if openlineage is not None:
        from daedalus.lineage import Lineage

        watchers.append(Lineage(openlineage, settings.applied(), shown.say if kind != "none" else _to_stderr))
    if len(watchers) == 1:
        return shown
    from daedalus.watching import Several

    return Several(*watchers)


def _shown_progress(kind: ProgressKind) -> Progress:
    from daedalus.stagecache.progress import PlainProgress, Progress

    if kind == "none":
        return Progress()
    if kind == "tui" or (kind == "auto" and sys.stderr.isatty()):
        from daedalus.tui import Tui

        return Tui(sys.stderr)
    return PlainProgress(sys.stderr)


def _finish(report: RunReport, as_json: bool) -> int:
    from daedalus.pipelines.planning import plan_lines

    lines = report.lines() if report.plan is None else plan_lines(report)
    _print(json.dumps(report.as_json()) if as_json else "\n".join(lines))
    return report.exit_code


def _show(found: dict, lines: object, as_json: bool) -> int:
    _print(json.dumps(found) if as_json else "\n".join(lines(found)))  # type: ignore[operator]
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `daeda … | head` is no error
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115


def main(arguments: list[str] | None = None) -> None:
    """Runs `daeda` and exits with 0, 1, 2 or 130 (see daedalus.errors)."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"error: {error}\n  hint:     daeda --help", file=sys.stderr)
        code = EXIT_REFUSED
    except DaedalusError as error:
        print(error.text(), file=sys.stderr)
        code = error.exit_code
    except (Interrupted, KeyboardInterrupt):
        print("interrupted; finished steps are kept. Go on with: daeda skeleton --resume", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code or 0)
