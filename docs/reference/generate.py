"""Write the reference pages from the code: `python docs/reference/generate.py [--check]`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connectory.catalogue import Catalogue
from connectory.cli import main as command_line
from connectory.config import config_schema
from connectory.logs import EVENTS, FIELDS
from connectory.plugins import list_transformers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.catalogue import Entity

FOLDER = Path(__file__).parent
CASES = FOLDER.parent.parent / "tests" / "cases" / "transformers.json"
ROWS = FOLDER.parent.parent / "tests" / "cases" / "seed_rows.json"
SECTIONS = {
    "Config": "Top level",
    "ClientConfig": "Client",
    "TimeoutConfig": "Client: timeout",
    "LimitsConfig": "Client: limits",
    "RetryConfig": "Client: retry",
    "CertificateConfig": "Client: client_certificate",
    "IncomingConfig": "Incoming",
    "IncomingRequest": "Incoming: request",
    "IncrementalConfig": "Incoming: incremental",
    "PagesConfig": "Incoming: pagination",
    "OutgoingConfig": "Outgoing",
    "OutgoingRequest": "Outgoing: request",
    "FilesInput": "Outgoing: input of files",
    "CsvInput": "Outgoing: input of CSV",
    "SqlInput": "Outgoing: input of a query",
    "UsedInput": "Outgoing: input of code",
    "UploadConfig": "Outgoing: upload",
    "BudgetConfig": "Outgoing: budget",
    "PackConfig": "Outgoing: pack",
    "UntilConfig": "Outgoing: until",
    "OutgoingTest": "Outgoing: tests",
    "ExpectedRequest": "Outgoing: tests: request",
    "MappingTest": "Tests of chains and of an incoming",
    "RequestParameters": "Request parameters",
    "WebhookConfig": "Output: webhook",
    "SqlOutput": "Output: statement",
    "UsedOutput": "Output: code",
}
STEPS = """
## Steps of a chain

`transformers`, `input_transformers` and `response_transformers` are lists of steps. A step is written as

| form | meaning |
|---|---|
| `- keep_if: "expression"` | a transformer and its options |
| `- clean` | a transformer without options, or a named chain of the top-level `transformers` |
| `- use: my_package.masks:mask_email` | code of your own; its options stand beside it under `options` |
| `- {prototype: set, parameters: {...}}` | the long form |
"""


def configuration() -> Iterator[str]:
    """Give the page of every configuration key."""
    schema = config_schema(Catalogue.load())
    definitions = {"Config": schema, **schema["$defs"]}
    yield "# Configuration"
    yield ""
    yield "Every key of `connectory.yaml`. [Editors](../how-to/editor.md) know them by what `connectory schema` writes."
    for name, title in SECTIONS.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield "| key | meaning | such as |"
        yield "|---|---|---|"
        for key, value in definitions[name]["properties"].items():
            shown = [f"`{_cell(_flow(one))}`" for one in value.get("examples", ())[:2]]
            yield f"| `{key}` | {_cell(value.get('description', ''))} | {' or '.join(shown)} |"
    yield from STEPS.rstrip().splitlines()


def commands() -> Iterator[str]:
    """Give the page of every command."""
    yield "# Command line"
    yield ""
    yield "Records go to stdout as JSON Lines; everything else goes to stderr."
    yield ""
    yield "| exit code | meaning |"
    yield "|---|---|"
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {meaning} |"
    yield from _command(command_line, ["connectory"])


EXIT_CODES = {
    "0": "done",
    "1": "some records failed; those of an outgoing are in the dead letters",
    "2": "wrong command line, a single request that cannot be made, or a deletion that was not confirmed",
    "3": "configuration, or a server or proxy that it has wrong: certificate, name, credentials of the proxy",
    "4": "credentials or permission",
    "5": "server unavailable or out of quota, a full disk, `max_dead` or `budget`; what was not sent is pending",
    "6": "another process works on the same job; nothing was done",
    "70": "a bug in connectory",
    "130, 143": "interrupted; what was under way is finished, and the same command goes on",
}


ABOUT_LOGS = """\
What `--log-format json` writes to stderr, one object a line. In Python the same fields are attributes of the log
records of the logger `connectory`. [Observing](../how-to/observing.md) says how to switch it on.

