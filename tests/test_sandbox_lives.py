"""What lives in the sandbox: each reading moves it one state on, and its end has the promised effect."""

from __future__ import annotations

import json
from hashlib import md5

import openai
import pytest
from sandbox_caller import CATALOGUE, Caller, read_to_the_end, violations

from connectory.sandbox import EmbeddedSandbox
from connectory.sandbox.lives import ALSO, LIVES


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


def a_file(call: Caller, content: bytes = b'{"messages": []}\n', purpose: str = "fine-tune") -> str:
    parts = [("file", ("a.jsonl", content)), ("purpose", (None, purpose))]
    return str(call.ok("POST", "/files", files=parts)["id"])


def a_job(call: Caller, content: bytes = b'{"messages": []}\n', **other: object) -> str:
    body = {"model": "gpt-4o-mini", "training_file": a_file(call, content), **other}
    return f"/fine_tuning/jobs/{call.ok('POST', '/fine_tuning/jobs', json=body)['id']}"


def test_every_life_belongs_to_an_entity_of_the_catalogue():
    assert (LIVES.keys() | ALSO.keys()) - CATALOGUE.keys() == set()


# -- fine-tuning


def test_a_job_ends_with_a_model_checkpoints_and_a_file(call):
    path = a_job(call, suffix="mine")
    assert call.ok("GET", f"{path}/checkpoints")["data"] == []
    assert read_to_the_end(call, path) == ["queued", "running", "succeeded"]
    job = call.ok("GET", path)
    model = job["fine_tuned_model"]
    assert model.startswith("ft:gpt-4o-mini:sandbox:mine:")
    assert job["trained_tokens"] > 0
    assert job["finished_at"] is not None
    assert call.ok("GET", f"/models/{model}")["id"] == model
    assert model in [one["id"] for one in call.ok("GET", "/models")["data"]]
    checkpoints = call.ok("GET", f"{path}/checkpoints")["data"]
    assert [one["step_number"] for one in checkpoints] == [3, 2, 1]
    assert checkpoints[0]["fine_tuned_model_checkpoint"] == model
    assert call("GET", f"/files/{job['result_files'][0]}/content").text.startswith("step,train_loss\n")
    assert call.ok("DELETE", f"/models/{model}")["deleted"]


def test_the_events_of_a_job_grow_and_come_newest_first(call):
    path = a_job(call)
    counts, newest = [], []
    for _ in range(4):
        events = call.ok("GET", f"{path}/events")["data"]
        counts.append(len(events))
        newest.append(events[0]["message"])
        call.ok("GET", path)
    assert counts == [2, 3, 7, 9]
    assert newest[-1] == "job succeeded"
    first = call.ok("GET", f"{path}/events", params={"limit": 5})
    rest = call.ok("GET", f"{path}/events", params={"limit": 5, "after": first["data"][-1]["id"]})
    assert (len(first["data"]), first["has_more"]) == (5, True)
    assert (len(rest["data"]), rest["has_more"]) == (4, False)
    assert rest["data"][-1]["message"].startswith("created job")
    assert "metrics" in {one["type"] for one in first["data"]}


