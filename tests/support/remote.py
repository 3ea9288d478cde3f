"""The small world with its inputs and output in a bucket."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml
from small import RANGE, Small, edit

from daedalus.objectstore.object_store import ObjectStore
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings


class Remote(Small):
    """A world of which only the configuration is local; `store` has its objects by key."""

    def __init__(self, root: Path, bucket: str, options: dict[str, str]) -> None:
        super().__init__(root)
        self.bucket, self.store = bucket, ObjectStore(bucket, options)
        self.output_uri = f"{bucket}/out"

    def upload(self) -> None:
        """Moves the data of the world to the bucket."""
        data = self.root / "data"
        for path in sorted(data.rglob("*")):
            if path.is_file() and not path.is_relative_to(self.output):
                self.store.put(f"data/{path.relative_to(data)}", path)
        shutil.rmtree(data)

    def configure(self, options: dict[str, str], **runtime: object) -> None:
        whole = yaml.safe_load(self.catalog.read_text())
        whole["feed"]["path"] = f"{self.bucket}/{whole['feed']['path']}"
        for view in whole["views"].values():
            view["source"] = f"{self.bucket}/{view['source']}"
        self.catalog.write_text(yaml.safe_dump(whole, sort_keys=False))
        edit(self.runtime, output_root=self.output_uri, object_store=options, **runtime)
        edit(self.runtime, embedding_coverage_filter__uri=f"{self.bucket}/data/embeddings")

    def run(self, range=RANGE, **options):  # type: ignore[no-untyped-def]
        settings = {k: v for k, v in options.items() if k in ("cache_root", "output_root", "day_workers", "config")}
        rest = {k: v for k, v in options.items() if k not in settings}
        return run_skeleton_stage(Settings(**settings), range, **rest)

    def manifest(self, day: object) -> dict:
        return json.loads(self.store.get(f"out/dt={day}/manifest.json")[0])

    def state(self) -> dict:
        return json.loads(self.store.get("out/qid_map.json")[0])

    def published(self) -> dict[str, bytes]:
        """What readers see, under the names that it has in a local output."""
        keys = [self.store.key(one.uri) for one in self.store.list("out/")]
        found = {"qid_map.parquet": self.store.get("out/qid_map.parquet")[0]}
        for key in keys:
            if key.endswith("/manifest.json"):
                folder = key.rpartition("/")[0]
                for part in self.manifest(folder[-10:])["parts"]:
                    name = f"{folder[4:]}/{part['key'].rpartition('/')[2]}"
                    found[name] = self.store.get(f"{folder}/{part['key']}")[0]
        return dict(sorted(found.items()))
