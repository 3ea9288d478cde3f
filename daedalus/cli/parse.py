"""What a command line calls.

The parser takes longer to import than most commands to run, so what it said of a line is remembered for this user.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.base.file_stat import stat_of
from daedalus.base.installed import installed
from daedalus.base.remembered import recall, remember

if TYPE_CHECKING:
    from cyclopts import CycloptsError

Call = partial[int | None]

_LINES = "command-lines"
_RANGE = re.compile(r"\d{4}-?\d{2}(-\d{2})?(\.\.\d{4}-?\d{2}(-\d{2})?)?")


def remembered(given: Sequence[str]) -> Call | None:
    """The call of a command line that was parsed before: by this parser, for these commands."""
    found = recall(_LINES, _key(given))
    if found is None:
        return None
    home, name, options = found
    return partial(getattr(import_module(home), name), **options)


def parsed(given: Sequence[str]) -> Call:
    """The call of a command line. Raises DaedalusError for one that cannot be understood."""
    from cyclopts import CycloptsError

    from daedalus.cli.app import app

    try:
        command, bound, _ = app.parse_args(given, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        from daedalus.cli.go_on import spelled_out

        raise _refusal(error, spelled_out(given)) from None
    if not command.__module__.startswith("daedalus."):  # of the parser itself: help, version
        return partial(app, given, exit_on_error=False, print_error=False, result_action="return_value")
    remember(_LINES, _key(given), [command.__module__, command.__name__, bound.arguments])
    return partial(command, *bound.args, **bound.kwargs)


def _key(given: Sequence[str]) -> str:
    """All that the call follows from."""
    with os.scandir(os.path.dirname(__file__)) as files:
        commands = sorted((file.path, stat_of(file.path)) for file in files if file.name.endswith(".py"))
    return digest.of_json([list(given), commands, installed()])


def _refusal(error: CycloptsError, arguments: Sequence[str]) -> DaedalusError:
    """The error for a command line that the parser rejected."""
    command = " ".join(["daeda", *(error.command_chain or ())])
    stray = list(getattr(error, "unused_tokens", None) or ())
    help_of = f"{command} --help"
    if stray and _RANGE.fullmatch(stray[0]):
        if command == "daeda explain":
            meant = f"daeda explain day {stray[0]}"
            return DaedalusError("explain what?", found=stray[0], expected="day, step or row", hint=meant)
        if "--range" not in arguments and command != "daeda":
            hint = f"use --range {stray[0]}: {command} --range {stray[0]}"
            return DaedalusError("a range without its option", where=command, found=stray[0], hint=hint)
    if type(error).__name__ == "UnknownCommandError" and stray:
        return _unknown(command, stray)
    missing = getattr(error, "argument", None)
    if missing is not None and type(error).__name__ == "MissingArgumentError":
        name = missing.names[0]
        if missing.field_info.is_positional:
            name = name.lstrip("-").upper().replace("-", "_")
        return DaedalusError(f"{name} is missing", where=command, hint=help_of)
    text = re.sub(r"^Unused Tokens: \[(.*)\]\.$", r"too many arguments: \1", str(error))
    return DaedalusError(text, hint=help_of)


# What people type who know other tools, and the command that it is here.
_MEANT = {
    **dict.fromkeys(["train", "build", "make", "start", "execute", "update", "refresh", "backfill"], "run"),
    **dict.fromkeys(["resume", "continue", "retry"], "run --resume"),
    **dict.fromkeys(["dry-run", "preview", "estimate"], "plan"),
    **dict.fromkeys(["why", "day", "funnel"], "explain day"),
    **dict.fromkeys(["row", "lineage", "trace"], "explain row"),
    **dict.fromkeys(["step", "sql", "show"], "explain step"),
    **dict.fromkeys(["status", "state", "list", "ls"], "cache status"),
    **dict.fromkeys(["check", "validate", "lint", "doctor"], "config check"),
    **dict.fromkeys(["verify", "fsck"], "cache verify"),
    **dict.fromkeys(["gc", "clean", "prune", "clear"], "cache gc --dry-run"),
    **dict.fromkeys(["history", "log", "logs"], "runs"),
    **dict.fromkeys(["compare", "changes"], "diff"),
    **dict.fromkeys(["html"], "report"),
    **dict.fromkeys(["dashboard", "serve", "web", "server"], "ui"),
    **dict.fromkeys(["new", "create", "setup"], "init"),
    **dict.fromkeys(["schema"], "config schema"),
    **dict.fromkeys(["embed", "embeddings"], "enrich"),
    **dict.fromkeys(["help"], "--help"),
    **dict.fromkeys(["version"], "--version"),
}


def _unknown(group: str, stray: Sequence[str]) -> DaedalusError:
    """The error for a command that there is not, in a group of commands or in none, with the one that is meant."""
    from daedalus.cli.app import app

    inner = app
    for name in group.split()[1:]:
        inner = inner[name]
    known, top = ([name for name in one if not name.startswith("-")] for one in (inner, app))
    return DaedalusError("there is no such command", where=group, found=stray[0], expected=", ".join(known),
                         hint=_meant(group, known, top, stray) or f"{group} --help")  # fmt: skip


def _meant(group: str, known: Sequence[str], top: Sequence[str], stray: Sequence[str]) -> str:
    """The whole command line that is probably meant; "" for none."""
    from difflib import get_close_matches

    from daedalus.cli.go_on import typed

    word = stray[0].lower().replace("_", "-")
    here = {name: f"{group} {name}".removeprefix("daeda ") for name in known}
    everywhere = {**_MEANT, **{name: name for name in top}, **here}
    if len(known) == 1:
        word = known[0]
    elif word not in everywhere:
        word = next(iter(get_close_matches(word, here) or get_close_matches(word, everywhere)), "")
    command = everywhere.get(word)
    return typed([*command.split(), *stray[1:]]) if command else ""
