"""Verdicts as JUnit XML, which build servers show."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectory.trials.judging import Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form."""


def junit(verdicts: Sequence[Verdict], *, name: str) -> bytes:
    """Give the report: a suite for each chain or connection, a case for each test."""
    root = Element("testsuites", {"name": _text(name), **_counted(verdicts)})
    for owner, group in groupby(verdicts, key=lambda verdict: verdict.trial.owner):
        members = list(group)
        suite = SubElement(root, "testsuite", {"name": _text(owner), **_counted(members)})
        for verdict in members:
            trial = verdict.trial
            place = {"file": _text(trial.file), "line": str(trial.line)} if trial.line else {}
            case = SubElement(
                suite,
                "testcase",
                {
                    "name": _text(trial.title),
                    "classname": _text(owner),
                    "time": f"{verdict.seconds:.3f}",
                    **place,
                },
            )
            if verdict.problems:
                first = verdict.problems[0].partition("\n")[0]
                SubElement(case, "failure", {"message": _text(first)}).text = _text(
                    "\n".join(verdict.problems)
                )
    indent(root)
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _counted(verdicts: Sequence[Verdict]) -> dict[str, str]:
    seconds = sum(verdict.seconds for verdict in verdicts)
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    return {"tests": str(len(verdicts)), "failures": str(failed), "errors": "0", "time": f"{seconds:.3f}"}


def _text(value: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
