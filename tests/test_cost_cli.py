"""The command line counts money: the table to fill, what runs cost, what they would cost, and where they stop."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from command import Done

from connectory.cli import main
from connectory.sandbox import EmbeddedSandbox

APART: Any = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
"""Keeps stderr to itself; from click 8.2 on that is the only way."""

CHAT: dict[str, Any] = {
    "entity": "chat.completions",
    "payload": {
        "model": "gpt-5-mini",
        "max_completion_tokens": 100,
        "messages": [{"role": "user", "content": "&{text}"}],
    },
}
CONNECTIONS: dict[str, Any] = {
    "ask": {**CHAT, "input": "in.jsonl", "output": "out.jsonl"},
    "embed": {
        "entity": "embeddings",
        "input": "in.jsonl",
        "output": "vectors.jsonl",
        "pack": {"size": 4},
        "payload": {"model": "text-embedding-3-small", "input": "&{text}"},
    },
    "any": {"entity": "responses", "payload": {"model": "&{model}", "input": "&{text}"}},
}
TABLE: dict[str, Any] = {
    "currency": "XTS",
    "batch": "0.5",
    "models": {"gpt-5-mini": {"input": 1, "output": "2.5"}},
}
COUNT = 10


@pytest.fixture(scope="module")
def sandbox() -> Iterator[EmbeddedSandbox]:
    with EmbeddedSandbox() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, sandbox: EmbeddedSandbox) -> Path:
    (tmp_path / "in.jsonl").write_text(
        "".join(json.dumps({"id": n, "text": f"what is {n}?"}) + "\n" for n in range(COUNT))
    )
    write(tmp_path, sandbox)
    return tmp_path


def connectory(*words: str, folder: Path) -> Done:
    """Run a command in this process: a process of its own would cost a second each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner(**APART).invoke(main, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def write(
    folder: Path, sandbox: EmbeddedSandbox, *, prices: Any = TABLE, routes: Any = None, **settings: Any
) -> None:
    limits = {"requests_per_minute": 1_000_000, "concurrency": 4}
    client = {"base_uri": sandbox.base_uri, "token": sandbox.token, "limits": limits}
    client |= {} if prices is None else {"prices": prices}
    outgoing = {name: {**one, **settings.get(name, {})} for name, one in CONNECTIONS.items()}
    config: dict[str, Any] = {"version": 1, "clients": {"api": client}, "outgoing": outgoing}
    if routes:
        config |= {"routes": routes, "incoming": {"models": {"entity": "models"}}}
    (folder / "connectory.yaml").write_text(json.dumps(config))


def run(folder: Path, name: str, *words: str) -> Done:
    return connectory("run", "outgoing", name, *words, folder=folder)


def shown(folder: Path, *, but: str = "") -> Any:
    """Show the only run, or the only other one."""
    runs = connectory("runs", "list", "--json", folder=folder).lines
    assert all("usage" not in one for one in runs)  # it would take reading every log
    (name,) = (one["run"] for one in runs if one["run"] != but)
    return connectory("runs", "show", name, "--json", folder=folder).lines[0]


def test_a_table_to_fill_holds_the_models_without_a_price_and_states_none(folder, sandbox):
    write(folder, sandbox, prices=None)
    done = connectory("prices", "template", folder=folder)
    assert done.code == 0
    assert "        gpt-5-mini:\n          input: #" in done.out
    assert "        text-embedding-3-small:\n          input: #" in done.out
    assert "outgoing 'any' takes its model from the record (&{model})" in done.said
    (folder / "empty.yaml").write_text(f"version: 1\n{done.out}")
    assert connectory("lint", "empty.yaml", folder=folder).code == 0
    filled = done.out.replace("input: #", "input: 3 #")
    (folder / "filled.yaml").write_text(f"version: 1\noutgoing: {json.dumps(CONNECTIONS)}\n{filled}")
    again = connectory("prices", "template", "--config", "filled.yaml", folder=folder)
    assert (again.code, again.out) == (0, "")
    assert "every model that the configuration names has its price" in again.said


def test_a_run_says_what_it_used_and_cost(folder):
    done = run(folder, "ask")
    used = shown(folder)
    total = used["usage"]["total"]
    cost = (total["input_tokens"] + Decimal("2.5") * total["output_tokens"]) / 1_000_000
    assert total["requests"] == total["answers"] == COUNT
    assert total["output_tokens"] > 0
    assert Decimal(used["cost"]["total"]) == cost
    assert (used["cost"]["currency"], used["cost"]["unpriced"]) == ("XTS", {})
    line = f"gpt-5-mini: {COUNT} requests, {total['input_tokens']} tokens in, {total['output_tokens']} out, "
    assert f"outgoing ask: {line}" in done.said
    assert line in connectory("runs", "show", used["run"], folder=folder).out


def test_a_model_without_a_price_is_said_once_and_is_not_0(folder):
    done = run(folder, "embed")
    assert done.said.count("not priced: text-embedding-3-small; `connectory prices template` writes") == 1
    cost = shown(folder)["cost"]
    assert (cost["models"], list(cost["unpriced"])) == ({}, ["text-embedding-3-small"])


def test_without_prices_a_run_is_quiet_and_its_tokens_are_still_there(folder, sandbox):
    write(folder, sandbox, prices=None)
    done = run(folder, "ask")
    assert "70 tokens" in done.said
    assert "cost" not in done.said
    used = shown(folder)
    assert used["usage"]["models"]["gpt-5-mini"]["requests"] == COUNT
    assert used["cost"] is None


def test_a_batch_costs_its_factor_of_the_prices(folder, sandbox):
    write(folder, sandbox, ask={"delivery": "batch"})
    assert run(folder, "ask").code == 0
    used = shown(folder)
    total = used["usage"]["total"]
    whole = (total["input_tokens"] + Decimal("2.5") * total["output_tokens"]) / 1_000_000
    assert Decimal(used["cost"]["total"]) == whole / 2
    assert total["requests"] == COUNT


def test_a_budget_of_a_batch_reserves_for_what_waits_and_the_same_command_takes_more(folder, sandbox):
    write(folder, sandbox, ask={"delivery": "batch", "budget": {"tokens": 460}})
    first = run(folder, "ask")
    assert (first.code, shown(folder)["done"]) == (5, 4)  # 4 x (100 + some) are reserved, 5 would be too many
    assert first.last == "connectory run outgoing ask"
    write(folder, sandbox, ask={"delivery": "batch", "budget": {"tokens": 10_000}})
    assert run(folder, "ask").code == 0
    assert shown(folder)["usage"]["total"]["requests"] == COUNT


@pytest.mark.parametrize("delivery", ["aggregate", "events"])
def test_a_stream_counts_by_its_last_event_or_is_said_to_say_nothing(folder, sandbox, delivery):
    asked = {"stream_options": {"include_usage": True}}
    write(folder, sandbox, ask={"stream": delivery, "payload": {**CHAT["payload"], **asked}})
    assert run(folder, "ask").code == 0
    first = shown(folder)
    assert first["usage"]["total"]["output_tokens"] > 0
    assert first["usage"]["total"]["unknown"] == 0
    write(folder, sandbox, ask={"stream": delivery})
    silent = run(folder, "ask")
    assert shown(folder, but=first["run"])["usage"]["total"]["unknown"] == COUNT
    assert f"gpt-5-mini: {COUNT} requests, cost not known" in silent.said
    assert f"{COUNT} answers do not say what they used; no sum has it" in silent.said


@pytest.mark.fault(
    "S13", "a run that its budget of money stopped says the command that goes on, and exits with 5"
)
def test_a_run_that_its_budget_stopped_goes_on_with_the_command_that_it_says(folder, sandbox):
    write(folder, sandbox, ask={"budget": {"cost": "0.0003"}})
    first = run(folder, "ask")
    assert first.code == 5
    assert "of 0.0003 XTS left, and the next request may need" in first.said
    assert shlex.split(first.last) == ["connectory", "run", "outgoing", "ask"]
    assert 0 < Decimal(shown(folder)["cost"]["total"]) <= Decimal("0.0003")
    write(folder, sandbox, ask={"budget": {"cost": 1}})
    second = connectory(*shlex.split(first.last)[1:], folder=folder)
    assert second.code == 0
    assert shown(folder)["usage"]["total"]["requests"] == COUNT
    assert len((folder / "out.jsonl").read_text().splitlines()) == COUNT


def test_a_budget_of_money_without_a_price_is_a_configuration_error(folder, sandbox):
    write(folder, sandbox, embed={"budget": {"cost": 1}})
    done = run(folder, "embed")
    assert (done.code, "needs a price of model 'text-embedding-3-small'" in done.said) == (3, True)


def test_a_preview_estimates_all_records_and_sends_nothing(folder, sandbox):
    done = connectory("preview", "outgoing", "ask", "-n", "1", "--all", folder=folder)
    shown_one, estimate = done.lines
    assert shown_one["record"]["id"] == 0
    found = estimate["estimate"]
    assert (found["records"], found["requests"], found["refused"]) == (COUNT, COUNT, 0)
    model = found["models"]["gpt-5-mini"]
    assert model["max_output_tokens"] == COUNT * 100
    low, high = map(Decimal, found["cost"])
    assert low == Decimal(model["input_tokens"]) / 1_000_000
    assert high == low + Decimal("2.5") * COUNT * 100 / 1_000_000
    assert "estimate of all records: 10 records in 10 requests" in done.said
    few = connectory("preview", "outgoing", "ask", "-n", "2", folder=folder)
    assert len(few.lines) == 2
    assert "estimate of these records (--all counts every one): 2 records in 2 requests" in few.said


def test_a_preview_counts_packs_records_that_cannot_be_sent_and_answers_without_a_bound(folder):
    packed = connectory("preview", "outgoing", "embed", "-n", "4", "--all", folder=folder)
    assert (packed.lines[-1]["estimate"]["requests"], packed.lines[-1]["estimate"]["cost"]) == (
        3,
        [None, None],
    )
    assert "text-embedding-3-small: about" in packed.said
    (folder / "models.jsonl").write_text(
        '{"id": 1, "text": "x", "model": "gpt-5-mini"}\n{"id": 2, "text": "y"}\n'
    )
    found = connectory("preview", "outgoing", "any", "--input", "models.jsonl", "--all", folder=folder)
    estimate = found.lines[-1]["estimate"]
    assert (estimate["records"], estimate["refused"]) == (1, 1)
    assert (estimate["models"]["gpt-5-mini"]["max_output_tokens"], estimate["cost"][1]) == (None, None)
    assert "1 requests set no bound for their answers" in found.said


def test_the_steps_of_a_route_are_counted_together_and_each_for_itself(folder, sandbox):
    write(
        folder,
        sandbox,
        routes={"asked-twice": ["models", "ask", "embed"]},
        ask={"payload": {**CHAT["payload"], "messages": [{"role": "user", "content": "&{id}"}]}},
        embed={"payload": {"model": "text-embedding-3-small", "input": "&{input.id}"}},
    )
    done = connectory("run", "route", "asked-twice", "--limit", "3", folder=folder)
    assert done.code == 0, done.said
    assert "outgoing ask: gpt-5-mini: 3 requests" in done.said
    assert "outgoing embed: not priced: text-embedding-3-small" in done.said
    (whole,) = (
        one for one in connectory("runs", "list", "--json", folder=folder).lines if one["kind"] == "route"
    )
    used = connectory("runs", "show", whole["run"], "--json", folder=folder).lines[0]
    assert sorted(used["usage"]["models"]) == ["gpt-5-mini", "text-embedding-3-small"]
    assert list(used["cost"]["models"]) == ["gpt-5-mini"]


def test_shaping_anew_what_was_paid_for_costs_nothing_more(folder, sandbox):
    write(folder, sandbox, ask={"result": {"x": "&{response.nothing}"}})
    assert run(folder, "ask").code == 1
    name = shown(folder)["run"]
    write(folder, sandbox, ask={"result": {"x": "&{response.id}"}})
    assert connectory("replay", name, "--results", folder=folder).code == 0
    again = shown(folder, but=name)
    assert again["usage"]["total"].get("requests", 0) == 0
    assert shown(folder, but=again["run"])["usage"]["total"]["requests"] == COUNT
