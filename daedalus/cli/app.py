"""The commands of `daeda`. The module of a group is imported when one of its commands is called."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from daedalus.cli import init, inspect, skeleton
from daedalus.cli.output import print_out


def version() -> str:
    """The versions of daeda and of the libraries that the output's bytes depend on."""
    from importlib import metadata

    from daedalus import __version__

    engines = ("duckdb", "pyarrow", "numba", "lancedb")
    return " ".join([f"daeda {__version__}", *(f"{name} {metadata.version(name)}" for name in engines)])


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")]) -> int:
    """Print a shell completion script; its first lines say where to save it.

    Example: daeda completion bash
    """
    where = {"bash": "~/.local/share/bash-completion/completions/daeda", "zsh": "_daeda in a folder of $fpath",
             "fish": "~/.config/fish/completions/daeda.fish"}  # fmt: skip
    script = app.generate_completion(prog_name="daeda", shell=shell)
    head, _, rest = script.partition("\n")  # zsh wants its #compdef on the first line
    print_out(f"{head}\n# Save this file as {where[shell]}\n{rest}")
    return 0


# Plain text: to render this page as Markdown would import a parser, 30 ms.
app = App(
    name="daeda",
    version=version,
    help="Build training data by the day, recomputing only what changed.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main() says what is left to do
)
_RUN, _INSPECT = Group("Run", sort_key=1), Group("Inspect and verify", sort_key=2)
_MAINTAIN, _SHELL = Group("Set up and maintain", sort_key=3), Group("Shell", sort_key=4)

# In the order in which an error message lists them.
for name, home, group, description in (
    ("cache", "cache", _MAINTAIN, "Show, verify and clean up the cache."),
    ("config", "config", _MAINTAIN, "Check the configuration, or print its JSON Schema."),
    ("explain", "explain", _INSPECT, "Explain why a day's steps run, what they run, and what a row is made of."),
    ("pipeline", "pipeline", _RUN, "Run the stages of a model's training pipeline."),
):
    app.command(f"daedalus.cli.{home}:app", name=name, group=group, help=description)
app.command(skeleton.skeleton, group=_RUN, help_format="markdown")
for command in (inspect.diff, inspect.runs, inspect.report, inspect.audit):
    app.command(command, group=_INSPECT, help_format="markdown")
app.command(init.init, group=_MAINTAIN, help_format="markdown")
app.command(completion, group=_SHELL, help_format="markdown")
