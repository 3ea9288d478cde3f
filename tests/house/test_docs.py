"""What the docs show is true: every command they name runs, and every command is in them."""

from __future__ import annotations

import importlib
import re
import shlex

import pyarrow.parquet as pq
import pytest
from conftest import PROJECT
from small import EMBEDDINGS, edit
from ui_world import ask, ended, listening

from daedalus.cli.app import app

DOCS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), PROJECT / "cache/README.md"]
SHOWN = sorted(
    {
        command
        for path in DOCS
        for command in re.findall(r"(?:^\$ |`)(daeda [a-z][^`\n|]*?)(?:`|$)", path.read_text(), re.MULTILINE)
        if " | " not in command and " NAME" not in command and " RUN" not in command and " DAY" not in command
    }
)


def test_the_docs_show_commands():
    assert len(SHOWN) > 10


@pytest.mark.parametrize("command", SHOWN)
def test_a_shown_command_runs(warm, command, request):
    if "--remote" in command:
        bucket, options = request.getfixturevalue("bucket"), request.getfixturevalue("store_options")
        edit(warm.runtime, cache_remote=f"{bucket}/cache", object_store=options)
    if "enrich" in command or ("pipeline train" in command and "--skeleton-only" not in command):
        edit(warm.runtime, embeddings={"columns": EMBEDDINGS})
    edit(warm.runtime, feed_end="202605")
    edit(warm.runtime, session_filter__drop_single_like=True)  # so that there is something to run, and to diff
    row = pq.ParquetFile(warm.output / "dt=2026-02-14/part-0-0.parquet").read().to_pylist()[0]
    command = command.replace("2026-05-15", "2026-02-14").replace("--user U", f"--user {row['user_id']}")
    command = command.replace("--artwork A", f"--artwork {row['artwork_id']}")
    if command.startswith(("daeda diff", "daeda audit")):
        warm.run()
    if command.startswith("daeda snapshot"):
        assert warm.cli("snapshot", "create", "march").returncode == 0
    if command.startswith(("daeda run", "daeda plan")):  # of a configuration that init would have written
        command = command.replace(" --config mine", "")
    if command == "daeda demo":
        command += " --days 1 --rows 50"  # the same, and small
    if command.startswith("daeda ui"):  # which goes on
        process, address = listening(warm.root, *shlex.split(command)[2:])
        assert "Daedalus" in ask(address) and ended(process) == (0, "", "")
        return
    done = warm.cli(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def commands(group, prefix="daeda") -> set[str]:
    found = set()
    for name in group:
        if name.startswith("-"):
            continue
        below = commands(group[name], f"{prefix} {name}")
        found |= below or {f"{prefix} {name}"}
    return found


def test_every_command_is_on_the_page_of_commands():
    page = (PROJECT / "docs/commands.md").read_text()
    known = commands(app)
    assert len(known) >= 6
    for command in known:
        assert command in page, command


def anchors(text: str) -> set[str]:
    """The headings of a page, as links name them."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", head).lower() for head in heads)
    return {re.sub(r"[^\w\- ]", "", head).strip().replace(" ", "-") for head in plain}


def test_links_lead_somewhere():
    for path in [*DOCS, PROJECT / "SECURITY.md", PROJECT / "CONTRIBUTING.md"]:
        for target, _, place in re.findall(r"\]\(([^)#:\s]*)(#([^)\s]*))?\)", path.read_text()):
            there = (path.parent / target) if target else path
            assert there.exists(), f"{path.name}: {target}"
            if place:
                assert place in anchors(there.read_text()), f"{path.name}: {target}#{place}"


def test_the_site_has_every_page_and_its_links_lead_to_pages(monkeypatch):
    """What scripts/site would refuse, without its tool."""
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    pages = importlib.import_module("pages.site").pages()
    named = re.findall(r": ([\w-]+\.md)$", (PROJECT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(pages)
    for name, text in pages.items():
        assert set(re.findall(r"\]\(([^)#:\s]+\.md)", text)) <= set(pages), name
    assert "your_data.md" in re.findall(r"\]\(([^)#:\s]+)", pages["index.md"])


BLOCKS = re.findall(r"```python\n(.*?)```", (PROJECT / "docs/cookbook.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=[re.findall(r"import (\w+)", block)[0] for block in BLOCKS])
def test_the_cookbooks_python_runs(warm, block):
    edit(warm.runtime, splits={"by": "user", "parts": {"train": 0.8, "test": 0.2}})
    for module in re.findall(r"^import (\w+)", block, re.MULTILINE):
        pytest.importorskip(module)
    names: dict = {}
    exec(block, names)
    assert "frame" not in names or (
        names["frame"].num_rows == len(names["table"]) > 1000 and len(names["by_event"]) > 3
    )
    assert "ranker" not in names or 0 < names["ranker"].best_score["valid_0"]["ndcg@10"] <= 1
    assert "seen" not in names or names["seen"] > 1000


def test_the_readmes_ranker_trains(enriched, capsys):
    """On the days that the fixture has, instead of the demo's months."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    (block,) = re.findall(r"```python\n(import torch\n.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    exec(block.replace("202602..202604", "2026-02-01..2026-02-02").replace("202605", "2026-02-03"), {})
    said = re.fullmatch(r"AUC (0\.\d+) on (\d+) rows\n", capsys.readouterr().out)
    assert said and 0 < float(said[1]) < 1 and int(said[2]) > 10


def test_there_are_blocks_of_python():
    assert len(BLOCKS) == 4