A line has `time`, `level`, `logger`, `message`, and those of the other fields of which something is known; there are no
others. No field holds a secret, a payload or an answer.
"""


def logs() -> Iterator[str]:
    """Give the page of every field and event of the log."""
    yield "# Log"
    yield ""
    yield from ABOUT_LOGS.splitlines()
    for title, words in (("field", FIELDS), ("event", EVENTS)):
        yield ""
        yield f"## {title.capitalize()}s"
        yield ""
        yield f"| {title} | {'meaning' if title == 'field' else 'level, and when'} |"
        yield "|---|---|"
        for name, meaning in words.items():
            yield f"| `{name}` | {_cell(meaning)} |"


def entities() -> Iterator[str]:
    """Give the page of every entity."""
    catalogue = Catalogue.load()
    yield "# Entities"
    yield ""
    yield f"The {len(catalogue)} entities of the catalogue. `connectory entities show NAME` says more about one."
    groups: dict[str, list[str]] = {}
    for entity in catalogue.values():
        actions = ", ".join(f"{name} ({action.kind})" for name, action in entity.actions.items())
        groups.setdefault(entity.group, []).append(
            f"| `{entity.name}`{_mark(entity)} | {actions} | `{entity.path}` |"
        )
    for group, rows in groups.items():
        yield ""
        yield f"## {group}"
        yield ""
        yield "| entity | actions (kind) | path |"
        yield "|---|---|---|"
        yield from rows


def _mark(entity: Entity) -> str:
    state = "retired" if entity.retired else "deprecated" if entity.deprecated else ""
    instead = f", use `{entity.replacement}`" if entity.replacement else ""
    return f" *{state}*{instead}" if state else ""


ABOUT_TRANSFORMERS = """\
# Transformers

What can stand in a chain. `connectory transformers list` also shows those of installed packages.

Fields are named as they stand in the record. Where the type is `Field`, a dotted name such as `address.city` or
`items.0.name` reaches into objects and lists. A `Template` holds [placeholders](expressions.md), an `Expression` is
bare. A `Chain` is a list of steps, as in `transformers` itself; named chains work there too. A file lies below the
configuration's folder and is read once, when the run begins.

A `Pattern` is a regular expression of Python. One in which something that repeats is repeated again, such as `(a+)+`,
or in which alternatives that begin alike are, can take for ever on a short text and is refused; `(a+)++`, which does
not try again, is fine. A pattern is tried on texts of up to a million characters; one with `*`, `+` or `{2,}`, which
grows slow on long texts, on 100,000. Whatever no rule foresees has a second of processor time for a text;
then the record is an error.

A transformer of your own takes options of the same types, and says below `Options:` what they mean:

```python
from collections.abc import Iterable

from connectory import Chain, Context, Field, Record, transformer


@transformer
def where_text(record: Record, *, field: Field, do: Chain, context: Context) -> Iterable[Record]:
    \"\"\"Run steps for the records in which a field is a text.

    Options:
        field: the field that is looked at
        do: the steps
    \"\"\"
    return do.run(record, context) if isinstance(field.get(record), str) else (record,)
```
"""


def transformers() -> Iterator[str]:
    """Give the page of every built-in transformer."""
    yield from ABOUT_TRANSFORMERS.splitlines()
    cases = [case for case in json.loads(CASES.read_text(encoding="utf-8")) if case.get("example")]
    for one in list_transformers():
        yield ""
        yield f"## {one.name}"
        yield ""
        yield one.description
        if one.options:
            yield ""
            yield "| option | meaning | type | default |"
            yield "|---|---|---|---|"
        for option in one.options:
            kind, default = _cell(option.type), _default(option)
            yield f"| `{option.name}` | {_cell(option.doc)} | `{kind}` | {default} |"
        step = None
        for case in cases:
            if case["transformer"] == one.name:
                yield from _example(case, new=step != case.get("options"))
                step = case.get("options")


def _example(case: dict[str, Any], *, new: bool) -> Iterator[str]:
    """Write a case of the tests: the step, its files, a record, and what becomes of it."""
    if new:
        step = {case["transformer"]: case["options"]} if "options" in case else case["transformer"]
        for name, text in case.get("files", {}).items():
            yield from ("", f"Where `{name}` holds `{json.dumps(text, ensure_ascii=False)[1:-1]}`:")
        for name, answer in case.get("answers", {}).items():
            yield from ("", f"Where the server answers `{name}` with `{_json(answer)}`:")
        if case.get("answers") == {} and "problem" not in case:
            yield from ("", "Where the server answers 404:")
        fence = "text" if "problem" in case else "yaml"
        yield from (
            "",
            f"```{fence}",
            f"- {_flow(step)[1:-1] if isinstance(step, dict) else step}",
            "```",
            "",
        )
    if "problem" in case:
        yield f"- is refused: {case['problem']}"
        return
    made = " and ".join(f"`{_json(one)}`" for one in case.get("output", ())) or "nothing"
    yield f"- `{_json(case['input'])}` becomes {(case.get('error') and 'an error: ' + case['error']) or made}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


PRODUCTS = {
    "Alumio": "The connections have the same parts here, and most of the same names. "
    "[An export](importing.md) can be read.",
    "Tray.io": "`dialect: tray` takes the shorthand payloads and gives the same outputs.",
    "DronaHQ": "`dialect: dronahq` takes the fields by their labels or their names. Actions that read are incomings.",
    "Microsoft Power Platform": "`dialect: power-platform` takes flat parameters and gives flat outputs.",
    "Nexla": "`dialect: nexla` sends each record as it is, and knows `{message.json}`.",
}
MADE = {"file": "file-abc123", "job": "ftjob-abc123", "thread": "thread_abc123", "fine_tune": "ft-abc123"}
INTRODUCTION = """\
# Coming from another product

