"""Hand-written corrections of generated entities: rules, each of which must still apply to something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


class OverlayError(ValueError):
    """A rule that applies to nothing, or that names what does not exist."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """The corrections for one document.

    `query_style` is how arrays and objects in a query are written, whatever the document says; `names` and
    `singular` are exceptions to the naming rule; `title_words` says how words in titles are written. `relax` says
    where the API takes more than the document allows: `at` points to a schema below `/$defs` or `/entities`, whose
    properties named in `optional` are not required, and into which `schema` is merged.
    """

    query_style: str | None = None
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    singular: Mapping[str, str] = field(default_factory=dict[str, str])
    title_words: Mapping[str, str] = field(default_factory=dict[str, str])
    rules: tuple[Json, ...] = ()
    relax: tuple[Json, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Overlay:
        """Read an overlay file's content."""
        known = {"query_style", "names", "singular", "title_words", "rules", "relax"}
        if unknown := raw.keys() - known:
            raise OverlayError(f"overlay has unknown keys {sorted(unknown)}; known are {sorted(known)}")
        listed = {key: tuple(raw.get(key, ())) for key in ("rules", "relax")}
        settings: dict[str, Any] = {**raw, **listed}
        return cls(**settings)

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
    for entity in entities.values():
        if not _concerns(rule, entity):
            continue
        count += "entity" in rule
        merge(entity, rule.get("entity", {}))
        for name, action in entity["actions"].items():
            if "action" in rule and name in rule.get("actions", [name]):
                merge(action, rule["action"])
                count += 1
    return count


def _concerns(rule: Json, entity: Json) -> bool:
    path = str(entity["path"])
    under = any(path == prefix or path.startswith(prefix + "/") for prefix in rule.get("under", []))
    return under or path in rule.get("paths", []) or path.rsplit("/", 1)[-1] in rule.get("last_segments", [])


def merge(target: Json, changes: Mapping[str, Any]) -> None:
    """Merge changes into a JSON object, deeply; null takes a key away."""
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], cast("Json", value))
        else:
            target[key] = value
