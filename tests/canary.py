"""Made-up secrets that no output may hold, and where to look for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from connectory.text.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST = 8
_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CANARY")
_WRITTEN = re.compile(r"""(?:token|tokne|x-api-key|sig):\s*["']?([^\s"'${}\[\],]{8,})""")
_MADE: set[str] = set()
_PLANTED: set[Path] = set()


def canary(name: str) -> str:
    """Make the secret of a field; from now on everything that the tests leave behind is searched for it."""
    made = f"canary-{name}-Qz7Xw9Vk3Jr"
    _MADE.add(made)
    return made


def plant(path: Path, text: str) -> Path:
    """Write a file that is meant to hold secrets: a configuration, a token file."""
    path.write_text(text)
    _PLANTED.add(path.resolve())
    return path


def leaks(text: str | bytes, secrets: Iterable[str]) -> list[str]:
    """Give the secrets that a text holds, in whatever form."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return [one for one in secrets if Redactor([one]).text(plain) != plain]


def leaks_below(folder: Path) -> list[str]:
    """Give every file that holds a canary and is not meant to."""
    redactor, found = Redactor(_MADE), list[str]()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.resolve() not in _PLANTED:
            content = path.read_bytes()
            if redactor.seen_in(content):
                found += [f"{path}: {one}" for one in leaks(content, _MADE)]
    return found


def given(folder: Path, words: Iterable[str], environ: dict[str, str]) -> set[str]:
    """Give the made-up secrets that a command was given, through the environment or its configuration."""
    values = {value for name, value in environ.items() if _NAMES.search(name) and len(value) >= SHORTEST}
    for word in ("connectory.yaml", *words):
        path = folder / word
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            values |= set(_WRITTEN.findall(path.read_text(encoding="utf-8", errors="replace")))
    return values | _MADE


def state_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Say of every file in a folder how large it is and when it was changed."""
    found: dict[Path, tuple[int, int]] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            found[path] = (status.st_mtime_ns, status.st_size)
    return found


def leaks_since(folder: Path, before: dict[Path, tuple[int, int]], secrets: Iterable[str]) -> list[str]:
    """Give the secrets that files made or changed since then hold."""
    known = set(secrets)
    changed = [path for path, state in state_of(folder).items() if before.get(path) != state]
    return [f"{path.name}: {one}" for path in changed for one in leaks(path.read_bytes(), known)]
