"""Uploads and vector stores of the sandbox: parts become files, files are counted and searched."""

from __future__ import annotations

from hashlib import md5

import openai
import pytest
from pinned_sdk import needs_pinned_sdk
from sandbox_caller import CATALOGUE, Caller, a_file, violations

from connectory.sandbox import EmbeddedSandbox


@pytest.fixture
def call():
    with Caller() as caller:
        yield caller


@pytest.fixture(scope="module")
def client():
    with (
        EmbeddedSandbox() as sandbox,
        openai.OpenAI(api_key=sandbox.token, base_url=sandbox.base_uri, max_retries=0) as made,
    ):
        yield made


# -- uploads


def an_upload(call: Caller, size: int, *parts: bytes) -> tuple[str, list[str]]:
    body = {"filename": "big.txt", "purpose": "assistants", "bytes": size, "mime_type": "text/plain"}
    path = f"/uploads/{call.ok('POST', '/uploads', json=body)['id']}"
    names = [call.ok("POST", f"{path}/parts", files={"data": ("p", part)})["id"] for part in parts]
    return path, names


def test_the_parts_of_an_upload_become_a_file_in_the_given_order(call):
    path, (second, first) = an_upload(call, 11, b" world", b"hello")
    body = {"part_ids": [first, second], "md5": md5(b"hello world", usedforsecurity=False).hexdigest()}
    done = call.ok("POST", f"{path}/complete", json=body)
    assert done["status"] == "completed"
    assert done["file"].items() >= {"filename": "big.txt", "bytes": 11, "purpose": "assistants"}.items()
    assert call("GET", f"/files/{done['file']['id']}/content").content == b"hello world"
    assert call("POST", f"{path}/complete", json=body).status_code == 400
    assert violations(CATALOGUE["upload.complete"].actions["create"].response.schema, done) == []


@pytest.mark.parametrize(
    ("size", "change", "param"),
    [
        (4, {}, "part_ids"),
        (5, {"part_ids": ["part_none"]}, "part_ids"),
        (5, {"md5": "0"}, "md5"),
    ],
)
def test_an_upload_that_does_not_add_up_is_refused_and_stays_open(call, size, change, param):
    path, names = an_upload(call, size, b"hello")
    answer = call("POST", f"{path}/complete", json={"part_ids": names, **change})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert call.ok("POST", f"{path}/cancel")["status"] == "cancelled"


def test_a_cancelled_upload_takes_nothing_more(call):
    path, names = an_upload(call, 5, b"hello")
    call.ok("POST", f"{path}/cancel")
    assert call("POST", f"{path}/parts", files={"data": ("p", b"x")}).status_code == 400
    assert call("POST", f"{path}/complete", json={"part_ids": names}).status_code == 400
    assert call("POST", f"{path}/cancel").status_code == 400
    assert call("POST", "/uploads/upload_none/cancel").status_code == 404


def test_the_official_client_uploads_in_parts(client):
    content = bytes(range(256)) * 1000
    done = client.uploads.upload_file_chunked(
        file=content,
        filename="a.bin",
        bytes=len(content),
        mime_type="text/plain",
        purpose="assistants",
        part_size=100_000,
    )
    assert client.files.content(done.file.id).read() == content


# -- vector stores


