"""Make a catalogue of an OpenAPI document: `python -m connectory_schemas.generate SPEC [--check]`."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from connectory_schemas.convert import (
    SchemaError,
    follow,
    properties,
    reachable,
    refine,
    refine_entities,
)
from connectory_schemas.naming import (
    PARAMETER,
    alias_key,
    entity_name,
    first_clash,
    qualified_name,
    split_template,
    title,
)
from connectory_schemas.operations import Document, Operation, auth, build_action, path_parameters
from connectory_schemas.overlay import Overlay, OverlayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).parent
FORMAT = 1
_WIDTH = 118
_SHOWN_DIFFERENCES = 10


class GenerateError(ValueError):
    """The document cannot be made into a catalogue."""


def generate(raw: Mapping[str, Any], overlay: Overlay, *, name: str) -> dict[str, str]:
    """Give the text of each catalogue file, by file name."""
    if not str(raw.get("openapi", "")).startswith("3."):
        raise GenerateError("not an OpenAPI 3 document: `openapi` must be 3.x")
    document = Document.of(raw, overlay.query_style)
    entities = build_entities(document, overlay)
    overlay.relax_schemas({"entities": entities, "$defs": document.definitions})
    refine_entities(entities, document.definitions)
    refined = {one: refine(schema, document.definitions) for one, schema in document.definitions.items()}
    definitions = reachable(entities, refined)
    info = raw.get("info", {})
    catalogue = {
        "format": FORMAT,
        "source": {"title": str(info.get("title", name)), "version": str(info.get("version", ""))},
        "schemas": f"{name}.schemas.json",
        "entities": entities,
    }
    return {f"{name}.json": pretty(catalogue) + "\n", f"{name}.schemas.json": lines(definitions)}


def build_entities(document: Document, overlay: Overlay) -> dict[str, dict[str, Any]]:
    """Make every entity of the document, by name, with the overlay's corrections."""
    by_template: dict[str, list[Operation]] = {}
    for operation in document.operations():
        by_template.setdefault(operation.template, []).append(operation)
    names = name_entities(list(by_template), overlay)
    templates = {template: _slots(operations, document) for template, operations in by_template.items()}
    entities = {
        names[template]: _entity(names[template], operations, document, templates, overlay)
        for template, operations in by_template.items()
    }
    overlay.apply(entities)
    _check_aliases(entities)
    _link_parents(entities, document)
    return dict(sorted(entities.items()))


def name_entities(templates: Sequence[str], overlay: Overlay) -> dict[str, str]:
    """Name every template; two that would share a name get their parameters in it, and must differ then."""
    names = {one: overlay.names.get(one) or entity_name(one, overlay.singular) for one in templates}
    plain = list(names.values())
    for template, name in names.items():
        if plain.count(name) > 1 and template not in overlay.names and PARAMETER.search(template):
            names[template] = qualified_name(template, overlay.singular)
    if clash := first_clash(list(names.values())):
        paths = ", ".join(template for template, name in names.items() if name == clash)
        raise GenerateError(
            f"entities of {paths} would all be named {clash!r}; give one a name in the overlay"
        )
    return names


def _slots(operations: Sequence[Operation], document: Document) -> set[str]:
    built = (build_action(one, document, {one.template: set()}) for one in operations)
    return {
        "list" if action["kind"] == "list" else one.action
        for one, action in zip(operations, built, strict=True)
    }


def _entity(
    name: str,
    operations: Sequence[Operation],
    document: Document,
    templates: Mapping[str, set[str]],
    overlay: Overlay,
) -> dict[str, Any]:
    first = operations[0]
    actions = {one.action: build_action(one, document, templates) for one in operations}
    aliases = {one.raw["operationId"]: one.action for one in operations if one.raw.get("operationId")}
    entity: dict[str, Any] = {
        "title": title(name, overlay.title_words),
        "group": _group(operations, first.template),
        "path": first.template.partition("?")[0],
    }
    if parameters := path_parameters(first, document):
        entity["parameters"] = parameters
    entity |= {"aliases": dict(sorted(aliases.items()))} if aliases else {}
    entity["auth"] = max((auth(one, document) for one in operations), key=["api", "admin"].index)
    order = [action for action in ("read", "create", "delete") if action in actions]
    return entity | {"actions": {action: actions[action] for action in order}}


