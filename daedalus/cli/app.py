"""Which commands there are. Those of a group are imported when one of them is called."""

from __future__ import annotations

from cyclopts import App, Group

from daedalus.cli import init, inspect, shell, skeleton

# The first page has no markup: to render it as such would import a parser of Markdown, 30 ms.
app = App(
    name="daeda",
    version=shell.version,
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
app.command(shell.completion, group=_SHELL, help_format="markdown")
