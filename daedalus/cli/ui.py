"""`daeda ui`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

from daedalus.base.errors import EXIT_DONE, DaedalusError
from daedalus.base.installed import check_extra
from daedalus.cli.output import SCHEMA, print_out
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import CacheRoot, Config, OutputRoot, ReportRange

_MOST = 65535


def ui(
    *,
    range: ReportRange = None,
    port: Annotated[int, Parameter(help="Where to listen; default: a free port.")] = 0,
    host: Annotated[str, Parameter(help="An address of this machine that only it can reach.")] = "127.0.0.1",
    open: Annotated[bool | None, Parameter(help="Open the page in a browser; default: if there is a display.")] = None,
    config: Config = "config",
    cache_root: CacheRoot = None,
    output_root: OutputRoot = None,
) -> int:
    """Show days, steps, rows and runs on a local page, beside whatever runs, until Ctrl-C; it writes nothing.

    Needs the extra `ui`. The page's address, which has a token, is printed at once.

    Example: daeda ui --range 202602..202605
    """
    for module in ("starlette", "uvicorn"):
        check_extra("ui", module, where="daeda ui", what=f"{module}, which serves the page,")
    if not 0 <= port <= _MOST:
        raise DaedalusError("not a port", where="--port", found=port, expected=f"0 (a free one) to {_MOST}")
    from daedalus.base.days import parse_range
    from daedalus.ui.server import serve

    settings = settings_of(config, cache_root, output_root)
    settings.applied()  # what it refuses comes first
    if range is not None:
        parse_range(range)

    def ready(address: str) -> None:
        print_out(address)
        if _has_display() if open is None else open:
            import webbrowser

            webbrowser.open(address)

    serve(settings, range, host=host, port=port, schema=SCHEMA, ready=ready)
    return EXIT_DONE


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
