"""What the schema says of a connection's target: which entities there are for it, and the parameters of their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.config.admitting import ENVIRONMENT, NOTHING, literally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from connectory.catalogue import Catalogue, Entity
    from connectory.config.admitting import Schema

_WRITES = ("create", "delete")
_KNOWN = frozenset({"moderations", "files", "file"})
"""Entities that everybody understands, for examples."""
_LIST = "; 'connectory entities list' shows all"
_HIDDEN = [{"required": [key]} for key in ("each", "input", "input_transformers", "transformer")]
"""What may fill the parameters of an incoming's path beside `request_parameters`."""


def target(schema: Schema, catalogue: Catalogue) -> None:
    """Tell the schema's connections what the catalogue has: entities by action, and path parameters by entity."""
    definitions = schema["$defs"]
    spoken = _Spoken(catalogue)
    for name, described in spoken.kinds().items():
        definitions[f"entity.{name}"] = described
    incoming, outgoing = definitions["IncomingConfig"], definitions["OutgoingConfig"]
    # what may stand there, and what is an example, hangs on the action
    outgoing["properties"]["entity"].pop("examples")
    outgoing["allOf"] = [*_by_action(), *_by_entity(catalogue, definitions, "outgoing")]
    incoming["allOf"] = _by_entity(catalogue, definitions, "incoming")
    incoming["properties"]["entity"] = {
        **definitions["entity.read"],
        "description": incoming["properties"]["entity"]["description"],
    }
    each = incoming["properties"]["each"]
    each["anyOf"] = [
        {"$ref": "#/$defs/entity.read"},
        {"type": "string", "pattern": "^incoming:"},
        {"type": "string", "maxLength": 0},
    ]


