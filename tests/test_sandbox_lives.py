"""What lives in the sandbox: each reading moves it one state on, and its end has the promised effect."""

from __future__ import annotations

import json

import openai
import pytest
from pinned_sdk import needs_pinned_sdk
from sandbox_caller import CATALOGUE, Caller, a_file, read_to_the_end

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


# -- videos, runs, responses, evals


@needs_pinned_sdk
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client, for an API that goes away
def test_the_official_client_follows_a_run_as_it_streams(client):
    assistant = client.beta.assistants.create(model="gpt-5")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "good morning"}])
    with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
        kinds = [one.event for one in stream]
        (message,) = stream.get_final_messages()
    assert message.content[0].text.value == "You said: good morning"
    assert kinds[:3] == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
    assert kinds[-2:] == ["thread.message.completed", "thread.run.completed"]
    assert len(list(client.beta.threads.messages.list(thread.id))) == 2


def test_what_has_left_the_memory_counts_no_more():
    with Caller(max_items=2) as call:
        store = call.app.routes[0].app.answerer.store
        names = [a_file(call, b"x" * 10, "assistants") for _ in range(5)]
        stored = store.get("/files", names[-1])
        store.remove("/files", names[-1])
        store.claim(stored, 1000)
        assert store.bytes == 10


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
