"""Answers that are too much (rows P2 and P3): bombs, endless bodies, five gigabytes. Memory stays bounded."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import pytest
from command import ROOTS
from fault_runs import JSON_TYPE, TOKEN, Ran, arranged, collected, healthy, incoming, ok, outgoing, serving
from fault_server import OK_HEAD, answer, replies

MEBIBYTE = 1024 * 1024
linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
BOMB = gzip.compress(bytes(10 * MEBIBYTE)) * 100
"""A mebibyte that unpacks to a thousand."""


# The kernel's own count of a process's resources begins with what its parent held; this one begins with the program.
PROGRAM = """
import sys
from pathlib import Path
from connectory.cli import main

peak = Path(sys.argv.pop(1))
try:
    main(sys.argv[1:])
finally:
    status = Path("/proc/self/status").read_text().splitlines()
    peak.write_text(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def measured(folder, base_uri, **client) -> tuple[Ran, int]:
    """Send three records in a process of its own; give what it left, and the most memory it held."""
    words = [str(folder / "peak"), *arranged(folder, base_uri, **client)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), "FAULT_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ran = collected(folder, done.returncode, done.stdout + done.stderr)
    return ran, int((folder / "peak").read_text()) * 1024


@linux
@pytest.mark.fault(
    "P2", "Gzip that unpacks to 200 times its size is given up at 64 MiB: one attempt, set aside, in doubt."
)
def test_a_gzip_bomb_is_given_up_in_bounded_memory(tmp_path):
    bomb = answer(BOMB, headers=f"{JSON_TYPE}\nContent-Encoding: gzip")
    with serving(replies(bomb, ok())) as server:
        ran, peak = measured(tmp_path, server.url("/v1"))
        ran.settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert (ran.errors[0]["class"], ran.in_doubt[0]) == ("too_large", True)
    assert peak < 220 * MEBIBYTE


@pytest.mark.fault(
    "P2", "Only gzip is asked for; any other encoding, and one upon another, is not unpacked: a doubt."
)
@pytest.mark.parametrize(
    "encoding", ["deflate", "br", "zstd", "gzip, gzip", "gzip, gzip, gzip, br", "x" * 50]
)
def test_an_encoding_that_was_not_asked_for_is_not_unpacked(tmp_path, encoding):
    stacked = answer(
        gzip.compress(gzip.compress(b"{}")), headers=f"{JSON_TYPE}\nContent-Encoding: {encoding}"
    )
    with serving(replies(*[stacked] * 3, ok())) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [3, 1, 1])
    assert f"encoded as {encoding!r}, which was not asked for" in ran.errors[0]["message"]
    assert b"\r\naccept-encoding: gzip\r\n" in bytes(server.received[0]).lower()


BROKEN = {
    "cut": gzip.compress(ok() * 100)[:-9],
    "rubbish": b"\x1f\x8b\x08rubbish that is no gzip",
    "rubbish after it": gzip.compress(b'{"id": "m"}') + b"rubbish",
}


@pytest.mark.fault("P2", "Gzip that is broken or cut is a doubt, and asked for again.")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_gzip_is_asked_for_again(tmp_path, name):
    broken = answer(BROKEN[name], headers=f"{JSON_TYPE}\nContent-Encoding: gzip")
    good = answer(gzip.compress(b'{"id": "good"}'), headers=f"{JSON_TYPE}\nContent-Encoding: gzip")
    with serving(replies(broken, good)) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.attempts, ran.lines[0]["response"]) == (0, [2, 1, 1], {"id": "good"})


@pytest.mark.fault("P2", "A bomb that is saved leaves no file, whole or in part.")
def test_a_bomb_that_is_saved_leaves_no_file(tmp_path):
    bomb = answer(BOMB, headers="Content-Type: application/octet-stream\nContent-Encoding: gzip")
    wanted = {
        "entity": "file.content",
        "request_parameters": {"path": {"file_id": "f"}},
        "save_to": "saved/{file_id}.bin",
    }
    with serving(replies(bomb)) as server:
        ran = incoming(tmp_path, server.url("/v1"), wanted)
    assert (ran.code, len(server.received)) == (1, 1)
    assert "unpacks to more than 200 times its size" in ran.said
    assert [path.name for path in tmp_path.rglob("*") if path.suffix in {".bin", ".part"}] == []


def endless(head):
    """Send this head, and then a body for as long as somebody takes it."""

    async def script(peer):
        await peer.request()
        await peer.send(head)
        piece = b"%x\r\n%b\r\n" % (MEBIBYTE, b" " * MEBIBYTE)
        for _ in range(5 * 1024):
            await peer.send(piece)

    return script


@linux
@pytest.mark.fault(
    "P3", "A body that announces more than 512 MiB is not read at all: one attempt, set aside, in doubt."
)
def test_five_gigabytes_that_are_announced_are_not_read(tmp_path):
    head = OK_HEAD + f"{JSON_TYPE}\r\nContent-Length: 5000000000\r\n\r\n".encode()
    with serving(endless(head), healthy) as server:
        ran, peak = measured(tmp_path, server.url("/v1"))
        ran.settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert (ran.errors[0]["class"], ran.in_doubt[0]) == ("too_large", True)
    assert peak < 200 * MEBIBYTE


@linux
@pytest.mark.fault("P3", "A body without a length is given up when 512 MiB of it have come.")
def test_a_body_without_end_is_given_up_at_the_limit(tmp_path):
    head = OK_HEAD + f"{JSON_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with serving(endless(head), healthy) as server:
        ran, peak = measured(tmp_path, server.url("/v1"))
        ran.settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert "the answer is larger than 536870912 bytes" in ran.errors[0]["message"]
    assert peak < 800 * MEBIBYTE


@pytest.mark.fault(
    "P3",
    "A page of a list that is cut in the middle of its items gives none of them, and is asked for again.",
)
def test_half_a_page_gives_no_items(tmp_path):
    page = json.dumps(
        {"object": "list", "data": [{"id": f"f{number}"} for number in range(1000)], "has_more": False}
    )

    async def half(peer):
        await peer.request()
        await peer.send(answer(page.encode(), headers=JSON_TYPE)[:9000])
        peer.close()

    with serving(half, replies(answer(page.encode(), headers=JSON_TYPE))) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, len(ran.lines)) == (0, 1000)
