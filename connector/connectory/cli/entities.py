"""`entities`: what the catalogue knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.setup import catalogue_option, load_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.catalogue import Action, Catalogue, Entity


@click.group()
def entities() -> None:
    """List the entities of the catalogue, or show one."""


@entities.command("list")
@click.option(
    "--action", type=click.Choice(["read", "create", "delete"]), help="Only entities that take this action."
)
@click.option(
    "--search", metavar="TEXT", help="Only entities whose name, title, path or alias has this text."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@catalogue_option
def list_(action: str | None, search: str | None, *, as_json: bool, config: str | None) -> None:
    """List entities with their actions and paths.

    \b
    connectory entities list --action delete
    connectory entities list --search fine_tuning
    """
    found = [entity for entity in load_catalogue(config).values() if _matches(entity, action, search)]
    if as_json:
        for entity in found:
            click.echo(json.dumps(_summary(entity), ensure_ascii=False))
        return
    name_width = max((len(entity.name) for entity in found), default=0)
    for entity in found:
        mark = "  (retired)" if entity.retired else "  (deprecated)" if entity.deprecated else ""
        click.echo(f"{entity.name:<{name_width}}  {','.join(entity.actions):<18}  {entity.path}{mark}")


@entities.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--schema", is_flag=True, help="The JSON Schema of its payload.")
@click.option("--example", is_flag=True, help="The smallest payload that it takes.")
@catalogue_option
def show(name: str, *, as_json: bool, schema: bool, example: bool, config: str | None) -> None:
    """Show one entity: its parameters, its payload, and a connection to paste.

    \b
    connectory entities show file
    connectory entities show moderations --example
    """
    catalogue = load_catalogue(config)
    entity = catalogue.find(name)
    if schema or example:
        _show_payload(catalogue, entity, example=example)
    elif as_json:
        click.echo(json.dumps(_summary(entity), ensure_ascii=False))
    else:
        for line in _description(catalogue, entity):
            click.echo(line)


def _matches(entity: Entity, action: str | None, search: str | None) -> bool:
    if action is not None and action not in entity.actions:
        return False
    words = [entity.name, entity.title, entity.path, *entity.aliases]
    return search is None or any(search.lower() in word.lower() for word in words)


def _summary(entity: Entity) -> dict[str, Any]:
    return {
        "name": entity.name,
        "title": entity.title,
        "group": entity.group,
        "path": entity.path,
        "path_parameters": list(entity.path_parameters),
        "parent": entity.parent,
        "auth": entity.auth,
        "aliases": dict(entity.aliases),
        "deprecated": entity.deprecated,
        "retired": entity.retired,
        "replacement": entity.replacement,
        "actions": {name: _action_summary(action) for name, action in entity.actions.items()},
    }


def _action_summary(action: Action) -> dict[str, Any]:
    return {
        "method": action.method,
        "kind": action.kind,
        "query": {name: parameter.schema for name, parameter in action.query.items()},
        "payload": list(action.body.content) if action.body else [],
        "response": action.response.kind,
        "stream": action.response.stream,
        "pack": action.extra.get("pack"),
    }


def _description(catalogue: Catalogue, entity: Entity) -> Iterator[str]:
    mark = " (retired)" if entity.retired else " (deprecated)" if entity.deprecated else ""
    yield f"{entity.name}: {entity.title}{mark}"
    if entity.replacement:
        yield f"  use instead  {entity.replacement}"
    yield f"  path         {entity.path}"
    if entity.parent:
        yield f"  parent       {entity.parent}: its items fill {entity.path_parameters[-1]!r}"
    if entity.auth == "admin":
        yield "  credentials  an administrator's key (admin_token)"
    for name, action in entity.actions.items():
        yield f"  {name:<11}  {action.method}, {action.kind}"
        for parameter in action.query.values():
            needed = " (required)" if parameter.required else ""
            yield f"    query      {parameter.name}: {_type(parameter.schema)}{needed}"
        if action.body is not None:
            yield f"    payload    {', '.join(action.body.content)}{' (required)' if action.body.required else ''}"
        if action.response.stream is not None:
            yield f"    stream     {action.response.stream}"
        if "pack" in action.extra:
            yield f"    pack       {_packing(action.extra['pack'])}"
    if spoken := [name for name, dialect in catalogue.dialects.items() if dialect.knows(entity.name)]:
        yield f"  dialects     {', '.join(spoken)}"
    yield f"  aliases      {', '.join(entity.aliases)}"
    yield ""
    yield from _pasteable(entity)


def _packing(fact: Mapping[str, Any]) -> str:
    """Say which property takes many records, and how many."""
    what = "lines of one file" if fact.get("form") == "jsonl" else "a list"
    text = f"{fact['property']}: many records as {what}{_bounds(fact)}"
    if "by" in fact:
        each = (f"{value}{_bounds(bounds)}" for value, bounds in fact["by"]["values"].items())
        text += f"; where {fact['by']['property']} is {', '.join(each)}"
    return text


def _bounds(fact: Mapping[str, Any]) -> str:
    words = {"most": "records", "tokens": "tokens", "bytes": "bytes"}
    said = [f"{fact[name]} {word}" for name, word in words.items() if name in fact]
    return f" (at most {', '.join(said)})" if said else ""


def _pasteable(entity: Entity) -> Iterator[str]:
    from connectory.cli.skeletons import path_templates

    parameters = ", ".join(f"{name}: ..." for name in entity.path_parameters)
    if "read" in entity.actions:
        yield "incoming:"
        yield f"  my-{entity.name.replace('.', '-')}:"
        yield f"    entity: {entity.name}"
        if parameters:
            yield f"    request_parameters: {{path: {{{parameters}}}}}"
    for action in ("create", "delete"):
        if action in entity.actions:
            yield "outgoing:"
            yield f"  my-{action}-{entity.name.replace('.', '-')}:"
            yield f"    entity: {entity.name}"
            yield f"    action: {action}"
            if parameters:
                filled = path_templates(entity).items()
                placeholders = ", ".join(f'{name}: "{template}"' for name, template in filled)
                yield f"    path: {{{placeholders}}}"
            if entity.actions[action].body is not None:
                yield '    payload: "&{@}"'


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    kind: str | list[str] = schema.get("type", "any")
    return kind if isinstance(kind, str) else " | ".join(kind)


def _show_payload(catalogue: Catalogue, entity: Entity, *, example: bool) -> None:
    from connectory.schemas.examples import minimal

    action = entity.actions.get("create")
    if action is None or action.body is None:
        raise click.UsageError(f"entity {entity.name!r} takes no payload")
    content = action.body.content
    body = content.get("application/json") or next(iter(content.values()))
    value = minimal(body, catalogue.resolve) if example else catalogue.schema(body)
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
