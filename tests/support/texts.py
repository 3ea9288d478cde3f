"""The same world with ids that are text: feed, views and pool, where whole-number ids are mapped to it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Named = Callable[[int], str]

# Text that is taken for something else where it is not compared by its UTF-8 bytes; the id 0 and up.
NASTY = ["", " ", "007", "7", "A", "a", "a'b", 'a"b', "e\u0301", "\u00e9", "\uffff", "\U0001d4b3", "NULL", "a ",
         "%", "\\"]  # fmt: skip


def user_name(number: int) -> str:
    """In the order of the numbers."""
    return f"u{number:07d}"


def artwork_name(number: int) -> str:
    """In the order of the numbers."""
    return f"a{number:07d}"


@dataclass
class Texts:
    """What makes text of the ids of users and of artworks; None leaves them whole numbers."""

    users: Named | None = user_name
    artworks: Named | None = artwork_name
    uuids: bool = False  # as parquet's UUIDs, in feed and views

    def of(self, column: str) -> Named | None:
        """What makes text of a column's ids."""
        kinds: dict[str, Named | None] = dict.fromkeys(("user_id", "author_id", "author"), self.users)
        kinds["artwork_id"] = self.artworks
        return kinds.get(column)

    def table(self, table: pa.Table) -> pa.Table:
        """A table whose ids are text."""
        for place, name in enumerate(table.column_names):
            if named := self.of(name):
                table = table.set_column(place, name, self._texts(table[name].to_pylist(), named))
        return table

    def _texts(self, ids: list[int | None], named: Named) -> pa.Array:
        texts = [None if one is None else named(one) for one in ids]
        if not self.uuids:
            return pa.array(texts, pa.string())
        stored = pa.array([text and uuid.UUID(text).bytes for text in texts], pa.binary(16))
        return pa.ExtensionArray.from_storage(pa.uuid(), stored)


def with_texts(root: Path, target: Path, texts: Texts) -> None:
    """A copy of a world whose ids are text: paths of the catalog and of the pool are made anew."""
    shutil.copytree(root / "config", target / "config")
    catalog = yaml.safe_load((root / "config/catalog.yaml").read_text())
    runtime = yaml.safe_load((root / "config/training/runtime.yaml").read_text())
    _copied(Path(catalog["feed"]["path"]), "**/*.parquet", target / "feed", texts)
    catalog["feed"]["path"] = str(target / "feed")
    for name, view in catalog["views"].items():
        source = Path(view["source"])
        _copied(source.parent, source.name, target / "catalog" / name, texts)
        view["source"] = str(target / "catalog" / name / source.name)
    coverage = runtime["embedding_coverage_filter"]
    if embeddings := runtime.get("embeddings"):
        embeddings["output_root"] = str(target / "enriched")
    if coverage.get("uri") and (coverage.get("enabled", True) or embeddings):
        table = Path(coverage["uri"], f"{coverage['table']}.lance")
        _copied_pool(table, target / "pools", texts, coverage["id_column"])
        coverage["uri"] = str(target / "pools")
    (target / "config/catalog.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False))
    (target / "config/training/runtime.yaml").write_text(yaml.safe_dump(runtime, sort_keys=False))


def _copied(source: Path, pattern: str, target: Path, texts: Texts) -> None:
    for file in sorted(source.glob(pattern)):
        there = target / file.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(texts.table(pq.ParquetFile(file).read()), there)


def _copied_pool(source: Path, target: Path, texts: Texts, column: str) -> None:
    import lance

    table = lance.dataset(str(source)).to_table()
    if texts.artworks:
        ids = Texts(artworks=texts.artworks)._texts(table[column].to_pylist(), texts.artworks)
        table = table.set_column(table.column_names.index(column), column, ids)
    lance.write_dataset(table, str(target / source.name))
