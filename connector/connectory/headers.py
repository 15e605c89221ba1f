"""The headers of an answer as text, looked up in any case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class AnswerHeaders(Mapping[str, str]):
    """Headers by their names in lower case; of a name that comes twice the values are joined by `, `.

    Bytes beyond ASCII are read as UTF-8, or else each for itself. What nobody looks at stays bytes: most of an answer's
    headers are only passed on.
    """

    __slots__ = ("_block", "_found")

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._block: bytes | None = None
        found = self._found = {name.lower(): value for name, value in raw}
        if len(found) != len(raw):
            found.clear()
            for name, value in raw:
                key = name.lower()
                found[key] = b"%s, %s" % (found[key], value) if key in found else value

    def __getitem__(self, name: str) -> str:
        return _text(self._found[name.lower().encode("utf-8", "surrogatepass")])

    def get(self, name: str, default: Any = None) -> Any:
        """Give a header, or the default."""
        value = self._found.get(name.lower().encode("utf-8", "surrogatepass"))
        return default if value is None else _text(value)

    def block(self, *, without: bytes | None = None) -> bytes:
        """Give all of them as they came, one a line, without those of one name."""
        if without is not None and without in self._found:
            return b"\n".join(
                [name + b": " + value for name, value in self._found.items() if name != without]
            )
        if self._block is None:
            self._block = b"\n".join([name + b": " + value for name, value in self._found.items()])
        return self._block

    def __iter__(self) -> Iterator[str]:
        return map(_text, self._found)

    def __len__(self) -> int:
        return len(self._found)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
