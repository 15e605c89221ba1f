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
    `singular` are exceptions to the naming rule; `title_words` says how words in titles are written.
    """

    query_style: str | None = None
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    singular: Mapping[str, str] = field(default_factory=dict[str, str])
    title_words: Mapping[str, str] = field(default_factory=dict[str, str])
    rules: tuple[Json, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Overlay:
        """Read an overlay file's content."""
        known = {"query_style", "names", "singular", "title_words", "rules"}
        if unknown := raw.keys() - known:
            raise OverlayError(f"overlay has unknown keys {sorted(unknown)}; known are {sorted(known)}")
        settings: dict[str, Any] = {**raw, "rules": tuple(raw.get("rules", ()))}
        return cls(**settings)

    def apply(self, entities: dict[str, Json]) -> None:
        """Change the entities in place."""
        for rule in self.rules:
            if not _apply_rule(rule, entities):
                raise OverlayError(f"overlay rule applies to nothing: {rule!r}")


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
