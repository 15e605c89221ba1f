"""What a person is told of retries and pauses while a run goes on."""

from __future__ import annotations

from connectory.cli.progress import MOST_TOLD, STATES_SHOWN, Progress
from connectory.cli.setup import tell
from connectory.events import BatchChanged, Held, RecordFinished, RequestRetried, StateChanged


def test_a_pause_of_everybody_is_told_once_and_not_for_each_request(capsys):
    progress = Progress("outgoing x")
    for _ in range(3):
        progress.hear(Held(2.0, "POST /x: the server answered 429: slower"))
        progress.hear(
            RequestRetried("POST /x", 1, 2.0, "POST /x: the server answered 429: slower", held=True)
        )
    progress.hear(RecordFinished("x", 0, "ok"))
    progress.summary()
    assert capsys.readouterr().err.splitlines() == [
        "all requests wait for 2.0 s: POST /x: the server answered 429: slower",
        "outgoing x: 1 ok, 0 failed, 3 retries",
    ]


def test_a_retry_of_ones_own_is_told(capsys):
    Progress("outgoing x").hear(RequestRetried("POST /x", 1, 0.5, "no answer"))
    assert capsys.readouterr().err == "POST /x: attempt 1 failed, the next in 0.5 s: no answer\n"


def test_commands_without_progress_tell_the_same(capsys):
    tell(Held(2.0, "slower"))
    tell(RequestRetried("POST /x", 1, 2.0, "slower", held=True))
    tell(RequestRetried("POST /x", 1, 0.5, "no answer"))
    assert capsys.readouterr().err.splitlines() == [
        "all requests wait for 2.0 s: slower",
        "POST /x: attempt 1 failed, the next in 0.5 s: no answer",
    ]


def test_changes_of_states_are_told_up_to_a_bound(capsys):
    progress = Progress("outgoing train")
    for number in range(STATES_SHOWN + 50):
        progress.hear(StateChanged("train", number, f"r{number}", f"job-{number}", "queued"))
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "train: job-0 of record 'r0' is queued"
    assert told[STATES_SHOWN:] == ["more changes of state are not shown"]


def test_retries_with_ever_new_reasons_get_a_bounded_number_of_lines(capsys):
    progress = Progress("outgoing out")
    for number in range(1000):
        progress.hear(RequestRetried("POST /things", 1, 0.5, f"POST /things: answer {number} is not JSON"))
    progress.summary()
    *told, last = capsys.readouterr().err.splitlines()
    assert len(told) == MOST_TOLD
    assert last == "outgoing out: 0 ok, 0 failed, 1000 retries"


def test_a_batch_is_told_when_its_state_changes_and_in_tenths(capsys):
    progress = Progress("outgoing x")
    for completed in range(0, 101, 3):
        progress.hear(BatchChanged("x", 1, "batch_1", "in_progress", 100, completed, 0))
    progress.hear(BatchChanged("x", 1, "batch_1", "completed", 100, 98, 2))
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "x: part 1 (batch_1) is in_progress: 0 of 100 done, 0 failed"
    assert told[-1] == "x: part 1 (batch_1) is completed: 98 of 100 done, 2 failed"
    assert len(told) == 11


def test_on_a_terminal_the_bar_tells_how_far_all_batches_are(capsys):
    progress = Progress("outgoing x")
    for part in range(STATES_SHOWN + 5):
        progress.hear(BatchChanged("x", part, f"batch_{part}", "in_progress", 10, 4, 1))
    count = STATES_SHOWN + 5
    assert progress.described() == f"outgoing x ({5 * count} of {10 * count} answered in {count} batches)"
    assert capsys.readouterr().err.splitlines()[STATES_SHOWN:] == ["more changes of state are not shown"]
