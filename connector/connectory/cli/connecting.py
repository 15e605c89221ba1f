"""`add client`, `incoming`, `outgoing` and `route`: one more piece of a configuration, beside what is there."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connectory.cli.amending import Amendment
from connectory.cli.following import config_option
from connectory.cli.outcome import say
from connectory.cli.setup import config_path, load_catalogue, parameter_options, payload_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from connectory.catalogue import Catalogue, Entity
    from connectory.config.splicing import Entry

F = TypeVar("F", bound="Callable[..., Any]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _shared(command: F) -> F:
    """Add what every command that writes into the configuration has."""
    for option in (
        click.option("--no-input", is_flag=True, help="Ask nothing; say what is missing."),
        click.option("--dry-run", is_flag=True, help="Print the difference; write nothing."),
        click.option(
            "-c", "--config", metavar="FILE", help="Into which configuration (default: ./connectory.yaml)."
        ),
    ):
        command = option(command)
    return command


class _Desk:
    """Where a piece is put together: asks on a terminal, elsewhere collects what is missing."""

    def __init__(self, section: str, config: str | None, *, no_input: bool) -> None:
        from connectory.config.splicing import Text

        self.section, self.given = section, config
        self.path: Path = config_path(config)
        self.file = Amendment(self.path)
        self.data: Any = Text(self.file.text, str(self.path)).document.data or {}
        self.asks = not no_input and sys.stdin.isatty() and sys.stderr.isatty()
        self._missing: list[str] = []

    def names(self, section: str) -> list[str]:
        """Give the names that a section has."""
        from connectory.config.shapes import is_map

        found = self.data.get(section) if is_map(self.data) else None
        return list(found) if is_map(found) else []

    def want(self, value: str | None, question: str, missing: str, *, default: str | None = None) -> str:
        """Give a value; where there is none, ask for it."""
        if value:
            return value
        if self.asks:
            answer: str = click.prompt(question, default=default, err=True)
            return answer
        self._missing.append(missing)
        return ""

    def settle(self) -> None:
        """End the command where something is missing."""
        if self._missing:
            raise click.UsageError(f"missing: {'; '.join(self._missing)}")

    def name(self, name: str | None) -> str:
        """Give the name of the piece, which must be new."""
        name = self.want(name, "Its name", "NAME")
        if name in self.names(self.section):
            raise click.BadParameter(
                f"{name!r} is in {self.section!r} of {self.path} already", param_hint="NAME"
            )
        return name

    def client(self, client: str | None) -> str | None:
        """Give the client to write down: none where there is only one, or one called `default`."""
        clients = self.names("clients")
        if client is None and len(clients) > 1 and "default" not in clients:
            client = self.want(
                None, f"Which client ({', '.join(clients)})?", f"--client ({', '.join(clients)})"
            )
        return client

    def entity(self, catalogue: Catalogue, given: str | None, *, write: bool) -> Entity | None:
        """Find the entity; on a terminal a name that is none is asked for again."""
        from connectory.errors import UnknownNameError

        which = "create' or 'delete" if write else "read"
        listed = f"connectory entities list --action {which.partition(chr(39))[0]}"
        while True:
            name = self.want(given, f"Which entity? ({listed})", f"--entity ({listed})")
            if not name:
                return None
            try:
                entity = catalogue.find(name)
            except UnknownNameError as error:
                if not self.asks:
                    raise
                say(str(error))
                given = None
                continue
            actions = set(entity.actions) & ({"create", "delete"} if write else {"read"})
            if actions:
                return entity
            message = f"entity {entity.name!r} takes only {', '.join(entity.actions)}, not '{which}'"
            if not self.asks:
                raise click.BadParameter(message, param_hint="--entity")
            say(message)
            given = None

    def put(self, entry: Entry, *, dry_run: bool, after: Sequence[str]) -> None:
        """Write the entry, and say what to type next."""
        from connectory.config.splicing import insert

        self.file.text = insert(self.file.text, (self.section,), entry, file=str(self.path))
        self.file.finish(dry_run=dry_run)
        if dry_run:
            return
        kind = {"clients": "client", "routes": "route"}.get(self.section, self.section)
        say(f"added {kind} {entry.name!r} to {self.path}")
        which = f" --config {self.given}" if self.given else ""
        for line in after:
            say(f"{line}{which}")


@click.command()
@click.argument("name", required=False)
@click.option(
    "--prototype", help="What kind of server: openai (default), openai-compatible, azure-openai, ..."
)
@click.option("--base-uri", metavar="URI", help="Where it is, unless the prototype knows.")
@click.option(
    "--token-variable", metavar="NAME", help="The environment variable with its token (default: by its name)."
)
@click.option("--token-file", metavar="FILE", help="The file with its token, instead of a variable.")
@click.option("--no-token", is_flag=True, help="The server wants no token.")
@_shared
def client(name: str | None, *, config: str | None, dry_run: bool, no_input: bool, **given: Any) -> None:
    """Add a client. The token itself is never written: only where it is found.

    Connections that used the only client until now name it then, so that nothing changes for them.

    \b
    connectory add client local --prototype openai-compatible --base-uri http://localhost:8080/v1 --no-token
    connectory add client second --token-variable SECOND_API_KEY --dry-run
    """
    from connectory.cli.skeletons import entry

    desk = _Desk("clients", config, no_input=no_input)
    name = desk.name(name)
    catalogue = load_catalogue(config)
    prototype = _prototype(desk, catalogue, given["prototype"])
    base_uri = given["base_uri"]
    if not base_uri and not catalogue.prototypes[prototype].base_uri:
        base_uri = desk.want(None, "Its base URI, such as http://localhost:8080/v1", "--base-uri")
    token = None
    if not given["no_token"] and not given["token_file"]:
        token = given["token_variable"] or _variable(desk, prototype, name)
        if not _VARIABLE.fullmatch(token):
            problem = "is no name of an environment variable; the token itself does not belong here"
            raise click.BadParameter(f"what was given {problem}", param_hint="--token-variable")
    desk.settle()
    data = {
        "prototype": prototype if prototype != "openai" else None,
        "base_uri": base_uri,
        "token": f"${{{token}}}" if token else None,
        "token_file": given["token_file"],
    }
    _name_the_only_client(desk, name)
    unset = [f"export {token}=..."] if token else []
    desk.put(entry(name, data), dry_run=dry_run, after=[*unset, f"connectory check {name}{config_option()}"])


def _prototype(desk: _Desk, catalogue: Catalogue, given: str | None) -> str:
    from connectory.errors import did_you_mean

    known = ", ".join(sorted(catalogue.prototypes))
    if given is None:
        given = (
            desk.want(None, f"Which prototype ({known})?", "", default="openai") if desk.asks else "openai"
        )
    if given not in catalogue.prototypes:
        hint = did_you_mean(given, catalogue.prototypes) or f"; there are {known}"
        raise click.BadParameter(f"no prototype {given!r}{hint}", param_hint="--prototype")
    return given


def _variable(desk: _Desk, prototype: str, name: str) -> str:
    """Give the environment variable for a token: the usual one for the first client of its kind."""
    usual = {"openai": "OPENAI_API_KEY", "azure-openai": "AZURE_OPENAI_API_KEY"}.get(prototype)
    if usual is None or usual in desk.file.text:
        usual = re.sub(r"\W", "_", f"{name}_API_KEY").upper()
        usual = usual if _VARIABLE.fullmatch(usual) else f"_{usual}"
    return (
        desk.want(None, "Which environment variable has its token?", "", default=usual)
        if desk.asks
        else usual
    )


def _name_the_only_client(desk: _Desk, new: str) -> None:
    """Have connections name the client that was the only one: with a second one it is not clear any more."""
    from connectory.config.shapes import is_map
    from connectory.config.splicing import Entry, insert

    names = desk.names("clients")
    if len(names) != 1 or names[0] == "default" or new == "default":
        return
    written = Entry("client", names[0], (f"client: {names[0]}",))
    for section in ("incoming", "outgoing"):
        for connection in desk.names(section):
            found = desk.data[section][connection]
            if is_map(found) and "client" not in found:
                where = (section, connection)
                desk.file.text = insert(desk.file.text, where, written, file=str(desk.path))


@click.command()
@click.argument("name", required=False)
@click.option("--entity", help="What is read; 'connectory entities list --action read' lists them.")
@click.option(
    "--each", metavar="ENTITY", help="Read once for every item of this entity, or of incoming:NAME."
)
@click.option("--client", help="Which client, where there are several.")
@click.option("--output", metavar="FILE", help="Where the items go (default: stdout).")
@parameter_options
@_shared
def incoming(name: str | None, *, config: str | None, dry_run: bool, no_input: bool, **given: Any) -> None:
    """Add an incoming connection, which reads an entity. What is missing is asked for on a terminal.

    \b
    connectory add incoming files --entity files --query purpose=batch
    connectory add incoming events --entity fine_tuning.job.events --each fine_tuning.jobs --dry-run
    """
    from connectory.cli.skeletons import entry

    desk = _Desk("incoming", config, no_input=no_input)
    name = desk.name(name)
    entity = desk.entity(load_catalogue(config), given["entity"], write=False)
    chosen = desk.client(given["client"])
    path, each = dict(given["path"]), given["each"]
    for parameter in entity.path_parameters if entity is not None and not each else ():
        if parameter in path or each:
            continue
        parent = entity.parent if entity is not None and parameter == entity.path_parameters[-1] else None
        hint = f" or --each {parent}" if parent else ""
        if desk.asks and parent and click.confirm(f"For every item of {parent!r}?", default=True, err=True):
            each = parent
        else:
            path[parameter] = desk.want(None, f"Its {parameter}", f"--path {parameter}=...{hint}")
    desk.settle()
    parameters = {kind: value for kind, value in (("path", path), ("query", given["query"])) if value}
    data = {
        "client": chosen,
        "entity": entity.name if entity else "",
        "each": each,
        "request_parameters": parameters,
        "output": given["output"],
    }
    desk.put(entry(name, data), dry_run=dry_run, after=[f"connectory preview incoming {name} --sandbox"])


@click.command()
@click.argument("name", required=False)
@click.option("--entity", help="What is written; 'connectory entities list --action create' lists them.")
@click.option("--action", type=click.Choice(["create", "delete"]), help="Where the entity takes both.")
@click.option(
    "--payload", metavar="JSON|@FILE", help="The payload, with placeholders (default: made of the schema)."
)
@click.option("--client", help="Which client, where there are several.")
@click.option("--input", "input_", metavar="FILE", help="Where the records come from (default: stdin).")
@click.option("--output", metavar="FILE", help="Where the results go (default: stdout).")
@parameter_options
@_shared
def outgoing(name: str | None, *, config: str | None, dry_run: bool, no_input: bool, **given: Any) -> None:
    """Add an outgoing connection, which creates or deletes. The payload is made of what the entity's schema requires.

    \b
    connectory add outgoing moderate --entity moderations --input texts.jsonl
    connectory add outgoing purge --entity file --action delete --dry-run
    """
    from connectory.cli.skeletons import entry, path_templates, payload

    desk = _Desk("outgoing", config, no_input=no_input)
    name = desk.name(name)
    catalogue = load_catalogue(config)
    entity = desk.entity(catalogue, given["entity"], write=True)
    chosen = desk.client(given["client"])
    action = _action(desk, entity, given["action"])
    desk.settle()
    if entity is None:
        return
    body, comment = payload(catalogue, entity.actions[action]) if action in entity.actions else (None, "")
    if given["payload"] is not None:
        body, comment = payload_of(given["payload"]), ""
    data = {
        "client": chosen,
        "entity": entity.name,
        "action": action if action == "delete" or "delete" in entity.actions else None,
        "input": given["input_"],
        "path": {**path_templates(entity), **given["path"]},
        "query": given["query"],
        "payload": body,
        "output": given["output"],
    }
    after = [f"connectory preview outgoing {name} --sandbox"]
    if not given["input_"]:
        after = [f"connectory preview outgoing {name} --sandbox --input FILE"]
    desk.put(entry(name, data, {"payload": comment} if comment else None), dry_run=dry_run, after=after)


def _action(desk: _Desk, entity: Entity | None, given: str | None) -> str:
    """Give the action: the only one of those that write, or the one that was chosen."""
    if entity is None:
        return given or ""
    takes = [one for one in ("create", "delete") if one in entity.actions]
    if given is None:
        if len(takes) == 1:
            return takes[0]
        given = desk.want(None, f"Which action ({' or '.join(takes)})?", f"--action ({' or '.join(takes)})")
    if given and given not in takes:
        raise click.BadParameter(
            f"entity {entity.name!r} takes {', '.join(entity.actions)}, not {given!r}", param_hint="--action"
        )
    return given


@click.command()
@click.argument("name", required=False)
@click.argument("steps", nargs=-1, metavar="INCOMING OUTGOING...")
@_shared
def route(
    name: str | None, steps: Sequence[str], *, config: str | None, dry_run: bool, no_input: bool
) -> None:
    """Add a route: an incoming, and the outgoings that its items go through, one after the other.

    \b
    connectory add route purge-old files purge
    """
    from connectory.cli.skeletons import entry
    from connectory.config.splicing import Entry

    desk = _Desk("routes", config, no_input=no_input)
    name = desk.name(name)
    known = [*desk.names("incoming"), *desk.names("outgoing")]
    if not steps:
        asked = f"Its incoming, then its outgoings ({', '.join(known)})"
        steps = desk.want(None, asked, "INCOMING OUTGOING...").split()
    desk.settle()
    made = entry(name, {"steps": list(steps)})
    head = made.lines[0].partition(":")[0]
    lines = (f"{head}: [{', '.join(steps)}]",)
    desk.put(
        Entry(name, list(steps), lines), dry_run=dry_run, after=[f"connectory run route {name} --sandbox"]
    )
