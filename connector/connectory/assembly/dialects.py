"""A connection's dialect, resolved to what it adds to the connection's own transformers and templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from connectory.chain import Chain, build_chain
from connectory.config import parse_step
from connectory.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectory.catalogue import Action, Catalogue, Dialect, Entity, Usage
    from connectory.config import Config, OutgoingConfig, StepConfig
    from connectory.errors import Problem


@dataclass(frozen=True, slots=True)
class Speech:
    """What a dialect says for one connection; without a dialect it says nothing."""

    dialect: Dialect | None = None
    usage: Usage = field(default_factory=dict[str, Any])
    chain: Chain = field(default_factory=Chain)
    response_chain: Chain | None = None

    def written(self, key: str, own: Any, *, present: bool) -> tuple[Any, bool]:
        """Give a template and whether there is one: the connection's own wins, and may use the macros."""
        if present:
            return (own if self.dialect is None else self.dialect.translate(own)), True
        return self.usage.get(key), key in self.usage

    def after(self, own: Chain) -> Chain:
        """Put the dialect's steps behind the connection's own."""
        return own.then(self.chain)


def resolve_dialect(
    config: Config,
    catalogue: Catalogue,
    place: tuple[str, ...],
    settings: OutgoingConfig,
    target: tuple[Entity, Mapping[str, Action]],
) -> Speech:
    """Find what a connection's dialect says of its entity. Raises ConfigError for one that says nothing."""
    if settings.dialect is None:
        return Speech()
    here = (*place, "dialect")

    def problem(message: str) -> Problem:
        return config.problem(here, message)

    dialect = catalogue.dialects.get(settings.dialect)
    if dialect is None:
        known = list(catalogue.dialects)
        hint = did_you_mean(settings.dialect, known) or f"; there are {', '.join(known)}"
        raise ConfigError(problem(f"no dialect {settings.dialect!r}{hint}"))
    usage = _usage(dialect, settings, target, problem)
    named = {name: _steps(steps, problem) for name, steps in dialect.transformers.items()}

    def build(steps: Sequence[Any]) -> Chain:
        return build_chain(
            _steps(steps, problem),
            named=named,
            folder=config.folder,
            locate=lambda _, message: problem(f"dialect {dialect.name!r}: {message}"),
        )

    response_steps = usage.get("response_transformers")
    return Speech(
        dialect=dialect,
        usage=usage,
        chain=build(usage.get("transformers", ())),
        response_chain=build(response_steps) if response_steps else None,
    )


def _usage(
    dialect: Dialect,
    settings: OutgoingConfig,
    target: tuple[Entity, Mapping[str, Action]],
    problem: Callable[[str], Problem],
) -> Usage:
    entity, actions = target
    if settings.request is not None:
        usage, what = dialect.request, "raw requests"
    else:
        action = next(iter(actions.values()))
        usage = dialect.usage(entity.name, action.name)
        what = f"{action.name} of entity {entity.name!r}"
    if usage is None:
        known = [name for name in dialect.entities if name != "*"]
        hint = did_you_mean(entity.name, known) or f"; it knows {', '.join(known)}"
        raise ConfigError(problem(f"dialect {dialect.name!r} has no words for {what}{hint}"))
    if all(action.body is None for action in actions.values()):  # a body would be refused
        return {key: value for key, value in usage.items() if key != "payload"}
    return usage


def _steps(written: Sequence[Any], problem: Callable[[str], Problem]) -> list[StepConfig]:
    try:
        return [parse_step(one) for one in written]
    except ValidationError as error:
        raise ConfigError(problem(str(one["msg"])) for one in error.errors()) from None