def _group(operations: Sequence[Operation], template: str) -> str:
    tags = [tag for one in operations for tag in one.raw.get("tags", [])]
    literal = next((part for part in split_template(template)[0] if not PARAMETER.search(part)), "root")
    return re.sub(r"[^a-z0-9]+", "-", (tags[0] if tags else literal).lower()).strip("-")


def _check_aliases(entities: Mapping[str, dict[str, Any]]) -> None:
    aliases = [alias for entity in entities.values() for alias in entity.get("aliases", {})]
    if clash := first_clash([alias_key(alias) for alias in aliases]):
        same = [alias for alias in aliases if alias_key(alias) == clash]
        raise GenerateError(f"aliases {same!r} are one alias of more than one action")


def _link_parents(entities: dict[str, dict[str, Any]], document: Document) -> None:
    """Link each item's entity to the list one level up, and check every link."""
    lists = {_place(entity): name for name, entity in entities.items() if _is_list(entity)}
    for name, entity in entities.items():
        open_parameter = _last_parameter(entity["path"])
        parent = entity.get("parent") or lists.get(_place(entity, above=True))
        if open_parameter is None or parent is None:
            continue
        if parent not in entities or not _is_list(entities[parent]):
            raise GenerateError(f"parent {parent!r} of entity {name!r} is no list")
        field = entity.get("parent_field") or _parent_field(entities[parent], open_parameter, document)
        links = {"parent": parent} | ({"parent_field": field} if field != "id" else {})
        rest = {key: value for key, value in entity.items() if key not in ("parent", "parent_field")}
        entity.clear()
        for key, value in rest.items():
            entity[key] = value
            if key == "parameters":
                entity.update(links)


def _is_list(entity: Mapping[str, Any]) -> bool:
    return bool(entity["actions"].get("read", {}).get("kind") == "list")


def _last_parameter(path: str) -> str | None:
    found = PARAMETER.findall(path)
    return found[-1] if found else None


def _place(entity: Mapping[str, Any], *, above: bool = False) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Give what identifies a template: path and fixed query; `above`: of the list above the parameter."""
    fixed = next(iter(entity["actions"].values())).get("fixed_query", {})
    path = str(entity["path"])
    if above:
        path = path[: path.rfind("/{")] if "/{" in path else "-"
    return PARAMETER.sub("{}", path), tuple(sorted(fixed.items()))


def _parent_field(parent: Mapping[str, Any], parameter: str, document: Document) -> str:
    """Find which field of the parent's items fills the parameter: its name, else `id`, else a part of it."""
    response = parent["actions"]["read"]["response"]
    shape = follow(response.get("schema", {}), document.definitions)
    array = shape if response["items"] == "@" else properties(shape, document.definitions)[response["items"]]
    items = follow(array, document.definitions).get("items", {})
    fields = properties(items, document.definitions)
    candidates = [parameter, "id", *(name for name in fields if name.endswith("_id") and name in parameter)]
    return next((name for name in candidates if name in fields), "id")


def pretty(value: Any, indent: int = 0, used: int = 0) -> str:
    """Write JSON so that what fits on a line is one line; the top two levels are always opened."""
    line = json.dumps(value, ensure_ascii=False)
    fits = indent + used + len(line) <= _WIDTH and indent > 1
    if fits or not isinstance(value, dict | list) or not value:
        return line
    pad, end = " " * (indent + 1), " " * indent
    if isinstance(value, list):
        parts = [pad + pretty(one, indent + 1) for one in cast("Sequence[Any]", value)]
        return "[\n" + ",\n".join(parts) + f"\n{end}]"
    keys = [(json.dumps(key) + ": ", one) for key, one in cast("dict[str, Any]", value).items()]
    parts = [pad + key + pretty(one, indent + 1, len(key)) for key, one in keys]
    return "{\n" + ",\n".join(parts) + f"\n{end}}}"


