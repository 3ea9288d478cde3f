"""Usual names of what a log has, best first; how names of columns and events are taken apart and recognized."""

from __future__ import annotations

import re
from collections.abc import Sequence

Tiers = Sequence[Sequence[str]]

USER: Tiers = (
    ("user", "uid", "userid"),
    ("visitor", "customer", "member", "viewer", "listener", "reader", "buyer", "shopper", "subscriber", "player",
     "student", "learner", "consumer", "reviewer", "person", "msno"),
    ("account", "profile", "client", "guest", "household", "actor", "anonymous", "device", "cookie"),
)  # fmt: skip
ITEM: Tiers = (
    ("artwork", "item", "iid"),
    ("product", "article", "video", "track", "movie", "song", "sku", "asin", "isbn", "book", "game", "recipe", "course",
     "job", "listing", "hotel", "restaurant", "business", "show", "episode", "podcast", "film", "clip", "photo",
     "image", "story", "news", "ad", "anime", "recording"),
    ("content", "post", "doc", "document", "object", "page", "entity", "target", "offer", "media", "asset", "url"),
    ("album", "playlist"),
)  # fmt: skip
SESSION: Tiers = (("feed session", "session"), ("visit", "sess"), ("request",))
EVENT: Tiers = (
    ("event", "event type", "event name", "eventtype"),
    ("action", "action type", "interaction", "interaction type", "behavior", "behaviour", "behavior type"),
    ("type", "kind", "activity", "activity type", "verb", "feedback", "signal"),
)
TIME: Tiers = (
    ("event timestamp", "event time", "event ts", "event at", "occurred at", "happened at", "eventtime"),
    ("timestamp", "ts", "time", "datetime", "date time", "unixtime", "epoch", "utc"),
    ("created at", "played at", "viewed at", "listened at", "watched at", "clicked at", "rated at", "logged at",
     "server time", "received at", "event date", "date"),
)  # fmt: skip
UPDATED = ("updated at", "modified at", "event timestamp", "timestamp", "ts", "created at")  # of a view's row
BORN = ("created at", "registered at", "signed up at", "signup at", "joined at", "published at", "released at",
        "uploaded at", "release date", "signup date", "created")  # fmt: skip
AUTHOR: Tiers = (("author",), ("creator", "uploader", "publisher", "owner", "seller", "poster"))
OPTIONAL: dict[str, Tiers] = {
    "current_like_count": (("current like count",), ("like count", "likes count")),
    "country_code": (("country code", "country"), ("geo country", "country iso", "ip country")),
    "platform_code": (("platform code", "platform"), ("os", "device type", "device platform", "client platform")),
    "retriever_id": (("retriever",), ("recall source", "candidate source")),
    "member_source": (("member source",),),
}
CATEGORY = ("category", "genre", "brand", "artist", "author", "channel", "topic", "tag", "language", "label")
NUMBERED = ("year", "month", "day", "hour", "minute", "week", "index", "row", "version", "level 0", "unnamed 0")
ADDED_UP = ("seconds", "secs", "sec", "ms", "minutes", "duration", "price", "amount", "revenue", "quantity", "qty",
            "total", "cost", "count", "plays")  # fmt: skip

SEEN = ("view", "impression", "impressed", "seen", "shown", "exposure", "exposed", "expose", "display", "displayed")
LIKED = ("like", "purchase", "purchased", "buy", "order", "transaction", "checkout", "favorite", "favourite", "love",
         "save", "bookmark", "rating", "rate", "review", "complete", "play", "listen", "scrobble", "watch", "read",
         "share", "follow", "cart", "addtocart", "subscribe", "click", "open")  # fmt: skip
DISLIKED = (
    "dislike",
    "hide",
    "block",
    "report",
    "mute",
    "downvote",
    "thumbsdown",
    "notinterested",
    "skip",
    "skipped",
    "ban",
)

_IDS = ("id", "ids", "uuid", "guid", "key", "pk", "hash", "code", "no", "number")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[^\W_]+", re.UNICODE)
_KNOWN = {word for tiers in (USER, ITEM, SESSION) for tier in tiers for word in tier}


def words(name: str) -> list[str]:
    """The words of a name, lower: `fullVisitorId`, `full_visitor_id` and `fullVisitorID` are full, visitor, id."""
    found = [word.lower() for word in _WORD.findall(name)]
    return [part for word in found for part in _parted(word)]


def _parted(word: str) -> list[str]:
    stem = word.removesuffix("id")
    return [stem, "id"] if stem != word and stem in _KNOWN else [word]


def is_id(name: str) -> bool:
    """Whether a name ends as those of ids do."""
    return words(name)[-1:] in [[word] for word in _IDS]


def core(name: str) -> list[str]:
    """The words of a name without those that only say that it is an id."""
    found = words(name)
    while found and found[-1] in _IDS:
        found.pop()
    return found


def rank(name: str, tiers: Tiers, *, last: bool = False) -> float | None:
    """The place of a name among usual ones, 0 the best; with `last` also by its last word. None: it is none of them."""
    spelled, stem = " ".join(words(name)), core(name)
    for place, tier in enumerate(tiers):
        if spelled in tier or " ".join(stem) in tier:
            return place
    end = rank(stem[-1], tiers) if last and len(stem) > 1 else None
    return None if end is None else end + 0.5


def of_event(event: str, known: Sequence[str]) -> int | None:
    """The place of the first word of an event that is among the known ones."""
    parts = words(event)
    both = {part.removesuffix(end) for part in [*parts, "".join(parts)] for end in ("", "s", "d", "ed")}
    return min((place for place, word in enumerate(known) if word in both), default=None)


def is_seen(event: str) -> bool:
    """Whether an event only says that something was shown."""
    spelled = event.lower().replace("review", "")
    return "view" in spelled or "impression" in spelled or of_event(spelled, SEEN) is not None


def is_disliked(event: str) -> bool:
    return "dislike" in event.lower() or of_event(event, DISLIKED) is not None


def noun(item: str) -> str:
    """What a person calls the things of a feed: `movie` for movieId."""
    stem = core(item)
    known = bool(stem) and rank(stem[-1], ITEM) is not None and stem[-1] not in ("iid", "sku", "asin", "isbn", "url")
    return stem[-1] if known else "item"
