"""Which commands there are. Those of a group are imported when one of them is called."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from daedalus.cli import init, inspect, skeleton
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
    where = {"bash": "~/.local/share/bash-completion/completions/daeda", "zsh": "a folder of $fpath, as _daeda",
             "fish": "~/.config/fish/completions/daeda.fish"}  # fmt: skip
    script = app.generate_completion(prog_name="daeda", shell=shell)
    head, _, rest = script.partition("\n")  # zsh wants its #compdef on the first line
    print_out(f"{head}\n# Put this file to {where[shell]}\n{rest}")
    return 0


# The first page has no markup: to render it as such would import a parser of Markdown, 30 ms.
app = App(
    name="daeda",
    version=version,
    help="Build training data by the day, recomputing only what changed.",
    help_format="plaintext",
)
_RUN, _UNDERSTAND = Group("Run", sort_key=1), Group("Understand and trust", sort_key=2)
_TEND, _SHELL = Group("Set up and tend", sort_key=3), Group("Shell", sort_key=4)

# In the order in which a refusal names them.
for name, home, group, told in (
    ("cache", "cache", _TEND, "Look at, check and tidy the cache."),
    ("config", "config", _TEND, "Check the configuration, and describe it to editors."),
    ("explain", "explain", _UNDERSTAND, "Say why a day is what it is."),
    ("pipeline", "pipeline", _RUN, "Stages of a model's training pipeline."),
):
    app.command(f"daedalus.cli.{home}:app", name=name, group=group, help=told)
app.command(skeleton.skeleton, group=_RUN, help_format="markdown")
for command in (inspect.diff, inspect.runs, inspect.report, inspect.audit):
    app.command(command, group=_UNDERSTAND, help_format="markdown")
app.command(init.init, group=_TEND, help_format="markdown")
app.command(completion, group=_SHELL, help_format="markdown")
