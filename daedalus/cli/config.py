"""`daeda config …`."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Annotated, Literal

from daedalus.base.errors import EXIT_DAY_FAILED
from daedalus.cli.output import print_notes, print_out, show
from daedalus.cli.settings import settings_of

if TYPE_CHECKING:
    from cyclopts import Parameter

    from daedalus.cli.options import CacheRoot, Config, Json, OutputRoot


def check(
    *, config: Config = "config", cache_root: CacheRoot = None, output_root: OutputRoot = None, json: Json = False
) -> int:
    """Validate the config and the inputs, and print every value and where it comes from. Runs nothing.

    Exits with 1 if unusable feed files would make days fail.

    Example: daeda config check
    """
    from daedalus.upkeep import check_config as checking

    found = checking.check_config(settings_of(config, cache_root, output_root))
    print_notes(found["notes"])
    show(found, checking.check_lines, json)
    return EXIT_DAY_FAILED if found["failing_days"] else 0


def schema(file: Annotated[Literal["catalog", "runtime", "aggregations"], Parameter(help="Which file.")]) -> int:
    """Print the JSON Schema of a config file, with which editors complete and check YAML.

    Example: daeda config schema runtime
    """
    from daedalus.upkeep import check_config as checking

    print_out(dumps(checking.schema(file), indent=2))
    return 0


COMMANDS = (check, schema)
