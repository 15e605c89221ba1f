"""Hand-written corrections of generated entities: rules, each of which must still apply to something."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory_schemas.errors import OverlayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json: TypeAlias = dict[str, Any]

_LISTS = ("rules", "relax")
_KEYS = frozenset(["query_style", "names", "singular", "title_words", "documents", *_LISTS])


@dataclass(frozen=True, slots=True)
class Overlay:
    """The corrections for one document.

    `query_style` is how arrays and objects in a query are written, whatever the document says; `names` and
    `singular` are exceptions to the naming rule; `title_words` says how words in titles are written. `documents` are
    OpenAPI documents with operations that the document lacks, by where they come from. `relax` says where the API
    takes more than the document allows: `at` points to a schema below `/$defs` or `/entities`, whose properties named
    in `optional` are not required, and into which `schema` is merged.
    """

    query_style: str | None = None
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    singular: Mapping[str, str] = field(default_factory=dict[str, str])
    title_words: Mapping[str, str] = field(default_factory=dict[str, str])
    rules: tuple[Json, ...] = ()
    documents: Mapping[str, Json] = field(default_factory=dict[str, Json])
    relax: tuple[Json, ...] = ()

    @classmethod
    def of(cls, *raws: Mapping[str, Any]) -> Overlay:
        """Read the content of overlay files; what a later one says is added to, or replaces, an earlier one's."""
        whole: Json = {}
        for raw in raws:
            if unknown := raw.keys() - _KEYS:
                raise OverlayError(f"overlay has unknown keys {sorted(unknown)}; known are {sorted(_KEYS)}")
            added = {key: [*whole.get(key, ()), *raw.get(key, ())] for key in _LISTS}
            merge(whole, {**raw, **added})
        settings: dict[str, Any] = {**whole, **{key: tuple(whole.get(key, ())) for key in _LISTS}}
        return cls(**settings)

    def with_rules(self, rules: Sequence[Json]) -> Overlay:
        """Give this overlay with more rules, which come before its own."""
        return replace(self, rules=(*rules, *self.rules))

    def apply(self, entities: dict[str, Json]) -> None:
        """Change the entities in place."""
        for rule in self.rules:
            if not _apply_rule(rule, entities):
                raise OverlayError(f"overlay rule applies to nothing: {rule!r}")

    def relax_schemas(self, root: Mapping[str, Any]) -> None:
        """Change converted schemas in place; `root` is what the pointers start from."""
        for rule in self.relax:
            target = _at(rule["at"], root)
            wanted: list[str] = target.get("required", [])
            optional: list[str] = rule.get("optional", [])
            if missing := [name for name in optional if name not in wanted]:
                raise OverlayError(
                    f"overlay relaxes {missing!r} at {rule['at']!r}, which is not required there"
                )
            merge(target, {"required": [name for name in wanted if name not in optional] or None})
            if optional:  # with them or without: an example, which takes the first branch, still has them
                there = {"required": optional}
                target.setdefault("allOf", []).append({"anyOf": [there, {"not": there}]})
            merge(target, rule.get("schema", {}))


def _at(pointer: str, root: Any) -> Json:
    found = root
    for key in pointer.removeprefix("/").split("/"):
        try:
            found = found[int(key) if isinstance(found, list) else key.replace("~1", "/").replace("~0", "~")]
        except (KeyError, IndexError, TypeError, ValueError):
            raise OverlayError(f"overlay points to {pointer!r}, which leads nowhere at {key!r}") from None
    return cast("Json", found)


def _apply_rule(rule: Json, entities: dict[str, Json]) -> int:
    count = 0
    for name, entity in entities.items():
        if not _concerns(rule, name, entity):
            continue
        count += "entity" in rule
        merge(entity, rule.get("entity", {}))
        for slot, action in entity["actions"].items():
            if "action" in rule and slot in rule.get("actions", [slot]):
                merge(action, rule["action"])
                count += 1
    return count


def _concerns(rule: Json, name: str, entity: Json) -> bool:
    path = str(entity["path"])
    if name in rule.get("entities", []) or template_of(entity) in rule.get("templates", []):
        return True
    under = any(path == prefix or path.startswith(prefix + "/") for prefix in rule.get("under", []))
    return under or path in rule.get("paths", []) or path.rsplit("/", 1)[-1] in rule.get("last_segments", [])


def template_of(entity: Mapping[str, Any]) -> str:
    """Give an entity's URL template, its fixed query included."""
    fixed = next(iter(entity["actions"].values())).get("fixed_query", {})
    query = "&".join(f"{name}={value}" for name, value in fixed.items())
    return f"{entity['path']}?{query}" if query else str(entity["path"])


def merge(target: Json, changes: Mapping[str, Any]) -> None:
    """Merge changes into a JSON object, deeply; null takes a key away."""
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], cast("Json", value))
        else:
            target[key] = value
