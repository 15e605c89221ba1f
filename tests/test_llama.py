"""The example for a server of one's own, against a real llama.cpp server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from llama_server import TOKEN, llama_server

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
QUESTIONS = [{"question": "What is a connector?"}, {"question": "And what is not?"}]


@pytest.fixture(autouse=True)
def _beside_the_example(tmp_path, monkeypatch):
    shutil.copy(EXAMPLES / "local-server" / "connectory.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def chat_origin(tmp_path_factory):
    with llama_server(tmp_path_factory.mktemp("chat")) as origin:
        yield origin


def connectory(*words: str, origin: str, token: str = TOKEN, records=()):
    done = subprocess.run(
        [sys.executable, "-m", "connectory", *words, "--client", "default"],
        input="".join(json.dumps(record) + "\n" for record in records),
        env={**os.environ, "LOCAL_BASE_URI": origin, "LOCAL_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_models_are_listed(chat_origin):
    code, models, _ = connectory("run", "incoming", "models", origin=chat_origin)

    assert code == 0
    assert [model["id"] for model in models] == ["tiny"]


def test_chat_is_published(chat_origin):
    code, answers, _ = connectory("run", "outgoing", "chat", origin=chat_origin, records=QUESTIONS)

    assert code == 0
    assert [answer["question"] for answer in answers] == [record["question"] for record in QUESTIONS]
    assert all(isinstance(answer["answer"], str) and answer["answer"] for answer in answers)


def test_a_wrong_key_stops_the_run(chat_origin):
    code, answers, said = connectory(
        "run", "outgoing", "chat", origin=chat_origin, token="sk-wrong", records=QUESTIONS
    )

    assert code == 4
    assert answers == []
    assert "401" in said
    assert "sk-wrong" not in said


def test_what_the_server_does_not_offer_is_that_records_error(chat_origin):
    code, results, _ = connectory("run", "outgoing", "embed", origin=chat_origin, records=QUESTIONS)

    assert code == 1
    assert [result["status"] for result in results] == ["error", "error"]
    assert results[0]["http_status"] == 501


def test_embeddings_are_published(tmp_path):
    with llama_server(tmp_path, embedding=True) as origin:
        code, answers, _ = connectory("run", "outgoing", "embed", origin=origin, records=QUESTIONS)

    assert code == 0
    assert [len(answer["vector"]) for answer in answers] == [64, 64]
    assert answers[0]["vector"] != answers[1]["vector"]
