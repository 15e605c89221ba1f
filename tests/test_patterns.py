"""Regular expressions of users: the ones that could search for ever are refused, all others work as in Python."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory import ConfigError, Pattern, TransformerError
from connectory.steps import patterns

ENDLESS = [
    "(a+)+b",
    "(a*)*b",
    r"^(\w+\s?)*$",
    "((a+)b?)*c",
    "(a|a)*b",
    "(a|ab)*c",
    "(a|A)*b",
    r"(\d|[0-5])+x",
    "(.|x)*y",
    "(?:a+){2,}b",
    "(?:a+){40}b",
    "(?P<name>a+)*b",
    "(?i:a+)*?b",
    "((?=a+)a+)*b",
]
FINE = [
    r"\s+",
    "(ab)+",
    r"(\d{3})-(\d{4})",
    "(a|b)*c",
    "(foo|bar)+",
    "(a+)++b",
    "(?>a+)+b",
    "(a++)*b",
    "(a?b)*",
    "(?:a+){3}b",
    "(|a)*b",
    "[(a+)+]*",
    r"\(a+\)+",
    "(?#a comment)a*",
    "(?i)a+",
    "(?P<x>a)(?P=x)+",
    "(?<!a)b+(?!c)",
    "[]a]+",
    "a{,3}",
    "(a+|b)?",
    r"(\.|,)+",
]


@pytest.mark.parametrize("text", ENDLESS)
def test_a_pattern_that_may_take_for_ever_is_refused(text):
    with pytest.raises(ConfigError, match="may take for ever"):
        Pattern(text)


@pytest.mark.parametrize("text", FINE)
def test_a_pattern_that_comes_to_an_end_is_taken(text):
    assert Pattern(text).text == text


def test_a_pattern_that_was_taken_comes_to_an_end():
    for text in FINE:
        for tried in ("a" * 60, "ab" * 60, "foobar" * 20 + "!", "1" * 60):
            Pattern(text).search(tried)


def test_what_cannot_be_read_is_explained():
    with pytest.raises(ConfigError, match=r"cannot read the pattern '\(': missing \)"):
        Pattern("(")


def test_a_text_has_a_bound(monkeypatch):
    monkeypatch.setattr(patterns, "LONGEST", 30)
    assert Pattern("a+").replace("aab", "x") == "xb"
    assert Pattern("b").search("a" * 29 + "b")
    assert Pattern("a++").search("a" * 30)
    assert repr(Pattern("b")) == "Pattern('b')"
    with pytest.raises(TransformerError, match=r"has 4 characters; the pattern 'a\+' is tried on 3 at most"):
        Pattern("a+").search("aaaa")


CASES = json.loads((Path(__file__).parent / "cases" / "patterns.json").read_text(encoding="utf-8"))
"""Patterns that search for ever on a repeated sign, and harmless ones."""


REFUSED = r"may take for ever|repeats too much|cannot read the pattern"
SLOW = r"takes more than 0.02 s for this text"


def said(work) -> str:
    """Give the words of the error that something ends in, none where it ends well."""
    try:
        work()
    except (ConfigError, TransformerError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("ruled", [True, False], ids=["with the rules", "by the clock alone"])
@pytest.mark.parametrize(("text", "sign"), CASES["evil"])
def test_no_evil_pattern_is_without_an_end(text, sign, ruled, monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.02)
    if not ruled:
        monkeypatch.setattr(patterns, "_ambiguous", lambda _group: False)
    if refusal := said(lambda: Pattern(text)):
        assert re.search(REFUSED, refusal)
        return
    taken = Pattern(text)
    for tried in (sign * 40, sign * 2000 + "\0", sign * 20_000 + "\0"):
        words = said(lambda tried=tried: taken.replace(tried, ""))
        assert not words or re.search(SLOW, words)


def test_the_clock_ends_a_search_that_no_rule_foresees(monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.02)
    slow = Pattern(r"\s*\s*\s*\s*$")
    with pytest.raises(TransformerError, match=r"takes more than 0.02 s for this text; write it so that"):
        slow.search(" " * 50_000 + "x")
    with pytest.raises(TransformerError, match="takes more than"):
        slow.replace(" " * 50_000 + "x", "")


@pytest.mark.parametrize("text", CASES["harmless"])
def test_a_harmless_pattern_does_what_it_does_in_python(text):
    ours, theirs = Pattern(text), re.compile(text)
    for tried in CASES["texts"]:
        found, due = ours.search(tried), theirs.search(tried)
        assert (found and (found.span(), found.groups())) == (due and (due.span(), due.groups()))
        assert ours.replace(tried, r"<\g<0>>") == theirs.sub(r"<\g<0>>", tried)


PIECES = st.sampled_from(["a", "b", ".", r"\w", r"\s", "[ab]", "(?:a|b)"])
MADE = st.recursive(
    PIECES,
    lambda inner: (
        st.builds("({}){}".format, inner, st.sampled_from(["", "*", "+", "?", "{2,}", "{3}", "{2,5}"]))
        | st.builds("{}|{}".format, inner, inner)
        | st.builds("{}{}".format, inner, inner)
    ),
    max_leaves=8,
)


@given(MADE, st.text("ab ", max_size=200))
def test_any_pattern_is_refused_or_comes_to_its_end(text, tried):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "SECONDS", 0.02)
        words = said(lambda: Pattern(text).replace(tried, ""))

    assert not words or re.search(f"{REFUSED}|{SLOW}", words)


@pytest.mark.parametrize("text", ["((a{1000}){1000}){1000}", "(((((((a?){9}){9}){9}){9}){9}){9}){9}"])
def test_a_pattern_that_is_endless_to_build_is_refused(text):
    assert re.search(REFUSED, said(lambda: Pattern(text)))


@pytest.mark.parametrize("text", ["(ab){60000}", "((((ab){4}){4}){4}){4}" + "(c{40000}){3}"])
def test_a_pattern_that_is_too_large_when_it_is_written_out_is_refused(text):
    assert "written out it has more than 100000 signs" in said(lambda: Pattern(text))
