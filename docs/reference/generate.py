"""Write the reference pages from the code: `python docs/reference/generate.py [--check]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cells import cell, flow
from entity_pages import entity_pages
from failing import errors, events, exit_codes
from filling import lists, products
from python_page import python

from connectory.catalogue import Catalogue
from connectory.cli import main as command_line
from connectory.config import config_schema
from connectory.listeners.logs import EVENTS, FIELDS
from connectory.plugins import list_transformers

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
CASES = FOLDER.parent.parent / "tests" / "cases" / "transformers.json"
SECTIONS = {
    "Config": "Top level",
    "ClientConfig": "Client",
    "TimeoutConfig": "Client: timeout",
    "LimitsConfig": "Client: limits",
    "RetryConfig": "Client: retry",
    "CertificateConfig": "Client: client_certificate",
    "PricesConfig": "Client: prices",
    "PriceConfig": "Client: prices: models",
    "IncomingConfig": "Incoming",
    "IncomingRequest": "Incoming: request",
    "IncrementalConfig": "Incoming: incremental",
    "PagesConfig": "Incoming: pagination",
    "OutgoingConfig": "Outgoing",
    "OutgoingRequest": "Outgoing: request",
    "FilesInput": "Outgoing: input of files",
    "CsvInput": "Outgoing: input of CSV",
    "ParquetInput": "Outgoing: input of Parquet or Arrow",
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
    "TableOutput": "Output: table",
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
            shown = [cell(f"`{flow(one)}`") for one in value.get("examples", ())[:2]]
            yield f"| `{key}` | {cell(value.get('description', ''))} | {' or '.join(shown)} |"
    yield from STEPS.rstrip().splitlines()


def commands() -> Iterator[str]:
    """Give the page of every command."""
    yield "# Command line"
    yield ""
    yield "Records go to stdout as JSON Lines; everything else goes to stderr."
    yield ""
    yield "A command ends with one of the [exit codes](exit-codes.md). The last line of a failure is what to type next."
    yield ""
    yield "| command | what it does |"
    yield "|---|---|"
    for words, command in _leaves(command_line, ["connectory"]):
        name = " ".join(words)
        yield f"| [`{name}`](#{name.replace(' ', '-')}) | {command.get_short_help_str(limit=200)} |"
    for words, command in _leaves(command_line, ["connectory"]):
        yield from _command(command, words)


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
            yield f"| `{name}` | {cell(meaning)} |"


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
            kind, default = cell(f"`{option.type}`"), _default(option)
            yield f"| `{option.name}` | {cell(option.doc)} | {kind} | {default} |"
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
            f"- {flow(step)[1:-1] if isinstance(step, dict) else step}",
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


PAGES = {
    "configuration.md": configuration,
    "command-line.md": commands,
    "logs.md": logs,
    "transformers.md": transformers,
    "errors.md": errors,
    "exit-codes.md": exit_codes,
    "events.md": events,
    "python.md": python,
}


def _pages() -> dict[Path, str]:
    """Give each page that is made, whole or in part, with its text."""
    made: dict[Path, str] = {}
    for name, page in (*PAGES.items(), *entity_pages().items()):
        made[(FOLDER / name).resolve()] = "\n".join(line.rstrip() for line in page()) + "\n"
    return made | products() | lists(made)


def _leaves(command: click.Command, words: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    """Give each command that is no group, with its words."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command, info_name=words[-1])
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None:
            yield from _leaves(found, [*words, name])


def _command(command: click.Command, words: list[str]) -> Iterator[str]:
    yield ""
    yield f"## {' '.join(words)}"
    yield ""
    yield "```text"
    with click.Context(command, info_name=" ".join(words), max_content_width=100, terminal_width=100) as own:
        yield from command.get_help(own).splitlines()
    yield "```"


def _default(option: Any) -> str:
    return "required" if option.required else f"`{option.default!r}`"


def main(arguments: list[str]) -> int:
    """Write the pages, or say which would change."""
    stale: list[str] = []
    made = _pages()
    left = [path for path in (FOLDER / "entities").resolve().glob("*.md") if path not in made]
    for path, text in made.items():
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    for path in left:
        stale.append(path.name) if "--check" in arguments else path.unlink()
    for name in stale:
        print(f"{name} is not what the code says; run python docs/reference/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
