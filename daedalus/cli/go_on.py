"""The command that goes on after a run stopped: the one that was typed, changed as little as possible."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from daedalus.base.errors import DaedalusError, EmptyRange, Interrupted, RunStopped

# Of the short names in options.py those that take no value, and those whose options a hint or an error asks for.
SHORT = {"c": "--config", "f": "--force", "j": "--json", "n": "-n", "r": "--range"}
_WITH_VALUE = "cr"
_FLAGS_OF_ONE_RUN = ("--force", "--plan", "-n")  # a resumed run takes up --force by itself, and a plan ends no run
_RUNS = (("run",), ("plan",), ("skeleton",), ("enrich",), ("pipeline", "train"))


def spelled_out(given: Sequence[str]) -> list[str]:
    """A command line with the long names of short options: `-fj` is `--force --json`, `-r2026-05` `--range=2026-05`."""
    end = given.index("--") if "--" in given else len(given)
    return [option for token in given[:end] for option in _options_in(token)] + list(given[end:])


def _options_in(token: str) -> Iterator[str]:
    """The options of a token such as `-fj`; any other token as it is."""
    if not re.match("-[a-z]", token):
        yield token
        return
    for place, letter in enumerate(token[1:], 2):
        option, rest = SHORT.get(letter, f"-{letter}"), token[place:]
        if rest and (rest[0] == "=" or letter in _WITH_VALUE):
            yield f"{option}={rest.removeprefix('=')}"
            return
        if letter not in SHORT:
            yield option + rest
            return
        yield option


def is_run(given: Sequence[str]) -> bool:
    """Whether a command line computes and publishes days."""
    return any(tuple(given[: len(run)]) == run for run in _RUNS)


def typed(given: Sequence[str]) -> str:
    """A command line as a shell takes it."""
    return shlex.join(["daeda", *given])


def resuming(given: Sequence[str]) -> str:
    """The command that resumes the run of a command line."""
    return typed(_with_flag(_without(given, *_FLAGS_OF_ONE_RUN), "--resume"))


def _without(given: Sequence[str], *flags: str) -> list[str]:
    return [token for token in given if token.partition("=")[0] not in flags]


def _with_flag(given: Sequence[str], flag: str) -> list[str]:
    if flag in given:
        return list(given)
    return _with(_without(given, flag), flag)  # without such as --resume=false


def _with_option(given: Sequence[str], option: str, value: str) -> list[str]:
    """The command line with a value of an option in the place of the one that it has."""
    if option in given:
        at = given.index(option)
        return [*given[: at + 1], value, *given[at + 2 :]]
    return _with(_without(given, option), option, value)


def _with(given: Sequence[str], *more: str) -> list[str]:
    """The command line with more options; before `--`, after which nothing is an option."""
    end = given.index("--") if "--" in given else len(given)
    return [*given[:end], *more, *given[end:]]


def guided(error: DaedalusError, given: Sequence[str]) -> DaedalusError:
    """The error with the command in its hint, if what goes on is a run."""
    if not is_run(given):
        return error
    option = "--target-date" if given[0] == "pipeline" and "--range" not in given else "--range"
    error.where = option if error.where == "--range" else error.where
    if isinstance(error, RunStopped):
        error.go_on_by(resuming(given))
    if isinstance(error, EmptyRange):
        error.go_on_by(typed(_with_option(given, option, error.nearest)), typed(_with_flag(given, "--allow-empty")))
    return error


def interruption(error: Interrupted | KeyboardInterrupt, given: Sequence[str]) -> tuple[str, str]:
    """(what to say of an interrupted command, the command that goes on)."""
    if isinstance(error, Interrupted) and is_run(given):
        return "interrupted; finished steps are kept. Continue with", resuming(given)
    if is_run(given):
        return "interrupted; finished steps are kept. Run again with", typed(given)
    return "interrupted; no file is half-written. Start again with", typed(given)
