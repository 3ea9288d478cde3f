"""The one error type for people to read: what, where, found, expected, and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping

EXIT_DONE = 0
EXIT_DAY_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130

LABELS = ("where", "found", "expected", "hint")  # of an error, below what it says first


class DaedalusError(Exception):
    """A refusal or a failure that carries its own explanation and exit code.

    `what` is one sentence; `where` names a file, a key path or a column; `found` and
    `expected` are shown only when given; `hint` says what to do next.
    """

    exit_code = EXIT_REFUSED

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        found: object = None,
        expected: object = None,
        hint: str = "",
    ) -> None:
        self.what, self.where, self.found, self.expected, self.hint = what, where, found, expected, hint
        super().__init__(self.one_line())

    def __reduce__(self) -> tuple:
        """Pickles an error with all its attributes, whatever the arguments of its class are."""
        return _restored, (type(self), self.args, self.__dict__)

    def parts(self) -> list[tuple[str, str]]:
        """The labelled lines below the first one, as they may be shown."""
        rows = [("where", self.where), ("found", self.found), ("expected", self.expected), ("hint", self.hint)]
        return [(label, bare(str(value))) for label, value in rows if value not in (None, "")]

    def as_json(self) -> dict[str, str | None]:
        """The error as `--json` prints it."""
        rows = dict(self.parts())
        return {"what": bare(self.what)} | {key: rows.get(key) for key in LABELS}

    def one_line(self) -> str:
        """The message in one line, for logs and reports."""
        return one_line(self.as_json())

    def text(self) -> str:
        """The message as printed on a terminal."""
        from daedalus.base.terminal_text import printable

        return "\n".join(map(printable, [f"error: {bare(self.what)}", *part_lines(self.as_json())]))


def one_line(problem: Mapping[str, str | None]) -> str:
    """An error as `as_json` gives it, in one line; "" for none."""
    parts = [f"{label}: {problem[label]}" for label in LABELS if problem.get(label)]
    return "; ".join([problem["what"] or "", *parts]) if problem else ""


def part_lines(problem: Mapping[str, str | None]) -> list[str]:
    """The parts of an error below its first line, a line each."""
    return [f"  {label + ':':<9} {problem[label]}" for label in LABELS if problem.get(label)]


def problem_lines(problem: Mapping[str, str | None], indent: str) -> list[str]:
    """An error in lines for people: what, then where, found, expected and hint."""
    from daedalus.base.terminal_text import printable, wrapped

    first = wrapped(problem.get("what") or "no message", indent)
    return [*first, *(printable(f"{indent}{line}") for line in part_lines(problem))]


_BEFORE_TRACEBACK = "Detail: Python exception:"  # of Arrow, in errors of streams that Python feeds


def problem_of(error: Exception) -> dict[str, str | None]:
    """Any error as `DaedalusError.as_json` gives it; of another library its class and the first paragraph."""
    if isinstance(error, DaedalusError):
        return error.as_json()
    text = " ".join(str(error).split("\n\n")[0].split(_BEFORE_TRACEBACK)[0].split())
    found = dict.fromkeys(LABELS)
    return {**found, "what": bare(f"{type(error).__name__}: {text}"), "where": _place_in_code(error)}


def _place_in_code(error: Exception) -> str | None:
    """The innermost place of this package that an error came through, such as `windows/roll.py:73`."""
    from traceback import extract_tb

    package = os.path.dirname(os.path.dirname(__file__)) + os.sep
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename.startswith(package)]
    return f"{frames[-1].filename.removeprefix(package)}:{frames[-1].lineno}" if frames else None


def _restored(kind: type[DaedalusError], args: tuple, state: dict) -> DaedalusError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class DayError(DaedalusError):
    """Something wrong with one day's input: that day fails, the others go on."""

    exit_code = EXIT_DAY_FAILED


class RunStopped(DaedalusError):
    """Stops the whole run, because every other day would fail too; finished days are kept, and a resumed run goes on.

    `first` is what to do before that.
    """

    exit_code = EXIT_DAY_FAILED

    def __init__(
        self, what: str, *, where: str = "", found: object = None, expected: object = None, first: str
    ) -> None:
        self.first = first
        hint = f"{first}, then {_GO_ON}"
        super().__init__(what, where=where, found=found, expected=expected, hint=hint)

    def go_on_by(self, command: str) -> None:
        """Puts the command that resumes the run into the hint."""
        self.hint = f"{self.first}, then: {command}"


class EmptyRange(DaedalusError):
    """A range in which no day has feed rows; `nearest` is a range that has them."""

    def __init__(self, where: str, found: object, feed: str, nearest: str) -> None:
        self.nearest = nearest
        hint = f"range={nearest!r}; or allow_empty=True, which removes the partitions of these days"
        super().__init__("no day of the range has feed rows", where=where, found=found,
                         expected=f"days that the feed has: {feed}", hint=hint)  # fmt: skip

    def go_on_by(self, right: str, anyway: str) -> None:
        """Puts the commands with the nearest range, and for those who mean it, into the hint."""
        self.hint = f"{right}; to remove the partitions of these days instead: {anyway}"


class Interrupted(Exception):
    """A run was interrupted; its finished steps are kept, and a resumed run goes on."""

    def __init__(self) -> None:
        super().__init__(f"interrupted; finished steps are kept: {_GO_ON}")


_GO_ON = "run again with resume=True (--resume) to continue"


def bare(text: str) -> str:
    """An address, or the text of an error, without the users, passwords and queries of addresses: it may be shown.

    Not for SQL, JSON or values of rows: of those it would make others.
    """
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text))


_USER = re.compile(r"(\w://)[^\s/?\"]*@")
_QUERY = re.compile(r"(\w://[^\s?\"',]*)\?[\w.~%-]+=[^\s)\"',]*")


def at_least(least: float, given: float | None, where: str) -> None:
    """Raises DaedalusError for a number below the least, or NaN."""
    if given is not None and not given >= least:
        raise DaedalusError("a number that is too small", where=where, found=given, expected=f"at least {least}")


def is_full(error: BaseException) -> bool:
    """Whether an error of this machine says that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def seen_from(path: object) -> str:
    """A path, and for a relative one the folder that it is relative to."""
    return str(path) if os.path.isabs(str(path)) else f"{path}, in {os.getcwd()}"


def did_you_mean(name: str, known: object) -> str:
    """A hint naming the closest of `known`, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(str(name), [str(k) for k in known], n=1)  # type: ignore[attr-defined]
    return f"did you mean {close[0]!r}?" if close else ""
