"""Regular expressions of users: the ones that could search for ever are refused, all others work as in Python."""

from __future__ import annotations

import pytest

from connectory import ConfigError, Pattern, TransformerError, patterns

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
