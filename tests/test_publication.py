"""What an outgoing connection makes of a record, and of the answer to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from connected import connected
from hypothesis import given
from hypothesis import strategies as st

from connectory.errors import RecordError, RequestError
from connectory.expressions import compile_expression
from connectory.interfaces import Item
from connectory.record import Delivery

RUN = "run-1"


def publication(run: Any = None, **outgoing: Any):
    """Resolve an outgoing; without an entity it posts to /things/{id}."""
    target = {} if "entity" in outgoing or "request" in outgoing else {"entity": "file", "action": "delete"}
    made = connected(lambda _request: None, outgoing={"out": {**target, **outgoing}})
    return made.assembly.publication("out", run=run or {"id": RUN, "started_at": 0})


def parts(made: Any, record: Any, *, position: str = "7", index: int = 0):
    return list(made.parts(Item(position, record), index, RUN))


def call(made: Any, record: Any):
    (part,) = parts(made, record)
    assert part.error is None
    return made.call(part)


def request(made: Any, record: Any) -> dict[str, Any]:
    found = call(made, record)
    return {"path": found.path, "query": found.query, "payload": found.payload}


RAW = {"method": "POST", "path": "/things/{thing}"}


# -- parts


def test_a_record_is_one_part_with_its_own_id():
    (part,) = parts(publication(), {"id": "a"})
    assert (part.id, part.index, part.delivery) == ("a", 0, Delivery(RUN, "7", 0))


def test_what_the_chain_makes_of_one_record_is_numbered():
    made = publication(transformers=[{"split": {"field": "items"}}])
    found = parts(made, {"id": "a", "items": [{"x": 1}, {"x": 2}]})
    assert [(part.id, part.delivery.part, part.record) for part in found] == [
        ("a#0", 0, {"x": 1}),
        ("a#1", 1, {"x": 2}),
    ]


def test_a_record_that_the_chain_drops_is_a_part_with_nothing_to_send():
    (part,) = parts(publication(transformers=[{"keep_if": "ok"}]), {"id": "a", "ok": False})
    assert (part.id, part.record, part.error) == ("a", None, None)


def test_a_chain_that_fails_half_way_sends_nothing_of_the_record():
    made = publication(transformers=[{"split": {"field": "items"}}])
    (part,) = parts(made, {"items": [{"x": 1}, 2]})
    assert part.record is None
    assert isinstance(part.error, RecordError)


def test_an_item_that_could_not_be_read_keeps_its_error_and_its_place():
    error = RecordError("line 7: not JSON")
    (part,) = publication().parts(Item("7", "{", error), 3, RUN)
    assert (part.error, part.id, part.index, part.delivery.position) == (error, "7", 3, "7")


@pytest.mark.parametrize(
    ("identifier", "record", "expected"),
    [
        (None, {"id": "a"}, "a"),
        (None, {"id": 12345678901234567890123}, "12345678901234567890123"),
        (None, {"id": True}, "7"),
        (None, {"id": None}, "7"),
        (None, {}, "7"),
        ("key", {"id": "a", "key": "k"}, "k"),
        (["shop", "number"], {"shop": "x", "number": 3}, "x/3"),
        ("key", {"key": None}, "null"),
        ("key", {"key": 1.5}, "1.5"),
        ("key", {"key": {"a": True}}, '{"a":true}'),
        ("run.id", {}, RUN),
    ],
)
def test_a_record_is_called_by_its_identifier(identifier: Any, record: Any, expected: str):
    (part,) = parts(publication(identifier=identifier), record)
    assert part.id == expected


def test_an_identifier_that_is_absent_is_an_error_of_the_record():
    (part,) = parts(publication(identifier="key"), {"kye": 1})
    assert part.id == "7"
    assert "key" in str(part.error)


# -- the two forms


def test_a_record_brings_its_own_path_query_and_payload():
    made = publication(request=RAW)
    record = {"path": {"thing": "1"}, "query": {"a": "b"}, "payload": {"x": 1}, "other": 2}
    assert request(made, record) == {"path": {"thing": "1"}, "query": {"a": "b"}, "payload": {"x": 1}}


def test_transformers_may_make_path_query_and_payload():
    build = {"path": {"thing": "&{id}"}, "query": {"a": "&{b}"}, "payload": {"x": "&{x}"}}
    made = publication(request=RAW, transformers=[{"build": build}])
    expected = {"path": {"thing": "1"}, "query": {"a": "q"}, "payload": {"x": 2}}
    assert request(made, {"id": "1", "b": "q", "x": 2}) == expected


def test_both_forms_make_the_same_request():
    templates = {"path": {"thing": "&{id}"}, "query": {"a": "&{b}"}, "payload": {"x": "&{x}"}}
    record = {"id": "1", "b": "q", "x": 2}
    short = publication(request=RAW, **templates)
    long = publication(request=RAW, transformers=[{"build": templates}])
    assert request(short, record) == request(long, record)


def test_with_templates_columns_of_those_names_are_only_data():
    made = publication(request=RAW, path={"thing": "&{path}"}, payload="&{@}")
    record = {"path": "p", "query": "q", "payload": "x"}
    assert request(made, record) == {"path": {"thing": "p"}, "query": {}, "payload": record}


@pytest.mark.parametrize("template", [{"path": {"thing": "1"}}, {"query": {"q": "2"}}, {"payload": {"y": 1}}])
def test_one_template_is_enough_to_make_the_columns_data(template: dict[str, Any]):
    made = publication(request=RAW, **template)
    expected = {"path": {}, "query": {}, "payload": None, **template}
    assert request(made, {"path": {"thing": "no"}, "query": {"q": "no"}, "payload": "no"}) == expected


def test_templates_see_the_input_the_record_and_the_run():
    payload = {"was": "&{input.a}", "is": "&{record.a}", "also": "&{a}", "run": "&{run.id}"}
    made = publication(request=RAW, transformers=[{"set": {"a": 2}}], payload=payload)
    assert request(made, {"a": 1})["payload"] == {"was": 1, "is": 2, "also": 2, "run": RUN}


@pytest.mark.parametrize("nothing", [[], {}, None])
def test_an_empty_list_is_an_empty_path_or_query(nothing: Any):
    made = publication(request=RAW)
    assert request(made, {"path": nothing, "query": nothing}) == {"path": {}, "query": {}, "payload": None}


@pytest.mark.parametrize("name", ["path", "query"])
@pytest.mark.parametrize("value", ["x", 1, True, [1], [[]], 0, False, ""])
def test_a_path_or_query_that_is_no_object_is_an_error_of_the_record(name: str, value: Any):
    with pytest.raises(RequestError, match=rf"'{name}' must be an object"):
        call(publication(request=RAW), {name: value})


def test_a_template_that_gives_no_object_is_an_error_of_the_record():
    with pytest.raises(RequestError, match="'query' must be an object, not text"):
        call(publication(request=RAW, query="&{q}"), {"q": "a=b"})


def test_request_parameters_are_the_defaults_below_the_record():
    defaults = {"path": {"thing": "d"}, "query": {"a": "d", "b": "d"}}
    made = publication(request=RAW, request_parameters=defaults)
    assert request(made, {})["path"] == {"thing": "d"}
    assert request(made, {"path": {"thing": "r"}, "query": {"a": "r"}}) == {
        "path": {"thing": "r"},
        "query": {"a": "r", "b": "d"},
        "payload": None,
    }


def test_request_parameters_are_the_defaults_below_the_templates_and_see_the_run():
    made = publication(
        request=RAW,
        request_parameters={"path": {"thing": "d"}, "query": {"run": "&{run.id}", "a": "d"}},
        query={"a": "&{a}"},
    )
    assert request(made, {"a": "t"}) == {
        "path": {"thing": "d"},
        "query": {"run": RUN, "a": "t"},
        "payload": None,
    }


def test_a_deletion_leaves_a_payload_that_the_record_carries():
    found = call(publication(), {"path": {"file_id": "f"}, "payload": {"x": 1}})
    assert (found.action.method, found.payload) == ("DELETE", None)


# -- methods


METHODS = {"methods": ["POST", "DELETE"], "path": "/things"}


@pytest.mark.parametrize(
    ("record", "expected"), [({}, "POST"), ({"method": "POST"}, "POST"), ({"method": "DELETE"}, "DELETE")]
)
def test_a_record_chooses_a_method_from_the_list_and_the_first_is_the_default(record: Any, expected: str):
    assert call(publication(request=METHODS), record).action.method == expected


@pytest.mark.parametrize("method", ["PUT", "GET", "delete", "", None, 1, [], {}])
def test_a_method_outside_the_list_is_an_error_of_the_record(method: Any):
    with pytest.raises(RequestError, match="allowed are POST, DELETE"):
        call(publication(request=METHODS), {"method": method})


def test_where_there_is_one_method_the_record_has_no_say():
    assert call(publication(request=RAW), {"method": "DELETE"}).action.method == "POST"


@pytest.mark.parametrize(
    ("outgoing", "expected"),
    [({}, True), ({"request": METHODS}, True), ({"request": RAW}, False), ({"entity": "moderations"}, False)],
)
def test_a_publication_knows_whether_it_can_delete(outgoing: Any, expected: bool):
    assert publication(**outgoing).deletes is expected


# -- shaping


def shape(made: Any, record: Any, response: Any):
    (part,) = parts(made, record)
    return made.shape(part, made.call(part), response)


def test_without_a_result_nothing_is_shaped():
    assert shape(publication(request=RAW), {}, {"id": 1}) is None


def test_a_result_sees_input_request_response_record_and_run():
    made = publication(
        request=RAW,
        transformers=[{"set": {"b": 2}}],
        payload={"p": "&{a}"},
        result={
            "in": "&{input.a}",
            "b": "&{record.b}",
            "sent": "&{request.payload.p}",
            "got": "&{response.x}",
            "run": "&{run.id}",
        },
    )
    expected = [{"in": 1, "b": 2, "sent": 1, "got": 3, "run": RUN}]
    assert shape(made, {"a": 1}, {"x": 3}) == expected


DERIVED = {"first": compile_expression("choices[0].text")}


def test_a_result_sees_what_is_derived_from_the_answer():
    made = replace(publication(request=RAW, result="&{derived.first}"), derived=DERIVED)
    assert shape(made, {}, {"choices": [{"text": "hello"}]}) == ["hello"]


def test_a_derived_output_that_the_answer_does_not_have_is_absent():
    made = replace(publication(request=RAW, result=["?{derived.first}", "&{derived}"]), derived=DERIVED)
    assert shape(made, {}, {"choices": []}) == [[None, {}]]


def test_response_transformers_work_on_the_whole_document():
    made = publication(
        request=RAW, response_transformers=[{"build": {"a": "&{input.a}", "x": "&{response.x}"}}]
    )
    assert shape(made, {"a": 1}, {"x": 3}) == [{"a": 1, "x": 3}]


def test_response_transformers_may_give_none_or_many_lines_and_result_shapes_each():
    made = publication(
        request=RAW,
        response_transformers=[{"split": {"field": "response.data"}}],
        result={"x": "&{x}", "of": "&{input.a}"},
    )
    assert shape(made, {"a": 1}, {"data": [{"x": 1}, {"x": 2}]}) == [{"x": 1, "of": 1}, {"x": 2, "of": 1}]
    assert shape(made, {"a": 1}, {"data": []}) == []


# -- whatever comes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["path", "query", "payload", "method", "thing", "id", "x"]
MADE = connected(
    lambda _request: None,
    outgoing={
        "raw": {"request": {"methods": ["POST", "DELETE"], "path": "/things/{thing}"}},
        "form": {"entity": "files", "action": "create"},
        "short": {"entity": "file", "action": "delete", "path": {"file_id": "&{x}"}, "query": "&{query}"},
    },
)


@given(
    name=st.sampled_from(["raw", "form", "short"]),
    record=st.dictionaries(st.sampled_from(NAMES), json_values, max_size=5)
    | st.builds(
        lambda thing, query, payload: {
            "path": {"thing": thing},
            "query": query,
            "payload": payload,
            "x": thing,
        },
        json_values,
        st.dictionaries(st.text(), json_values, max_size=3),
        json_values | st.dictionaries(st.sampled_from(["file", "purpose", "x"]), json_values | st.binary()),
    ),
)
def test_whatever_a_record_holds_only_that_record_can_fail(name: str, record: dict[str, Any]):
    publisher = MADE.publisher(name)
    (part,) = publisher.publication.parts(Item("1", record), 0, RUN)
    try:
        made = publisher.publication.call(part)
        sent = publisher.client.prepare(made, key=part.delivery.key)
    except RecordError:
        return
    assert (sent.url.scheme, sent.url.host, sent.url.port) == ("https", "api.test", None)
    assert sent.url.raw_path.startswith((b"/v1/things/", b"/v1/files"))
