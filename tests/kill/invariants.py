"""What has to hold after any number of kills: each invariant a function with a name and one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from kill.evidence import Evidence, life, parsed

Check: TypeAlias = Callable[[Evidence], Iterator[str]]


@dataclass(frozen=True)
class Invariant:
    """A fact with its number; `check` gives a sentence for everything that contradicts it."""

    number: int
    name: str
    fact: str
    check: Check


INVARIANTS: dict[int, Invariant] = {}


def invariant(number: int) -> Callable[[Check], Check]:
    """Register a check; its docstring is the fact."""

    def register(check: Check) -> Check:
        INVARIANTS[number] = Invariant(number, check.__name__, (check.__doc__ or "").strip(), check)
        return check

    return register


def broken(evidence: Evidence, *, without: frozenset[int] = frozenset()) -> dict[int, list[str]]:
    """Give what contradicts each invariant that does not hold, a few examples of each."""
    found: dict[int, list[str]] = {}
    for number, one in sorted(INVARIANTS.items()):
        if number not in without and (wrong := list(one.check(evidence))):
            more = [f"and {len(wrong) - 3} more"] if len(wrong) > 3 else []
            found[number] = [f"{one.name}: {problem}" for problem in [*wrong[:3], *more]]
    return found


@invariant(1)
def nothing_is_lost(evidence: Evidence) -> Iterator[str]:
    """Every record reached the server at least once."""
    for number in range(evidence.records):
        if number not in evidence.of_record:
            yield f"record {number} was never sent"


@invariant(2)
def one_result(evidence: Evidence) -> Iterator[str]:
    """Every record has exactly one result in the log."""
    for index, count in _counted(evidence).items():
        if count != 1:
            yield f"record {index} has {count} results"


def _counted(evidence: Evidence) -> Counter[int]:
    counted = Counter(dict.fromkeys(range(evidence.records), 0))
    counted.update(result["index"] for result in evidence.log.results)
    return counted


@invariant(3)
def one_key(evidence: Evidence) -> Iterator[str]:
    """All requests of a record carry one key and one body, and no other record's."""
    if evidence.pack > 1:
        yield from _one_pack(evidence)
        return
    owners: dict[str, int] = {}
    for record, requests in evidence.of_record.items():
        kinds = {(request["key"], request["body"]) for request in requests}
        if len(kinds) != 1:
            yield f"record {record} was sent as {sorted(map(str, kinds))}"
        for key, _ in kinds:
            if owners.setdefault(str(key), record) != record:
                yield f"records {owners[str(key)]} and {record} share a key"


def _one_pack(evidence: Evidence) -> Iterator[str]:
    """A key means one pack for ever; a record goes in another one only when its pack was refused, or partly written."""
    packs: dict[str, tuple[str, list[int]]] = {}
    for request in evidence.requests:
        said = (request["body"], request["records"])
        if packs.setdefault(str(request["key"]), said) != said:
            yield f"the key {request['key']} was sent with {packs[str(request['key'])]} and {said}"
    written = [set[str](), *(ending.keys for ending in evidence.endings)]
    for record, requests in evidence.of_record.items():
        for before, after in pairwise(requests):
            missing = {evidence.key_of.get(one) for one in before["records"]} - evidence.keys(after)
            torn = any(missing <= keys for keys in written) and {*after["records"]} < {*before["records"]}
            if before["key"] != after["key"] and not before["refused"] and not torn:
                yield f"record {record} was in the pack {before['records']} and then in {after['records']}"


@invariant(4)
def bounded(evidence: Evidence) -> Iterator[str]:
    """Each kill cuts off no more requests than were allowed to be under way, but for refusals that were held back."""
    if evidence.pack > 1:
        for number, packs in enumerate(evidence.cut_off_requests, 1):
            if len(packs) > evidence.concurrency:
                yield f"kill {number} cut off {len(packs)} packs"
        return
    refused = {
        request["key"] for number in evidence.bad for request in evidence.of_record.get(number, ())
    }  # as long as a process has seen nothing but refusals, it writes none down: they may have to stay pending
    for number, cut in enumerate(evidence.cut_off, 1):
        if len(cut - refused) > evidence.concurrency:
            yield f"kill {number} cut off {len(cut - refused)} records"


