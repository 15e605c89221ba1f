"""The headers of an answer as text, looked up in any case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_NEEDLES = 256
_COOKIE = "set-cookie"


class AnswerHeaders(Mapping[str, str]):
    """Headers by their names in lower case; of a name that comes twice the values are joined by `, `.

    They stay the bytes as they came, and a name is searched for in them: of an answer's many headers only a few are
    ever looked at. In these `lines` a line feed stands before each header. Bytes beyond ASCII are read as UTF-8, or
    else each for itself.
    """

    __slots__ = ("_lines", "_lower")

    def __init__(self, lines: bytes) -> None:
        self._lines, self._lower = lines, lines.lower()

    @classmethod
    def of(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Self:
        """Make them of names and values."""
        return cls(b"".join([b"\n%b: %b" % (name, value.replace(b"\n", b" ")) for name, value in pairs]))

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return str(value)

    def get(self, name: str, default: Any = None) -> Any:
        """Give a header, or the default."""
        needle, lower = _needles.get(name) or _needle(name), self._lower
        start = lower.find(needle)
        if start < 0:
            return default
        values: list[str] = []
        while start >= 0:
            start += len(needle)
            end = self._end(start)
            values.append(_text(self._lines[start:end]))
            start = lower.find(needle, end)
        return values[0] if len(values) == 1 else ", ".join(values)

    def framing(self) -> tuple[int, int]:
        """Count how often they say how long the body is, and how often that it comes in another coding."""
        return self._lower.count(b"\ncontent-length:"), self._lower.count(b"\ntransfer-encoding:")

    def block(self) -> bytes:
        """Give all of them as they came, a line each."""
        return self._lines

    def lasting(self) -> str:
        """Give as text what may be written down, a line each: cookies are secrets."""
        cookie = _needles.get(_COOKIE) or _needle(_COOKIE)
        kept: list[bytes] = []
        end, start = 0, self._lower.find(cookie)
        while start >= 0:
            kept.append(self._lines[end:start])
            end = self._end(start + 1)
            start = self._lower.find(cookie, end)
        lasting = b"".join([*kept, self._lines[end:]]) if kept else self._lines
        return lasting[1:].decode("utf-8", "replace")

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Give names and values as they came."""
        found: list[tuple[bytes, bytes]] = []
        start = 0
        while start < len(self._lines):
            end = self._end(start + 1)
            name, _, value = self._lines[start + 1 : end].partition(b":")
            found.append((name, _unfolded(value)))
            start = end
        return found

    def _end(self, start: int) -> int:
        """Find where a header ends: a line that begins with a space goes on with it."""
        lines = self._lines
        end = lines.find(b"\n", start)
        while end >= 0 and lines.startswith((b" ", b"\t"), end + 1):
            end = lines.find(b"\n", end + 1)
        return len(lines) if end < 0 else end

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(_text(name).lower() for name, _ in self.pairs()))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self.pairs()})

    def __bool__(self) -> bool:
        return bool(self._lines)


_needles: dict[str, bytes] = {}


def _needle(name: str) -> bytes:
    """Give what is searched for; that of a name which is asked for again and again is kept."""
    made = b"\n%b:" % name.lower().encode("utf-8", "surrogatepass")
    if len(_needles) < _MOST_NEEDLES:
        _needles[name] = made
    return made


def _unfolded(value: bytes) -> bytes:
    value = value.strip()
    return value if value.find(b"\n") < 0 else b" ".join([line.strip() for line in value.split(b"\n")])


def _text(raw: bytes) -> str:
    raw = raw.strip() if raw.find(b"\n") < 0 else _unfolded(raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
