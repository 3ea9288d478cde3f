"""Which commands there are. Those of a group are imported when one of them is called."""

from __future__ import annotations

from cyclopts import App, Group

from daedalus.cli import running, shell, tending, understanding

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
    ("cache", "caching", _TEND, "Look at, check and tidy the cache."),
    ("config", "configuring", _TEND, "Check the configuration, and describe it to editors."),
    ("explain", "explaining", _UNDERSTAND, "Say why a day is what it is."),
    ("pipeline", "training", _RUN, "Stages of a model's training pipeline."),
):
    app.command(f"daedalus.cli.{home}:app", name=name, group=group, help=told)
app.command(running.skeleton, group=_RUN, help_format="markdown")
for command in (understanding.diff, understanding.runs, understanding.report, understanding.audit):
    app.command(command, group=_UNDERSTAND, help_format="markdown")
app.command(tending.init, group=_TEND, help_format="markdown")
app.command(shell.completion, group=_SHELL, help_format="markdown")
