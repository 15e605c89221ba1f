"""From a checked request to an answer: by the action's kind, and by what its response is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox import running, streams
from connectory.sandbox.answers import COMPUTED, digest, responses
from connectory.sandbox.details import EPOCH, KEPT
from connectory.sandbox.items import Items
from connectory.sandbox.lives import ALSO
from connectory.sandbox.media import blob, film, picture
from connectory.sandbox.refusal import RefusedError
from connectory.sandbox.shapes import ABSENT, Shapes
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from connectory.catalogue import Action, Catalogue
    from connectory.sandbox.checking import Received
    from connectory.sandbox.places import Place
    from connectory.sandbox.store import Store

_SOON: Mapping[str, str] = {"openai-poll-after-ms": "20"}
"""What an item under way says besides: when to ask again. There is nothing to wait for but the next reading."""

_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=sandbox\r\nt=0 0\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; a body that is no bytes is sent piece by piece."""

    body: bytes | Iterator[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Answerer:
    """Everything that the sandbox can answer."""

    def __init__(self, catalogue: Catalogue, store: Store, *, clock: Callable[[], float]) -> None:
        self.store = store
        self.items = Items(catalogue, Shapes(catalogue), store, clock=clock)

    def answer(self, place: Place, action: Action, received: Received) -> Answer:
        """Answer one request. Raises RefusedError."""
        self.items.check_above(place)
        kind = action.response.kind
        made = self.made(place, action, received)
        content, content_type = cast("tuple[Any, str]", made) if isinstance(made, tuple) else (made, "")
        if kind == "empty" or made is None:
            return Answer(b"")
        if kind == "sse" or _wants_stream(action, received):
            return Answer(
                self.streamed(place.entity.name, content, received), "text/event-stream; charset=utf-8"
            )
        if isinstance(content, bytes):
            return Answer(content, content_type)
        if isinstance(made, str):
            return Answer(made.encode(), "text/plain; charset=utf-8")
        waits = action.kind == "read" and self.items.is_under_way(place)
        return Answer(dumps(made), headers=_SOON if waits else {})

    def streamed(self, name: str, content: Any, received: Received) -> Iterator[bytes]:
        """Give the events of an answer; a run is gone through as they are sent."""
        if name in running.ENTITIES:
            return running.events(self.items, content)
        return streams.events(name, content, received.body)

    def made(self, place: Place, action: Action, received: Received) -> Any:
        """Make the answer's value; bytes come with their media type."""
        if action.kind == "delete":
            return self.items.delete(place, action)
        if action.response.kind == "binary" and action.name == "read":
            return self.downloaded(place, received)
        if action.response.kind == "text":
            return _SDP
        if place.entity.name in ALSO:
            return ALSO[place.entity.name](self.items, place, action, received)
        if action.kind == "list":
            return self.items.listed(place, action, received.query)
        return (
            self.items.read(place, action) if action.kind == "read" else self.written(place, action, received)
        )

    def written(self, place: Place, action: Action, received: Received) -> Any:
        """Make the answer of a POST: computed, kept, changed, or an example."""
        name = place.entity.name
        if name.removeprefix("beta.") == "responses":
            return self.response(place, action, received)
        if name in COMPUTED:
            made = COMPUTED[name](received)
            keeps = name == "chat.completions" and received.body.get("store")
            return self.items.keep(place, action, made | _told(received)) if keeps else made
        makes = action.kind == "create" or name in KEPT
        if makes and self.items.places.of(place.entity) is not None:
            return self.items.create(place, action, received)
        if action.kind == "update":
            return self.items.update(place, action, received.body)
        if action.kind == "command":
            return self.items.command(place, action, received.body)
        return self.items.single(
            place, action, received.body | {"id": f"{name.rpartition('.')[2]}_{digest(received.body)}"}
        )

    def response(self, place: Place, action: Action, received: Received) -> Any:
        """Make a model's response, which is kept unless the request says otherwise."""
        facts = responses(received)
        if received.body.get("background") and not received.body.get("stream"):
            later = {name: facts[name] for name in ("output", "usage")}
            return self.items.keep(place, action, facts | {"output": [], "usage": ABSENT}, later)
        if received.body.get("store") is not False:
            return self.items.keep(place, action, facts)
        facts |= {"id": f"resp_{digest(received.body)}", "created_at": EPOCH}
        return self.items.shapes.of(action.response.schema or {}, fresh=True).fit(facts)

    def downloaded(self, place: Place, received: Received) -> tuple[bytes, str]:
        """Give bytes and their media type: what was uploaded, a film that is done, or bytes made from the path."""
        if (kept := self.items.content(place)) is not None:
            return kept
        if place.entity.name != "video.content":
            return blob(place.path), "application/octet-stream"
        video = self.items.kept_above(place)
        if not video.is_over:
            raise RefusedError(404, f"Video '{video.name}' has status '{video.facts['status']}'.")
        whole = received.query.get("variant", "video") == "video"
        return (film(video.name), "video/mp4") if whole else (picture(video.name), "image/png")


def _told(received: Received) -> dict[str, Any]:
    return {"metadata": received.body.get("metadata") or {}, "messages": received.body.get("messages", [])}


def _wants_stream(action: Action, received: Received) -> bool:
    """Say whether the request asks for server-sent events, in the field that the catalogue names."""
    where, _, name = (action.response.stream or "").partition(".")
    value = {"body": received.body, "query": received.query}.get(where, {}).get(name)
    return value in {True, "sse"} if isinstance(value, bool | str) else False