What five other products offer for the OpenAI API, and which entity or option does it here. Each row of these tables,
plain facts aside, is tried against the sandbox by the tests.

A *dialect* lets an outgoing keep the words of the product it comes from:

```yaml
outgoing:
  reply:
    entity: chat.completions
    action: create
    dialect: tray
```

It takes the records as that product writes them and gives results in that product's form. The connection's own
transformers run first; its own `path`, `query`, `payload`, `result` and `response_transformers` win.

A dialect is data, not code: `dialects` in a catalogue file of your own adds one, or adds entities to these. An entry is
written like an outgoing, with `transformers`, `path`, `query`, `payload`, `result` and `response_transformers`.

Inside a template, `http.status` and `http.headers` are those of the answer.
"""


def coming_from() -> Iterator[str]:
    """Give the page that leads from other products' words to ours."""
    rows = json.loads(ROWS.read_text(encoding="utf-8"))
    yield from INTRODUCTION.splitlines()
    for product, summary in PRODUCTS.items():
        yield ""
        yield f"## {product}"
        yield ""
        yield summary
        yield ""
        yield "| there | request | here | written as |"
        yield "|---|---|---|---|"
        for row in rows:
            if row["product"] == product:
                request = f"`{row['method']} {row['path']}`" if row.get("path", "").startswith("/") else ""
                cells = (row["row"], request, row["here"], _written(row))
                yield f"| {' | '.join(map(_cell, cells))} |"


def _written(row: dict[str, Any]) -> str:
    """Write the row's own part of a configuration on one line."""
    sections = row.get("config", {})
    if "clients" in row and (row["kind"] == "config" or "throttle" in row):
        sections = {"clients": row["clients"]}
    texts = [f"`{_flow(one)}`" for section in sections.values() for one in section.values()]
    return "<br>".join(texts)


def _flow(value: Any) -> str:
    """Write a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        value = re.sub(r"\{\{(\w+)_id\}\}", lambda found: MADE.get(found[1], f"{found[1]}-1"), value)
        value = value.replace("{{hook}}", "https://hooks.example.com/results").replace(
            "made-up", "${OPENAI_API_KEY}"
        )
        if re.fullmatch(r"[A-Za-z][\w./-]*", value):
            return value
    return json.dumps(value, ensure_ascii=False)


PAGES = {
    "../how-to/coming-from.md": coming_from,
    "configuration.md": configuration,
    "command-line.md": commands,
    "logs.md": logs,
    "entities.md": entities,
    "transformers.md": transformers,
}


def _command(command: click.Command, words: list[str]) -> Iterator[str]:
    context = click.Context(command, info_name=words[-1], max_content_width=100, terminal_width=100)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _command(found, [*words, name])
        return
    yield ""
    yield f"## {' '.join(words)}"
    yield ""
    yield "```text"
    with click.Context(command, info_name=" ".join(words), max_content_width=100, terminal_width=100) as own:
        yield from command.get_help(own).splitlines()
    yield "```"


def _default(option: Any) -> str:
    return "required" if option.required else f"`{option.default!r}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write the pages, or say which would change."""
    stale: list[str] = []
    for name, page in PAGES.items():
        text = "\n".join(line.rstrip() for line in page()) + "\n"
        path = FOLDER / name
        if "--check" in arguments:
            stale += [] if path.exists() and path.read_text(encoding="utf-8") == text else [name]
        else:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name} is not what the code says; run python docs/reference/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
