"""Turns the parser's errors into DaedalusErrors that suggest a command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from daedalus.base.errors import DaedalusError

if TYPE_CHECKING:
    from cyclopts import CycloptsError

_RANGE = re.compile(r"\d{4}-?\d{2}(-\d{2})?(\.\.\d{4}-?\d{2}(-\d{2})?)?")


def refusal(error: CycloptsError, arguments: Sequence[str]) -> DaedalusError:
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
            return DaedalusError("an argument without its option", where=command, found=stray[0], hint=hint)
    missing = getattr(error, "argument", None)
    if missing is not None and type(error).__name__ == "MissingArgumentError":
        name = missing.names[0]
        if missing.field_info.is_positional:
            name = name.lstrip("-").upper().replace("-", "_")
        return DaedalusError(f"{name} is missing", where=command, hint=help_of)
    text = re.sub(r"^Unused Tokens: \[(.*)\]\.$", r"too many arguments: \1", str(error))
    return DaedalusError(text, hint=help_of)
