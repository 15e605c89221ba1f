"""Results that are posted to a webhook: each at least once, in order, and a webhook that is down stops the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import virtual
from command import connectory
from connected import configuration
from seed_hook import Hook

from connectory.config import WebhookConfig, config_from_dict
from connectory.connector import AsyncConnector
from connectory.errors import ConfigError, UnavailableError
from connectory.events import RequestRetried

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://hooks.test/T0/secret/?key=hidden"


class Taking:
    """A webhook of one status after another, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.requests = list(statuses), list[httpx.Request]()
        self.events: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.statuses.pop(0) if self.statuses else 204)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]

    def sink(self, **settings: Any) -> Any:
        made = AsyncConnector.from_dict(
            configuration(), transport=httpx.MockTransport(self), listen=self.events.append
        )
        return made.sink(WebhookConfig.model_validate({"webhook": URL, **settings}))


def write(sink: Any, *groups: list[Any]) -> None:
    async def main() -> None:
        for group in groups:
            await sink.write(group)
            await sink.flush()
        await sink.close()

    virtual.run(main())


def test_each_line_is_posted_in_order_with_the_headers():
    hook = Taking()
    write(hook.sink(headers={"X-Key": "k"}), [{"a": 1}, [2]], [{"a": 3}])
    assert hook.bodies == [{"a": 1}, [2], {"a": 3}]
    assert {str(one.url) for one in hook.requests} == {URL}
    assert all(one.headers["x-key"] == "k" and "authorization" not in one.headers for one in hook.requests)


def test_lines_are_posted_as_lists_of_a_bounded_length():
    hook = Taking()
    write(hook.sink(batch=2), [1, 2, 3], [4])
    assert hook.bodies == [[1, 2], [3], [4]]


def test_a_post_that_fails_is_repeated():
    hook = Taking(503, 500)
    write(hook.sink(), [1, 2])
    assert hook.bodies == [1, 1, 1, 2]
    assert [event.what for event in hook.events if isinstance(event, RequestRetried)] == [
        "webhook at 'hooks.test'"
    ] * 2


@pytest.mark.parametrize(("statuses", "posts"), [([500] * 9, 4), ([404], 1)])
def test_a_webhook_that_does_not_take_a_line_stops_the_run(statuses: list[int], posts: int):
    hook = Taking(*statuses)
    with pytest.raises(UnavailableError) as caught:
        write(hook.sink(), [1, 2])
    assert (
        str(caught.value)
        == f"the webhook at 'hooks.test' does not take the results: it answered {statuses[0]}"
    )
    assert len(hook.bodies) == posts
    told = [str(caught.value), *map(repr, hook.events)]
    assert not any("secret" in text or "hidden" in text for text in told)


def test_a_webhook_that_cannot_be_reached_stops_the_run():
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    made = AsyncConnector.from_dict(configuration(), transport=httpx.MockTransport(refuse))
    sink = made.sink(WebhookConfig.model_validate({"webhook": URL}))
    with pytest.raises(UnavailableError, match="does not take the results: refused"):
        write(sink, [1])


@pytest.mark.parametrize(
    "url", ["hooks.test/x", "ftp://hooks.test", "https://u:p@hooks.test", "https://h.test/#x", ""]
)
def test_a_wrong_url_is_a_configuration_error(url: str):
    with pytest.raises(ConfigError, match="webhook"):
        config_from_dict(configuration(outgoing={"o": {"entity": "moderations", "output": {"webhook": url}}}))


@pytest.mark.parametrize("kind", ["incoming", "route"])
def test_incomings_and_routes_post_too(kind: str, tmp_path: Path):
    with Hook(500) as hook:
        config = {
            "version": 1,
            "clients": {"openai": {"token": "made-up"}},
            "incoming": {"models": {"entity": "models", "output": {"webhook": hook.url, "batch": 100}}},
            "outgoing": {
                "moderate": {
                    "entity": "moderations",
                    "payload": {"input": "&{id}"},
                    "output": {"webhook": hook.url},
                }
            },
            "routes": {"both": ["models", "moderate"]},
        }
        (tmp_path / "connectory.yaml").write_text(json.dumps(config), encoding="utf-8")
        words = ["incoming", "models"] if kind == "incoming" else ["route", "both"]
        done = connectory("run", *words, "--limit", "3", "--sandbox", folder=tmp_path)
        assert done.code == 0, done.said
        assert done.out == ""
        assert "webhook at '127.0.0.1" in done.said
        assert len(hook.taken[0] if kind == "incoming" else hook.taken) == 3


def test_a_file_on_the_command_line_replaces_the_webhook(tmp_path: Path):
    output = {"webhook": "http://127.0.0.1:9/nothing-listens-here"}
    config = {
        "version": 1,
        "clients": {"openai": {"token": "made-up"}},
        "incoming": {"models": {"entity": "models", "output": output}},
    }
    (tmp_path / "connectory.yaml").write_text(json.dumps(config), encoding="utf-8")
    done = connectory(
        "run", "incoming", "models", "--limit", "1", "--output", "-", "--sandbox", folder=tmp_path
    )
    assert done.code == 0, done.said
    assert len(done.lines) == 1


def test_a_replay_posts_what_it_mends(tmp_path: Path):
    with Hook() as hook:
        moderate = {
            "entity": "moderations",
            "payload": {"input": "&{text}"},
            "accept": "response.results[0].flagged",
            "result": {"id": "&{input.id}"},
            "output": {"webhook": hook.url},
        }
        config = {
            "version": 1,
            "clients": {"openai": {"token": "made-up"}},
            "outgoing": {"moderate": moderate},
        }
        (tmp_path / "posts.jsonl").write_text('{"id": 1, "text": "a"}\n', encoding="utf-8")
        (tmp_path / "connectory.yaml").write_text(json.dumps(config), encoding="utf-8")
        first = connectory(
            "run", "outgoing", "moderate", "--input", "posts.jsonl", "--sandbox", folder=tmp_path
        )
        assert (first.code, hook.taken[0]["status"]) == (1, "error")
        del moderate["accept"]
        (tmp_path / "connectory.yaml").write_text(json.dumps(config), encoding="utf-8")
        (run,) = connectory("runs", "list", "--json", folder=tmp_path).lines
        again = connectory("replay", run["run"], "--results", "--sandbox", folder=tmp_path)
        assert again.code == 0, again.said
        assert again.out == ""
        assert hook.taken[1:] == [{"id": 1}]
