"""The commands that are advised about a run: each with the configuration, the client and the sandbox of the run."""

from __future__ import annotations

from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.journal import Facts

_VALUES = ("config", "client", "input")
_PAIRS = ("path", "query")


def same(options: Mapping[str, Any]) -> list[str]:
    """Give the words that lead another command to the same configuration, client and sandbox."""
    words: list[str] = []
    for option in ("config", "client"):
        words += [f"--{option}", str(options[option])] if options.get(option) else []
    return words + (["--sandbox"] if options.get("sandbox") else [])


def pairs_of(options: Mapping[str, Any]) -> list[str]:
    """Give the words for `--path` and `--query`."""
    words: list[str] = []
    for option in _PAIRS:
        given: dict[str, Any] = options.get(option) or {}
        for key, value in given.items():
            for one in value if isinstance(value, list) else [value]:  # pyright: ignore[reportUnknownVariableType]  # texts
                words += [f"--{option}", f"{key}={one}"]
    return words


def replay_of(run: str, options: Mapping[str, Any]) -> str:
    """Give the command that sends the dead letters of a run again."""
    return join(["connectory", "replay", run, *same(options)])


def preview_of(kind: str, name: str, options: Mapping[str, Any]) -> str:
    """Give the command that shows what a connection makes of the records of a run."""
    read = ["--input", str(options["input"])] if options.get("input") else []
    return join(["connectory", "preview", kind, name, *read, *pairs_of(options), *same(options)])


def options_of(facts: Facts, config: str | None = None) -> dict[str, Any]:
    """Give what the command line of a run said; `config` is how its configuration is called from this folder."""
    words = list(facts.command) if facts.command[1:2] == ("run",) else []
    told: dict[str, Any] = {option: _value(words, f"--{option}") for option in _VALUES}
    if told["config"] is None or (config is not None and not Path(told["config"]).exists()):
        told["config"] = config
    for option in _PAIRS:
        pairs: dict[str, list[str]] = {}
        for number, word in enumerate(words):
            if word == f"--{option}":
                key, _, value = words[number + 1].partition("=")
                pairs.setdefault(key, []).append(value)
        told[option] = pairs
    return {**told, "sandbox": in_sandbox(facts)}


def in_sandbox(facts: Facts) -> bool:
    """Say whether a run was made with `--sandbox`."""
    return "--sandbox" in facts.command


def client_of(facts: Facts) -> str | None:
    """Give the client that the command line of a run named."""
    return _value(list(facts.command), "--client")


def _value(words: list[str], option: str) -> str | None:
    return words[words.index(option) + 1] if option in words else None