class _Spoken:
    """The names by which entities may be called, by what is done with them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def kinds(self) -> Mapping[str, Schema]:
        """Describe the entities for each action, and for an outgoing that does not say which."""
        return {
            "read": self._described(("read",), f"no entity of this name can be read{_LIST}"),
            "create": self._described(("create",), f"no entity of this name can be created{_LIST}"),
            "delete": self._described(("delete",), f"no entity of this name can be deleted{_LIST}"),
            "write": self._described(_WRITES, f"no entity of this name can be written{_LIST}"),
            "only": self._described(
                _WRITES,
                "no entity of this name is either created or deleted; where it takes both, say which with 'action'"
                + _LIST,
                most=1,
            ),
        }

    def _described(self, actions: Collection[str], message: str, *, most: int = 2) -> Schema:
        chosen = [
            entity
            for _, entity in sorted(self._catalogue.items())
            if 0 < len([one for one in actions if one in entity.actions]) <= most
        ]
        chosen.sort(key=lambda one: one.retired or one.deprecated)
        keys = {
            key
            for entity in self._catalogue.values()
            for alias, action in entity.aliases.items()
            if action in actions and (key := _key(alias))
        }
        # a list of all would be shown for each name; of what begins like the name it helps
        families: dict[str, list[Entity]] = {}
        for entity in chosen:
            families.setdefault(_family(entity), []).append(entity)
        names: Schema = {
            "type": "string",
            "pattern": f"^(?:{'|'.join(literally(one.name) for one in chosen)})$",
            "patternErrorMessage": message,
            "errorMessage": message,
        }
        aliases = [{"type": "string", "pattern": _loosely(keys)}] if keys else []
        return {
            "description": "An entity of the catalogue, by its name (required)",
            "examples": ([one.name for one in chosen if one.name in _KNOWN] or [one.name for one in chosen])[
                :1
            ],
            "anyOf": [names, *map(_enumerated, families.values()), *aliases, ENVIRONMENT, NOTHING],
        }


def _family(entity: Entity) -> str:
    """Name what an entity belongs to: the first part of its path, below `organization` the second."""
    first, *rest = entity.path.removeprefix("/").split("/")
    return f"{first}/{rest[0]}" if first == "organization" and rest else first


def _enumerated(entities: list[Entity]) -> Schema:
    return {"enum": [one.name for one in entities], "enumDescriptions": [_told(one) for one in entities]}


def _told(entity: Entity) -> str:
    state = "retired: " if entity.retired else "deprecated: " if entity.deprecated else ""
    return f"{state}{entity.title} ({', '.join(entity.actions)} {entity.path})"


def _by_action() -> list[Schema]:
    """Say which entities an outgoing takes, by its action."""
    chosen: list[tuple[Schema, str]] = [
        (
            {"properties": {"action": {"type": "string", "pattern": f"^{action}$"}}, "required": ["action"]},
            action,
        )
        for action in _WRITES
    ]
    chosen.append(
        ({"properties": {"action": {"type": "string", **ENVIRONMENT}}, "required": ["action"]}, "write")
    )
    chosen.append(({"properties": {"action": NOTHING}}, "only"))
    return [
        {"if": condition, "then": {"properties": {"entity": {"$ref": f"#/$defs/entity.{kind}"}}}}
        for condition, kind in chosen
    ]


def _by_entity(catalogue: Catalogue, definitions: dict[str, Schema], section: str) -> list[Schema]:
    """Say which path parameters there are, for all entities with the same ones at once."""
    names: dict[tuple[str, ...], list[str]] = {}
    wanted = {"read"} if section == "incoming" else {*_WRITES}
    for name, entity in catalogue.items():
        if not wanted.isdisjoint(entity.actions):
            aliases = [alias for alias, action in entity.aliases.items() if action in wanted]
            names.setdefault(entity.path_parameters, []).extend([name, *aliases])
    rules: list[Schema] = []
    for parameters, called in sorted(names.items()):
        pattern = f"^(?:{'|'.join(map(literally, sorted(called)))})$"
        definition = ".".join((section, "with", *(parameters or ("nothing",))))
        definitions[definition] = _with(parameters, section)
        rules.append(
            {
                "if": {
                    "properties": {"entity": {"type": "string", "pattern": pattern}},
                    "required": ["entity"],
                },
                "then": {"$ref": f"#/$defs/{definition}"},
            }
        )
    return rules


def _with(parameters: tuple[str, ...], section: str) -> Schema:
    """Describe a connection to an entity whose path has these parameters."""
    example = {name: _example(name, section) for name in parameters}
    about = ", ".join(parameters) or "none"
    path: Schema = {
        "description": f"The parameters of the entity's path: {about}",
        "examples": [example],
        "properties": {
            name: {
                "description": f"The path parameter {name!r} (required, here or elsewhere)",
                "examples": [value],
            }
            for name, value in example.items()
        },
        "additionalProperties": False,
        "errorMessage": f"the entity's path has no such parameter; it has: {about}",
    }
    request_parameters: Schema = {
        "description": f"Path and query parameters; the path has: {about}",
        "examples": [{"path": example} if example else {"query": {"limit": 100}}],
        "properties": {"path": path},
    }
    made: Schema = {"properties": {"request_parameters": request_parameters}}
    if section == "outgoing":
        made["properties"]["path"] = path
    elif parameters:
        made |= {"if": {"not": {"anyOf": _HIDDEN}}, "then": _required(parameters)}
    return made


def _required(parameters: Iterable[str]) -> Schema:
    """Ask for path parameters that nothing else can fill."""
    names = list(parameters)
    shown = ", ".join(f"{name}: ..." for name in names)
    listed = " and ".join(map(repr, names))
    message = f"the entity needs the path parameter {listed}; write request_parameters: {{path: {{{shown}}}}}"
    path: Schema = {"required": names, "errorMessage": message}
    request_parameters: Schema = {"properties": {"path": path}, "required": ["path"], "errorMessage": message}
    return {
        "properties": {"request_parameters": request_parameters},
        "required": ["request_parameters"],
        "errorMessage": message,
    }


def _example(name: str, section: str) -> str:
    return "&{id}" if section == "outgoing" else f"{name.removesuffix('_id')}-abc123"


def _key(alias: str) -> str:
    return "".join(sign for sign in alias.lower() if sign.isascii() and sign.isalnum())


def _loosely(keys: Iterable[str]) -> str:
    """Make the pattern of all spellings of some aliases: in any case, with any signs between the letters."""
    tree: dict[str, Any] = {}
    for key in sorted(keys):
        node = tree
        for sign in key:
            node = node.setdefault(sign, {})
        node[""] = {}
    between = "[^A-Za-z0-9]*"
    return f"^{between}{_branch(tree, between)}$"


def _branch(node: Mapping[str, Any], between: str) -> str:
    ways = [
        f"[{sign}{sign.upper()}]{between}{_branch(below, between)}"
        if sign.isalpha()
        else f"{sign}{between}{_branch(below, between)}"
        for sign, below in node.items()
        if sign
    ]
    if not ways:
        return ""
    whole = ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"
    return f"(?:{whole})?" if "" in node else whole
