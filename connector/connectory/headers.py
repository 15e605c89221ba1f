"""The headers of an answer as text, looked up in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class AnswerHeaders(dict[str, str]):
    """Headers by their names in lower case; of a name that comes twice the values are joined by `, `.

    Many times as fast as httpx's own, which decode everything again at every look.
    """

    @classmethod
    def read(cls, raw: Sequence[tuple[bytes, bytes]]) -> AnswerHeaders:
        """Take headers as they came. Bytes beyond ASCII are read as UTF-8, or else each for itself."""
        try:
            found = cls([(name.lower().decode("ascii"), value.decode("ascii")) for name, value in raw])
        except UnicodeDecodeError:
            found = cls()
        if len(found) == len(raw):
            return found
        found.clear()
        for name, value in raw:
            key, text = _text(name).lower(), _text(value)
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    def __missing__(self, name: str) -> str:
        """Look a name up that is not in lower case."""
        if name.islower() or name.lower() not in self:
            raise KeyError(name)
        return self[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        """Give a header, or the default."""
        return super().get(name if name in self else name.lower(), default)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
