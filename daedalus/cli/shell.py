"""`daeda completion` and `daeda --version`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from daedalus.cli.output import print_out


def version() -> str:
    """The version, and those of the engines that make the bytes."""
    from importlib import metadata

    from daedalus import __version__

    engines = ("duckdb", "pyarrow", "numba", "lancedb")
    return " ".join([f"daeda {__version__}", *(f"{name} {metadata.version(name)}" for name in engines)])


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")]) -> int:
    """Print what makes a shell complete commands and options; how to use it stands in its first lines.

    Example: daeda completion bash
    """
    from daedalus.cli.app import app

    where = {"bash": "~/.local/share/bash-completion/completions/daeda", "zsh": "a folder of $fpath, as _daeda",
             "fish": "~/.config/fish/completions/daeda.fish"}  # fmt: skip
    script = app.generate_completion(prog_name="daeda", shell=shell)
    head, _, rest = script.partition("\n")  # zsh wants its #compdef on the first line
    print_out(f"{head}\n# Put this file to {where[shell]}\n{rest}")
    return 0
