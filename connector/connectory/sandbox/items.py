"""The actions that remember: what was created can be read, listed, changed and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox.answers import listed
from connectory.sandbox.details import (
    ADAPTED,
    CHILDREN,
    FIRST_FACTS,
    LISTED_FROM,
    NAMED,
    NAMES,
    OUTCOMES,
    prefix,
)
from connectory.sandbox.lives import LIVES
from connectory.sandbox.living import Kept, begin, move, obey
from connectory.sandbox.paging import page
from connectory.sandbox.places import Place, Places
from connectory.sandbox.refusal import RefusedError
from connectory.sandbox.store import Store, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from connectory.catalogue import Action, Catalogue, Entity
    from connectory.sandbox.checking import Received, Upload
    from connectory.sandbox.shapes import Shapes

DAY = 86_400
EXAMPLES = 3
BUCKETS = 30
"""How many examples a collection begins with to which nobody can add: items, or periods of a report."""


class Items:
    """The stateful half of the sandbox."""

    def __init__(
        self, catalogue: Catalogue, shapes: Shapes, store: Store, *, clock: Callable[[], float]
    ) -> None:
        self.catalogue, self.shapes, self.store, self.clock = catalogue, shapes, store, clock
        self.places = Places(catalogue)
        self.lives = LIVES
        self.ask: Callable[[str, str, dict[str, Any]], Any] = _nobody
        self.fault_of_batch: Callable[[], str] = str

    def check_above(self, place: Place) -> None:
        """Refuse a path that goes through an item which is not there."""
        for collection, path, name in self.places.above(place):
            self.seed(collection, path)
            if self.store.get(path, name) is None:
                raise absent(collection, name)

    def listed(self, place: Place, action: Action, query: Mapping[str, Any]) -> Any:
        """Answer one page of a collection."""
        response = action.response
        schema = response.schema or {}
        item_schema = self.shapes.items(schema, response.items) if response.items else None
        if item_schema is None or place.is_item:
            return self.single(place, action)
        source, only = self.source(place)
        collection, path = self.places.of(source.entity) or source.entity, source.path
        self.seed(collection, path)
        found = page(self.store.collections.get(path), action, query, only)
        for name, stored in zip(found.names, found.items, strict=True):
            self.show(collection, path, name, stored)
        data = [self.shaped(one, item_schema) for one in found.items]
        if response.items == "@":
            return data
        listing = self.frame(schema, response.items or "data", data)
        told = found.fields(data, response.pagination)
        return listing | {name: value for name, value in told.items() if name in listing}

    def source(self, place: Place) -> tuple[Place, Mapping[str, Any]]:
        """Give where a list's items are kept, and which facts they must have."""
        if place.entity.name not in LISTED_FROM:
            return place, {}
        name, parameter = LISTED_FROM[place.entity.name]
        entity = self.catalogue[name]
        parameters = {one: place.parameters[one] for one in entity.path_parameters}
        return Place(entity, parameters), {parameter: place.parameters[parameter]}

    def frame(self, schema: Mapping[str, Any], field: str, data: list[Any]) -> dict[str, Any]:
        """Give a list's answer around its items, with nothing in it that tells of another page."""
        shape = self.shapes.of(schema, fresh=False)
        frame: dict[str, Any] = dict(shape.fit({}))
        empty: dict[str, Any] = {
            "first_id": "",
            "last_id": "",
            "has_more": False,
            "next": None,
            "next_page": None,
        }
        if not data:
            empty |= {name: None for name in ("first_id", "last_id") if shape.accepts({**frame, name: None})}
        return {**frame, **{name: value for name, value in empty.items() if name in frame}, field: data}

    def create(self, place: Place, action: Action, received: Received) -> Any:
        """Keep a new item and answer it; a request with a list of items keeps each."""
        self.check_named(place.entity, received.body)
        schema = action.response.schema or {}
        item_schema = self.shapes.items(schema, "data")
        if item_schema is None:
            return self.shaped(self.add(place, received.body, received.uploads), schema)
        several = [
            (name, cast("Sequence[Any]", value))
            for name, value in received.body.items()
            if isinstance(value, list)
        ]
        key, values = several[0] if several else ("", [received.body])
        single = key.removesuffix("s")
        bodies: list[Mapping[str, Any]] = [one if isinstance(one, dict) else {single: one} for one in values]
        data = [self.shaped(self.add(place, one, ()), item_schema) for one in bodies]
        ends = {"first_id": _id(data[0]), "last_id": _id(data[-1])} if data else {}
        listing = self.frame(schema, "data", data)
        return listing | {name: value for name, value in ends.items() if name in listing}

    def add(self, place: Place, body: Mapping[str, Any], uploads: Iterable[Upload]) -> Stored:
        """Keep an item in the collection at a place."""
        collection = self.places.of(place.entity) or place.entity
        now = int(self.clock())
        name = self.name_for(place.entity, body)
        adapted = ADAPTED.get(collection.name, dict)(body)
        facts: dict[str, Any] = {**place.parameters, **FIRST_FACTS.get(collection.name, {}), **adapted}
        facts |= {"id": name, "created_at": now, "created": now}
        if "lifetime" in facts:
            facts["expires_at"] = now + facts["lifetime"]
        stored = Stored(0, facts)
        for upload in uploads:
            facts |= {
                "filename": upload.filename,
                "bytes": len(upload.content),
                "path": f"/mnt/data/{upload.filename}",
            }
            stored.content, stored.content_type = upload.content, upload.content_type
        self.store.add(place.path, name, stored)
        self.add_children(collection, f"{place.path}/{name}", name, facts)
        if (life := self.lives.get(collection.name)) is not None:
            begin(self, Kept(place.path, name, stored, life))
        return stored

    def add_at(self, entity: str, parameters: Mapping[str, str], body: Mapping[str, Any]) -> Stored:
        """Keep an item of a named entity."""
        return self.add(Place(self.catalogue[entity], parameters), body, ())

    def made_at(
        self, entity: str, parameters: Mapping[str, str], body: Mapping[str, Any], action: Action
    ) -> Any:
        """Keep an item of another entity than the request's, and answer it."""
        return self.shaped(self.add_at(entity, parameters, body), action.response.schema or {})

    def add_file(
        self,
        filename: str,
        content: bytes,
        purpose: str,
        *,
        media_type: str = "application/octet-stream",
        lifetime: int | None = None,
    ) -> str:
        """Keep a file that nobody sent in one piece, and give its name."""
        name, now = self.store.new_id(prefix("files")), int(self.clock())
        facts: dict[str, Any] = {**FIRST_FACTS["files"], "id": name, "created_at": now, "purpose": purpose}
        facts |= {"filename": filename, "bytes": len(content)}
        if lifetime is not None:
            facts["expires_at"] = now + lifetime
        self.store.add("/files", name, Stored(0, facts, content, media_type))
        return name

    def add_model(self, name: str) -> None:
        """Add a model to those that there are."""
        self.seed(self.catalogue["models"], "/models")
        now = int(self.clock())
        self.store.add("/models", name, Stored(0, {"id": name, "created": now, "owned_by": "org-sandbox"}))

    def check_named(self, entity: Entity, body: Mapping[str, Any]) -> None:
        """Refuse a request that names an item which is not there."""
        for field, (collection, status) in NAMED.get(entity.name, {}).items():
            given = body.get(field)
            for one in listed(given):
                name: Any = cast("dict[str, Any]", one).get("file_id") if isinstance(one, dict) else one
                if name is not None and self.store.get(f"/{collection}", str(name)) is None:
                    refusal = absent(self.catalogue[collection], str(name))
                    refusal.status, refusal.param = status, field
                    raise refusal

    def keep(
        self, place: Place, action: Action, facts: dict[str, Any], later: dict[str, Any] | None = None
    ) -> Any:
        """Keep an answer that was computed, under an identifier of its own; what comes `later`, by being read."""
        name, now = self.store.new_id(prefix(place.entity.name)), int(self.clock())
        stored = Stored(0, facts | {"id": name, "created_at": now, "created": now}, work=later)
        self.store.add(place.path, name, stored)
        if later is not None:
            begin(self, Kept(place.path, name, stored, self.lives[place.entity.name]))
        return self.shaped(stored, action.response.schema or {})

    def name_for(self, entity: Entity, body: Mapping[str, Any]) -> str:
        """Give the new item's name: what the body gives for the item's path parameter, or a new identifier."""
        parameter = self.places.item_parameters.get(entity.path)
        given = body.get(parameter) if parameter else None
        return given if isinstance(given, str) and given else self.store.new_id(prefix(entity.name))

    def add_children(self, collection: Entity, path: str, name: str, facts: Mapping[str, Any]) -> None:
        """Keep what a new item brings along for the collection below it."""
        field, below = CHILDREN.get(collection.name, ("", ""))
        for body in cast("list[Any]", facts.get(field) or ()):
            entity = self.catalogue[below]
            child = Place(entity, dict(zip(entity.path_parameters, [name], strict=True)))
            if child.path.startswith(path):
                self.add(child, body, ())

    def read(self, place: Place, action: Action) -> Any:
        """Answer one item, one state further than it was."""
        stored = self.find(place)
        if stored is None:
            return self.single(place, action)
        collection = self.places.of(place.entity)
        if collection is not None and (life := self.lives.get(collection.name)) is not None:
            path = place.path.rpartition("/")[0]
            kept = Kept(path, place.name, stored, life)
            move(self, kept)
            if life.visited is not None:
                life.visited(self, kept)
            self.show(collection, path, place.name, stored)
        return self.shaped(stored, action.response.schema or {})

    def show(self, collection: Entity | None, path: str, name: str, stored: Stored) -> None:
        """Bring up to date what an item tells of others."""
        life = self.lives.get(collection.name) if collection is not None else None
        if life is not None and life.shown is not None:
            life.shown(self, Kept(path, name, stored, life))

    def is_under_way(self, place: Place) -> bool:
        """Say whether the item of a path will change by being read."""
        collection = self.places.of(place.entity) if place.is_item else None
        if collection is None or collection.name not in self.lives:
            return False
        stored = self.store.get(place.path.rpartition("/")[0], place.name)
        return stored is not None and bool(stored.ahead or stored.facts.get("status") == "in_progress")

    def kept_above(self, place: Place) -> Kept:
        """Give the nearest item that a path goes through."""
        *_, (collection, path, name) = self.places.above(place)
        stored = self.store.get(path, name)
        if stored is None:
            raise absent(collection, name)
        return Kept(path, name, stored, self.lives[collection.name])

    def shown_file(self, name: str) -> Any:
        """Give a file as its own entity answers it."""
        stored = self.store.collections["/files"].items[name]
        return self.shaped(stored, self.catalogue["file"].actions["read"].response.schema or {})

    def content(self, place: Place) -> tuple[bytes, str] | None:
        """Give the bytes that were uploaded with the item above, and their type."""
        *_, nearest = [None, *self.places.above(place)]
        stored = self.store.get(nearest[1], nearest[2]) if nearest else None
        return None if stored is None or stored.content is None else (stored.content, stored.content_type)

    def update(self, place: Place, action: Action, body: Mapping[str, Any]) -> Any:
        """Change an item, or the only object of a path, and answer it."""
        schema = action.response.schema or {}
        stored = self.find(place)
        if stored is not None:
            stored.facts |= body
            stored.shapes.clear()
            self.show(self.places.of(place.entity), place.path.rpartition("/")[0], place.name, stored)
            return self.shaped(stored, schema)
        if place.entity.actions.keys() & {"read"}:
            self.store.singletons[place.path] = {**self.store.singletons.get(place.path, {}), **body}
        return self.single(place, action, body)

    def command(self, place: Place, action: Action, body: Mapping[str, Any]) -> Any:
        """Do what the path's last word says to the item above it, as far as its state can show."""
        *_, nearest = [None, *self.places.above(place)]
        verb = "cancel" if place.is_item else place.entity.path.rpartition("/")[2]
        schema = action.response.schema or {}
        stored = self.store.get(nearest[1], nearest[2]) if nearest else None
        if (
            stored is not None
            and nearest is not None
            and (life := self.lives.get(nearest[0].name)) is not None
        ):
            kept = Kept(nearest[1], nearest[2], stored, life)
            obey(self, kept, verb)
            self.show(*nearest, stored)
            return self.shaped(stored, schema)
        if stored is None or verb not in OUTCOMES:
            return self.single(place, action, body)
        shape = self.shapes.of(schema, fresh=True)
        for state in OUTCOMES[verb]:
            if shape.accepts(shape.fit(stored.facts) | {"status": state}):
                stored.facts["status"] = state
                break
        stored.shapes.clear()
        return self.shaped(stored, schema)

    def delete(self, place: Place, action: Action) -> Any:
        """Forget an item with everything below it."""
        facts: dict[str, Any] = {"id": place.name, **place.parameters, "deleted": True}
        if self.find(place) is not None:
            self.store.remove(place.path.rpartition("/")[0], place.name)
        else:
            self.store.singletons.pop(place.path, None)
        if action.response.schema is None:
            return None
        shape = self.shapes.of(action.response.schema, fresh=True)
        *_, nearest = [None, *list(self.places.above(place))[:-1]]
        holder = self.store.get(nearest[1], nearest[2]) if nearest else None
        keyed = shape.fit({})
        if isinstance(keyed, dict) and "deleted" not in keyed and holder is not None and "id" in keyed:
            return shape.fit(holder.facts)
        return shape.fit(facts)

    def single(self, place: Place, action: Action, body: Mapping[str, Any] | None = None) -> Any:
        """Answer an example, with what is known of this path in it."""
        named = {"id": place.name} if place.name else {}
        facts = {**named, **place.parameters, **self.store.singletons.get(place.path, {}), **(body or {})}
        return self.shapes.of(action.response.schema or {}, fresh=action.name != "read").fit(facts)

    def find(self, place: Place) -> Stored | None:
        """Give the item of a path; None where the path is no kept item. Refuses one that is not there."""
        collection = self.places.of(place.entity) if place.is_item else None
        if collection is None:
            return None
        path = place.path.rpartition("/")[0]
        self.seed(collection, path)
        stored = self.store.get(path, place.name)
        if stored is None:
            raise absent(collection, place.name)
        return stored

    def shaped(self, stored: Stored, schema: Mapping[str, Any]) -> Any:
        """Give the item in the form of a schema; made once for each."""
        key = self.shapes.key(schema)
        if key not in stored.shapes:
            stored.shapes[key] = self.shapes.of(schema, fresh=not stored.facts.get("example")).fit(
                stored.facts
            )
        return stored.shapes[key]

    def seed(self, collection: Entity, path: str) -> None:
        """Fill a collection to which nobody can add, when it is first touched."""
        if path in self.store.collections or self.places.makes(collection):
            return
        pagination = collection.actions["read"].response.pagination
        reports = pagination is not None and pagination.style == "page"
        names = NAMES.get(collection.name, (None,) * (BUCKETS if reports else EXAMPLES))
        for number, given in enumerate(names):
            name = given or self.store.new_id(prefix(collection.name))
            start = (int(self.clock()) // DAY - len(names) + number) * DAY
            facts = {"example": True, "id": name, "created_at": start, "created": start, "owned_by": "system"}
            facts |= {"start_time": start, "end_time": start + DAY}
            self.store.add(path, name, Stored(0, facts))


def absent(collection: Entity, name: str) -> RefusedError:
    """Say that an item is not there, as the API does."""
    if collection.name == "models":
        return RefusedError(404, f"The model '{name}' does not exist.", code="model_not_found", param="model")
    what = collection.name.rpartition(".")[2].removesuffix("s")
    return RefusedError(404, f"No such {what} object: {name}", param="id")


def _nobody(method: str, path: str, _body: dict[str, Any]) -> Any:
    raise RefusedError(500, f"nobody answers {method} {path} here")


def _id(item: Any) -> Any:
    return cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else None
