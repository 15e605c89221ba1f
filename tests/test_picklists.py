"""Pick-lists: what a property can be, for people and for programs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from connected import CLIENT, connected, run, transport

from connectory.blocking import Connector
from connectory.catalogue import Catalogue
from connectory.catalogue.picklists import MODES, model_options, model_text, schema_options, suggested_modes
from connectory.errors import ConfigError, UnknownNameError

CATALOGUE = Catalogue.load()


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("gpt-4", "GPT-4"),
        ("gpt-4-32k", "GPT-4 32K"),
        ("gpt-3.5-turbo", "GPT-3.5 Turbo"),
        ("gpt-3.5-turbo-16k", "GPT-3.5 Turbo 16K"),
        ("gpt-4o-2024-08-06", "GPT-4o (2024-08-06)"),
        ("chatgpt-4o-latest", "ChatGPT-4o Latest"),
        ("o3-mini", "o3 Mini"),
        ("dall-e-3", "DALL-E-3"),
        ("tts-1-hd", "TTS-1 HD"),
        ("text-embedding-3-small", "Text Embedding 3 Small"),
        ("ft:gpt-4o-mini:acme::x1", "ft:gpt-4o-mini:acme::x1"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
    ],
)
def test_a_model_is_written_as_people_write_it(model: str, text: str):
    assert model_text(model) == text


@pytest.mark.parametrize(
    ("model", "modes"),
    [
        ("gpt-5-mini", {"chat"}),
        ("ft:gpt-4o-mini:acme::x1", {"chat"}),
        ("o4-mini", {"chat"}),
        ("gpt-3.5-turbo-instruct", {"completion"}),
        ("babbage-002", {"completion"}),
        ("gpt-4o-mini-tts", {"speech"}),
        ("gpt-4o-transcribe", {"transcription"}),
        ("gpt-4o-realtime-preview", {"realtime"}),
        ("gpt-image-1", {"image"}),
        ("text-embedding-ada-002", {"embedding"}),
        ("text-search-ada-doc-001", {"embedding"}),
        ("omni-moderation-latest", {"moderation"}),
        ("whisper-1", {"transcription"}),
        ("sora-2", {"video"}),
        ("llama-3", set()),
    ],
)
def test_a_name_suggests_what_a_model_is_for(model: str, modes: set[str]):
    assert suggested_modes(model) == modes


def test_with_a_mode_the_suggested_come_first_and_the_unknown_last():
    names = ["mystery", "gpt-5", "text-embedding-3-small", "gpt-4o", "gpt-5"]
    assert [one["value"] for one in model_options(names, "chat")] == ["gpt-5", "gpt-4o", "mystery"]
    assert [one["value"] for one in model_options(names)] == names[:4]


def test_a_wrong_mode_names_the_right_one():
    with pytest.raises(UnknownNameError, match="no mode 'caht'; did you mean 'chat'"):
        model_options([], "caht")
    assert all(model_options(["x"], mode) == [{"text": "X", "value": "x"}] for mode in MODES)


@pytest.mark.parametrize(
    ("place", "some"),
    [
        ("images.generations.size", {"text": "1024x1024", "value": "1024x1024"}),
        ("moderations.model", {"text": "Omni Moderation Latest", "value": "omni-moderation-latest"}),
        ("createModeration.model", {"text": "Omni Moderation Latest", "value": "omni-moderation-latest"}),
        ("files.order", {"text": "asc", "value": "asc"}),
        ("files.purpose", {"text": "fine-tune", "value": "fine-tune"}),
        ("chat.completions.store", {"text": "true", "value": True}),
        ("responses.include", {"text": "file_search_call.results", "value": "file_search_call.results"}),
        ("responses.reasoning.effort", {"text": "low", "value": "low"}),
    ],
)
def test_a_property_offers_what_its_schema_names(place: str, some: dict[str, Any]):
    assert some in schema_options(CATALOGUE, place)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("voice", "'voice' names no property.*'voice' is one of .*audio.speech"),
        ("images.generations.siez", "has no property 'siez'; did you mean 'size'"),
        ("embeddings.input", "the values of 'embeddings.input' are not a list"),
    ],
)
def test_what_has_no_list_is_told(place: str, says: str):
    with pytest.raises(ConfigError, match=says):
        schema_options(CATALOGUE, place)


def test_a_mode_goes_with_models_only():
    async def main(name: str) -> Any:
        async with connected(models) as connector:
            return await connector.options(name, mode="moderation")

    assert len(run(lambda: main("moderations.model"))) == 4
    with pytest.raises(ConfigError, match=r"a mode goes with models, not with 'files\.order'"):
        run(lambda: main("files.order"))


def models(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"object": "list", "data": [{"id": "whisper-1"}, {"id": "gpt-5"}]})


def test_both_connectors_ask_the_server_for_its_models():
    async def main() -> Any:
        async with connected(models) as connector:
            return await connector.options("model", mode="chat")

    wanted = [{"text": "GPT-5", "value": "gpt-5"}]
    assert run(main) == wanted
    config = {"version": 1, "clients": {"api": CLIENT}}
    with Connector.from_dict(config, transport=transport(models)) as connector:
        assert connector.options("model", mode="chat") == wanted
        assert connector.options("model")[0] == {"text": "Whisper 1", "value": "whisper-1"}
        assert {"text": "asc", "value": "asc"} in connector.options("files.order")
