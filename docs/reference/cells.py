"""Values and texts as they stand in the cells of a Markdown table, and as YAML on one line."""

from __future__ import annotations

import json
import re
from typing import Any


def cell(text: str) -> str:
    """Write a text so that it stays in its cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def flow(value: Any) -> str:
    """Write a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(name)}: {flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value):
        return "true" if value is True else value if not _is_no_text(value) else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


def _is_no_text(value: str) -> bool:
    return value.lower() in {"true", "false", "null"}
