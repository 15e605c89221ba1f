"""Uploads: parts that are joined into a file, in the order that the request gives."""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox.living import become
from connectory.sandbox.refusal import RefusedError

if TYPE_CHECKING:
    from connectory.catalogue import Action
    from connectory.sandbox.checking import Received
    from connectory.sandbox.items import Items
    from connectory.sandbox.living import Kept
    from connectory.sandbox.places import Place

HOUR = 3600


def begun(items: Items, kept: Kept) -> None:
    """Complete a new upload: it ends in an hour."""
    kept.facts["expires_at"] = int(items.clock()) + HOUR


def forgotten(items: Items, kept: Kept) -> None:
    """Forget the parts of an upload that is over."""
    items.store.forget_below(kept.item_path)


def _pending(items: Items, place: Place) -> Kept:
    kept = items.kept_above(place)
    if kept.facts["status"] != "pending":
        message = f"Upload '{kept.name}' has status '{kept.facts['status']}', not 'pending'."
        raise RefusedError(400, message, code="invalid_status")
    return kept


def part(items: Items, place: Place, action: Action, received: Received) -> Any:
    """Keep a part of an upload that is under way."""
    _pending(items, place)
    return items.create(place, action, received)


def complete(items: Items, place: Place, action: Action, received: Received) -> Any:
    """Join the parts in the given order into a file; their bytes must be as many as the upload said."""
    kept = _pending(items, place)
    content = b"".join(_part(items, kept, name) for name in received.body["part_ids"])
    if len(content) != kept.facts["bytes"]:
        message = f"The parts have {len(content)} bytes, and the upload says {kept.facts['bytes']}."
        raise RefusedError(400, message, code="invalid_value", param="part_ids")
    wanted = received.body.get("md5")
    if wanted and wanted != md5(content, usedforsecurity=False).hexdigest():
        raise RefusedError(400, "The md5 of the parts is another one.", code="invalid_value", param="md5")
    rule = cast("dict[str, int]", kept.facts.get("expires_after") or {})
    name = items.add_file(
        kept.facts["filename"],
        content,
        kept.facts["purpose"],
        media_type=kept.facts["mime_type"],
        lifetime=rule.get("seconds"),
    )
    kept.facts["file"] = items.shown_file(name)
    become(items, kept, "completed")
    forgotten(items, kept)
    return items.shaped(kept.stored, action.response.schema or {})


def _part(items: Items, kept: Kept, name: str) -> bytes:
    stored = items.store.get(f"{kept.item_path}/parts", name)
    if stored is None or stored.content is None:
        message = f"There is no part '{name}' of upload '{kept.name}'."
        raise RefusedError(400, message, code="invalid_value", param="part_ids")
    return stored.content
