from __future__ import annotations

import asyncio
import json
from email import message_from_bytes

import httpx
import pytest
from connected import configuration, connected, extend, run

from connectory.assembly import problems
from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.delivery import uploads
from connectory.errors import CredentialsError

OUTGOING = {
    "entity": "files",
    "files_root": ".",
    "upload": {"over": 500, "part_size": 300, "parallel": 2},
    "payload": {"purpose": "batch", "expires_after": "?{keep}", "file": {"path": "&{name}"}},
}
FILE = {"id": "file-1", "object": "file"}


class Server:
    """Takes uploads as the API does; `refusals` are given once each, by the end of the path."""

    def __init__(self, **refusals):
        self.refusals, self.lines, self.parts, self.begun, self.completed = refusals, [], {}, None, None
        self.keys = []
        self.now = self.most = 0

    async def __call__(self, request):
        path = request.url.path.removeprefix("/v1")
        self.lines.append(path)
        self.keys.append(request.headers.get("idempotency-key"))
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        body = await request.aread()
        self.now -= 1
        word = path.rpartition("/")[2]
        if self.refusals.get(word):
            return httpx.Response(
                self.refusals[word].pop(), json={"error": {"message": f"no {word}", "code": "x"}}
            )
        return httpx.Response(200, json=self.answer(word, request, body))

    def answer(self, word, request, body):
        match word:
            case "uploads":
                self.begun = json.loads(body)
                return {"id": "upload_1", "object": "upload", "status": "pending"}
            case "parts":
                head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
                (part,) = message_from_bytes(head + body).get_payload()
                name = f"part_{len(self.parts)}"
                self.parts[name] = part.get_payload(decode=True)
                return {"id": name}
            case "complete":
                self.completed = json.loads(body)
                return {"id": "upload_1", "status": "completed", "file": FILE}
            case "cancel":
                return {"id": "upload_1", "status": "cancelled"}
            case _:
                return FILE | {"whole": True}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "big.jsonl").write_bytes(bytes(number % 251 for number in range(1000)))
    (tmp_path / "small.jsonl").write_bytes(bytes(500))
    return tmp_path


def sent(server, *records, **options):
    async def main():
        async with connected(server, outgoing={"it": OUTGOING | options}) as connector:
            return [one async for one in connector.outgoing("it", records)]

    return run(main)


def test_a_large_file_goes_in_parts_and_becomes_one_file(folder):
    server = Server()
    (one,) = sent(server, {"name": "big.jsonl", "keep": {"anchor": "created_at", "seconds": 3600}})
    assert one.response == FILE
    assert server.begun == {
        "purpose": "batch",
        "filename": "big.jsonl",
        "bytes": 1000,
        "mime_type": "text/jsonl",
        "expires_after": {"anchor": "created_at", "seconds": 3600},
    }
    ordered = b"".join(server.parts[name] for name in server.completed["part_ids"])
    assert ordered == (folder / "big.jsonl").read_bytes()
    assert sorted(len(part) for part in server.parts.values()) == [100, 300, 300, 300]
    assert server.lines == ["/uploads", *["/uploads/upload_1/parts"] * 4, "/uploads/upload_1/complete"]
    assert (one.attempts, server.most) == (6, 2)
    assert len(set(server.keys)) == 6


def test_a_file_of_the_limit_goes_in_one_piece(folder):
    server = Server()
    (one,) = sent(server, {"name": "small.jsonl"})
    assert one.response["whole"]
    assert server.lines == ["/files"]


def test_a_part_that_fails_once_is_sent_again(folder):
    server = Server(parts=[503])
    (one,) = sent(server, {"name": "big.jsonl"})
    assert (one.status, one.attempts) == ("ok", 7)
    assert (
        b"".join(server.parts[name] for name in server.completed["part_ids"])
        == (folder / "big.jsonl").read_bytes()
    )


@pytest.mark.parametrize("word", ["parts", "complete"])
def test_an_upload_that_fails_is_cancelled(folder, word):
    server = Server(**{word: [400]})
    (one,) = sent(server, {"name": "big.jsonl"})
    assert (one.status, one.error.kind, one.error.code) == ("error", "api", "x")
    assert server.lines[-1] == "/uploads/upload_1/cancel"
    given_up = server.lines.index("/uploads/upload_1/cancel") - one.attempts
    assert given_up in (
        {0, 1} if word == "parts" else {0}
    )  # the part beside it, whose answer nobody waits for


def test_an_upload_that_is_not_begun_is_an_error_and_nothing_is_cancelled(folder):
    server = Server(uploads=[400])
    (one,) = sent(server, {"name": "big.jsonl"})
    assert (one.error.code, server.lines) == ("x", ["/uploads"])


def test_completing_in_doubt_is_not_repeated(folder):
    server = Server(complete=[502])
    (one,) = sent(server, {"name": "big.jsonl"})
    assert (one.status, one.in_doubt) == ("error", True)
    assert server.lines.count("/uploads/upload_1/complete") == 1


def test_a_file_that_changes_between_its_parts_is_an_error(folder):
    class Changing(Server):
        def answer(self, word, request, body):
            (folder / "big.jsonl").write_bytes(bytes(1001))
            return super().answer(word, request, body)

    server = Changing()
    (one,) = sent(server, {"name": "big.jsonl"})
    assert one.error.kind == "request"
    assert "changed while it was being sent" in one.error.message
    assert server.completed is None


def test_a_file_beyond_what_an_upload_takes_is_an_error_before_anything_is_sent(folder, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST", 999)
    server = Server()
    (one,) = sent(server, {"name": "big.jsonl"})
    assert "takes at most 999" in one.error.message
    assert server.lines == []


def test_a_cause_for_all_records_stops_the_run_and_cancels_the_upload(folder):
    server, seen = Server(parts=[401] * 9), []

    async def main():
        async with connected(server, outgoing={"it": OUTGOING}) as connector:
            await extend(seen, connector.outgoing("it", [{"name": "big.jsonl"}] * 2))

    with pytest.raises(CredentialsError, match="answered 401"):
        run(main)
    assert seen == []
    assert "/uploads/upload_1/complete" not in server.lines
    assert "/uploads/upload_1/cancel" in server.lines


def test_the_option_is_for_files_alone():
    outgoing = OUTGOING | {"entity": "audio.transcriptions"}
    connector = AsyncConnector(config_from_dict(configuration(outgoing={"it": outgoing})))
    (problem,) = problems(connector.config, connector.catalogue)
    assert "'upload' is for the entity 'files'" in problem.message
