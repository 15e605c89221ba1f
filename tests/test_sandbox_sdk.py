"""The official SDK works against the sandbox without noticing the difference."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import openai
import pytest
from pinned_sdk import needs_pinned_sdk

from connectory.errors import ConfigError
from connectory.sandbox import EmbeddedSandbox, serve


@pytest.fixture(scope="module")
def sandbox():
    with EmbeddedSandbox() as running:
        yield running


@pytest.fixture
def client(sandbox):
    with openai.OpenAI(api_key=sandbox.token, base_url=sandbox.base_uri, max_retries=0) as made:
        yield made


MESSAGES = [{"role": "user", "content": "good morning to you"}]


def test_models_are_listed_and_read(client):
    names = [model.id for model in client.models.list()]
    assert "gpt-5" in names
    assert client.models.retrieve("gpt-5").object == "model"


def test_files_go_round(client):
    made = [
        client.files.create(file=(f"{number}.jsonl", io.BytesIO(b"line %d\n" % number)), purpose="evals")
        for number in range(7)
    ]
    listed = list(client.files.list(purpose="evals", limit=3))
    assert [one.id for one in listed] == [one.id for one in reversed(made)]
    assert client.files.retrieve(made[0].id).filename == "0.jsonl"
    assert client.files.content(made[3].id).read() == b"line 3\n"
    assert client.files.delete(made[0].id).deleted
    with pytest.raises(openai.NotFoundError) as caught:
        client.files.retrieve(made[0].id)
    assert caught.value.request_id.startswith("req_")


def test_a_chat_answers_at_once_and_as_a_stream(client):
    whole = client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert whole.choices[0].message.content == "You said: good morning to you"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    with client.chat.completions.create(
        model="gpt-5", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert (
        "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
        == whole.choices[0].message.content
    )
    assert chunks[-1].usage is not None
    assert len(chunks) > 4


def test_a_response_answers_at_once_and_as_a_stream(client):
    whole = client.responses.create(model="gpt-5", input="good morning")
    assert whole.output_text == "You said: good morning"
    assert client.responses.retrieve(whole.id).output_text == whole.output_text
    client.responses.delete(whole.id)
    with client.responses.stream(model="gpt-5", input="good morning") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert final.output_text == whole.output_text


def test_embeddings_and_moderations_answer(client):
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=16).data
    assert [len(one.embedding) for one in vectors] == [16, 16]
    results = client.moderations.create(input=["hello", "murder"]).results
    assert [(one.flagged, one.categories.violence) for one in results] == [(False, False), (True, True)]


def test_speech_and_pictures_are_bytes(client):
    sound = client.audio.speech.create(model="tts-1", voice="alloy", input="hello", response_format="wav")
    assert sound.response.headers["content-type"] == "audio/wav"
    assert sound.read().startswith(b"RIFF")
    assert client.images.generate(prompt="a cat", model="gpt-image-1").data[0].b64_json.startswith("iVBOR")


def test_vector_stores_hold_files(client):
    store = client.vector_stores.create(name="notes")
    file = client.files.create(file=("a.txt", b"text"), purpose="assistants")
    held = client.vector_stores.files.create(vector_store_id=store.id, file_id=file.id)
    assert (held.id, held.vector_store_id, held.status) == (file.id, store.id, "in_progress")
    assert [one.id for one in client.vector_stores.files.list(store.id)] == [file.id]
    client.vector_stores.delete(store.id)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.list(store.id)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("400", openai.BadRequestError),
        ("403", openai.PermissionDeniedError),
        ("409", openai.ConflictError),
        ("429", openai.RateLimitError),
        ("503", openai.InternalServerError),
    ],
)
def test_ordered_errors_become_the_errors_of_the_sdk(client, fault, error):
    with pytest.raises(error):
        client.models.list(extra_headers={"x-sandbox-fault": fault})


def test_a_wrong_token_is_an_authentication_error(sandbox):
    with (
        openai.OpenAI(api_key="wrong", base_url=sandbox.base_uri, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_an_azure_client_is_at_home_too(sandbox):
    endpoint = sandbox.base_uri.removesuffix("/v1")
    with openai.AzureOpenAI(
        api_key=sandbox.token, azure_endpoint=endpoint, api_version="2024-10-21"
    ) as client:
        answer = client.chat.completions.create(model="my-deployment", messages=MESSAGES)
    assert answer.choices[0].message.content.startswith("You said")


def test_a_stopped_sandbox_leaves_no_thread_behind():
    before = set(threading.enumerate())
    with EmbeddedSandbox() as running:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", running.base_uri)
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(running.base_uri[17:-3])))


def test_a_port_that_is_taken_is_named(sandbox):
    port = int(sandbox.base_uri.removesuffix("/v1").rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*choose another port"):
        serve("127.0.0.1", port)


def test_serving_goes_on_until_it_is_interrupted():
    program = "from connectory.sandbox import serve\nserve('127.0.0.1', 0, token='t', started=lambda uri: print(uri, flush=True))"
    path = os.pathsep.join(one for one in sys.path if one)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        base_uri = process.stdout.readline().strip()
        with openai.OpenAI(api_key="t", base_url=base_uri, max_retries=2) as client:
            assert client.models.retrieve("gpt-5").id == "gpt-5"
        process.send_signal(signal.SIGINT)
        rest, complaint = process.communicate(timeout=30)
    assert rest == ""
    assert complaint.strip().endswith("KeyboardInterrupt")


def test_what_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(
        "connectory.sandbox.server.find_spec", lambda name: None if name == "uvicorn" else object()
    )
    with pytest.raises(
        ConfigError, match=r"uvicorn is not installed; run pip install 'connectory\[sandbox\]'"
    ):
        EmbeddedSandbox()


@needs_pinned_sdk
def test_what_only_the_sdk_knows_goes_round_too(client):
    made = [client.beta.agents.create(model="gpt-5", name=f"agent {number}") for number in range(3)]
    listed = list(client.beta.agents.list(limit=2))
    assert [one.id for one in listed] == [one.id for one in reversed(made)]
    assert client.beta.agents.retrieve(made[1].id).name == "agent 1"
    assert client.beta.agents.update(made[1].id, name="renamed").name == "renamed"
    client.beta.agents.delete(made[0].id)
    with pytest.raises(openai.NotFoundError):
        client.beta.agents.retrieve(made[0].id)


@needs_pinned_sdk
def test_a_list_of_token_pages_is_walked_to_its_end(client):
    environment = client.beta.agents.environments.create(environment={"type": "openai_hosted"})
    for number in range(3):
        client.beta.agents.environments.files.create(
            environment.id, type="inline", data="aGk=", path=f"/workspace/{number}"
        )
    paths = [one.path for one in client.beta.agents.environments.files.list(environment.id, limit=2)]
    assert sorted(paths) == ["/workspace/0", "/workspace/1", "/workspace/2"]
