"""The sandbox's memory: collections of items under their paths, bounded in number and bytes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ITEMS = 200_000
MAX_BYTES = 512 * 1024 * 1024


@dataclass(slots=True)
class Stored:
    """One item: what is known about it, and each shape in which it was answered before."""

    number: int
    facts: dict[str, Any]
    content: bytes | None = None
    content_type: str = "application/octet-stream"
    shapes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    ahead: tuple[str, ...] = ()
    held: bool = False
    work: Any = None
    claimed: int = 0
    """The states that come, whether it is paused, what it works on, and how many bytes that takes."""

    @property
    def size(self) -> int:
        """Give how many bytes it holds."""
        return len(self.content or b"") + self.claimed


@dataclass(slots=True)
class Collection:
    """The items of one path, oldest first."""

    items: dict[str, Stored] = field(default_factory=dict[str, Stored])
    numbers: list[int] = field(default_factory=list[int])
    ids: dict[int, str] = field(default_factory=dict[int, str])

    def after(self, cursor: str | None, *, newest_first: bool) -> Iterator[str]:
        """Give the ids that follow the cursor's item. Raises KeyError for an unknown cursor."""
        number = None if cursor is None else self.items[cursor].number
        if newest_first:
            end = len(self.numbers) if number is None else bisect_left(self.numbers, number)
            places = range(end - 1, -1, -1)
        else:
            places = range(0 if number is None else bisect_right(self.numbers, number), len(self.numbers))
        return (self.ids[self.numbers[place]] for place in places)


class Store:
    """Every collection; beyond its bounds the oldest items go first, each with all that is below it."""

    def __init__(self, *, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES) -> None:
        self.max_items, self.max_bytes = max_items, max_bytes
        self.collections: dict[str, Collection] = {}
        self.below: dict[str, set[str]] = {}
        self.singletons: dict[str, dict[str, Any]] = {}
        self.age: OrderedDict[int, tuple[str, str]] = OrderedDict()
        self.bytes = 0
        self.count = 0

    def __len__(self) -> int:
        return len(self.age)

    def new_id(self, prefix: str) -> str:
        """Give an identifier of the API's look; a new sandbox gives the same ones in the same order."""
        return prefix + sha256(f"{prefix}{self.count}".encode()).hexdigest()[:24]

    def add(self, path: str, name: str, stored: Stored) -> Stored:
        """Keep an item in the collection at `path`; one of the same name is replaced."""
        self.remove(path, name)
        collection = self.open(path)
        self.count += 1
        stored.number = self.count
        collection.items[name] = stored
        collection.numbers.append(stored.number)
        collection.ids[stored.number] = name
        self.age[stored.number] = (path, name)
        self.bytes += stored.size
        self.bound()
        return stored

    def open(self, path: str) -> Collection:
        """Give the collection at `path`; a new one is empty."""
        if (collection := self.collections.get(path)) is None:
            collection = self.collections[path] = Collection()
            self.below.setdefault(path.rpartition("/")[0], set()).add(path)
        return collection

    def claim(self, stored: Stored, size: int) -> None:
        """Count what an item holds beside its content, as long as the item is here."""
        if stored.number not in self.age:
            return
        self.bytes += size - stored.claimed
        stored.claimed = size
        self.bound()

    def bound(self) -> None:
        """Forget the oldest items until what is left is within the bounds."""
        while len(self.age) > 1 and (len(self.age) > self.max_items or self.bytes > self.max_bytes):
            self.remove(*next(iter(self.age.values())))

    def get(self, path: str, name: str) -> Stored | None:
        """Give an item, or None."""
        collection = self.collections.get(path)
        return collection.items.get(name) if collection else None

    def remove(self, path: str, name: str) -> bool:
        """Forget an item and everything below it; say whether there was one."""
        collection = self.collections.get(path)
        stored = collection.items.pop(name, None) if collection else None
        if collection is None or stored is None:
            return False
        del collection.numbers[bisect_left(collection.numbers, stored.number)]
        del collection.ids[stored.number]
        del self.age[stored.number]
        self.bytes -= stored.size
        self.forget_below(f"{path}/{name}")
        return True

    def forget_below(self, item_path: str) -> None:
        """Forget every collection and singleton below an item."""
        for path in self.below.pop(item_path, ()):
            for name in list(self.collections[path].items):
                self.remove(path, name)
            del self.collections[path]
        for path in [one for one in self.singletons if one.startswith(f"{item_path}/")]:
            del self.singletons[path]
