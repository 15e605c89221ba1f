"""What the catalogue does not say: how identifiers look, how items begin, what a command leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODELS = (
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4o-mini-tts",
    "gpt-4o-transcribe",
    "gpt-image-1",
    "omni-moderation-latest",
    "text-embedding-3-large",
    "text-embedding-3-small",
    "whisper-1",
)

ENGINES = ("ada", "babbage", "curie", "davinci")
NAMES: Mapping[str, Sequence[str]] = {"models": MODELS, "engines": ENGINES}
"""What is in the collections to which nobody can add."""
EPOCH = 1_735_689_600
"""The moment that computed answers carry, so that the same request gives the same bytes: 2025-01-01."""

PREFIXES: Mapping[str, str] = {
    "files": "file-",
    "batches": "batch_",
    "vector_stores": "vs_",
    "vector_store.file_batches": "vsfb_",
    "assistants": "asst_",
    "threads": "thread_",
    "thread.messages": "msg_",
    "thread.runs": "run_",
    "thread.run.steps": "step_",
    "fine_tuning.jobs": "ftjob-",
    "fine_tuning.job.events": "ftevent-",
    "fine_tuning.job.checkpoints": "ftckpt_",
    "fine_tuning.checkpoint.permissions": "cp_",
    "evals": "eval_",
    "eval.runs": "evalrun_",
    "eval.run.output_items": "outputitem_",
    "conversations": "conv_",
    "conversation.items": "msg_",
    "containers": "cntr_",
    "container.files": "cfile_",
    "uploads": "upload_",
    "upload.parts": "part_",
    "chat.completions": "chatcmpl-",
    "responses": "resp_",
    "beta.responses": "resp_",
    "videos": "video_",
    "audio.voice_consents": "cons_",
    "organization.projects": "proj_",
    "organization.users": "user-",
    "organization.project.users": "user-",
    "organization.admin_api_keys": "key_",
    "organization.certificates": "cert_",
    "organization.invites": "invite-",
    "organization.audit_logs": "audit_log-",
    "organization.project.service_accounts": "svc_acct_",
    "organization.project.rate_limits": "rl-",
}


def prefix(name: str) -> str:
    """Give what the identifiers of a collection begin with: its last word in the singular, if no table knows."""
    if name in PREFIXES:
        return PREFIXES[name]
    word = name.rpartition(".")[2]
    return f"{word[:-3]}y_" if word.endswith("ies") else f"{word.removesuffix('s')}_"


FIRST_FACTS: Mapping[str, Mapping[str, Any]] = {
    "files": {"status": "processed"},
    "organization.projects": {"status": "active"},
    "container.files": {"source": "user"},
}

OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "cancel": ("cancelled", "canceled", "cancelling"),
    "pause": ("paused",),
    "resume": ("running", "queued"),
    "archive": ("archived",),
    "complete": ("completed",),
}
"""The states a command may lead to; the first that the item's schema knows is taken."""

KEPT = ("uploads", "upload.parts", "chat.completions", "responses", "beta.responses")
"""Collections that the catalogue cannot tell as such, because nothing reads them."""

NAMED: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "fine_tuning.jobs": {"training_file": ("files", 400), "validation_file": ("files", 400)},
    "vector_stores": {"file_ids": ("files", 404)},
    "vector_store.files": {"file_id": ("files", 404)},
    "vector_store.file_batches": {"file_ids": ("files", 404), "files": ("files", 404)},
    "thread.runs": {"assistant_id": ("assistants", 404)},
    "threads.runs": {"assistant_id": ("assistants", 404)},
}
"""Which fields of a request name items of which collection, and the status for one that is not there."""

LISTED_FROM: Mapping[str, tuple[str, str]] = {
    "vector_store.file_batch.files": ("vector_store.files", "batch_id"),
}
"""Lists that show a part of another collection: those items in which a fact equals the path parameter of its name."""

CHILDREN: Mapping[str, tuple[str, str]] = {
    "threads": ("messages", "thread.messages"),
    "conversations": ("items", "conversation.items"),
}
"""Which field of a new item holds items for a collection below it, and which collection that is."""


def _thread_message(body: Mapping[str, Any]) -> dict[str, Any]:
    given: Any = body.get("content") or ()
    parts = (
        [{"type": "text", "text": given}] if isinstance(given, str) else cast("list[dict[str, Any]]", given)
    )
    return {**body, "content": [_annotated(one) for one in parts]}


def _annotated(part: dict[str, Any]) -> dict[str, Any]:
    text = part.get("text")
    return {**part, "text": {"value": text, "annotations": []}} if isinstance(text, str) else part


def _conversation_item(body: Mapping[str, Any]) -> dict[str, Any]:
    content = body.get("content")
    kind = "output_text" if body.get("role") == "assistant" else "input_text"
    part: dict[str, Any] = {"type": kind, "text": content}
    if kind == "output_text":
        part["annotations"] = []
    facts = {"type": "message", "status": "completed", **body}
    return {**facts, "content": [part]} if isinstance(content, str) else facts


def _batch(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "request_counts": {"total": 0, "completed": 0, "failed": 0}}


def _expiring(body: Mapping[str, Any]) -> dict[str, Any]:
    rule = body.get("expires_after")
    seconds = cast("Mapping[str, Any]", rule).get("seconds") if isinstance(rule, dict) else None
    return {**body, "lifetime": int(seconds)} if seconds is not None else dict(body)


ADAPTED: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "thread.messages": _thread_message,
    "conversation.items": _conversation_item,
    "batches": _batch,
    "files": _expiring,
}
"""How a request's fields become the item's, where they do not agree by name."""