def test_a_job_on_a_file_that_is_not_there_is_refused(call):
    answer = call("POST", "/fine_tuning/jobs", json={"model": "gpt-4o-mini", "training_file": "file-none"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "training_file")
    assert "file-none" in error["message"]


@pytest.mark.parametrize("content", [b"", b"no json", b"[1]\n", b'{"a": 1}\nnope\n'])
def test_a_job_on_a_file_without_examples_fails(call, content):
    path = a_job(call, content)
    assert read_to_the_end(call, path) == ["failed"]
    assert call.ok("GET", path)["error"]["code"] == "invalid_training_file"
    assert call.ok("GET", f"{path}/events")["data"][0]["level"] == "error"


def test_a_paused_job_stays_until_it_is_resumed(call):
    path = a_job(call)
    call.ok("GET", path)
    call.ok("POST", f"{path}/pause")
    assert read_to_the_end(call, path) == ["queued"]
    call.ok("POST", f"{path}/resume")
    assert read_to_the_end(call, path) == ["running", "succeeded"]


def test_a_cancelled_job_makes_no_model(call):
    path = a_job(call)
    assert call.ok("POST", f"{path}/cancel")["status"] == "cancelled"
    job = call.ok("GET", path)
    assert (job["status"], job["fine_tuned_model"]) == ("cancelled", None)
    assert call("POST", f"{path}/cancel").status_code == 400
    assert call("POST", f"{path}/pause").status_code == 400


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


# -- videos, runs, responses, evals


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client, for an API that goes away
def test_a_video_is_made_and_downloaded_when_it_is_done(client):
    video = client.videos.create(prompt="a cat")
    assert (video.status, video.progress, video.seconds) == ("queued", 0, "4")
    with pytest.raises(openai.NotFoundError, match="status 'queued'"):
        client.videos.download_content(video.id)
    assert client.videos.retrieve(video.id).progress == 50
    done = client.videos.poll(video.id)
    assert (done.status, done.progress) == ("completed", 100)
    film = client.videos.download_content(video.id)
    assert film.response.headers["content-type"] == "video/mp4"
    assert film.read()[4:8] == b"ftyp"
    assert client.videos.download_content(video.id, variant="thumbnail").read().startswith(b"\x89PNG")
    again = client.videos.remix(video.id, prompt="a dog")
    assert (again.status, again.remixed_from_video_id) == ("queued", video.id)
    assert again.id in [one.id for one in client.videos.list()]


def test_a_run_adds_a_message_to_its_thread(call):
    assistant = call.ok("POST", "/assistants", json={"model": "gpt-5", "instructions": "be kind"})["id"]
    body = {
        "assistant_id": assistant,
        "thread": {"messages": [{"role": "user", "content": "good morning"}]},
    }
    run = call.ok("POST", "/threads/runs", json=body)
    assert (run["status"], run["model"], run["instructions"]) == ("queued", "gpt-5", "be kind")
    path = f"/threads/{run['thread_id']}/runs/{run['id']}"
    assert call.ok("GET", f"{path}/steps")["data"] == []
    assert read_to_the_end(call, path) == ["in_progress", "completed"]
    said = call.ok("GET", f"/threads/{run['thread_id']}/messages")["data"]
    assert [one["role"] for one in said] == ["assistant", "user"]
    assert said[0]["content"][0]["text"]["value"] == "You said: good morning"
    assert (said[0]["run_id"], said[0]["assistant_id"]) == (run["id"], assistant)
    (step,) = call.ok("GET", f"{path}/steps")["data"]
    assert step["step_details"]["message_creation"]["message_id"] == said[0]["id"]
    assert call.ok("GET", path)["usage"]["total_tokens"] > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client, for an API that goes away
def test_the_official_client_waits_for_a_run(client):
    assistant = client.beta.assistants.create(model="gpt-5")
    thread = client.beta.threads.create()
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id,
        assistant_id=assistant.id,
        additional_messages=[{"role": "user", "content": "hello"}],
    )
    assert run.status == "completed"
    newest = next(iter(client.beta.threads.messages.list(thread.id)))
    assert newest.content[0].text.value == "You said: hello"


def test_a_cancelled_run_says_nothing(call):
    assistant = call.ok("POST", "/assistants", json={"model": "gpt-5"})["id"]
    run = call.ok("POST", "/threads/runs", json={"assistant_id": assistant})
    path = f"/threads/{run['thread_id']}/runs/{run['id']}"
    assert call.ok("POST", f"{path}/cancel")["status"] == "cancelling"
    assert read_to_the_end(call, path) == ["cancelled"]
    assert call.ok("GET", f"/threads/{run['thread_id']}/messages")["data"] == []


def test_a_run_of_an_assistant_that_is_not_there_is_refused(call):
    answer = call("POST", "/threads/runs", json={"assistant_id": "asst_none"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "assistant_id")


def test_a_response_in_the_background_comes_by_being_read(client):
    made = client.responses.create(model="gpt-5", input="hello", background=True)
    assert (made.status, made.output, made.usage) == ("queued", [], None)
    states = [client.responses.retrieve(made.id) for _ in range(3)]
    assert [one.status for one in states] == ["in_progress", "completed", "completed"]
    assert states[-1].output_text == "You said: hello"
    assert states[-1].usage.total_tokens > 0
    other = client.responses.create(model="gpt-5", input="hello", background=True)
    assert client.responses.cancel(other.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(made.id)


def test_a_run_of_an_eval_counts_its_rows(call):
    config = {"type": "custom", "item_schema": {"type": "object"}}
    check = {"type": "string_check", "name": "s", "input": "a", "operation": "eq", "reference": "a"}
    made = call.ok("POST", "/evals", json={"data_source_config": config, "testing_criteria": [check]})["id"]
    rows = [{"item": {"a": number}} for number in range(4)]
    source = {"type": "jsonl", "source": {"type": "file_content", "content": rows}}
    run = call.ok("POST", f"/evals/{made}/runs", json={"data_source": source})
    assert run["result_counts"]["total"] == 0
    path = f"/evals/{made}/runs/{run['id']}"
    assert read_to_the_end(call, path) == ["in_progress", "completed"]
    assert call.ok("GET", path)["result_counts"]["passed"] == 4
    assert call("POST", path).status_code == 400


def test_what_is_under_way_says_when_to_ask_again(call):
    path = a_job(call)
    waits = ["openai-poll-after-ms" in call("GET", path).headers for _ in range(4)]
    assert waits == [True, True, False, False]


def test_a_list_moves_nothing(call):
    a_job(call)
    seen = {json.dumps(call.ok("GET", "/fine_tuning/jobs")["data"]) for _ in range(3)}
    assert len(seen) == 1
    assert "validating_files" in seen.pop()