@invariant(5)
def new_request_ids(evidence: Evidence) -> Iterator[str]:
    """No client request id is used twice."""
    for name, count in Counter(str(request["request"]) for request in evidence.requests).items():
        if count > 1:
            yield f"{name!r} was used {count} times"


@invariant(6)
def attempts_are_counted(evidence: Evidence) -> Iterator[str]:
    """Outside the processes that were killed over them, records took as many requests as their results say."""
    again = evidence.cut_off_keys | evidence.lost_keys
    for result in evidence.log.results:
        sent = len(evidence.of_record.get(result["index"], ()))
        if result["key"] not in again and sent != result["attempts"]:
            yield f"record {result['index']} took {sent} requests, its result says {result['attempts']}"


@invariant(7)
def nothing_written_disappears(evidence: Evidence) -> Iterator[str]:
    """A result that was written is never lost again, so that it is never paid for twice."""
    for number, ending in enumerate(evidence.endings, 1):
        if ending.lost:
            yield f"process {number} lost {len(ending.lost)} results, the first {ending.lost[0][:120]!r}"


@invariant(8)
def flags_are_rare(evidence: Evidence) -> Iterator[str]:
    """Each kill puts no more records in doubt than were allowed to be under way."""
    bound = evidence.concurrency * evidence.kills * evidence.pack
    if len(evidence.flagged) > bound:
        yield f"{len(evidence.flagged)} results are in doubt, more than {bound}"


@invariant(9)
def own_answer(evidence: Evidence) -> Iterator[str]:
    """Every answer is that of its own record."""
    bad = set(evidence.bad)
    for result in evidence.log.results:
        index = result["index"]
        expected = ("error", None) if index in bad else ("ok", f"answer-{index}")
        response = result.get("response") or {}
        got = (result["status"], response.get("id"))
        if evidence.pack > 1 and response:
            got = (result["status"], f"answer-{response['results'][0]['record']}")
        if got != expected:
            yield f"record {index} has {got}, not {expected}: {result.get('error')}"


@invariant(10)
def doubts_are_flagged(evidence: Evidence) -> Iterator[str]:
    """Every record that was cut off, or lost its result, says in its result that it may have been done twice."""
    flags = {result["key"]: result["in_doubt"] for result in evidence.log.results}
    for key in evidence.cut_off_keys - evidence.divided | evidence.lost_keys:
        if not flags.get(key):
            yield f"{key} was cut off and is not flagged"


@invariant(11)
def output_is_whole(evidence: Evidence) -> Iterator[str]:
    """The output has one line for each record, in the order that was asked for, and says what the results log says."""
    logged = {result["index"]: result for result in evidence.log.results}
    lines = [parsed(line) for line in evidence.complete.splitlines()]
    found = [line.get("index", -1) for line in lines]
    if (found if evidence.ordered else sorted(found)) != list(range(evidence.records)):
        yield f"the output has {len(lines)} lines for {evidence.records} records, or another order"
    for line in lines:
        entry = logged.get(line.get("index"), {})
        differing = [name for name in line if line[name] != entry.get(name)]
        if differing:
            yield f"record {line.get('index')}: output and log differ in {differing}"


@invariant(12)
def all_are_accounted_for(evidence: Evidence) -> Iterator[str]:
    """At every moment the input is what is done, dead or pending."""
    for number, ending in enumerate(evidence.endings, 1):
        counts = ending.counts
        if counts is None or counts["total"] is None:
            continue
        if not counts["done"] + counts["dead"] + counts["pending"] == counts["total"] == evidence.records:
            yield f"after process {number} the program counts {counts}"
        if counts["done"] + counts["dead"] + counts["answered"] != len(ending.keys):
            yield f"after process {number} {len(ending.keys)} results are written, the program counts {counts}"


