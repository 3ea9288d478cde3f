"""The commands of `daeda`. The module of a group is imported when one of its commands is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Literal, get_type_hints

from cyclopts import App, Group, Parameter

from daedalus.cli import init, inspect, options, skeleton
from daedalus.cli.output import print_out


def version() -> str:
    """The versions of daeda and of the libraries that the output's bytes depend on."""
    from importlib import metadata

    from daedalus import __version__

    engines = ("duckdb", "pyarrow", "numba", "pylance")
    return " ".join([f"daeda {__version__}", *(f"{name} {metadata.version(name)}" for name in engines)])


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")]) -> int:
    """Print a shell completion script. Its first lines say where to save it.

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
    help="Build training data, one partition per day, and recompute only what changed.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main() says what is left to do
)
_RUN, _INSPECT = Group("Run", sort_key=1), Group("Inspect and verify", sort_key=2)
_MAINTAIN, _SHELL = Group("Set up and maintain", sort_key=3), Group("Shell", sort_key=4)


def _typed(command: Callable) -> Callable:
    """A command with its annotations resolved: it does not import options.py, which imports the parser."""
    command.__annotations__ = get_type_hints(command, vars(options), include_extras=True)
    return command


# In the order in which an error message lists them.
_GROUPS = {
    "cache": ("upkeep", _MAINTAIN, "Show, verify and clean up the cache."),
    "config": ("upkeep", _MAINTAIN, "Check the configuration, or print its JSON Schema."),
    "explain": (
        "explain",
        _INSPECT,
        "Explain why a day's steps would run, what they run, and where a row's values come from.",
    ),
    "pipeline": ("pipeline", _RUN, "Run the stages of a model's training pipeline."),
    "snapshot": ("snapshot", _MAINTAIN, "Keep partitions as they are now under a name, and compare them later."),
}


def __getattr__(name: str) -> App:
    """The App of a group, which the parser asks for when one of its commands is called."""
    if name not in _GROUPS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    group = App(name=name, help_format="markdown")
    for command in import_module(f"daedalus.cli.{_GROUPS[name][0]}").COMMANDS[name]:
        group.command(_typed(command))
    return group


for name, (_, group, description) in _GROUPS.items():
    app.command(f"{__name__}:{name}", name=name, group=group, help=description)
_COMMANDS: dict[Group, tuple[Callable, ...]] = {
    _RUN: (skeleton.run, skeleton.plan, skeleton.skeleton, skeleton.enrich),
    _INSPECT: (inspect.compile, inspect.diff, inspect.runs, inspect.report, inspect.ui, inspect.audit),
}
for group, commands in _COMMANDS.items():
    for command in commands:
        app.command(_typed(command), group=group, help_format="markdown")
app.command(_typed(init.demo), group=_RUN, help_format="markdown")
app.command(_typed(init.init), group=_MAINTAIN, help_format="markdown")
app.command(completion, group=_SHELL, help_format="markdown")
