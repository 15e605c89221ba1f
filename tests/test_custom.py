"""Transformers of one's own: functions that wait, classes with a state, the context, the folder beside the file."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import jsonschema
import pytest
from command import connectory
from connected import POSTS, Kept, Listed, connected, router, run

from connectory import Context
from connectory.chain import build_chain, single_chain
from connectory.errors import ConfigError, SetupError, TransformerError
from connectory.plugins import describe, list_transformers, load_transformer, read_signature

Record = dict[str, Any]
MODULE = "custom_plugins"


@pytest.fixture
def code(monkeypatch):
    """Make things importable; gives the step that uses one."""
    module = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)

    def register(thing, options=None):
        setattr(module, thing.__name__, thing)
        thing.__module__ = __name__
        return {"use": f"{MODULE}:{thing.__name__}", **({"options": options} if options else {})}

    return register


def step(written: dict[str, Any]) -> Any:
    return SimpleNamespace(
        name=written.get("name"),
        use=written.get("use"),
        options=written.get("options"),
        path=(),
        options_path=(),
    )


def chain(*written: dict[str, Any], **settings: Any) -> Any:
    return build_chain([step(one) for one in written], **settings)


def publish(records: list[Record], *steps: Any, network: Any = None):
    """Send records through steps; give what was sent, the dead letters and what was raised."""
    sent = list[Any]()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={})

    async def main():
        outgoing = {"out": {**POSTS, "transformers": list(steps), "payload": "&{@}"}}
        async with connected(network or answer, outgoing=outgoing) as made:
            dead = Kept()
            try:
                await made.publisher("out").run(Listed(records), Kept(), dead)
            except SetupError as error:
                return sent, dead.lines, error
            return sent, dead.lines, None

    return run(main)


# -- functions that wait


async def slow(record: Record, *, by: int = 1) -> Record:
    await asyncio.sleep(0)
    return {"n": record["n"] + by}


async def slow_or_none(record: Record) -> Record | None:
    await asyncio.sleep(0)
    return None if record["n"] == 1 else record


async def slow_many(record: Record):
    for number in range(record["n"]):
        await asyncio.sleep(0)
        yield {"n": number}


async def slow_breaks(record: Record):
    yield {"n": 0}
    raise ValueError("no more")


async def slow_exits(record: Record) -> Record:
    raise SystemExit(3)


async def slow_list(record: Record) -> list[Record]:
    return [record, {"n": 7}]


@pytest.mark.parametrize(
    ("function", "options", "given", "made"),
    [
        (slow, {"by": 3}, {"n": 1}, [{"n": 4}]),
        (slow_or_none, None, {"n": 1}, []),
        (slow_or_none, None, {"n": 2}, [{"n": 2}]),
        (slow_many, None, {"n": 3}, [{"n": 0}, {"n": 1}, {"n": 2}]),
        (slow_list, None, {"n": 1}, [{"n": 1}, {"n": 7}]),
    ],
)
def test_an_asynchronous_function_is_a_transformer(code, function, options, given, made):
    built = chain(code(function, options))
    assert built.waits
    assert list(built.apply(given, {})) == made


@pytest.mark.parametrize(
    ("function", "words"),
    [(slow_breaks, "ValueError: no more"), (slow_exits, "SystemExit: 3"), (slow, "KeyError: 'n'")],
)
def test_what_an_asynchronous_function_raises_is_an_error_of_the_record(code, function, words):
    with pytest.raises(TransformerError) as caught:
        list(chain(code(function)).apply({}, {}))
    assert str(caught.value) == f"transformer {function.__name__!r}: {words}"


def test_asynchronous_transformers_run_in_every_place_of_a_connection(code):
    api = router()
    api.get("/files").respond(200, json={"object": "list", "data": [{"id": "f", "n": 1}], "has_more": False})

    async def tagged(record: Record, *, tag: str) -> Record:
        await asyncio.sleep(0)
        return {**record, tag: True}

    async def widened(record: Record) -> Record:
        await asyncio.sleep(0)
        return {**record, "query": {"purpose": "batch"}}

    incoming = {
        "files": {
            "entity": "files",
            "input_transformers": [code(widened)],
            "transformers": [code(tagged, {"tag": "read"})],
        }
    }
    outgoing = {"out": {**POSTS, "payload": {}, "response_transformers": [code(tagged, {"tag": "shaped"})]}}
    api.post("/things").respond(200, json={"ok": 1})

    async def main():
        async with connected(api, incoming=incoming, outgoing=outgoing) as made:
            read = [one async for one in made.incoming("files")]
            return read, [one.output async for one in made.outgoing("out", [{"id": "a"}])]

    read, [[shaped]] = run(main)
    assert read == [{"id": "f", "n": 1, "read": True}]
    assert api.calls[0].request.url.params["purpose"] == "batch"
    assert (shaped["shaped"], shaped["response"]) == (True, {"ok": 1})


def test_while_a_transformer_waits_what_was_sent_goes_on(code):
    """The first answer comes only when the second record waits, and the second only goes on after that answer."""
    waiting, answered = threading.Event(), threading.Event()

    async def gated(record: Record) -> Record:
        if record["n"] == 1:
            waiting.set()
            await asyncio.get_running_loop().run_in_executor(None, answered.wait, 30)
        return record

    async def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["n"] == 0:
            assert await asyncio.to_thread(waiting.wait, 30)
            answered.set()
        return httpx.Response(200, json={})

    _, dead, error = publish([{"n": 0}, {"n": 1}], code(gated), network=answer)
    assert (dead, error, answered.is_set()) == ([], None, True)


def test_leaving_a_chain_early_closes_what_it_pulls_from(code):
    closed = []

    async def endless(record: Record):
        try:
            while True:
                yield record
        finally:
            closed.append(True)

    records = chain(code(endless)).apply({"n": 1}, {})
    assert next(records) == {"n": 1}
    records.close()
    assert closed == [True]


# -- classes


class Counting:
    """Number the records of a run."""

    events: list[str]

    def __init__(self, *, start: int = 0) -> None:
        self.events = EVENTS
        self.number = start

    def open(self) -> None:
        self.events.append("open")

    def close(self) -> None:
        self.events.append("close")

    def __call__(self, record: Record) -> Record:
        self.number += 1
        if record.get("bad"):
            raise ValueError("bad")
        return {**record, "number": self.number}


class CountingLater(Counting):
    """Number the records of a run, with everything to be awaited."""

    async def open(self) -> None:
        await asyncio.sleep(0)
        super().open()

    async def close(self) -> None:
        await asyncio.sleep(0)
        super().close()

    async def __call__(self, record: Record) -> Record:
        await asyncio.sleep(0)
        return super().__call__(record)


EVENTS: list[str] = []


@pytest.fixture(autouse=True)
def _no_events():
    EVENTS.clear()


@pytest.mark.parametrize("made", [Counting, CountingLater])
def test_a_class_keeps_a_state_for_a_run_and_is_closed_at_its_end(code, made):
    sent, dead, error = publish([{"n": 1}, {"n": 2, "bad": True}, {"n": 3}], code(made, {"start": "10"}))
    assert sorted(one["number"] for one in sent) == [11, 13]
    assert [one["error"]["message"] for one in dead] == [f"transformer {made.__name__!r}: ValueError: bad"]
    assert (error, EVENTS) == (None, ["open", "close"])


@pytest.mark.parametrize("made", [Counting, CountingLater])
def test_a_class_is_closed_when_the_run_fails(code, made):
    async def main():
        outgoing = {"out": {**POSTS, "transformers": [code(made)], "payload": "&{@}"}}
        async with connected(lambda _: httpx.Response(401, json={}), outgoing=outgoing) as connector:
            with pytest.raises(Exception, match="401"):
                await connector.publisher("out").run(Listed([{"n": 1}]), Kept(), Kept())

    run(main)
    assert EVENTS == ["open", "close"]


def test_a_class_is_closed_when_the_caller_leaves_early(code):
    api = router()
    data = [{"id": str(number)} for number in range(3)]
    api.get("/files").respond(200, json={"object": "list", "data": data, "has_more": False})

    async def main():
        incoming = {"files": {"entity": "files", "transformers": [code(CountingLater)]}}
        async with connected(api, incoming=incoming) as made:
            items = made.incoming("files")
            first = await anext(items)
            opened = EVENTS[:]
            await items.aclose()
            return first, opened

    assert run(main) == ({"id": "0", "number": 1}, ["open"])
    assert EVENTS == ["open", "close"]


def test_a_class_that_is_never_used_is_never_opened(code):
    sent, _, error = publish([], code(Counting))
    assert (sent, error, EVENTS) == ([], None, [])


def test_each_step_has_an_object_of_its_own(code):
    built = chain(code(Counting), code(Counting, {"start": 5}))
    assert [one["number"] for record in ({}, {}) for one in built.apply(record, {})] == [6, 7]
    asyncio.run(built.close())
    asyncio.run(built.close())
    assert EVENTS == ["open", "open", "close", "close"]


def test_steps_that_stand_in_a_step_are_waited_for_and_closed_with_it(code):
    def each(record: Record, *, steps: Any) -> list[Record]:
        return list(steps.apply(record, {}))

    built = single_chain(read_signature("each", each, origin=""), {"steps": chain(code(CountingLater))})
    assert built.waits
    assert list(built.apply({}, {})) == [{"number": 1}]
    asyncio.run(built.close())
    assert EVENTS == ["open", "close"]


@pytest.mark.parametrize("deep", [False, True])
def test_steps_written_in_an_option_are_waited_for_and_closed_with_it(code, deep):
    inner: dict[str, Any] = {"when": {"condition": "`true`", "do": [code(CountingLater)]}}
    written = {"condition": "`true`", "do": [inner] if deep else inner["when"]["do"]}
    built = chain({"name": "when", "options": written})
    assert built.waits
    assert list(built.apply({}, {})) == [{"number": 1}]
    asyncio.run(built.close())
    assert EVENTS == ["open", "close"]


def test_what_cannot_be_opened_stops_the_run_and_nothing_is_sent(code):
    class Unopened(Counting):
        def open(self) -> None:
            raise OSError("no such table")

    sent, dead, error = publish([{"n": 1}, {"n": 2}], code(Unopened))
    assert (sent, dead) == ([], [])
    assert str(error) == "transformer 'Unopened' cannot be opened: OSError: no such table"
    assert EVENTS == []


def test_what_cannot_be_closed_is_told_and_spoils_nothing(code, caplog):
    class Unclosed(Counting):
        async def close(self) -> None:
            raise OSError("still busy")

    sent, _, error = publish([{"n": 1}], code(Unclosed))
    assert (len(sent), error) == (1, None)
    assert "transformer 'Unclosed' could not be closed: OSError: still busy" in caplog.text


def test_the_options_of_a_class_are_checked_when_the_chain_is_built(code):
    @dataclass(kw_only=True)
    class Prefix:
        """Put a text before a field."""

        field: str
        by: str = "> "

        def __call__(self, record: Record, context: Context) -> Record:
            return {**record, self.field: self.by + record[self.field] + context.client}

    assert list(chain(code(Prefix, {"field": "a"})).apply({"a": "x"}, {"run": {"client": "api"}})) == [
        {"a": "> xapi"}
    ]
    with pytest.raises(ConfigError) as caught:
        chain(code(Prefix, {"felid": "a", "by": 3}))
    messages = [problem.message for problem in caught.value.problems]
    assert messages[0] == "transformer 'Prefix' has no option 'felid'; did you mean 'field'?"
    assert "option 'by': input should be a valid string, not a number" in messages[1]


def test_a_class_that_cannot_be_made_is_a_problem_of_the_configuration(code):
    class Picky:
        def __init__(self, *, size: int) -> None:
            if size < 1:
                raise ValueError("size must be 1 or more")

        def __call__(self, record: Record) -> Record:
            return record

    with pytest.raises(
        ConfigError, match="transformer 'Picky' cannot be made: ValueError: size must be 1 or more"
    ):
        chain(code(Picky, {"size": 0}))


# -- the context


def test_the_context_says_which_run_and_client_and_takes_what_is_to_be_told(code, caplog):
    def telling(record: Record, *, context: Context) -> Record:
        context.logger.warning("seen %s", "sk-made-up-secret-1234")
        return {**record, "client": context.client, "run": context.run["id"], "input": context.scope["input"]}

    with caplog.at_level(logging.WARNING, "connectory.transformers"):
        sent, _, _ = publish([{"n": 1}], code(telling))
    assert (sent[0]["client"], sent[0]["input"]) == ("api", {"n": 1})
    assert sent[0]["run"]
    assert "seen" in caplog.text
    assert Context().run == {}
    assert Context().client == ""


# -- the folder beside the configuration

MASK = '''"""Masks."""

def {name}(record: dict, *, field: str = "email", keep: int = 2) -> dict:
    """Hide most of a field."""
    return {{**record, field: record[field][:keep] + "***"}}
'''


def put(folder, **texts):
    (folder / "transformers").mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / "transformers" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_a_file_of_the_folder_is_a_transformer_of_its_name(tmp_path):
    folder = put(
        tmp_path,
        mask=MASK.format(name="mask"),
        email="class email:\n    'Count.'\n    def __call__(self, record: dict) -> dict:\n        return {'n': 1}\n",
    )
    built = chain({"name": "mask", "options": {"keep": 1}}, folder=folder)
    assert list(built.apply({"email": "anna@example.org"}, {})) == [{"email": "a***"}]
    assert list(chain({"name": "email"}, folder=folder).apply({}, {})) == [{"n": 1}]
    found = load_transformer("mask", folder=folder)
    assert (found.origin, found.doc) == ("the configuration's folder", "Hide most of a field.")


def test_only_files_that_define_their_own_name_count_and_none_is_run_for_a_list_of_names(tmp_path):
    folder = put(
        tmp_path,
        mask=MASK.format(name="mask"),
        shared="raise SystemExit('must not run')\n",
        _private="def _private(record): ...\n",
    )
    names = {one.name for one in list_transformers(folder)}
    assert "mask" in names
    assert not {"shared", "_private"} & names
    (folder / "transformers" / "__init__.py").write_text("")
    assert "mask" not in {one.name for one in list_transformers(folder)}


def test_a_file_may_import_what_lies_beside_the_configuration(tmp_path):
    (tmp_path / "custom_shared_words.py").write_text("STAR = '*'\n")
    text = "from custom_shared_words import STAR\ndef star(record: dict) -> dict:\n    return {'s': STAR}\n"
    assert list(chain({"name": "star"}, folder=put(tmp_path, star=text)).apply({}, {})) == [{"s": "*"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def mask(:\n", "transformer 'mask' cannot be imported: SyntaxError"),
        ("import no_such_thing\ndef mask(record): ...\n", "ModuleNotFoundError: No module named"),
        ("def mask() -> dict: ...\n", "transformer 'mask' must take the record as its first argument"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_place(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        chain({"name": "mask"}, folder=put(tmp_path, mask=text))
    assert words in str(caught.value)
    assert words in describe("mask", tmp_path).problem


def test_a_name_that_is_taken_already_is_told_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError) as caught:
        chain({"name": "keep"}, folder=put(tmp_path, keep=MASK.format(name="keep")))
    assert str(caught.value) == (
        "the transformer name 'keep' is taken twice, by connectory_transformers.keep:keep (built in) and "
        "transformers/keep.py (the configuration's folder); rename transformers/keep.py and what it defines"
    )
    with pytest.raises(ConfigError, match="'mask' is a chain here and a transformer too"):
        chain({"name": "mask"}, folder=put(tmp_path, mask=MASK.format(name="mask")), named={"mask": []})


def test_a_link_out_of_the_folder_is_refused_before_its_code_runs(tmp_path):
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("raise SystemExit('must not run')\ndef mask(record): ...\n")
    folder = put(tmp_path / "config" if (tmp_path / "config").mkdir() is None else tmp_path)
    (folder / "transformers" / "mask.py").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is a link out of the configuration's folder; copy it there"):
        chain({"name": "mask"}, folder=folder)


CONFIG = """\
version: 1
clients: {openai: {prototype: openai, token: "${OPENAI_API_KEY}"}}
incoming:
  models:
    entity: models
    transformers: [{mask: {field: id, keep: 4}}]