@invariant(13)
def no_output_too_early(evidence: Evidence) -> Iterator[str]:
    """The output is what it was before the run until it is complete."""
    for number, ending in enumerate(evidence.endings, 1):
        written = ending.output or b""
        added = (
            evidence.appended and evidence.output.startswith(written) and written.startswith(evidence.earlier)
        )
        if written not in (evidence.earlier, evidence.output) and not added:
            yield f"after process {number} the output has {len(written)} bytes"


@invariant(14)
def shown_stays_shown(evidence: Evidence) -> Iterator[str]:
    """Whole lines of the unfinished output are those of the finished one."""
    for number, ending in enumerate(evidence.endings, 1):
        whole, _, _ = (ending.part or b"").rpartition(b"\n")
        stays = evidence.complete.startswith(whole)
        if not evidence.ordered:  # what no commit had counted on may come back in another order
            stays = set(whole.splitlines()) <= set(evidence.complete.splitlines())
        if not stays:
            yield f"after process {number} the unfinished output holds lines that the finished one does not"


@invariant(15)
def ends_well(evidence: Evidence) -> Iterator[str]:
    """The last process ends with 0 (1 with dead letters) or is killed when all is done; no traceback, and one run."""
    last = evidence.endings[-1]
    if not last.over or (last.sent is None and last.code != bool(evidence.bad)):
        yield f"the last process ended with {last.code}"
    for number, ending in enumerate(evidence.endings[:-1], 1):
        if ending.sent is None:
            yield f"process {number} ended by itself, with {ending.code}"
    if "Traceback" in evidence.said:
        yield evidence.said[evidence.said.index("Traceback") :][:2000]
    if len(evidence.runs) != 1:
        yield f"there are runs {evidence.runs}"


@invariant(16)
def lives_are_counted(evidence: Evidence) -> Iterator[str]:
    """Every process that sends has a life of its own, and later ones have higher numbers."""
    lives = [sorted({life(request) for request in sent}) for sent in evidence.of_process if sent]
    numbers = [int(names[0]) if len(names) == 1 and names[0].isdigit() else None for names in lives]
    if None in numbers or numbers != sorted({number for number in numbers if number is not None}):
        yield f"the processes that sent something had lives {lives}"


@invariant(17)
def written_is_not_sent(evidence: Evidence) -> Iterator[str]:
    """A record whose result was written when a process ended is not sent by a later one."""
    for number, ending in enumerate(evidence.endings):
        for request in evidence.requests[ending.seen :]:
            if evidence.keys(request) & ending.keys - evidence.lost_keys:
                yield f"record {request['record']} had its result after process {number + 1} and was sent again"


@invariant(18)
def done_once(evidence: Evidence) -> Iterator[str]:
    """A server that knows keys has done every record's work exactly once."""
    if evidence.dedupes:
        done = Counter(one for request in evidence.requests if request["acts"] for one in request["records"])
        for record in range(evidence.records):
            if done[record] != (record not in evidence.bad):
                yield f"the work of record {record} was done {done[record]} times"


@invariant(19)
def set_aside_once(evidence: Evidence) -> Iterator[str]:
    """Every record that was refused is in the dead letters once, as it was read, and no other is."""
    aside = sorted((line.get("index", -1), line.get("record", {}).get("text", "?")) for line in evidence.dead)
    expected = [(number, f"record-{number}") for number in evidence.bad]
    if aside != expected:
        yield f"{len(aside)} dead letters for {len(expected)} refused records, or others than these"


@invariant(20)
def stops_gently(evidence: Evidence) -> Iterator[str]:
    """A process that is asked to stop finishes what is under way, and says by its exit code why it ended."""
    if not evidence.gentle:
        return
    stopped = [ending for ending in evidence.endings if ending.sent is not None]
    for ending, cut in zip(stopped, evidence.cut_off, strict=True):
        if cut:
            yield f"a process that was asked to stop left {len(cut)} records cut off"
        if ending.code not in {128 + (ending.sent or 0), -(ending.sent or 0)}:
            yield f"a process that was asked to stop ended with {ending.code}"
