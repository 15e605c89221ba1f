"""The Singer tap: what it discovers, what it writes, and that its STATE is all that another machine needs."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
import pytest
from connected import CLIENT, connected
from jsonschema import Draft4Validator, Draft202012Validator
from singing import Out, of_kind, sync

from connectory.catalogue import Catalogue
from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.errors import ConfigError
from connectory.singer import streams
from connectory.singer.catalog import catalog_of


class Lists:
    """Answers lists in pages of two, newest first, and remembers what was asked."""

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        self.lists = {name.replace("_OF_", "/").replace("__", "/"): items for name, items in lists.items()}
        self.asked: list[str] = []
        self.broken: set[str] = set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/")
        self.asked.append(request.url.raw_path.decode().removeprefix("/v1/"))
        if path in self.broken:
            return httpx.Response(400, json={"error": {"message": "broken", "type": "made_up", "code": None}})
        items, after = self.lists[path], request.url.params.get("after")
        start = next((place + 1 for place, one in enumerate(items) if one["id"] == after), 0)
        page = items[start : start + 2]
        body = {"object": "list", "data": page, "has_more": start + 2 < len(items)}
        return httpx.Response(200, json=body | ({"last_id": page[-1]["id"]} if page else {}))

    def maker(self, **incoming: Any):
        return lambda: connected(self, incoming=incoming)


def files(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"file-{one}", "created_at": 1000 + one, "filename": f"{one}.txt", **more} for one in numbers
    ]


def discovered(**incoming: Any) -> dict[str, Any]:
    config = config_from_dict({"version": 1, "clients": {"api": CLIENT}, "incoming": incoming})
    made = AsyncConnector(config)
    found = streams(made.assembly, made.catalogue)
    return {one["stream"]: one for one in catalog_of(found)["streams"]}


def root(entry: dict[str, Any]) -> dict[str, Any]:
    return next(one["metadata"] for one in entry["metadata"] if one["breadcrumb"] == [])


# -- discovery


def test_a_stream_has_the_schema_of_its_items_and_the_key_of_its_entity():
    found = discovered(files={"entity": "files"}, off={"entity": "files", "disabled": True})
    assert list(found) == ["files"]
    properties = found["files"]["schema"]["properties"]
    assert properties["id"] == {"type": ["string"]}
    assert properties["bytes"] == {"type": ["null", "integer"]}
    assert found["files"]["key_properties"] == ["id"]
    assert root(found["files"])["forced-replication-method"] == "FULL_TABLE"


def test_an_identifier_is_the_key_and_incremental_the_replication_key():
    incremental = {
        "entity": "fine_tuning.jobs",
        "incremental": {"field": "created_at"},
        "identifier": ["object", "id"],
    }
    found = discovered(jobs=incremental, odd={"entity": "files", "identifier": "join('-', [id, filename])"})
    assert found["jobs"]["key_properties"] == ["object", "id"]
    assert found["jobs"]["replication_key"] == "created_at"
    assert found["odd"]["key_properties"] == []


@pytest.mark.parametrize(
    ("incoming", "keys", "properties"),
    [
        (
            {"transformers": [{"build": {"id": "&{id}", "big": "&{bytes}"}}]},
            ["id"],
            {"id": "string", "big": "integer"},
        ),
        ({"transformers": [{"build": {"name": "&{filename}"}}]}, [], {"name": "string"}),
        ({"transformers": [{"keep_if": "status == 'none such'"}]}, ["id"], None),
        ({"transformers": [{"split": {"field": "['a', 'b']", "into": "letter"}}]}, [], None),
    ],
    ids=["built", "without its key", "nothing comes through", "many of one"],
)
def test_what_transformers_make_is_found_out_with_made_up_items(incoming, keys, properties):
    found = discovered(made={"entity": "files", **incoming})["made"]
    assert found["key_properties"] == keys
    if properties is not None:
        kinds = {name: one["type"][-1] for name, one in found["schema"]["properties"].items()}
        assert kinds == properties


def test_what_remembers_every_item_is_no_stream():
    found = discovered(fresh={"entity": "files", "only": "new"})
    assert root(found["fresh"])["inclusion"] == "unsupported"
    lists = Lists(files=files(1))
    assert sync(lists.maker(fresh={"entity": "files", "only": "new"})).records == []
    with pytest.raises(ConfigError, match="use `incremental`"):
        sync(lists.maker(fresh={"entity": "files", "only": "new"}), names=["fresh"])


def test_every_entity_that_can_be_listed_has_a_schema_that_json_schema_accepts():
    catalogue = Catalogue.load()
    names = [
        name
        for name in catalogue
        if "read" in catalogue[name].actions and not catalogue[name].path_parameters
    ]
    found = discovered(**{name.replace(".", "-"): {"entity": name} for name in names})
    assert len(found) == len(names) > 30
    for entry in found.values():
        Draft4Validator.check_schema(entry["schema"])
        Draft202012Validator.check_schema(entry["schema"])
        assert all(one.get("type") for one in entry["schema"]["properties"].values())


# -- a sync


def test_records_come_between_their_schema_and_the_state_that_speaks_of_them():
    lists = Lists(files=files(3, 2, 1))
    done = sync(lists.maker(files={"entity": "files"}))
    kinds = [one["type"] for one in done.messages]
    assert kinds == [
        "SCHEMA",
        "RECORD",
        "RECORD",
        "STATE",
        "RECORD",
        "STATE",
        "STATE",
        "STATE",
    ]  # of a page each, of the stream, of the sync
    assert done.ids("files") == ["file-3", "file-2", "file-1"]
    assert done.states[-1] == {
        "bookmarks": {"files": {"progress": None}},
        "currently_syncing": None,
        "unfinished": None,
    }
    assert done.tap.counts == {"files": 3}


def test_a_field_that_no_document_names_widens_the_schema_before_its_record():
    lists = Lists(files=files(2, 1, purpose=None, extra={"a": 1}))
    lists.lists["files"][1]["filename"] = 7
    done = sync(lists.maker(files={"entity": "files"}))
    first, second = of_kind(done.messages, "SCHEMA")
    assert "extra" not in first["schema"]["properties"]
    extra = second["schema"]["properties"]["extra"]
    assert extra == {"type": ["null", "object"], "properties": {"a": {"type": ["null", "integer"]}}}
    assert second["schema"]["properties"]["filename"]["type"] == ["null", "integer", "string"]
    assert [one["type"] for one in done.messages[:3]] == ["SCHEMA", "SCHEMA", "RECORD"]


def test_only_what_is_selected_is_asked_for_and_written():
    made = {"files": {"entity": "files"}, "batches": {"entity": "batches"}}
    catalog = {"streams": list(discovered(**made).values())}
    by_name = {one["stream"]: one for one in catalog["streams"]}
    root(by_name["batches"])["selected"] = False
    root(by_name["files"])["selected"] = True
    for one in by_name["files"]["metadata"]:
        if one["breadcrumb"][-1:] in (["filename"], ["id"]):  # a key is always there
            one["metadata"]["selected"] = False
    lists = Lists(files=files(1, surprise=1), batches=[])
    done = sync(lists.maker(**made), catalog=catalog)
    assert done.records == [("files", {"id": "file-1", "created_at": 1001})]
    assert [one.partition("?")[0] for one in lists.asked] == ["files"]
    assert "filename" not in of_kind(done.messages, "SCHEMA")[0]["schema"]["properties"]
    del by_name["files"]["schema"]
    by_name["files"]["stream"] = by_name["files"]["tap_stream_id"] = "gone"
    with pytest.raises(ConfigError, match="no stream 'gone'"):
        sync(lists.maker(**made), catalog=catalog)


def test_a_nested_property_can_be_left_out():
    entry = discovered(jobs={"entity": "fine_tuning.jobs"})["jobs"]
    for one in entry["metadata"]:
        if one["breadcrumb"] == ["properties", "error", "properties", "code"]:
            one["metadata"]["selected"] = False
    lists = Lists(fine_tuning__jobs=[{"id": "job-1", "error": {"code": "x", "message": "m"}}])
    done = sync(lists.maker(jobs={"entity": "fine_tuning.jobs"}), catalog={"streams": [entry]})
    assert done.records == [("jobs", {"id": "job-1", "error": {"message": "m"}})]
    assert list(of_kind(done.messages, "SCHEMA")[0]["schema"]["properties"]["error"]["properties"]) == [
        "message",
        "param",
    ]


# -- the state


def test_a_second_run_gives_only_what_is_new():
    lists = Lists(files=files(2, 1))
    lists.lists["files"][0]["created_at"] = 1001  # both are of the newest second
    maker = lists.maker(files={"entity": "files", "incremental": {"field": "created_at"}})
    first = sync(maker)
    assert first.ids("files") == ["file-2", "file-1"]
    assert first.states[-1]["bookmarks"]["files"]["replication_key_value"] == 1001
    same = sync(maker, state=first.states[-1])
    assert same.records == []
    lists.lists["files"] = [*files(5, 4), {**files(3)[0], "created_at": 1001}, *lists.lists["files"]]
    later = sync(maker, state=same.states[-1])
    assert later.ids("files") == ["file-5", "file-4", "file-3"]
    assert sync(maker, state=json.loads(json.dumps(later.states[-1]))).records == []


def test_the_first_message_of_a_run_that_goes_on_is_the_state_it_was_given():
    lists = Lists(files=files(1))
    given = {"bookmarks": {"other": {"replication_key_value": 1}}, "version": 2}
    done = sync(lists.maker(files={"entity": "files"}), state=copy.deepcopy(given))
    assert done.messages[0] == {"type": "STATE", "value": given}
    assert done.states[-1]["bookmarks"]["other"] == {"replication_key_value": 1}
    assert done.states[-1]["version"] == 2


PARENTS = {
    "jobs": {"entity": "fine_tuning.jobs"},
    "files": {"entity": "files", "incremental": {"field": "created_at"}},
    "events": {
        "entity": "fine_tuning.job.events",
        "each": "fine_tuning.jobs",
        "incremental": {"field": "created_at"},
    },
}


def family() -> Lists:
    def events(job: int, *numbers: int) -> list[dict[str, Any]]:
        return [{"id": f"event-{job}-{one}", "created_at": one} for one in numbers]

    jobs = [{"id": f"job-{one}"} for one in (3, 2, 1)]
    lists = Lists(fine_tuning__jobs=jobs, files=files(5, 4, 3, 2, 1))
    for number, most in ((1, 5), (2, 0), (3, 3)):
        lists.lists[f"fine_tuning/jobs/job-{number}/events"] = events(number, *range(most, 0, -1))
    return lists


@pytest.mark.fault(
    "X1",
    "A Singer tap that is killed goes on, on any machine, from its last STATE: what came before it is not read again.",
)
def test_whatever_state_was_the_last_the_next_run_gives_exactly_the_rest():
    lists, asked_before = family(), list[int]()
    whole = sync(lists.maker(**PARENTS), out=Out(lambda _line: asked_before.append(len(lists.asked))))
    everything = whole.records
    assert len(everything) == len({json.dumps(one) for one in everything}) == 3 + 5 + 8
    places = [place for place, one in enumerate(whole.messages) if one["type"] == "STATE"]
    assert len(places) > 12
    for place in places[:-1]:  # the last one ends the sync
        before = [(one["stream"], one["record"]) for one in whole.messages[:place] if one["type"] == "RECORD"]
        again = family()
        state = json.loads(json.dumps(whole.messages[place]["value"]))
        rest = sync(again.maker(**PARENTS), state=state)
        assert sorted(map(json.dumps, before + rest.records)) == sorted(map(json.dumps, everything)), place
        repeated = asked_before[place] + len(again.asked) - len(lists.asked)
        assert repeated <= 3, place  # the page of parents, and what was under way for the two of it
        assert rest.states[-1]["bookmarks"] == whole.states[-1]["bookmarks"], place
        second = {name: one for name, one in PARENTS.items() if "incremental" in one}
        assert sync(again.maker(**second), state=rest.states[-1]).records == [], place


def test_a_large_state_is_written_when_it_costs_no_more_than_the_records(monkeypatch):
    lists = Lists(files=files(*range(40, 0, -1)))
    monkeypatch.setattr("connectory.singer.tap.SMALL", 10)
    done = sync(lists.maker(files={"entity": "files"}))
    assert len(done.ids("files")) == 40
    assert len(done.states) < 20 + 2
    monkeypatch.setattr("connectory.singer.tap.SILENCE", 0)
    assert len(sync(lists.maker(files={"entity": "files"})).states) == 20 + 2


def test_a_configuration_that_changed_begins_an_unfinished_stream_anew_and_says_so():
    lists, notes = Lists(files=files(3, 2, 1)), list[Any]()
    half = sync(lists.maker(files={"entity": "files"})).states[0]
    changed = {"entity": "files", "request_parameters": {"query": {"purpose": "batch"}}}
    done = sync(lists.maker(files=changed), state=half, notes=notes)
    assert len(done.ids("files")) == 3
    assert any("read from its beginning" in getattr(one, "message", "") for one in notes)


def test_a_stream_that_cannot_be_read_does_not_move_its_mark_and_stops_no_other():
    lists = family()
    lists.broken.add("files")
    done = sync(lists.maker(**PARENTS))
    assert len(done.failures) == done.tap.errors == 1
    assert {name for name, _ in done.records} == {"jobs", "events"}
    assert done.states[-1]["bookmarks"]["files"] == {"replication_key": "created_at", "progress": None}
    lists.broken.clear()
    assert len(sync(lists.maker(**PARENTS), state=done.states[-1]).ids("files")) == 5


@pytest.mark.parametrize("state", [[], "text", 7])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ConfigError, match="the state is no JSON object"):
        sync(Lists(files=[]).maker(files={"entity": "files"}), state=state)
