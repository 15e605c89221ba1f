"""Files that an option or a record names, below the configuration's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.errors import RequestError, TransformerError
from connectory.files.sent import locate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST = 32 * 1024 * 1024
"""Bytes of a file that are read into memory."""


class InFile:
    """Stands in a type hint, `Annotated[Template, InFile()]`: the step names a file, and its text is the value.

    The file lies below the configuration's folder; it is read once, when the chain is built.
    """

    def __repr__(self) -> str:
        return "InFile"

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        return {
            "type": "function-before",
            "function": {"type": "with-info", "function": _text},
            "schema": handler(source),
        }


def read_file(name: str, root: Path | None) -> bytes:
    """Read a file whose name comes from data or from the configuration.

    It has to stay below `root`, links included. Raises TransformerError, for one of more than 32 MiB too.
    """
    if root is None:
        raise TransformerError(
            f"the file {name!r} can be read only where the configuration is a file, below its folder"
        )
    try:
        file = locate(name, root, called="the configuration's folder")
        if file.size > LARGEST:
            raise TransformerError(f"file {name!r} has {file.size} bytes; {LARGEST} are read at most")
        return file.content()
    except RequestError as error:
        raise TransformerError(str(error)) from None


def _text(name: Any, info: Any) -> Any:
    if not isinstance(name, str):
        raise ValueError("the name of a file is a text")  # noqa: TRY004 - pydantic hears no TypeError
    try:
        return read_file(name, getattr(info.context, "folder", None)).decode("utf-8-sig")
    except TransformerError as error:
        raise ValueError(str(error)) from None
    except UnicodeDecodeError:
        raise ValueError(f"file {name!r} is no text in UTF-8") from None
