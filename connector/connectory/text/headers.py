"""The headers of an answer as text, looked up in any case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_NEEDLES = 256
_COOKIE = "set-cookie"
_SPACE = " \t\r\v\f"

_USUAL = frozenset(
    {
        "content-type", "content-encoding", "content-length", "transfer-encoding", "x-request-id", "apim-request-id",
        "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens",
    }
)  # fmt: skip
"""The headers that every answer is asked for: one search finds them all."""

_LINES = re.compile(
    r"\n(content-(?:type|encoding|length)|transfer-encoding|(?:x|apim)-request-id"
    r"|x-ratelimit-(?:limit|remaining)-(?:requests|tokens)):([^\n]*(?:\n[ \t][^\n]*)*)",
    re.IGNORECASE | re.ASCII,
)


class AnswerHeaders(Mapping[str, str]):
    """Headers by their names in lower case; of a name that comes twice the values are joined by `, `.

    They stay the bytes as they came, and a name is searched for in them: of an answer's many headers only a few are
    ever looked at. In these `lines` a line feed stands before each header. Bytes beyond ASCII are read as UTF-8, or
    else each for itself.
    """

    __slots__ = ("_lines", "_lower", "_once", "_usual")

    def __init__(self, lines: bytes) -> None:
        self._lines = lines
        self._lower: bytes | None = None
        self._usual: dict[str, str] | None = None
        self._once = False

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
        if name in _USUAL:
            usual = self._find_usual() if self._usual is None else self._usual
            return usual.get(name, default)
        return self._find(name, default)

    def _find_usual(self) -> dict[str, str]:
        """Find all headers at once that every answer is asked for."""
        if self._lines.isascii():
            pairs = _LINES.findall(self._lines.decode("ascii"))
            found = {name.lower(): value.strip(_SPACE) for name, value in pairs}
            # none of them came twice, or goes on in another line
            if len(found) == len(pairs) and "".join(found.values()).find("\n") < 0:
                self._usual, self._once = found, True
                return found
        each = {name: self._find(name, None) for name in _USUAL}
        self._usual = {name: value for name, value in each.items() if value is not None}
        return self._usual

    def _find(self, name: str, default: Any) -> Any:
        needle, lower = _needles.get(name) or _needle(name), self._lowered()
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

    def _lowered(self) -> bytes:
        if self._lower is None:
            self._lower = self._lines.lower()
        return self._lower

    def framing(self) -> tuple[int, int]:
        """Count how often they say how long the body is, and how often that it comes in another coding."""
        usual = self._find_usual() if self._usual is None else self._usual
        if self._once:
            return int("content-length" in usual), int("transfer-encoding" in usual)
        return self._lowered().count(b"\ncontent-length:"), self._lowered().count(b"\ntransfer-encoding:")

    def block(self) -> bytes:
        """Give all of them as they came, a line each."""
        return self._lines

    def lasting(self) -> str:
        """Give as text what may be written down, a line each: cookies are secrets."""
        cookie = _needles.get(_COOKIE) or _needle(_COOKIE)
        kept: list[bytes] = []
        lower = self._lowered()
        end, start = 0, lower.find(cookie)
        while start >= 0:
            kept.append(self._lines[end:start])
            end = self._end(start + 1)
            start = lower.find(cookie, end)
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
