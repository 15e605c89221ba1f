"""Make a catalogue of an OpenAPI document: `python -m connectory_schemas.generate SPEC [--check]`.

`python -m connectory_schemas.generate diff A B` tells what changed from one document or catalogue to another.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectory_schemas import diff, sdk
from connectory_schemas.convert import reachable, refine, refine_entities
from connectory_schemas.entities import build_entities
from connectory_schemas.errors import GenerateError, SdkError
from connectory_schemas.joining import join, operations_of, refinements
from connectory_schemas.operations import Document
from connectory_schemas.overlay import Overlay
from connectory_schemas.widening import widened
from connectory_schemas.writing import check, lines, pretty, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory_schemas.sdk import Sdk

HERE = Path(__file__).parent
CONSTRAINTS = HERE.parent.parent / ".ci" / "constraints.txt"
FORMAT = 1
_SHOWN_DIFFERENCES = 10


def generate(
    raw: Mapping[str, Any], overlay: Overlay, *, name: str, library: Sdk | None = None
) -> dict[str, str]:
    """Give the text of each catalogue file, by file name.

    A client library adds the operations that the document lacks, and what it knows better of the others.
    """
    if not str(raw.get("openapi", "")).startswith("3."):
        raise GenerateError("not an OpenAPI 3 document: `openapi` must be 3.x")
    whole = raw
    if library is not None:
        whole = widened(join(raw, library.document, origin="sdk"), library.document)
        overlay = overlay.with_rules(refinements(raw, library.document))
    for origin, more in overlay.documents.items():
        whole = join(whole, more, origin=origin)
    document = Document.of(whole, overlay.query_style)
    entities = build_entities(document, overlay)
    overlay.relax_schemas({"entities": entities, "$defs": document.definitions})
    refine_entities(entities, document.definitions)
    refined = {one: refine(schema, document.definitions) for one, schema in document.definitions.items()}
    definitions = reachable(entities, refined)
    info = raw.get("info", {})
    source = {"title": str(info.get("title", name)), "version": str(info.get("version", ""))}
    catalogue = {
        "format": FORMAT,
        "source": source | ({"sdk": f"{library.name} {library.version}"} if library else {}),
        "schemas": f"{name}.schemas.json",
        "entities": entities,
    }
    return {f"{name}.json": pretty(catalogue) + "\n", f"{name}.schemas.json": lines(definitions)}


def build(spec: Path, folder: Path, *, name: str | None = None) -> tuple[list[Path], list[str]]:
    """Write the catalogue of a document; give the files, and the operations that no action stands for.

    Raises GenerateError and OSError.
    """
    raw = read_document(spec)
    files = generate(raw, Overlay(), name=name or slug(raw))
    return _write(files, folder), list(Document(raw, {}).left_out())


def built_in_overlay() -> Overlay:
    """Read the corrections of the built-in catalogue."""
    files = sorted((HERE / "overlays").glob("*.json"))
    return Overlay.of(*(read_document(path) for path in files))


def read_library(raw: Mapping[str, Any], *, pinned_only: bool = False) -> Sdk:
    """Read the official client library that is installed; with `pinned_only`, no version but the pinned one."""
    folder, version = sdk.installed()
    wanted = sdk.pinned(folder.name, CONSTRAINTS)
    if pinned_only and wanted not in (None, version):
        raise SdkError(
            f"{folder.name} {version} is installed, and the catalogue is checked with {wanted} "
            f"({CONSTRAINTS.parent.name}/{CONSTRAINTS.name}): pip install {folder.name}=={wanted}"
        )
    return sdk.read(folder, version, operations_of(raw))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["diff"]:
            return diff.main(words[1:])
        options = _options(words)
        raw, files = _generated(options)
    except (GenerateError, OSError) as error:
        _say(f"generate: {error}")
        return 2
    return _finish(files, options, raw)


def slug(raw: Mapping[str, Any]) -> str:
    """Make a name for the files from the document's title."""
    title = str(raw.get("info", {}).get("title", "")).lower()
    return re.sub(r"[^a-z0-9]+", "-", title).strip("-") or "catalogue"


def _generated(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    if not options.spec:
        raise GenerateError("no document given: name a file, or set CONNECTORY_SPEC")
    raw = read_document(Path(options.spec))
    if options.overlay:
        overlay = Overlay.of(read_document(Path(options.overlay)))
    else:
        overlay = Overlay() if options.out else built_in_overlay()
    wanted = not options.out if options.sdk is None else options.sdk
    library = read_library(raw, pinned_only=options.check) if wanted else None
    for one in library.unread if library else ():
        _say(f"not read, accepts anything: {one}")
    name = options.name or (slug(raw) if options.out else "openai")
    return raw, generate(raw, overlay, name=name, library=library)


def _finish(files: Mapping[str, str], options: argparse.Namespace, raw: Mapping[str, Any]) -> int:
    folder = Path(options.out or HERE / "catalogue")
    if options.check:
        problems = check(files, folder)
        hidden = len(problems) - _SHOWN_DIFFERENCES
        shown = problems[:_SHOWN_DIFFERENCES] + ([f"and {hidden} more"] if hidden > 0 else [])
        _say("\n".join(shown) or "up to date")
        return 1 if problems else 0
    _write(files, folder)
    for operation in Document(raw, {}).left_out():
        _say(f"left out: {operation} (actions are GET, POST and DELETE)")
    return 0


def _write(files: Mapping[str, str], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in files]


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - a command line speaks on stderr


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m connectory_schemas.generate", description=__doc__)
    parser.add_argument(
        "spec", nargs="?", default=os.environ.get("CONNECTORY_SPEC"), help="an OpenAPI 3 document"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the files differ")
    parser.add_argument("--out", help="folder for the files (default: this package's catalogue)")
    parser.add_argument("--name", help="name of the files (default: from the document's title)")
    parser.add_argument("--overlay", help="a file of corrections (default: the built-in ones, without --out)")
    parser.add_argument(
        "--sdk",
        action=argparse.BooleanOptionalAction,
        help="add what the installed openai package knows (default: without --out)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
