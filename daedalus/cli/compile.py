"""`daeda compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from daedalus.cli.output import show
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import CacheRoot, Config, Json, OutputRoot


def compile(
    *,
    config: Config = "config",
    out: Annotated[str | None, Parameter(help="Also write the document, as JSON, to this file.")] = None,
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
    json: Json = False,
) -> int:
    """Say what the configuration means: each column with its type and meaning, each step, and a digest of all that.

    Looks at the schemas of the inputs; reads no rows and runs nothing. Configurations that mean the same have the
    same digest.

    Example: daeda compile --out compiled.json
    """
    from daedalus.compile import lines
    from daedalus.compile.resolve import compiled

    path = lines.check_out(out) if out is not None else None
    document = compiled(settings_of(config, cache_root, output_root))
    if path:
        lines.write_document(document, path)
    return show(document, lines.document_lines, json)
