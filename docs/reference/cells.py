"""Values and texts as they stand in the cells of a Markdown table, and as YAML on one line."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

NO_TEXT = {"true", "false", "null"}
"""What YAML takes for something else."""


def cell(text: str) -> str:
    """Write a text so that it stays in its cell; not every reader of Markdown knows `\\|` in code."""
    text = re.sub(r"`([^`]*\|[^`]*)`", lambda found: f"<code>{escape(found[1], quote=False)}</code>", text)
    return text.replace("|", "&#124;").replace("\n", " ")


def flow(value: Any) -> str:
    """Write a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(name)}: {flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in NO_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)
