"""What `--json` prints is what docs/json.md says: each command's object, field by field, and nothing else."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
from enrich_tiny import AGGREGATIONS
from shaped import shape_of, unlike
from small import answered, edit

from daedalus.cli.app import app
from daedalus.shapes.commands import PRINTED
from daedalus.shapes.common import Cause, RootCause

COMMANDS = [
    "enrich --range 2026-02-03 --plan", "plan -r 2026-02-03", "explain day 2026-02-03", "cache status", "compile",
    "config check",
    "pipeline train a_model --target-date 2026-02-03", "diff 2026-02-03", "explain day 2026-02-03", "runs",
    "explain step 2026-02-03 sessions", "explain row 2026-02-03 --user {user_id} --artwork {artwork_id}",
    "snapshot create v1 --stage enrich", "snapshot list", "snapshot show v1", "snapshot diff v1",
    "cache status", "cache verify --recompute 3", "cache gc --dry-run", "audit --range 2026-02-03 --rows 5",
    "report --range 2026-02-03", "init --feed data/feed --config mine",
    "snapshot remove v1",
]  # fmt: skip


def test_commands_print_objects_of_their_shapes(tiny_enriched):
    edit(tiny_enriched.aggregations, aggregations=[{**AGGREGATIONS[0], "events": ["like", "click"]}, *AGGREGATIONS[1:]])
    row = pq.ParquetFile(tiny_enriched.output / "dt=2026-02-03/part-0-0.parquet").read().to_pylist()[0]
    found = {}
    for command in COMMANDS:  # whatever is printed with --json in a test, `answered` looks at
        done = answered(*command.format(**row).split(), "--json")
        assert done.returncode == 0, (command, done.stderr)
        found[command] = json.loads(done.stdout)
        assert next(iter(found[command])) == "schema"
    assert found[COMMANDS[0]]["plan"] and found[COMMANDS[0]]["causes"]
    assert found["diff 2026-02-03"]["columns"] and found["runs"]["runs"][0]["causes"]


def test_a_refusal_is_of_its_shape(tiny_enriched):
    done = answered("explain", "row", "2026-02-03", "--user", "99", "--artwork", "99", "--json")
    assert done.returncode == 2 and set(json.loads(done.stdout)) == {"schema", "error"}


def test_every_command_that_prints_json_has_a_shape():
    named = {" ".join(word for word in name.split() if word[0] != "-") for name in PRINTED}
    assert {name.split()[0] for name in named} <= set(app)
    assert set(app) - {name.split()[0] for name in named} <= {"--help", "-h", "--version", "completion", "demo", "ui"}


def test_what_is_not_of_a_shape_is_told():
    cause = {"kind": "config", "what": "x", "old": None, "new": "1"}
    assert list(unlike(cause, Cause)) == []
    assert list(unlike({**cause, "diff": ["a"]}, Cause)) == []
    assert list(unlike({**cause, "more": 1}, Cause)) == [".more is in no shape"]
    assert list(unlike({**cause, "old": 1}, Cause)) == [".old: 1 is no <class 'str'>"]
    assert list(unlike({**cause, "steps": ["a", 1], "cached": True}, RootCause)) == [".steps[1]: 1 is no <class 'str'>"]
    assert list(unlike(cause, RootCause)) == [".steps is missing", ".cached is missing"]
    assert shape_of(["cache", "gc", "--remote"]) is not shape_of(["cache", "gc"])
