"""What is left after a kill test: read from the server's log and from the files, never from what the program says."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

DOUBTFUL = frozenset({"reset", "truncated", "not_json"})
"""Faults after which the program cannot know whether the server has acted: they too put a result in doubt."""


def checked(line: bytes) -> dict[str, Any] | None:
    """Parse one line of the results log; None when its checksum is wrong. Written anew here on purpose."""
    body, mark, rest = line.rpartition(b',"crc":"')
    if not mark or rest[8:] != b'"}' or rest[:8].decode("ascii", "replace") != f"{zlib.crc32(body):08x}":
        return None
    return parsed(line)


def parsed(line: bytes) -> dict[str, Any]:
    """Parse a line of JSON; one that is none is as good as empty."""
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return found


@dataclass
class Log:
    """The whole lines of a results log; a damaged one counts as not written."""

    lines: list[bytes] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path | None, before: Log | None = None) -> Log:
        """Read a log; what an earlier reading has parsed already is not parsed again."""
        *whole, _ = path.read_bytes().split(b"\n") if path is not None and path.exists() else [b""]
        log = cls()
        known = dict(zip(before.lines, before.results, strict=True)) if before else {}
        for line in whole:
            result = known.get(line) or checked(line)
            if result is not None:
                log.lines.append(line)
                log.results.append(result)
        return log

    @property
    def keys(self) -> set[str]:
        """The deliveries that are in it."""
        return {result["key"] for result in self.results}


@dataclass
class Ending:
    """How one process ended, and what it left behind.

    `sent` is how it was ended: a signal's number, or None where it ended by itself. `seen` counts the requests in the
    server's log by then. `lost` are lines of the results log that were there when the process before ended, and are
    no more. `over`: the run was at its end, and nothing is left to do.
    """

    sent: int | None
    code: int
    seen: int
    keys: set[str]
    lost: list[bytes]
    output: bytes | None
    part: bytes | None
    counts: dict[str, Any] | None = None
    over: bool = False


@dataclass
class Evidence:
    """Everything that the judge looks at. `earlier` is what the output held before the run, `bad` are
    the records that the server refuses. `gentle`: processes were asked to stop, once, and not killed. The
    output is `ordered` like the input, or in the order of completion; it is `appended` or replaces what was there.
    Up to `pack` records went in one request."""

    records: int
    concurrency: int
    requests: list[dict[str, Any]]
    endings: list[Ending]
    log: Log
    output: bytes
    dead: list[dict[str, Any]]
    earlier: bytes
    bad: list[int]
    runs: list[str]
    said: str
    dedupes: bool = False
    gentle: bool = False
    ordered: bool = True
    appended: bool = False
    pack: int = 1

    @cached_property
    def key_of(self) -> dict[int, str]:
        """The key of each record that has a result."""
        return {result["index"]: result["key"] for result in self.log.results}

    def keys(self, request: dict[str, Any]) -> set[str]:
        """The deliveries of a request: a pack has a key of its own, so the results say whose it was."""
        if self.pack == 1:
            return {str(request["key"])}
        return {self.key_of[record] for record in request["records"] if record in self.key_of}

    @property
    def kills(self) -> int:
        """How many processes were ended before their time."""
        return sum(ending.sent is not None for ending in self.endings)

    @property
    def complete(self) -> bytes:
        """What the run has added to the output, or put in its place."""
        return self.output.removeprefix(self.earlier) if self.appended else self.output

    @cached_property
    def of_record(self) -> dict[int, list[dict[str, Any]]]:
        """The requests about each record, in the order in which they came."""
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for request in self.requests:
            for record in request["records"]:
                found[record].append(request)
        return found

    @cached_property
    def of_process(self) -> list[list[dict[str, Any]]]:
        """The requests of each process, in the order in which they came."""
        seen = [0, *(ending.seen for ending in self.endings)]
        return [self.requests[first:last] for first, last in pairwise(seen)]

    @cached_property
    def cut_off(self) -> list[set[str]]:
        """For each process that was killed, the deliveries that it had sent and that had no result when it ended."""
        return [
            set[str]().union(*map(self.keys, sent)) - ending.keys
            for ending, sent in zip(self.endings, self.of_process, strict=True)
            if ending.sent is not None
        ]

    @cached_property
    def cut_off_requests(self) -> list[set[str]]:
        """For each process that was killed, the requests that were not refused and whose results were not all written."""
        return [
            {str(request["key"]) for request in sent if self.keys(request) - ending.keys}
            - {str(request["key"]) for request in sent if request["refused"]}  # after a fault, perhaps
            for ending, sent in zip(self.endings, self.of_process, strict=True)
            if ending.sent is not None
        ]

    @cached_property
    def divided(self) -> set[str]:
        """Every delivery that was in a refused pack: it was not under way until it went in a smaller one."""
        refused = (one for one in self.requests if one["refused"] and len(one["records"]) > 1)
        return set[str]().union(*map(self.keys, refused))

    @cached_property
    def cut_off_keys(self) -> set[str]:
        """Every delivery that was cut off at any time."""
        return set().union(*self.cut_off)

    @cached_property
    def lost_keys(self) -> set[str]:
        """Every delivery whose result was written and is lost: what a power cut may do to what nobody counted on."""
        return {str(parsed(line).get("key")) for ending in self.endings for line in ending.lost}

    @cached_property
    def flagged(self) -> set[str]:
        """The deliveries whose result says that they may have been done twice, and not because of a fault."""
        faulty = (request for request in self.requests if request["fault"] in DOUBTFUL)
        doubtful = set[str]().union(*map(self.keys, faulty))
        return {result["key"] for result in self.log.results if result["in_doubt"]} - doubtful


def life(request: dict[str, Any]) -> str:
    """The life that sent a request, from its client request id `key.life.attempt`."""
    return str(request["request"]).split(".")[-2:][0]
