"""Lines sent on to a webhook: a sink that posts them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from connectory.assembly.raw import raw_entity
from connectory.auth import Credential
from connectory.catalogue import Response
from connectory.client import Client
from connectory.errors import ApiError, ConnectoryError, UnavailableError
from connectory.events import Event, Held, Listener, RequestRetried, ignore
from connectory.interfaces import Sink
from connectory.requests.building import Call, ClientOptions
from connectory.text.redaction import Redactor
from connectory.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from connectory.catalogue import Prototype
    from connectory.config import WebhookConfig

AT_ONCE = 1
"""Posts under way at once: the lines arrive in their order."""


class WebhookSink(Sink):
    """Posts each line, or lists of lines, at least once.

    A post that fails is repeated, and in the end stops the run.
    """

    def __init__(
        self,
        settings: WebhookConfig,
        prototype: Prototype,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        listen: Listener = ignore,
        redactor: Redactor | None = None,
    ) -> None:
        parts = urlsplit(settings.webhook)
        self._batch, self._waiting = settings.batch, list[Any]()
        self._host, self._shared = parts.netloc, transport is not None
        options = ClientOptions(
            name="webhook",
            base_uri=urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")),
            prototype=prototype,
            credential=Credential("Authorization", "Bearer ", ""),
            headers=settings.headers,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            redactor=redactor or Redactor(),
        )
        self._call = _call("/" if parts.path.endswith("/") else "")
        self._client = Client(options, transport or Transport(limit=AT_ONCE), listen=self._told(listen))

    async def write(self, lines: Iterable[Any]) -> None:
        """Take lines, and post as many as make whole lists."""
        for line in lines:
            if self._batch is None:
                await self._post(line)
                continue
            self._waiting.append(line)
            if len(self._waiting) == self._batch:
                await self.flush()

    async def flush(self) -> None:
        """Post what waits for more lines."""
        if self._waiting:
            await self._post(self._waiting)
            self._waiting = []

    async def close(self) -> None:
        """Close the connection."""
        if not self._shared:
            await self._client.aclose()

    async def _post(self, payload: Any) -> None:
        try:
            await self._client.call(replace(self._call, payload=payload))
        except ApiError as error:
            raise self._failed(f"it answered {error.status}") from error
        except ConnectoryError as error:
            raise self._failed(self._short(str(error))) from error

    def _failed(self, reason: str) -> UnavailableError:
        """Say what happened without the path and query, which may be secrets."""
        return UnavailableError(f"the webhook at {self._host!r} does not take the results: {reason}")

    def _short(self, message: str) -> str:
        return message.removeprefix(f"{self._call.what}: ")

    def _told(self, listen: Listener) -> Listener:
        def tell(event: Event) -> None:
            if isinstance(event, RequestRetried):
                what, reason = f"webhook at {self._host!r}", self._short(event.reason)
                event = replace(event, what=what, reason=reason)
            elif isinstance(event, Held):
                event = replace(event, reason=f"webhook at {self._host!r}: {self._short(event.reason)}")
            listen(event)

        return tell


def _call(path: str) -> Call:
    """Make a post that may be repeated, and whose answer may be anything."""
    entity, actions = raw_entity(("POST",), path)
    action = replace(actions["POST"], kind="compute", response=Response("binary"))
    return Call(entity, action, validate="off")
