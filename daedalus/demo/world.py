"""A sample world: feed, six catalog views and a Lance pool, the same bytes of rows for the same arguments.

ROOT/data is what the default config reads. A user's activity and an artwork's popularity are lognormal;
a session is a user's half hour. The feed has what real ones have: late and duplicate rows, rows without
keys, files that lack columns or hold narrower types.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY_US = 86_400_000_000
EVENTS = np.array(["reco_artwork_view", "reco_artwork_view2", "click", "like", "dislike_click", "share"])
SHARES = [0.60, 0.17, 0.11, 0.08, 0.02, 0.02]
MODELS = np.array(["SD_V1_MODEL", "SDXL_MODEL", "FLUX_MODEL", "DEFAULT_I2V_MODEL"])


def micros(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days * DAY_US


class World:
    """Users, artworks and days, all drawn from one seed."""

    def __init__(
        self, root: Path, seed: int, users: int, artworks: int, start: dt.date, end: dt.date, half_hours: int
    ) -> None:
        self.root, self.seed, self.start, self.end = root / "data", seed, start, end
        self.half_hours = half_hours
        rng = np.random.default_rng([seed, 0])
        self.users = np.arange(1, users + 1) * 1000 + 7
        self.artworks = np.arange(1, artworks + 1) * 100 + 3
        activity = rng.lognormal(0, 1.2, users)
        popularity = rng.lognormal(0, 1.6, artworks)
        self.activity, self.popularity = activity / activity.sum(), popularity / popularity.sum()

    def write(self, rows: int, heavy: int = 0, floats: int = 32) -> None:
        """All of it: `rows` a day and `heavy` more of one user, and a pool of vectors of `floats` components."""
        for i in range((self.end - self.start).days + 1):
            self.write_day(self.start + dt.timedelta(days=i), rows, heavy)
        self.write_catalog()
        self.write_pool(floats)

    def write_day(self, day: dt.date, rows: int, heavy: int = 0) -> None:
        """One partition of two files; the second is of an older kind."""
        rng = np.random.default_rng([self.seed, day.toordinal()])
        columns = self._rows(rng, day, rows)
        if heavy:
            one = self._rows(rng, day, heavy, only=self.users[:1] - 1)  # a user beside the others
            columns = {name: np.concatenate([values, one[name]]) for name, values in columns.items()}
            rows += heavy
        late = rng.random(rows) < 0.002  # these belong to the day before: strays unless lateness allows
        columns["event_timestamp"] = columns["event_timestamp"] - late * DAY_US
        again = rng.integers(0, rows, max(rows // 200, 1))  # sent twice
        columns = {name: np.concatenate([values, values[again]]) for name, values in columns.items()}
        folder = self.root / f"feed/dt={day}"
        folder.mkdir(parents=True)
        old = len(columns["user_id"]) // 4
        pq.write_table(
            _old_kind({k: v[:old] for k, v in columns.items()}), folder / "part-0.parquet", compression="zstd"
        )
        pq.write_table(
            _new_kind({k: v[old:] for k, v in columns.items()}, rng), folder / "part-1.parquet", compression="zstd"
        )

    def _rows(
        self, rng: np.random.Generator, day: dt.date, rows: int, only: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        user = rng.choice(self.users, rows, p=self.activity) if only is None else np.repeat(only, rows)
        half_hour = rng.integers(0, 48, rows)
        halves = (user * 31 + half_hour) % self.half_hours  # when a user is there
        slot = (user % 8 + halves * 8 + halves // 6) % 48
        time = micros(day) + slot * 1_800_000_000 + rng.integers(0, 1_800_000, rows) * 1000
        session = np.char.add(np.char.add(user.astype(str), f"-{day:%m%d}-"), slot.astype(str)).astype(object)
        session[rng.random(rows) < 0.02] = None
        return {
            "user_id": user,
            "artwork_id": rng.choice(self.artworks, rows, p=self.popularity),
            "event_timestamp": time,
            "event": rng.choice(EVENTS, rows, p=SHARES).astype(object),
            "feed_session": session,
            "current_like_count": rng.integers(0, 500, rows),
            "country_code": (user % 5) * 100 + 56,
            "platform_code": user % 4,
            "retriever_id": rng.choice(np.array(["two_tower", "fresh", "similar"], dtype=object), rows),
            "member_source": rng.choice(np.array(["organic", "paid", None], dtype=object), rows),
        }

    def write_catalog(self) -> None:
        rng = np.random.default_rng([self.seed, 1])
        users, artworks = len(self.users), len(self.artworks)
        followed = [list(rng.choice(self.users, rng.integers(0, 6))) for _ in range(users)]
        self._view("user_profile", "user_id", self.users, rng, {
            "blur_nsfw": rng.random(users) < 0.3, "show_nsfw": rng.random(users) < 0.4,
            "safe_search": rng.random(users) < 0.6, "followed_user_ids": pa.array(followed, pa.list_(pa.int64())),
            "created_at": self._past(rng, users, 900),
        })  # fmt: skip
        animated = rng.random(artworks) < 0.1
        self._view("artwork_properties", "artwork_id", self.artworks, rng, {
            "author_id": rng.choice(self.users, artworks), "hide_prompts": rng.random(artworks) < 0.1,
            "is_sensitive": rng.random(artworks) < 0.15,
            "artwork_type": np.where(animated, "ANIMATED_ARTWORK", "IMAGE").astype(object),
            "created_at": self._past(rng, artworks, 200, until=self.end),
        })  # fmt: skip
        model = rng.integers(0, 4, artworks)
        self._view("artwork_generation", "artwork_id", self.artworks, rng, {
            "model_id": model * 11 + 1, "model_type": np.where(animated, MODELS[0], MODELS[model]).astype(object),
            "width": rng.choice([512, 768, 1024], artworks).astype("int32"),
            "height": rng.choice([512, 768, 1024], artworks).astype("int32"),
            "lightning": rng.random(artworks) < 0.2, "sampling_steps": rng.integers(4, 50, artworks).astype("int32"),
        })  # fmt: skip
        self._view("artwork_aesthetic", "artwork_id", self.artworks, rng, {"aes_score": rng.normal(5, 1, artworks)})
        tacks = [list(rng.choice(300, rng.integers(0, 5), replace=False)) for _ in range(artworks)]
        self._view(
            "artwork_tack", "artwork_id", self.artworks, rng, {"tack_ids": pa.array(tacks, pa.list_(pa.int64()))}
        )
        self._view("artwork_vector", "artwork_id", self.artworks, rng, {
            "media_safety_score": rng.random(artworks), "text_safety_score": rng.random(artworks),
        })  # fmt: skip

    def _past(self, rng: np.random.Generator, count: int, days: int, until: dt.date | None = None) -> pa.Array:
        end = micros(until or self.start)
        return pa.array(end - rng.integers(0, days * DAY_US, count), pa.timestamp("us"))

    def _view(self, name: str, entity: str, ids: np.ndarray, rng: np.random.Generator, features: dict) -> None:
        """Two files: every entity once but some, then newer versions of a fifth of them."""
        table = pa.table({entity: ids, **features})
        folder = self.root / f"catalog/{name}"
        folder.mkdir(parents=True)
        first = table.filter(pa.array(rng.random(len(ids)) < 0.97))
        newer = table.filter(pa.array(rng.random(len(ids)) < 0.2))
        shuffled = newer.take(pa.array(rng.permutation(newer.num_rows)))
        spans = ((first, self.start, 60), (shuffled, self.end, 120))
        for i, (part, until, days) in enumerate(spans):
            times = pa.array(micros(until) - rng.integers(0, days * DAY_US, part.num_rows), pa.timestamp("us"))
            pq.write_table(part.append_column("updated_at", times), folder / f"part-{i}.parquet", compression="zstd")

    def write_pool(self, floats: int) -> None:
        """Vectors of some length for most artworks, in random directions and of length 1 or so."""
        import lance

        rng = np.random.default_rng([self.seed, 2])
        ids = self.artworks[rng.random(len(self.artworks)) < 0.85]
        values = rng.standard_normal(len(ids) * floats, np.float32) / np.float32(floats**0.5)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), floats)
        table = pa.table({"artwork_id": pa.array(ids), "vector": vectors})
        lance.write_dataset(table, str(self.root / "embeddings/artwork_embedding.lance"))


def _old_kind(columns: dict[str, np.ndarray]) -> pa.Table:
    """Narrow ids, milliseconds, and no provenance: what the feed looked like at first."""
    times = pa.array(columns["event_timestamp"] // 1000, pa.timestamp("ms"))
    narrow = {name: pa.array(columns[name], pa.int32()) for name in ("user_id", "artwork_id", "current_like_count")}
    text = {name: pa.array(columns[name], pa.string()) for name in ("event", "feed_session")}
    codes = {name: pa.array(columns[name], pa.int32()) for name in ("country_code", "platform_code")}
    return pa.table({**narrow, "event_timestamp": times, **text, **codes})


def _new_kind(columns: dict[str, np.ndarray], rng: np.random.Generator) -> pa.Table:
    """All columns, and one row in five hundred without a user."""
    types = {"event_timestamp": pa.timestamp("us"), "country_code": pa.int32(), "platform_code": pa.int32()}
    arrays = {name: pa.array(values, types.get(name)) for name, values in columns.items()}
    keyless = rng.random(len(columns["user_id"])) < 0.002
    arrays["user_id"] = pa.array(columns["user_id"], pa.int64(), mask=keyless)
    return pa.table(arrays)
