"""How far a run is: what is said on stderr, and how much of it."""

from __future__ import annotations

from connectory.cli.progress import MOST_TOLD, Progress
from connectory.events import RequestRetried


def test_retries_with_ever_new_reasons_get_a_bounded_number_of_lines(capsys):
    progress = Progress("outgoing out")
    for number in range(1000):
        progress.hear(RequestRetried("POST /things", 1, 0.5, f"POST /things: answer {number} is not JSON"))
    progress.summary()
    *told, last = capsys.readouterr().err.splitlines()
    assert len(told) == MOST_TOLD
    assert last == "outgoing out: 0 ok, 0 failed, 1000 retries"