"""


def test_the_commands_know_the_folder_of_the_configuration(tmp_path):
    put(tmp_path, mask=MASK.format(name="mask"), keep=MASK.format(name="keep"))
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    assert connectory("lint", folder=tmp_path).code == 0
    (tmp_path / "transformers" / "keep.py").rename(tmp_path / "transformers" / "hold.py")
    listed = {one["name"]: one for one in connectory("transformers", "list", "--json", folder=tmp_path).lines}
    assert listed["mask"]["origin"] == "the configuration's folder"
    assert "field: str (default 'email')" in connectory("transformers", "show", "mask", folder=tmp_path).out
    read = connectory("run", "incoming", "models", "--sandbox", "--limit", "1", folder=tmp_path)
    assert (read.code, read.lines[0]["id"][4:]) == (0, "***")
    assert connectory("transformers", "show", "masc", folder=tmp_path).code == 3
    (tmp_path / "connectory.yaml").write_text(CONFIG.replace("keep: 4", "kep: 4"))
    wrong = connectory("lint", folder=tmp_path)
    assert (wrong.code, "has no option 'kep'; did you mean 'keep'?" in wrong.said) == (3, True)


def test_the_schema_for_editors_knows_every_transformer_and_its_options(tmp_path):
    put(tmp_path, mask=MASK.format(name="mask"))
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    schema = json.loads(connectory("schema", folder=tmp_path).out)

    def fits(*steps: Any) -> bool:
        config = {
            "version": 1,
            "clients": {"a": {"prototype": "openai"}},
            "incoming": {"files": {"entity": "files", "transformers": list(steps)}},
        }
        return jsonschema.Draft202012Validator(schema).is_valid(config)

    assert fits("mask", {"mask": {"keep": 3}}, {"mask": {"keep": "${KEEP}"}}, {"keep_if": "a == b"})
    assert fits("my_chain", {"my_chain": None}, {"use": "a:b"}, {"prototype": "mask", "parameters": {}})
    assert not fits({"mask": {"kep": 3}})
    assert not fits({"mask": {"keep": []}})
    assert not fits("keep_if")


def test_a_run_that_is_stopped_does_not_wait_for_a_transformer_that_hangs(code):
    hanging = threading.Event()

    class Hanging(Counting):
        async def __call__(self, record: Record) -> Record:
            hanging.set()
            await asyncio.sleep(100_000)
            return record

    async def main():
        outgoing = {"out": {**POSTS, "transformers": [code(Hanging)], "payload": "&{@}"}}
        async with connected(lambda _: httpx.Response(200, json={}), outgoing=outgoing) as made:
            publisher = made.publisher("out")
            running = asyncio.ensure_future(publisher.run(Listed([{"n": 1}]), Kept(), Kept()))
            assert await asyncio.to_thread(hanging.wait, 30)
            publisher.stop(SetupError("enough"))
            with pytest.raises(SetupError, match="enough"):
                await running

    run(main)
    assert EVENTS == ["open", "close"]
