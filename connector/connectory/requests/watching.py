"""What is told of a request: that it is made again, and each attempt to who hears closely."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from connectory.events import RequestEnded, RequestRetried

if TYPE_CHECKING:
    from connectory.answers.meaning import Answer
    from connectory.requests.attempts import Progress
    from connectory.requests.building import Call
    from connectory.retry import Again


class Watch:
    """One attempt, from its turn to send until it ends; `trouble` is whatever ended it."""

    def __init__(self, client: str, call: Call, progress: Progress) -> None:
        self._client, self._call, self._attempt = client, call, progress.attempt
        self.answer: Answer | None = None
        self.trouble: BaseException | None = None
        self._began, self._at = time.time(), time.monotonic()
        self._waited = self._at - progress.asked_at

    def ended(self, url: str) -> RequestEnded:
        """Give what is told at the end; the URL has no query and no secret."""
        call, trouble = self._call, self.trouble
        found: Any = self.answer if self.answer is not None else trouble
        status = getattr(found, "status", None)
        value: Any = None if self.answer is None else self.answer.value
        usage, model, answered_by = (
            _named(value, "usage"),
            _named(call.payload, "model"),
            _named(value, "model"),
        )
        return RequestEnded(
            self._client,
            call.entity.name,
            call.what,
            url,
            status,
            getattr(found, "request_id", None),
            self._attempt,
            self._began,
            time.monotonic() - self._at,
            self._waited,
            None if trouble is None else str(status or type(trouble).__name__),
            model if isinstance(model, str) else None,
            answered_by if isinstance(answered_by, str) else None,
            cast("dict[str, Any]", usage) if isinstance(usage, dict) else None,
            call.whose,
        )


def retried(client: str, call: Call, progress: Progress, decision: Again) -> RequestRetried:
    """Give what is told when a request is made again."""
    trouble = progress.trouble
    return RequestRetried(
        call.what,
        progress.attempt,
        decision.wait,
        str(trouble),
        decision.held,
        client,
        call.entity.name,
        getattr(trouble, "status", None),
        getattr(trouble, "request_id", None),
        *call.whose,
    )


def _named(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
