"""What no single value can show: names that must exist, things that exclude each other, and the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connectory.config.descent import check_descent, check_parents
from connectory.config.exposure import exposed
from connectory.config.problems import subject
from connectory.config.shapes import is_list, is_map, is_tuple
from connectory.config.tests import check_tests
from connectory.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from connectory.catalogue import Catalogue, Entity
    from connectory.config.incoming import IncomingConfig
    from connectory.config.model import OutgoingConfig
    from connectory.config.shapes import Path
    from connectory.config.tree import Config
    from connectory.errors import Problem

    Connection = IncomingConfig | OutgoingConfig

_PARAMETER = re.compile(r"\{([^{}]+)\}")
_KEY = re.compile(r"(?<![\w-])sk-[\w-]{8,}")
WRITES = ("create", "delete")


@dataclass(frozen=True, slots=True)
class Broken:
    """What the models refused, so that the same mistake is not reported twice."""

    names: Mapping[str, Collection[str]] = field(default_factory=dict[str, "Collection[str]"])
    """Every name that is written below a section, also of those that are left out."""
    incomplete: Collection[Path] = ()
    """Where keys were left out."""


def check(config: Config, *, broken: Broken | None = None) -> list[Problem]:
    """Give what does not fit together within the configuration."""
    broken = broken or Broken()
    problems: list[Problem] = []
    for name, client in config.clients.items():
        given = [key for key in ("token", "token_file", "token_command") if getattr(client, key) is not None]
        if len(given) > 1:
            problems.append(
                config.problem(
                    ("clients", name, given[1]), f"client {name!r} has {_all(given)}; give one", key=True
                )
            )
        problems += exposed(config, name, client)
    for path, connection in connections(config):
        problems += _check_target(config, path, connection, broken)
        problems += _check_client(config, path, connection, broken)
    problems += _check_no_client(config, broken)
    problems += _check_routes(config, broken)
    problems += check_descent(config, broken.names.get("incoming", config.incoming))
    problems += check_tests(config, broken.names.get("transformers", config.transformers), broken.incomplete)
    return problems


def check_against(config: Config, catalogue: Catalogue) -> list[Problem]:
    """Give what does not fit the catalogue: prototypes, entities, actions and path parameters."""
    problems: list[Problem] = []
    for name in config.clients:
        problems += _check_prototype(config, name, catalogue)
    for path, connection in connections(config):
        problems += _check_entity(config, path, connection, catalogue)
    return problems


def warnings(config: Config, catalogue: Catalogue | None = None) -> list[Problem]:
    """Give what works and should not stay: API keys in the file, entities that the API has given up."""
    message = 'an API key stands in the file; put it into the environment and write "${OPENAI_API_KEY}"'
    problems = [
        config.problem(path, message, severity="warning")
        for path, text in _texts(config.source, ())
        if _KEY.search(text)
    ]
    if catalogue is None:
        return problems
    for path, connection in connections(config):
        entity = None if connection.entity is None else _resolve(config, path, connection, catalogue)[0]
        if entity is not None and (entity.retired or entity.deprecated):
            instead = f"; use {entity.replacement!r}" if entity.replacement else ""
            state = "retired" if entity.retired else "deprecated"
            text = f"entity {entity.name!r} is {state}{instead}"
            problems.append(config.problem((*path, "entity"), text, severity="warning"))
    return problems


def connections(config: Config) -> Iterator[tuple[Path, Connection]]:
    """Give every connection with its path."""
    for name, incoming in config.incoming.items():
        yield ("incoming", name), incoming
    for name, outgoing in config.outgoing.items():
        yield ("outgoing", name), outgoing


def _check_target(config: Config, path: Path, connection: Connection, broken: Broken) -> Iterator[Problem]:
    if connection.entity is not None and connection.request is not None:
        yield config.problem(
            (*path, "request"), f"{subject(path)} has 'entity' and 'request'; give one", key=True
        )
    if connection.entity is None and connection.request is None and path not in broken.incomplete:
        yield config.problem(path, f"{subject(path)} has no 'entity'", key=True)
    if path[0] == "outgoing":
        outgoing = cast("OutgoingConfig", connection)
        if outgoing.request is not None:
            if outgoing.action is not None:
                yield config.problem(
                    (*path, "action"), "'action' belongs to 'entity'; a 'request' has a 'method'", key=True
                )
            given = (outgoing.request.method is not None) + (outgoing.request.methods is not None)
            if given != 1 and (*path, "request") not in broken.incomplete:
                need = "give one" if given else "write one, such as method: POST"
                has = "'method' and 'methods'" if given else "no 'method'"
                yield config.problem(
                    (*path, "request"), f"'request' of {subject(path)} has {has}; {need}", key=True
                )


def _check_client(config: Config, path: Path, connection: Connection, broken: Broken) -> Iterator[Problem]:
    known = broken.names.get("clients", config.clients)
    here = (*path, "client")
    if not known or config.is_unset(here):
        return
    if connection.client is None:
        if len(known) > 1 and "default" not in known and path not in broken.incomplete:
            message = f"{subject(path)} has no 'client', and there are {', '.join(known)}"
            message += "; name one, or call one 'default'"
            yield config.problem(path, message, key=True)
    elif connection.client not in known:
        hint = did_you_mean(connection.client, known) or f"; there is {', '.join(known)}"
        yield config.problem(here, f"no client {connection.client!r}{hint}")


def _check_no_client(config: Config, broken: Broken) -> Iterator[Problem]:
    if not broken.names.get("clients", config.clients):
        for path, _ in connections(config):
            yield config.problem(
                path,
                f"no client is configured, and {subject(path)} needs one; write one below 'clients'",
                key=True,
            )
            return


def _check_routes(config: Config, broken: Broken) -> Iterator[Problem]:
    for name, members in config.routes.items():
        for index, member in enumerate(members):
            path = ("routes", name, index)
            section, other = ("outgoing", "incoming") if index else ("incoming", "outgoing")
            known = broken.names.get(section, getattr(config, section))
            if member in known or config.is_unset(path):
                continue
            hint = did_you_mean(member, known)
            if member in broken.names.get(other, getattr(config, other)):
                hint = f", it is an {other}; a route is an incoming, then outgoings"
            yield config.problem(path, f"no {section} {member!r}{hint}")


def _check_prototype(config: Config, name: str, catalogue: Catalogue) -> Iterator[Problem]:
    client, path = config.clients[name], ("clients", name)
    if config.is_unset((*path, "prototype")):
        return
    prototype = catalogue.prototypes.get(client.prototype)
    if prototype is None:
        known = list(catalogue.prototypes)
        hint = did_you_mean(client.prototype, known) or "; there are " + ", ".join(known)
        yield config.problem((*path, "prototype"), f"no prototype {client.prototype!r}{hint}")
        return
    if prototype.base_uri is None and client.base_uri is None:
        message = f"client {name!r} has no 'base_uri', and prototype {client.prototype!r} has no default"
        yield config.problem(path, message, key=True)
    if client.deployments and prototype.deployment is None:
        message = f"prototype {client.prototype!r} has no deployments"
        yield config.problem((*path, "deployments"), message, key=True)


def _check_entity(
    config: Config, path: Path, connection: Connection, catalogue: Catalogue
) -> Iterator[Problem]:
    here = (*path, "entity")
    if connection.entity is None or config.is_unset(here):
        if connection.request is not None:
            names = tuple(_PARAMETER.findall(connection.request.path or ""))
            filled, problems = _filled(config, path, catalogue)
            yield from problems
            if filled is not None:
                yield from _check_parameters(
                    config, path, connection, names=names, title="the request's path", filled=filled
                )
        return
    entity, problem = _resolve(config, path, connection, catalogue)
    if problem is not None:
        yield problem
    filled, problems = _filled(config, path, catalogue)
    yield from problems
    if entity is not None and filled is not None:
        title = f"entity {entity.name!r}"
        yield from _check_parameters(
            config, path, connection, names=entity.path_parameters, title=title, filled=filled
        )


def _filled(config: Config, path: Path, catalogue: Catalogue) -> tuple[Collection[str] | None, list[Problem]]:
    return check_parents(config, str(path[1]), catalogue) if path[0] == "incoming" else ((), [])


def _resolve(
    config: Config, path: Path, connection: Connection, catalogue: Catalogue
) -> tuple[Entity | None, Problem | None]:
    """Find the entity of a connection, and what is wrong with its action."""
    name, action = str(connection.entity), getattr(connection, "action", "read")
    try:
        entity = catalogue.find(name)
    except ConfigError as error:
        return None, config.problem((*path, "entity"), error.problems[0].message)
    wanted = WRITES if action is None else (action,)
    refusals = [refusal for one in wanted if (refusal := _refusal(catalogue, name, one))]
    spot = "action" if path[0] == "outgoing" and action is not None else "entity"
    if len(refusals) == len(wanted):
        reads_only = f"entity {entity.name!r} takes {_all(list(entity.actions))}, and an outgoing writes"
        is_writable = any(one in entity.actions for one in WRITES)
        return entity, config.problem((*path, spot), refusals[0] if action or is_writable else reads_only)
    if action is None and not refusals:
        message = f"entity {entity.name!r} takes {_all(list(WRITES))}; say which with 'action'"
        return entity, config.problem(path, message, key=True)
    return entity, None


def _refusal(catalogue: Catalogue, name: str, action: str) -> str | None:
    """Say why an entity, or the alias by which it is called, does not take an action."""
    try:
        catalogue.find(name, action)
    except ConfigError as error:
        return error.problems[0].message
    return None


def _check_parameters(
    config: Config,
    path: Path,
    connection: Connection,
    *,
    names: Collection[str],
    title: str,
    filled: Collection[str],
) -> Iterator[Problem]:
    """Compare the constant path parameters with those of the URL template."""
    given = connection.request_parameters.path
    template, unknown = getattr(connection, "path", None), 0
    for where, values in (((*path, "request_parameters", "path"), given), ((*path, "path"), template)):
        for name in values if is_map(values) else ():
            if name not in names:
                unknown += 1
                hint = did_you_mean(name, names) or (f"; there is {', '.join(names)}" if names else "")
                yield config.problem(
                    (*where, name), f"{title} has no path parameter {name!r}{hint}", key=True
                )
    missing = [name for name in names if name not in given and name not in filled]
    # a wrong name was most likely meant for a missing one: it is reported once
    if (
        len(missing) > unknown
        and path[0] == "incoming"
        and not cast("IncomingConfig", connection).input_transformers
    ):
        value = '"&{parent...}"' if cast("IncomingConfig", connection).each else "..."
        example = ", ".join(f"{name}: {value}" for name in missing)
        message = f"{title} needs the path parameter {_all(missing)}"
        message += f"; write request_parameters: {{path: {{{example}}}}}"
        yield config.problem(path, message, key=True)


def _all(names: list[str]) -> str:
    quoted = [repr(name) for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted) or "no action"


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Give every text of the data with its path."""
    if isinstance(value, str):
        yield path, value
    elif is_map(value):
        for key, one in value.items():
            yield from _texts(one, (*path, key))
    elif is_list(value) or is_tuple(value):
        for index, one in enumerate(value):
            yield from _texts(one, (*path, index))
