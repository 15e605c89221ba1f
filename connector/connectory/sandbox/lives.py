"""The lives that there are: which states each collection's items go through, and what happens in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox import batching, retrieval, running, tuning, uploading
from connectory.sandbox.living import Life

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectory.catalogue import Action
    from connectory.sandbox.checking import Received
    from connectory.sandbox.items import Items
    from connectory.sandbox.living import Kept
    from connectory.sandbox.places import Place

DAY = 86_400


def _answered(_items: Items, kept: Kept) -> None:
    kept.facts.update(kept.stored.work or {})
    kept.stored.work = None


def _filmed(items: Items, kept: Kept) -> None:
    started = {"queued": 0, "in_progress": 50}
    kept.facts["progress"] = started.get(kept.facts["status"], 100)
    if kept.is_over:
        kept.facts["expires_at"] = int(items.clock()) + DAY


def _film_begun(items: Items, kept: Kept) -> None:
    for name, value in (("model", "sora-2"), ("seconds", "4"), ("size", "720x1280")):
        kept.facts.setdefault(name, value)
    _filmed(items, kept)


def _evaluation_begun(_items: Items, kept: Kept) -> None:
    counts = dict.fromkeys(("total", "errored", "failed", "passed"), 0)
    kept.facts.update({"result_counts": counts, "per_model_usage": [], "per_testing_criteria_results": []})


def _evaluated(_items: Items, kept: Kept) -> None:
    source: Any = cast("Mapping[str, Any]", kept.facts.get("data_source") or {}).get("source") or {}
    rows = len(source.get("content") or ())
    kept.facts["result_counts"] = {"total": rows, "errored": 0, "failed": 0, "passed": rows}


_RESPONSE = Life(
    ("queued", "in_progress", "completed"), verbs={"cancel": ("cancelled",)}, entered={"completed": _answered}
)

LIVES: Mapping[str, Life] = {
    "batches": Life(
        ("validating", "in_progress", "finalizing", "completed"),
        verbs={"cancel": ("cancelling", "cancelled")},
        begun=batching.begun,
        stays={"validating": batching.validate, "in_progress": batching.work},
        entered=dict.fromkeys(("completed", "cancelled", "expired"), batching.written),
    ),
    "fine_tuning.jobs": Life(
        ("validating_files", "queued", "running", "succeeded"),
        verbs={"cancel": ("cancelled",)},
        begun=tuning.begun,
        stays={"validating_files": tuning.validate},
        entered={
            "queued": tuning.queued,
            "running": tuning.running,
            "succeeded": tuning.succeeded,
            "cancelled": tuning.ended,
            "failed": tuning.ended,
        },
    ),
    "uploads": Life(
        ("pending",),
        verbs={"cancel": ("cancelled",)},
        begun=uploading.begun,
        entered={"cancelled": uploading.forgotten},
    ),
    "vector_stores": Life(
        ("completed",), begun=retrieval.store_begun, visited=retrieval.hurry, shown=retrieval.tally
    ),
    "vector_store.files": Life(
        ("in_progress", "completed"),
        begun=retrieval.file_begun,
        entered={"completed": retrieval.file_read},
    ),
    "vector_store.file_batches": Life(
        ("in_progress",),
        verbs={"cancel": ("cancelled",)},
        begun=retrieval.batch_begun,
        visited=retrieval.hurry,
        shown=retrieval.tally,
        entered={"cancelled": retrieval.batch_cancelled},
    ),
    "videos": Life(
        ("queued", "in_progress", "completed"),
        begun=_film_begun,
        entered=dict.fromkeys(("in_progress", "completed"), _filmed),
    ),
    "thread.runs": Life(
        ("queued", "in_progress", "completed"),
        verbs={"cancel": ("cancelling", "cancelled")},
        begun=running.begun,
        entered={"in_progress": running.started, "completed": running.completed},
    ),
    "responses": _RESPONSE,
    "beta.responses": _RESPONSE,
    "eval.runs": Life(
        ("queued", "in_progress", "completed"),
        verbs={"cancel": ("canceled",)},
        begun=_evaluation_begun,
        entered={"completed": _evaluated},
    ),
}


def _filmed_again(items: Items, place: Place, action: Action, received: Received) -> Any:
    """Make a video from another one: of the path, or of the body."""
    given: Any = received.body.get("video")
    video: Any = cast("Mapping[str, Any]", given).get("id") if isinstance(given, dict) else None
    body = {**received.body, "remixed_from_video_id": place.parameters.get("video_id", video)}
    return items.made_at("videos", {}, body, action)


ALSO: Mapping[str, Callable[[Items, Place, Action, Received], Any]] = {
    "threads.runs": running.thread_and_run,
    "upload.parts": uploading.part,
    "upload.complete": uploading.complete,
    "vector_store.search": retrieval.search,
    "vector_store.file.content": retrieval.content,
    "video.remix": _filmed_again,
    "videos.edits": _filmed_again,
    "videos.extensions": _filmed_again,
}
"""Entities with an answer of their own, which neither their kind nor their schema tells."""
