"""Writes a proposal into the three files, once a run would take it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import structs

from daedalus.base.durable import write_file
from daedalus.base.errors import DaedalusError
from daedalus.config import Config, load_config
from daedalus.config.partition_pattern import DEFAULT
from daedalus.config.schema import Catalog, Feed, Runtime
from daedalus.init.feed import look_at_feed
from daedalus.init.pool import look_at_pool
from daedalus.init.propose import CACHE_ROOT, OUTPUT_ROOT, Proposal, propose
from daedalus.init.questions import Ask, first
from daedalus.init.views import known_ids, look_at_views
from daedalus.inputs.input_file import Inputs
from daedalus.objectstore.object_store import is_uri
from daedalus.upkeep.check_config import schema
from daedalus.workspace.output_roots import check_roots
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.shapes.upkeep import Edit, Guess, Proposed

_FILES = {"catalog": "catalog.yaml", "runtime": "training/runtime.yaml", "aggregations": "training/aggregations.yaml"}


def init(
    config: str, feed: str, catalog: str | None, pool: str | None, *, force: bool = False, ask: Ask = first
) -> Proposed:
    """Writes a config folder for the user's files; writes nothing if they cannot be used.

    `ask` is asked where two readings are equally likely; by default the first one is taken.

    Raises DaedalusError (exit 2) for folders that lack something, and for config files that exist already.
    """
    folder = Path(config)
    given = {"--feed": feed, "--catalog": catalog or "", "--pool": pool or ""}
    for option, path in given.items():
        if is_uri(path):
            hint = "copy a few days, run init on them, then put the addresses into catalog.yaml"
            what = "init reads local files only"
            raise DaedalusError(what, where=option, found=path, expected="a folder", hint=hint)
    old = [str(folder / path) for path in _FILES.values() if os.path.lexists(folder / path)]
    if old and not force:
        raise DaedalusError("there is a configuration already", where=", ".join(old), expected="a new folder",
                            hint="--config DIR for another, or --force to replace it")  # fmt: skip
    with TemporaryDirectory(prefix="daeda-init-") as aside:
        found = _proposal(folder, Path(aside), given, ask)
        found.output_root, found.cache_root = _roots(folder)
        texts = {path: _rendered(kind, found) for kind, path in _FILES.items()}
        _write(Path(aside), texts)
        _check(folder, Path(aside))
    _write(folder, texts)
    write_schemas(folder)
    return {
        "config": config,
        "files": [str(folder / path) for path in texts],
        "days": [str(found.feed.days[0]), str(found.feed.days[-1])],
        "events": {event: round(share, 4) for event, share in found.feed.events.items()},
        "views": [view.name for view in found.views],
        "left_out": found.left_out,
        "aggregations": [aggregation["name"] for aggregation in found.aggregations],
        "edits": [cast("Edit", vars(edit)) for edit in found.edits],
        "guesses": [cast("Guess", vars(guess)) for guess in found.guesses],
        "output_root": found.output_root,
        "cache_root": found.cache_root,
        "problem": None,  # always None: what a run would reject raises an error
    }


def _proposal(folder: Path, aside: Path, given: Mapping[str, str], ask: Ask) -> Proposal:
    """The proposal for the files. They are read as a run reads them, with a cache in `aside`."""
    for option, path in given.items():
        try:
            path.encode()
        except UnicodeEncodeError:
            raise DaedalusError("a path that no configuration can hold", where=option, found=repr(path),
                                expected="UTF-8") from None  # fmt: skip
    feed, catalog, pool = given.values()
    runtime = Runtime(
        feed_start="", feed_end="", output_columns=[], cache_root=str(aside), output_root=str(aside / "output")
    )
    with closing(Workspace(Config(folder, Catalog(feed=Feed(path=feed)), runtime, ()))) as workspace:
        inputs = Inputs(workspace.files, workspace.traces)
        lance = look_at_pool(pool, inputs) if pool else None
        views, others = look_at_views(catalog or None, inputs, [path for path in (feed, pool) if path])
        known = known_ids(views, lance.items if lance else frozenset())
        found = propose(look_at_feed(workspace.config, feed, inputs, known, ask), views, lance, ask)
        found.left_out += others
        return found


def _check(folder: Path, aside: Path) -> None:
    """Raises the DaedalusError (exit 2) that a run with the config files in `aside` would raise."""
    config = _loaded(folder, aside)
    check_roots(config)
    compute = structs.replace(config.runtime.compute, duckdb_config={"threads": 1})
    runtime = structs.replace(config.runtime, cache_root=str(aside), output_root=str(aside / "out"), compute=compute)
    with closing(Workspace(replace(config, runtime=runtime))) as workspace:
        from daedalus.workspace.graph import build_graph

        build_graph(workspace, list(workspace.config.range(None)), reconcile=False)


def _loaded(folder: Path, aside: Path) -> Config:
    """The config in `aside`, as the one in `folder`, which its errors name: `aside` is gone when they are read."""
    try:
        return replace(load_config(aside), folder=folder)
    except DaedalusError as error:
        where = error.where.replace(str(aside), str(folder))
        raise DaedalusError(error.what, where=where, found=error.found, expected=error.expected,
                            hint=error.hint) from None  # fmt: skip


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_file(folder / path, text.encode())
    except OSError as error:
        raise DaedalusError("the configuration cannot be written", where=str(folder), found=error.strerror) from None


def _roots(folder: Path) -> tuple[str, str]:
    """Output and cache folder: those of the configuration to replace, else unused ones."""
    try:
        runtime = load_config(folder).runtime
        return runtime.output_root, runtime.cache_root
    except DaedalusError:  # there is no configuration, or an invalid one
        pass
    roots, name = (OUTPUT_ROOT, CACHE_ROOT), folder.resolve().name
    for number in range(1, 1000):
        if not any(_in_use(Path(root)) for root in roots):
            break
        end = f"_{name}" + (f"_{number}" if number > 1 else "")
        roots = (f"{OUTPUT_ROOT}{end}", f"{CACHE_ROOT}{end}")
    return roots


def _in_use(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def write_schemas(folder: Path) -> None:
    """Writes the JSON Schemas that the first lines of the YAML files name, for editors."""
    _write(folder, {f".schema/{kind}.json": json.dumps(schema(kind), indent=2) + "\n" for kind in _FILES})


def _rendered(kind: str, found: Proposal) -> str:
    environment = Environment(loader=PackageLoader("daedalus.init", ""), undefined=StrictUndefined,
                              keep_trailing_newline=True, autoescape=False)  # fmt: skip
    environment.filters["q"] = _yaml
    environment.filters["one_line"] = lambda text: " ".join(str(text).split())
    days = found.feed.days
    template = environment.get_template(f"{kind}.yaml.j2")
    return template.render(p=found, months=[f"{day:%Y%m}" for day in (days[0], days[-1])], todo=_todo(found),
                           default_partition=DEFAULT)  # fmt: skip


class _OneLine(yaml.SafeDumper):
    """Writes text with line breaks in double quotes, as escapes."""

    def represent_str(self, text: str) -> yaml.ScalarNode:
        style = '"' if len(text.splitlines()) > 1 or text.endswith(tuple("\n\r\x85\u2028\u2029")) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    def ignore_aliases(self, data: object) -> bool:
        return True


_OneLine.add_representer(str, _OneLine.represent_str)


def _yaml(value: object) -> str:
    """The value on one line of YAML, quoted where a name would mean something else."""
    text = yaml.dump(value, Dumper=_OneLine, default_flow_style=True, sort_keys=False, allow_unicode=True,
                     width=float("inf"))  # fmt: skip
    return text.removesuffix("\n").removesuffix("\n...")


def _todo(found: Proposal):  # type: ignore[no-untyped-def]
    """A function for the templates: the comment above a key, if its value was only guessed."""
    edits = {(edit.file, edit.key): edit for edit in found.edits}

    def comment(file: str, key: str) -> str:
        edit = edits.get((file, key))
        if edit is None:
            return ""
        indent = "    " if file == "catalog.yaml" and key != "feed.partition" else "  "
        return f"# TODO {' '.join(f'{edit.why}: {edit.put}'.split())}\n{indent}"

    return comment
