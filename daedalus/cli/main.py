"""The `daeda` command line. The only place that prints results and errors, and sets exit codes."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import chdir, suppress
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, NoReturn

from daedalus.base.errors import EXIT_DONE, EXIT_INTERRUPTED, DaedalusError, Interrupted, is_full

if TYPE_CHECKING:
    from daedalus.cli.parse import Call


def main(arguments: list[str] | None = None) -> None:
    """Runs `daeda` and exits with 0, 1, 2 or 130 (see daedalus.base.errors)."""
    if arguments is not None:
        with chdir(os.curdir):  # a command of a project above goes there
            sys.exit(_run(arguments))
    given = sys.argv[1:]
    try:
        call = _start(given)
    except KeyboardInterrupt:  # nothing was begun, and nothing to print it with is there
        os.write(2, b"interrupted before it began\n")
        os._exit(EXIT_INTERRUPTED)
    _end(_run(given, call))


class _Unused:
    """Has imports of these fail: pyarrow and numba import them where they are installed, which takes half a second, and
    do nothing for us with them."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, cls) if name in ("pandas", "scipy") else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> NoReturn:
        raise ModuleNotFoundError(f"no command needs {spec.name}", name=spec.name)

    @staticmethod
    def exec_module(module: object) -> None:
        """Asked for by Python of what has `create_module`."""


def _start(given: list[str]) -> Call | None:
    """The call of a command line, if it is remembered; else imports the parser. Then freezes all objects so far, so
    that garbage collection skips them.

    No later: if DuckDB's objects were frozen, the interpreter would report leaks on stderr at exit.
    """
    atexit.register(_leave_last)
    gc.set_threshold(50_000)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would spin, and none is needed
    # Arrow's memory comes and goes in pieces of some megabytes: to clear huge pages for them costs more than it saves,
    # and so does to give them back at once, for the next step takes as many.
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")  # milliseconds
    sys.meta_path.insert(0, _Unused)
    _open_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: keeps finished steps, restores the terminal
    from daedalus.cli.parse import remembered

    call = remembered(given)
    if call is None:
        import daedalus.cli.app  # noqa: F401

    gc.freeze()
    return call


def _open_streams() -> None:
    """Opens /dev/null for a standard stream that was closed, so that none of our files gets its number.

    Characters that stdout's encoding lacks are escaped, as on stderr.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")


_code: list[int] = []  # with which the process ends, once that is known


def _end(code: int) -> NoReturn:
    """Exits; without the interpreter's teardown, which takes 5 of 150 ms if nothing was computed, else up to 0.6 s."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said: a second Ctrl-C must not change the exit code
    if "numpy" not in sys.modules:
        _leave(code)
    _code.append(code)
    sys.exit(code)  # waits for threads, and does what libraries registered


def _leave(code: int) -> None:
    with suppress(OSError, ValueError, AttributeError):  # closed or missing: a normal exit reports it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _leave_last() -> None:
    """What is registered first to be done at the end is done last."""
    if _code:
        _leave(*_code)


def _run(given: list[str], call: Call | None = None) -> int:
    """Runs a command line; returns its exit code. An OSError becomes a DaedalusError."""
    from daedalus.cli.output import refuse

    try:
        return _answer(given, call)
    except OSError as error:
        from daedalus.cli.go_on import spelled_out

        return refuse(_worded(error), spelled_out(given))


def _worded(error: OSError) -> DaedalusError:
    """The message of an error of the system, or of a library: those of pyarrow name no file."""
    from daedalus.base.terminal_text import silence

    found = error.strerror or " ".join(str(error).split())[:200] or type(error).__name__
    if is_full(error) or _is_of_stdout(error):
        silence(sys.stdout)
        if error.filename:
            return DaedalusError("a disk is full", where=os.path.dirname(os.path.abspath(error.filename)),
                                 found=f"{found}: {error.filename}", hint="make room, then run again")  # fmt: skip
        where = "standard output, or a file on a full disk"
        return DaedalusError("the result cannot be written", where=where, found=found)
    if error.filename:
        hint = "it may have been removed meanwhile, or its permissions may forbid this"
        return DaedalusError("a file or folder cannot be used", where=str(error.filename), found=found, hint=hint)
    hint = "a file may be damaged, or a disk or connection may be failing"
    return DaedalusError("something cannot be read or written", found=found, hint=hint)


def _is_of_stdout(error: OSError) -> bool:
    """Whether standard output did not take what was printed: then it does not take the rest either."""
    from daedalus.cli.output import Unprinted

    if error.filename or isinstance(error, Unprinted | BrokenPipeError):
        return not error.filename
    try:
        sys.stdout.flush()  # what the help could not print is still there
    except (OSError, ValueError):
        return True
    return False


def _answer(given: list[str], call: Call | None) -> int:
    """Runs a command; turns its errors and interrupts into messages and exit codes."""
    from daedalus.cli.output import refuse, tell_json, to_stderr
    from daedalus.cli.parse import parsed
    from daedalus.cli.settings import placed

    try:
        return placed(call or parsed(given))() or 0
    except DaedalusError as error:
        from daedalus.cli.go_on import guided, spelled_out

        given = spelled_out(given)
        return refuse(guided(error, given), given)
    except SystemExit:  # rich's: the reader of the help has closed the pipe
        return EXIT_DONE
    except (Interrupted, KeyboardInterrupt) as error:
        from daedalus.cli.go_on import interruption, spelled_out

        given = spelled_out(given)
        what, command = interruption(error, given)
        to_stderr(f"{what}: {command}")
        tell_json(DaedalusError(what.partition(". ")[0], hint=command), given)
        return EXIT_INTERRUPTED
