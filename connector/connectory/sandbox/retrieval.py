"""Vector stores: their files are counted as they are read, and searched by the words in them."""

from __future__ import annotations

import re
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox.answers import listed
from connectory.sandbox.living import Kept, become, move

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from connectory.catalogue import Action
    from connectory.sandbox.checking import Received
    from connectory.sandbox.items import Items
    from connectory.sandbox.places import Place

_PIECE = 800
_MOST_RESULTS = 10
_STATES = ("in_progress", "completed", "cancelled", "failed")
_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": eq,
    "ne": ne,
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "in": lambda value, wanted: value in wanted,
    "nin": lambda value, wanted: value not in wanted,
}


def store_begun(items: Items, kept: Kept) -> None:
    """Complete a new vector store with the files that it is made with."""
    kept.facts["last_active_at"] = int(items.clock())
    kept.facts.setdefault("name", "")
    for name in kept.facts.get("file_ids") or ():
        items.add_at("vector_store.files", {"vector_store_id": kept.name}, {"file_id": name})
    tally(items, kept)


def batch_begun(items: Items, kept: Kept) -> None:
    """Add the files of a new file batch to its vector store."""
    shared: dict[str, Any] = {
        name: kept.facts[name] for name in ("attributes", "chunking_strategy") if name in kept.facts
    }
    given = cast("list[dict[str, Any]]", kept.facts.get("files") or [])
    given = given or [{"file_id": name, **shared} for name in kept.facts.get("file_ids") or ()]
    for body in given:
        owner = {"vector_store_id": kept.facts["vector_store_id"]}
        items.add_at("vector_store.files", owner, {**body, "batch_id": kept.name})
    tally(items, kept)


def file_begun(_items: Items, kept: Kept) -> None:
    """Complete a file that was just attached."""
    kept.facts.update(
        {"usage_bytes": 0, "last_error": None, "attributes": kept.facts.get("attributes") or {}}
    )


def file_read(items: Items, kept: Kept) -> None:
    """Count the bytes of a file that has been read."""
    stored = items.store.get("/files", kept.name)
    kept.facts["usage_bytes"] = len(stored.content or b"") if stored is not None else 0


def batch_cancelled(items: Items, kept: Kept) -> None:
    """Cancel the files of a batch that are not read yet."""
    for file in _files(items, kept):
        if not file.is_over:
            become(items, file, "cancelled")


def hurry(items: Items, kept: Kept) -> None:
    """Move every file of a vector store, or of a file batch, one state on."""
    for file in _files(items, kept):
        move(items, file)


def tally(items: Items, kept: Kept) -> None:
    """Count the files by their states; the item is completed when none is in progress."""
    counts = dict.fromkeys(_STATES, 0)
    size = 0
    for file in _files(items, kept):
        counts[file.facts["status"]] += 1
        size += file.facts["usage_bytes"]
    told: dict[str, Any] = {"file_counts": {**counts, "total": sum(counts.values())}, "usage_bytes": size}
    if kept.facts["status"] != "cancelled":
        told["status"] = "in_progress" if counts["in_progress"] else "completed"
    if any(kept.facts.get(name) != value for name, value in told.items()):
        kept.facts.update(told)
        kept.stored.shapes.clear()


def _files(items: Items, kept: Kept) -> Iterator[Kept]:
    """Give the files of a vector store, or those that came with a file batch."""
    store = kept.facts.get("vector_store_id", kept.name)
    path = f"/vector_stores/{store}/files"
    collection = items.store.collections.get(path)
    for name, stored in list(collection.items.items()) if collection is not None else ():
        if "vector_store_id" not in kept.facts or stored.facts.get("batch_id") == kept.name:
            yield Kept(path, name, stored, items.lives["vector_store.files"])


def search(items: Items, place: Place, action: Action, received: Received) -> Any:
    """Give the pieces of the files that have most of the words, best first."""
    body = received.body
    query = " ".join(map(str, listed(body.get("query"))))
    words = set(_words(query))
    ranking = cast("Mapping[str, Any]", body.get("ranking_options") or {})
    least = float(ranking.get("score_threshold") or 0)
    found = [
        one
        for file in _files(items, items.kept_above(place))
        if file.facts["status"] == "completed" and _fits(file.facts["attributes"], body.get("filters"))
        for one in _scored(items, file, words)
        if one["score"] >= least
    ]
    found.sort(key=lambda one: -one["score"])
    facts = {
        "search_query": [query],
        "data": found[: body.get("max_num_results") or _MOST_RESULTS],
        "has_more": False,
        "next_page": None,
    }
    return items.shapes.of(action.response.schema or {}, fresh=True).fit(facts)


def _scored(items: Items, file: Kept, words: set[str]) -> Iterator[dict[str, Any]]:
    stored = items.store.get("/files", file.name)
    if stored is None or stored.content is None or not words:
        return
    for piece in _pieces(stored.content.decode("utf-8", "replace")):
        score = round(len(words & set(_words(piece))) / len(words), 4)
        if score:
            yield {
                "file_id": file.name,
                "filename": stored.facts.get("filename", ""),
                "score": score,
                "attributes": file.facts["attributes"],
                "content": [{"type": "text", "text": piece}],
            }


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _pieces(text: str) -> Iterator[str]:
    """Split a text at its blank lines, and what is long still further."""
    for part in re.split(r"\n\s*\n", text):
        for start in range(0, len(part), _PIECE):
            if piece := part[start : start + _PIECE].strip():
                yield piece


def _fits(attributes: Mapping[str, Any], rule: Mapping[str, Any] | None) -> bool:
    if not rule:
        return True
    kind = rule["type"]
    if kind in {"and", "or"}:
        parts = (_fits(attributes, one) for one in rule["filters"])
        return all(parts) if kind == "and" else any(parts)
    try:
        return rule["key"] in attributes and bool(_COMPARED[kind](attributes[rule["key"]], rule["value"]))
    except TypeError:
        return False


def content(items: Items, place: Place, action: Action, _received: Received) -> Any:
    """Give the text of a file."""
    stored = items.store.get("/files", place.parameters["file_id"])
    text = (stored.content or b"").decode("utf-8", "replace") if stored is not None else ""
    facts = {"data": [{"type": "text", "text": text}], "has_more": False, "next_page": None}
    return items.shapes.of(action.response.schema or {}, fresh=True).fit(facts)
