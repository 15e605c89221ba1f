"""A configuration made by a program, written as YAML that the loader reads back as it was."""

from __future__ import annotations

import io
from typing import Any

_WIDTH = 110


def to_yaml(data: dict[str, Any], *, heading: str = "") -> str:
    """Write data as YAML, its keys in their order; each line of `heading` becomes a comment at the top."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - slow to import, needed only where a file is written

    yaml: Any = YAML()
    yaml.default_flow_style = False
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = _always  # an anchor would say that two places are one
    stream = io.StringIO()
    yaml.dump(data, stream)
    comments = "".join(f"# {line}".rstrip() + "\n" for line in heading.splitlines())
    return comments + stream.getvalue()


def _always(_data: object) -> bool:
    return True