def lines(definitions: Mapping[str, Any]) -> str:
    """Write schemas, one definition a line."""
    parts = (
        f"{json.dumps(name)}: {json.dumps(one, ensure_ascii=False, separators=(',', ':'))}"
        for name, one in definitions.items()
    )
    return '{"$defs": {\n' + ",\n".join(parts) + "\n}}\n"


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """Say where two JSON values differ, in a stable order."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        ours, theirs = cast("dict[str, Any]", wanted), cast("dict[str, Any]", found)
        for key in sorted(ours.keys() | theirs.keys()):
            place = f"{path}.{key}" if path else key
            if key not in theirs:
                yield f"{place}: missing"
            elif key not in ours:
                yield f"{place}: not in the document"
            else:
                yield from differences(ours[key], theirs[key], place)
    elif wanted != found:
        yield f"{path}: {json.dumps(found)[:80]}, would be {json.dumps(wanted)[:80]}"


def check(files: Mapping[str, str], folder: Path) -> list[str]:
    """Compare what would be generated with what lies in the folder."""
    problems: list[str] = []
    for name, text in files.items():
        path = folder / name
        found = path.read_text(encoding="utf-8") if path.exists() else None
        if found is None:
            problems.append(f"{name}: missing")
        elif found != text:
            differing = [f"{name}: {one}" for one in differences(json.loads(text), json.loads(found))]
            problems += differing or [f"{name}: same content, written differently"]
    return problems


def read_document(path: Path) -> dict[str, Any]:
    """Read an OpenAPI document from JSON or YAML."""
    text = path.read_text(encoding="utf-8")
    if path.suffix not in (".yaml", ".yml"):
        return cast("dict[str, Any]", json.loads(text))
    from ruamel.yaml import YAML  # noqa: PLC0415 - most documents are JSON

    loaded = YAML(typ="safe", pure=True).load(text)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] - its stubs
    return cast("dict[str, Any]", loaded)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit code."""
    options = _options(arguments)
    try:
        raw, files = _generated(options)
    except (GenerateError, SchemaError, OverlayError, OSError, json.JSONDecodeError) as error:
        print(f"generate: {error}", file=sys.stderr)  # noqa: T201 - a command line speaks on stderr
        return 2
    return _finish(files, options, raw)


def _generated(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    if not options.spec:
        raise GenerateError("no document given: name a file, or set CONNECTORY_SPEC")
    raw = read_document(Path(options.spec))
    overlay_file = options.overlay or (None if options.out else HERE / "overlays" / "openai.json")
    overlay = (
        Overlay.of(json.loads(Path(overlay_file).read_text(encoding="utf-8"))) if overlay_file else Overlay()
    )
    name = options.name or (_slug(raw) if options.out else "openai")
    return raw, generate(raw, overlay, name=name)


def _finish(files: Mapping[str, str], options: argparse.Namespace, raw: Mapping[str, Any]) -> int:
    folder = Path(options.out or HERE / "catalogue")
    if options.check:
        problems = check(files, folder)
        hidden = len(problems) - _SHOWN_DIFFERENCES
        shown = problems[:_SHOWN_DIFFERENCES] + ([f"and {hidden} more"] if hidden > 0 else [])
        print("\n".join(shown) or "up to date", file=sys.stderr)  # noqa: T201 - see above
        return 1 if problems else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    for operation in Document(raw, {}).left_out():
        print(f"left out: {operation} (actions are GET, POST and DELETE)", file=sys.stderr)  # noqa: T201 - see above
    return 0


def _slug(raw: Mapping[str, Any]) -> str:
    return (
        re.sub(r"[^a-z0-9]+", "-", str(raw.get("info", {}).get("title", "")).lower()).strip("-")
        or "catalogue"
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m connectory_schemas.generate", description=__doc__)
    parser.add_argument(
        "spec", nargs="?", default=os.environ.get("CONNECTORY_SPEC"), help="an OpenAPI 3 document"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the files differ")
    parser.add_argument("--out", help="folder for the files (default: this package's catalogue)")
    parser.add_argument("--name", help="name of the files (default: from the document's title)")
    parser.add_argument(
        "--overlay", help="a file of corrections (default: the one for openai, without --out)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
