"""The redactor: which forms of a secret it knows, what it leaves alone, and what text may do to a terminal."""

from __future__ import annotations

import base64
import gc
import html
import json
import logging
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import pytest

from connectory.errors import ApiError, RecordError
from connectory.text.redaction import LogFilter, Redactor, blank, trace, visible

PLAIN = "canary-Plain0123456789"
ODD = 'canary/Odd+"quoted"\\&<x> %41é'


FORMS = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent, small": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "plus": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, not ascii": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json of php": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "html": html.escape,
    "python": lambda text: repr(text)[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 of urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("secret", [PLAIN, ODD, "canary=/=/=/="], ids=["plain", "odd", "runs"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_secret_is_blanked_and_seen(secret, form):
    redactor = Redactor([secret])
    text = f"before {FORMS[form](secret)} after"
    assert redactor.text(text) == "before **** after"
    assert redactor.seen_in(text.encode())
    assert redactor.content(text.encode()) == b"before %b after" % (b"*" * (len(text.encode()) - 13))


def test_a_secret_that_json_escapes_without_need_is_seen_and_blanked():
    redactor, escaped = Redactor([PLAIN]), "".join(f"\\u{ord(one):04x}" for one in PLAIN)
    body = f'{{"error": "{escaped}"}}'.encode()
    assert redactor.seen_in(body)
    assert redactor.value(json.loads(body)) == {"error": "****"}


@pytest.mark.parametrize("short", ["", "x", "EMPTY", "none", "1234567"])
def test_what_is_short_is_no_secret(short):
    redactor = Redactor([short])
    text = f"a {short} text"
    assert redactor.text(text) == text
    assert not redactor.seen_in(text.encode())


def test_a_scheme_is_no_part_of_the_secret():
    assert Redactor([f"Bearer {PLAIN}"]).text(f"Bearer {PLAIN}, {PLAIN}") == "Bearer ****, ****"


def test_the_longer_secret_is_blanked_first():
    assert Redactor([PLAIN, f"{PLAIN}-and-more"]).text(f"{PLAIN}-and-more") == "****"


def test_what_holds_no_secret_is_left_alone():
    value = {"a": [1, None, True, 2.5, "text"], "b": {}}
    assert Redactor([PLAIN]).value(value) == value
    assert Redactor().value(value) == value
    assert not Redactor().seen_in(b'{"a": "\\u0041"}')


def test_names_and_numbers_and_deep_values_are_blanked():
    deep = PLAIN
    for _ in range(20_000):
        deep = [deep]
    redactor = Redactor([PLAIN, "1234567890123"])
    assert redactor.value({PLAIN: {"n": 1234567890123}}) == {"****": {"n": "****"}}
    found = redactor.value(deep)
    while isinstance(found, list):
        (found,) = found
    assert found == "****"


def test_an_exception_is_blanked_with_all_that_is_behind_it():
    redactor = Redactor([PLAIN])

    def fail():
        try:
            try:
                Path(f"/{PLAIN}").read_bytes()
            except OSError as error:
                error.add_note(f"note {PLAIN}")
                raise ExceptionGroup("many", [ValueError({"k": [PLAIN]}), KeyError(PLAIN)]) from error
        except ExceptionGroup:
            error = ApiError(
                f"bad {PLAIN}",
                status=400,
                code=PLAIN,
                body={"x": PLAIN},
                headers=httpx.Headers({"X-Echo": PLAIN, "x-request-id": "r1"}),
            )
            raise error  # noqa: B904 - what was going on stays in the context

    with pytest.raises(ApiError) as caught:
        fail()
    headers = caught.value.headers
    redactor.error(caught.value)
    assert PLAIN not in trace(caught.value)
    assert PLAIN not in repr((vars(caught.value), headers is caught.value.headers))
    assert caught.value.headers["x-request-id"] == "r1"
    assert (caught.value.status, caught.value.code) == (400, "****")


def test_an_exception_without_a_secret_is_not_touched():
    body = {"a": ["b"]}
    error = ApiError("bad", status=400, body=body)
    Redactor([PLAIN]).error(error)
    assert error.body is body
    assert error.args == ("bad",)


def test_an_exception_that_is_its_own_context_ends():
    one, other = RecordError(PLAIN), RecordError("x")
    one.__context__, other.__context__ = other, one
    Redactor([PLAIN]).error(one)
    assert str(one) == "****"


def test_every_configuration_in_use_is_blanked_and_one_that_is_gone_is_not():
    secret = "canary-of-a-connector-that-ends"
    redactor = Redactor([secret])
    assert blank(f"x {secret}") == "x ****"
    del redactor
    gc.collect()
    assert blank(f"x {secret}") == f"x {secret}"


def test_the_repr_shows_no_secret():
    assert PLAIN not in repr(Redactor([PLAIN]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("one\r\ntwo\n", "one\\r\\ntwo\\n"),
        ("a\x00b\x7fc\x9bd", "a\\x00b\\x7fc\\x9bd"),
        ("\u202egnp.exe\u2069\u2028x\u200f", "\\u202egnp.exe\\u2069\\u2028x\\u200f"),
        ("naïve café\t日本 🙂", "naïve café\t日本 🙂"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text, shown):
    assert visible(text) == shown


def test_lines_are_kept_where_they_are_meant():
    assert visible("one\ntwo\x1b[m\r", lines=True) == "one\ntwo\\x1b[m\\r"


def test_a_log_line_is_one_line_without_secrets(caplog):
    keep = Redactor([PLAIN])
    logger = logging.getLogger("connectory.test_redaction")
    logger.addFilter(LogFilter())
    try:
        with caplog.at_level("INFO", logger=logger.name):
            try:
                int(PLAIN)
            except ValueError:
                logger.exception("100%% of %s\nforged", PLAIN)
    finally:
        logger.filters.clear()
    assert caplog.records[0].getMessage() == "100% of ****\\nforged"
    assert PLAIN not in caplog.text
    assert "ValueError: invalid literal for int() with base 10: '****'" in caplog.text
    assert keep
