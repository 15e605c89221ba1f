"""An Alumio export (`flow.ndjson`) as a configuration, and what became of each of its objects."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError
from connectory.importing.clients import client_of
from connectory.importing.exported import as_list, as_map, first, read_export
from connectory.importing.report import Fate
from connectory.importing.requests import given_parameters, target_of
from connectory.importing.steps import Steps, checked
from connectory.plugins import transformer_names

if TYPE_CHECKING:
    from connectory.catalogue import Catalogue
    from connectory.importing.exported import Exported
    from connectory.record import Record

_SECTIONS = {
    "http-client": "clients",
    "list-transformer": "transformers",
    "incoming-configuration": "incoming",
    "outgoing-configuration": "outgoing",
    "route-configuration": "routes",
}
_WHY_NOT = {
    "scheduler-entry": "there is no scheduler here; let cron run the command",
    "entity": "what its items are known by is told with each incoming of it",
    "storage": "there are no storages here; the journal remembers what was done",
    "http-client-test": "'connectory check' reaches every client",
}
_TESTS = frozenset({"transformer-test", "incoming-transformer-test"})
_INCOMPLETE = "Imported in part: see what is missing, add it, and remove 'disabled'."
_ORDER = ("clients", "transformers", "tests", "incoming", "outgoing", "routes")


def import_alumio(text: bytes, catalogue: Catalogue, *, file: str = "") -> tuple[Record, list[Fate]]:
    """Make a configuration of an export. Raises ConfigError, with lines, for what is no export.

    A connection of which something is missing is disabled: it never runs without a filter that it had.
    """
    return _Import(read_export(text, file=file), catalogue).run()


class _Import:
    """Goes through the objects, those that others refer to first."""

    def __init__(self, exported: list[Exported], catalogue: Catalogue) -> None:
        self._exported, self._catalogue = exported, catalogue
        self._made: dict[str, dict[str, Any]] = {section: {} for section in _ORDER}
        self._names: dict[tuple[str, str], str] = {}
        """The name here of each object that others refer to, by type and identifier."""
        self._identifiers: dict[str, str] = {}
        self._lossy: set[str] = set()
        """The chains of which something is missing."""
        self._fates = {id(one): Fate(one.line, one.type or one.prototype, one.identifier) for one in exported}
        self._steps = Steps({}, partial(target_of, catalogue, "GET"))

    def run(self) -> tuple[Record, list[Fate]]:
        """Map everything, and give it in the order of the sections and of the lines."""
        self._identify()
        for kind, make in (
            ("http-client", self._client),
            ("list-transformer", self._chain),
            ("incoming-configuration", self._incoming),
            ("outgoing-configuration", self._outgoing),
            ("route-configuration", self._route),
        ):
            for one in self._of(kind):
                fate = self._fates[id(one)]
                try:
                    make(one, fate)
                except ValueError as error:
                    fate.target = ""
                    fate.missing.append(str(error))
        self._rest()
        sections = {name: made for name in _ORDER if (made := self._made[name])}
        return {"version": 1, **sections}, list(self._fates.values())

    def _of(self, kind: str) -> list[Exported]:
        return [one for one in self._exported if one.type == kind]

    def _identify(self) -> None:
        """Give a name to everything that others refer to; a chain's must be no transformer's."""
        seen: Counter[tuple[str, str]] = Counter()
        for one in self._exported:
            if one.type == "entity":
                path = as_list(one.parameters.get("identifierPath"))
                self._identifiers[one.identifier] = ".".join(map(str, path))
            if one.type not in _SECTIONS or (one.type, one.identifier) in self._names:
                continue
            name = one.name
            if one.type == "list-transformer" and name in transformer_names():
                name += "-chain"
            seen[one.type, name] += 1
            count = seen[one.type, name]
            self._names[one.type, one.identifier] = name if count == 1 else f"{name}-{count}"
        chains = {
            identifier: name for (kind, identifier), name in self._names.items() if kind == "list-transformer"
        }
        self._steps = Steps(chains, partial(target_of, self._catalogue, "GET"))

    def _put(self, one: Exported, fate: Fate, made: Any) -> None:
        section, name = _SECTIONS[one.type], self._names[one.type, one.identifier]
        if name in self._made[section]:
            raise ValueError(f"there are two of this type with the identifier {one.identifier!r}")
        self._made[section][name] = made
        fate.target = f"{section}.{name}"

    def _client(self, one: Exported, fate: Fate) -> None:
        self._put(one, fate, client_of(one, fate))

    def _chain(self, one: Exported, fate: Fate) -> None:
        written = first(one.parameters, "transformers", "transformer")
        steps, fate.missing = self._steps.map(
            written if isinstance(written, list) else [written or _itself(one)]
        )
        name = self._names[one.type, one.identifier]
        if fate.missing:
            self._lossy.add(name)
        self._put(one, fate, steps)

    def _incoming(self, one: Exported, fate: Fate) -> None:
        subscriber = as_map(one.parameters.get("subscriber"))
        prototype, parameters = str(subscriber.get("prototype") or ""), as_map(subscriber.get("parameters"))
        made = self._client_key(parameters)
        if prototype == "http-subscriber":
            request = as_map(parameters.get("request"))
            method = str(request.get("method") or "GET").upper()
            if method != "GET":
                raise ValueError(
                    f"its subscriber sends {method}; an incoming reads with GET: make it an outgoing"
                )
            target, given = target_of(self._catalogue, "GET", request.get("uri"))
            fate.missing += [f"{key!r} of its request" for key in ("payload", "plugins") if request.get(key)]
        elif parameters.get("entity"):
            target = {"entity": self._entity(parameters["entity"], "read")}
            given, lost = given_parameters(
                first(parameters, "requestParameters", "request_parameters", "parameters")
            )
            fate.missing += lost
        else:
            raise ValueError(f"the subscriber {prototype!r} makes no HTTP request")
        if "&{" in str(given):
            fate.missing.append("what fills the placeholders of its request: name it with 'input' or 'each'")
        made |= target | ({"request_parameters": given} if given else {})
        self._add_steps(
            made,
            "input_transformers",
            _one_or_many(first(parameters, "transformer", "inputTransformer")),
            fate,
        )
        self._add_steps(made, "transformers", one.parameters.get("transformers"), fate)
        identifier = self._identifiers.get(str(one.parameters.get("entityType") or ""))
        if identifier:
            fate.notes.append(
                f"its items are known by {identifier!r}: add 'identifier' where you write 'only: new'"
            )
        if parameters.get("pagination"):
            fate.notes.append("pagination: the catalogue knows how each entity is paged; every page is read")
        self._finish(one, fate, made)

    def _outgoing(self, one: Exported, fate: Fate) -> None:
        publisher = as_map(one.parameters.get("publisher"))
        prototype, parameters = str(publisher.get("prototype") or ""), as_map(publisher.get("parameters"))
        if "no-action" in prototype:
            raise ValueError(
                "its publisher sends nothing; write what it was for as 'transformers' of an incoming"
            )
        made = self._client_key(parameters)
        payload: Any = None
        if prototype == "http-publisher":
            request = as_map(parameters.get("request"))
            method = str(request.get("method") or "POST").upper()
            target, given = target_of(self._catalogue, method, request.get("uri"))
            payload = request.get("payload") or None
            if payload is None and method == "POST":
                payload = "&{@}"
                fate.notes.append("its request has no payload: the whole record is sent")
        elif parameters.get("entity"):
            action = str(first(parameters, "action", "method") or "create").lower()
            action = {"post": "create"}.get(action, action)
            if action not in {"create", "delete"}:
                raise ValueError(f"there is no action {action!r}; an outgoing creates or deletes")
            target = {"entity": self._entity(parameters["entity"], action), "action": action}
            given, _ = given_parameters(first(parameters, "requestParameters", "request_parameters"))
        else:
            raise ValueError(f"the publisher {prototype!r} makes no HTTP request")
        made |= target | ({"request_parameters": given} if given else {})
        self._add_steps(made, "transformers", one.parameters.get("transformers"), fate)
        if payload is not None:
            made["payload"] = checked(payload)
        self._finish(one, fate, made)

    def _route(self, one: Exported, fate: Fate) -> None:
        members: list[str] = []
        for kind in ("incoming", "outgoing"):
            identifier = str(one.parameters.get(kind) or "")
            name = self._names.get((f"{kind}-configuration", identifier))
            if name is None or name not in self._made[kind]:
                raise ValueError(f"its {kind} {identifier!r} was not mapped")
            members.append(name)
        steps, fate.missing = self._steps.map(one.parameters.get("transformers"))
        if steps or fate.missing:
            members[1] = self._own_outgoing(self._names[one.type, one.identifier], members[1], steps, fate)
        self._put(one, fate, members)
        if one.disabled:
            fate.notes.append("it is disabled there; a route here is run by name alone")

    def _own_outgoing(self, route: str, outgoing: str, steps: list[Any], fate: Fate) -> str:
        """Copy a route's outgoing with the route's own transformers before those that it has."""
        made = dict(self._made["outgoing"][outgoing])
        made["transformers"] = [*steps, *made.get("transformers", [])]
        if fate.missing or self._lossy.intersection(map(str, steps)):
            made |= {"disabled": True, "description": _INCOMPLETE}
        name = f"{route}-{outgoing}"
        if name in self._made["outgoing"]:
            raise ValueError(f"there is an outgoing {name!r} already")
        self._made["outgoing"][name] = made
        fate.notes.append(f"its transformers are those of its own outgoing {name!r}")
        return name

    def _rest(self) -> None:
        """Attach the tests, and tell why the other types have no place here."""
        for one in self._exported:
            fate = self._fates[id(one)]
            if one.type in _TESTS:
                self._test(one, fate)
            elif one.type not in _SECTIONS:
                fate.missing.append(_WHY_NOT.get(one.type, "there is nothing like it here"))
                if one.type == "scheduler-entry":
                    fate.notes += self._cron(one)

    def _test(self, one: Exported, fate: Fate) -> None:
        given = one.parameters.get("entity")
        expected = as_map(one.parameters.get("expected"))
        if not isinstance(given, dict) or "expected" not in expected:
            fate.missing.append("it has no 'entity', or nothing is expected of it")
            return
        test = {"name": one.name, "given": cast("Record", given), "expect": as_list(expected["expected"])}
        for section, kind in (("tests", "list-transformer"), ("incoming", "incoming-configuration")):
            name = self._names.get((kind, one.owner))
            if name is None:
                continue
            if section == "tests" and name in self._made["transformers"]:
                self._made["tests"].setdefault(name, []).append(test)
                fate.target = f"tests.{name}"
            elif section == "incoming" and name in self._made["incoming"]:
                self._made["incoming"][name].setdefault("tests", []).append(test)
                fate.target = f"incoming.{name}.tests"
        if not fate.target:
            fate.missing.append(f"its owner {one.owner!r} was not mapped")

    def _cron(self, one: Exported) -> list[str]:
        expression = one.parameters.get("expression")
        commands: list[str] = []
        for job in map(as_map, as_list(one.parameters.get("job"))):
            parameters = as_map(job.get("parameters"))
            for key in ("incoming", "route"):
                name = self._names.get((f"{key}-configuration", str(parameters.get(key))))
                if name is not None and name in self._made[_SECTIONS[f"{key}-configuration"]]:
                    commands.append(f"{expression} connectory run {key} {name}")
        return commands

    def _client_key(self, parameters: Record) -> Record:
        identifier = first(parameters, "client", "httpClient", "http_client")
        name = self._names.get(("http-client", str(identifier)))
        if identifier is not None and (name is None or name not in self._made["clients"]):
            raise ValueError(f"its client {identifier!r} was not mapped")
        if identifier is None and not self._made["clients"]:
            raise ValueError("the export has no HTTP client for it")
        return {} if name is None else {"client": name}

    def _entity(self, name: Any, action: str) -> str:
        try:
            return self._catalogue.find(str(name), cast("Any", action)).name
        except ConfigError as error:
            raise ValueError(error.problems[0].message) from None

    def _add_steps(self, made: Record, key: str, written: Any, fate: Fate) -> None:
        steps, missing = self._steps.map(written)
        fate.missing += missing
        fate.missing += [
            f"a part of the chain {one!r}" for one in steps if isinstance(one, str) and one in self._lossy
        ]
        if steps:
            made[key] = steps

    def _finish(self, one: Exported, fate: Fate, made: Record) -> None:
        if one.disabled or fate.missing:
            made["disabled"] = True
        if fate.missing:
            made["description"] = f"{one.description}. {_INCOMPLETE}".removeprefix(". ")
        elif one.description:
            made["description"] = one.description
        self._put(one, fate, made)


def _itself(one: Exported) -> Record:
    """Give what a list-transformer configures: where it holds no list, its own prototype is the one step."""
    return {"prototype": one.prototype, "parameters": one.parameters}


def _one_or_many(written: Any) -> list[Any]:
    return as_list(written) or ([written] if isinstance(written, dict) and written else [])
