from __future__ import annotations

import pytest

from connectory.errors import ExpressionError, RequestError
from connectory.placeholders import compile_template
from connectory.requests.parameters import Given, RequestParameters, as_object, checked


def test_a_set_of_request_parameters_always_has_both_parts():
    assert checked({}) == {"path": {}, "query": {}}
    assert checked({"query": {"limit": 1}}) == {"path": {}, "query": {"limit": 1}}


@pytest.mark.parametrize("empty", [None, [], {}])
def test_nothing_and_an_empty_list_mean_empty(empty):
    assert checked({"path": empty, "query": empty}) == {"path": {}, "query": {}}


@pytest.mark.parametrize("value", ["limit=1", ["limit"], 1, True, ""])
def test_a_part_that_is_no_object_is_refused(value):
    with pytest.raises(RequestError, match="request parameters: 'query' must be an object, not "):
        checked({"query": value})


def test_another_part_is_refused_by_name():
    with pytest.raises(RequestError, match="hold 'path' and 'query' only, not 'payload'"):
        checked({"path": {}, "payload": {}})


def test_as_object_names_what_it_was_given_for():
    assert as_object({"a": 1}, "'path'") == {"a": 1}
    with pytest.raises(RequestError, match=r"^'path' must be an object, not a list$"):
        as_object([1], "'path'")


def test_placeholders_are_rendered_and_what_was_given_wins():
    template = compile_template(
        {"path": {"model": "&{name}"}, "query": {"limit": 10, "since": "&{run.started_at}"}}
    )
    parameters = RequestParameters(template, Given({"model": "b"}, {"limit": 5}))
    assert parameters.render({"name": "a"}, {"run": {"started_at": 7}}) == {
        "path": {"model": "b"},
        "query": {"limit": 5, "since": 7},
    }


def test_an_absent_field_is_an_error_of_the_record():
    template = compile_template({"path": {"model": "&{name}"}, "query": {}})
    with pytest.raises(ExpressionError, match="name"):
        RequestParameters(template).render({"nome": "a"}, {})


def test_rendering_leaves_what_was_given_untouched():
    given = Given({"model": "b"}, {})
    parameters = RequestParameters(compile_template({"path": {}, "query": {}}), given)
    parameters.render({}, {})["path"]["model"] = "changed"
    assert given.path == {"model": "b"}