@needs_pinned_sdk
def test_a_vector_store_counts_its_files_and_searches_them(client):
    texts = {
        "cats.txt": b"Cats sleep all day.\n\nCats hunt mice at night.",
        "dogs.txt": b"Dogs bark at night.",
        "sun.txt": b"The sun shines.",
    }
    files = [client.files.create(file=(name, text), purpose="assistants").id for name, text in texts.items()]
    store = client.vector_stores.create(name="animals", file_ids=files[:1])
    assert (store.status, store.file_counts.in_progress) == ("in_progress", 1)
    batch = client.vector_stores.file_batches.create_and_poll(
        store.id,
        files=[
            {"file_id": name, "attributes": {"kind": kind}}
            for name, kind in zip(files[1:], ("pet", "star"), strict=True)
        ],
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 2, 2)
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    assert {one.id for one in listed} == set(files[1:])
    store = client.vector_stores.retrieve(store.id)
    assert (store.status, store.file_counts.completed) == ("completed", 3)
    assert store.usage_bytes == sum(map(len, texts.values()))
    found = list(client.vector_stores.search(store.id, query="cats at night"))
    assert [(one.filename, one.score) for one in found] == [
        ("cats.txt", 1.0),
        ("dogs.txt", 0.6667),
        ("cats.txt", 0.3333),
    ]
    assert found[0].content[0].text == "Cats hunt mice at night."
    pets = client.vector_stores.search(
        store.id, query=["night"], filters={"type": "eq", "key": "kind", "value": "pet"}
    )
    assert [one.filename for one in pets] == ["dogs.txt"]
    best = client.vector_stores.search(
        store.id, query="cats at night", max_num_results=5, ranking_options={"score_threshold": 0.9}
    )
    assert len(list(best)) == 1
    (page,) = client.vector_stores.files.content(files[2], vector_store_id=store.id)
    assert page.text == "The sun shines."
    client.vector_stores.files.delete(files[0], vector_store_id=store.id)
    assert client.vector_stores.retrieve(store.id).file_counts.total == 2


def test_a_cancelled_file_batch_cancels_its_files(call):
    store = call.ok("POST", "/vector_stores", json={})["id"]
    names = [a_file(call, purpose="assistants") for _ in range(2)]
    path = f"/vector_stores/{store}/file_batches"
    batch = call.ok("POST", path, json={"file_ids": names})
    assert batch["file_counts"]["in_progress"] == 2
    cancelled = call.ok("POST", f"{path}/{batch['id']}/cancel")
    assert (cancelled["status"], cancelled["file_counts"]["cancelled"]) == ("cancelled", 2)
    assert call.ok("GET", f"/vector_stores/{store}/files/{names[0]}")["status"] == "cancelled"


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"type": "gte", "key": "year", "value": 2020}, True),
        ({"type": "lt", "key": "year", "value": 2020}, False),
        ({"type": "in", "key": "year", "value": [1, 2024]}, True),
        ({"type": "nin", "key": "year", "value": [1, 2024]}, False),
        ({"type": "gt", "key": "year", "value": "text"}, False),
        ({"type": "eq", "key": "none", "value": 1}, False),
        ({"type": "and", "filters": [{"type": "ne", "key": "year", "value": 1}]}, True),
        ({"type": "or", "filters": [{"type": "eq", "key": "year", "value": 1}]}, False),
    ],
)
def test_a_search_is_filtered_by_attributes(call, rule, fits):
    store = f"/vector_stores/{call.ok('POST', '/vector_stores', json={})['id']}"
    name = a_file(call, b"some words", "assistants")
    call.ok("POST", f"{store}/files", json={"file_id": name, "attributes": {"year": 2024}})
    assert call.ok("POST", f"{store}/search", json={"query": "words"})["data"] == []
    call.ok("GET", f"{store}/files/{name}")
    found = call.ok("POST", f"{store}/search", json={"query": "words", "filters": rule})
    assert bool(found["data"]) == fits


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/vector_stores", {"file_ids": ["file-none"]}, "file_ids"),
        ("/vector_stores/{}/files", {"file_id": "file-none"}, "file_id"),
        ("/vector_stores/{}/file_batches", {"files": [{"file_id": "file-none"}]}, "files"),
    ],
)
def test_a_file_that_is_not_there_is_not_attached(call, path, body, param):
    store = call.ok("POST", "/vector_stores", json={})["id"]
    answer = call("POST", path.format(store), json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, param)


def test_an_updated_vector_store_still_counts_its_files(call):
    name = a_file(call, b"some words", "assistants")
    path = f"/vector_stores/{call.ok('POST', '/vector_stores', json={'file_ids': [name]})['id']}"
    call.ok("GET", f"{path}/files/{name}")
    changed = call.ok("POST", path, json={"name": "new"})
    assert (changed["name"], changed["file_counts"]["completed"], changed["status"]) == (
        "new",
        1,
        "completed",
    )
