"""What a person sees: on a terminal, in a pipe, in CI, with and without colours."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pyte
import pytest
from command import ROOTS, connectory

from connectory.cli import progress as module
from connectory.cli.causes import Causes
from connectory.cli.meter import Meter, clock_of
from connectory.cli.progress import Progress
from connectory.events import PageRead, RecordFinished
from connectory.pace.lanes import Standing

CONFIG = """
version: 1
clients: {default: {token: x, limits: {requests_per_minute: 1800, concurrency: 4}}}
incoming:
  models: {entity: models}
outgoing:
  chat:
    entity: chat.completions
    payload: {model: gpt-5-mini, messages: [{role: user, content: "&{text || id}"}]}
routes:
  both: [models, chat]
"""
RUN = ("run", "outgoing", "chat", "--sandbox", "--input", "posts.jsonl", "--output", "out.jsonl", "--new")
OFTEN = "import connectory.cli.progress as one; one.EVERY = one.HELD_AGAIN = 0.3; from connectory.cli import main; main()"
SIZE = (24, 100)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    posts = [{"id": f"p{number}", "text": "hi"} if number % 16 else {"no": number} for number in range(48)]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in posts))
    return tmp_path


def seen(folder, *words, **environ):
    """Run a command on a terminal; give every screen that it showed, the last one, and the bytes."""
    kept = {
        name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR", "FORCE_COLOR"}
    }
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        environment = {**kept, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(ROOTS), **environ}
        os.execve(sys.executable, [sys.executable, "-c", OFTEN, *words], environment)  # noqa: S606 - the project's own
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    screen = pyte.Screen(SIZE[1], SIZE[0])
    stream, screens, raw, until = pyte.ByteStream(screen), [], b"", time.monotonic() + 100
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # it is over
            break
        if not data:
            break
        raw += data
        stream.feed(data)
        screens.append("\n".join(line.rstrip() for line in screen.display).rstrip())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screens, raw


def test_a_terminal_shows_how_far_how_fast_and_what_holds_it_back_and_then_the_summary(project):
    code, screens, raw = seen(project, *RUN)
    assert code == 1
    drawn = [one for one in screens if " of 48 (" in one]
    assert any(
        re.search(
            r"\d+ ok, \d failed, [\d.]+/s, \d+ tokens, .*waiting for 1,800 requests/min, 0:0\d left", one
        )
        for one in drawn
    ), drawn[-1:]
    last = screens[-1].splitlines()
    assert last[0].startswith("outgoing chat: 45 ok, 3 failed, ")
    assert last[1] == "  3 x expression: expression 'text || id': the record has no 'id'; it has 'no'"
    assert re.fullmatch(r"connectory replay \S+ --sandbox", last[-1])
    assert " of 48 (" not in screens[-1]
    assert raw.rstrip().endswith(b"\x1b[0m")
    assert raw.count(b"\x1b[?25h") >= raw.count(b"\x1b[?25l") > 0


def test_no_color_takes_the_colours_and_nothing_else(project):
    _, screens, raw = seen(project, *RUN, NO_COLOR="1")
    assert any(" of 48 (" in one for one in screens)
    assert set(re.findall(rb"\x1b\[([\d;]*)m", raw)) <= {b"0", b"1", b""}


def test_ci_gets_lines_and_no_drawing(project):
    _, _, raw = seen(project, *RUN, CI="true")
    assert b"\x1b[?25l" not in raw
    assert re.search(rb"outgoing chat: \d+ of 48 \(\d+%\), \d+ ok, \d failed, ", raw)


def test_records_that_go_to_the_same_terminal_are_not_drawn_over(project):
    words = [word for word in RUN if word not in {"--output", "out.jsonl"}]
    _, screens, raw = seen(project, *words)
    assert b"\x1b[?25l" not in raw
    assert not any(" of 48 (" in one for one in screens)
    assert b'"id":"p1"' in raw


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (RUN, r"outgoing chat: \d+ of 48 \(\d+%\), \d+ ok, \d failed, .*/s.*"),
        ((*RUN, "--processes", "2"), r"outgoing chat: \d+ of 48 \(\d+%\), \d+ ok, \d failed, .*/s.*"),
        (
            ("run", "route", "both", "--sandbox", "--output", "out.jsonl"),
            r"route both: \d+, models: 14 read on 1 page, chat: \d+ ok and 0 failed, .*/s.*",
        ),
    ],
    ids=["outgoing", "processes", "route"],
)
def test_a_pipe_gets_a_line_now_and_then(project, words, line, monkeypatch):
    (project / "sitecustomize.py").write_text(
        "import sys\nif '-m' in sys.orig_argv:\n    import connectory.cli.progress as one\n    one.EVERY = 0.05\n"
    )
    began = time.monotonic()
    done = connectory(
        *words, folder=project, traceback=True, PYTHONPATH=os.pathsep.join([str(project), *ROOTS])
    )
    took = time.monotonic() - began
    told = [one for one in done.said.splitlines() if re.fullmatch(line, one)]
    assert 1 <= len(told) <= took / 0.05 + 2, done.said  # however slow the machine is
    assert "\x1b" not in done.said


def test_colours_are_forced_where_there_is_no_terminal(project):
    words = [*RUN, "--limit", "1"]
    assert "\x1b[31m" in connectory(*words, folder=project, FORCE_COLOR="1", NO_COLOR="").said
    assert "\x1b" not in connectory(*words, folder=project, FORCE_COLOR="0").said
    assert "\x1b" not in connectory(*words, folder=project, FORCE_COLOR="1", NO_COLOR="1").said


def test_progress_is_json_where_the_log_is(monkeypatch, capsys):
    clock = iter(range(0, 1000, 10)).__next__
    meter = Meter(clock)
    meter.total = 100
    meter.standing = lambda: Standing(3, "500 requests/min")
    for number in range(20):
        meter.step("x").counts["ok" if number else "error"] += 1
    meter.rate()
    meter.step("x").counts["ok"] += 20
    fields = meter.fields()
    assert (fields["ok"], fields["failed"], fields["total"], fields["limit"]) == (
        39,
        1,
        100,
        "500 requests/min",
    )
    assert fields["rate"] == 2.0
    assert fields["seconds_left"] == 30


def test_speed_is_that_of_late_and_work_of_earlier_lives_is_none():
    now = [0.0]
    meter = Meter(lambda: now[0])
    meter.step("x").counts["ok"] = 500
    meter.count_before()
    now[0] = 10.0
    assert meter.rate() == 0.0  # nothing yet: what comes next is measured from here
    for _ in range(10):
        now[0] += 5
        meter.step("x").counts["ok"] += 50
        assert meter.rate() == pytest.approx(10.0)
    for _ in range(20):
        now[0] += 5
        rate = meter.rate()
    assert rate == 0.0


def test_what_is_read_is_told_by_page():
    progress = Progress("incoming files")
    for _ in range(2):
        progress.hear(PageRead("files", 3, 2))
    assert progress.meter.words()[0] == "4 read on 2 pages"
    assert progress.meter.share() == "4"


def test_tokens_are_summed_however_the_answer_calls_them():
    progress = Progress("outgoing x")
    for usage in (
        {"total_tokens": 5},
        {"input_tokens": 2, "output_tokens": 1},
        {"prompt_tokens": 4},
        {"x": 1},
        None,
    ):
        progress.hear(RecordFinished("x", 0, "ok", usage=usage))
    assert progress.meter.tokens == 12


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00"), (61.4, "1:01"), (3599.9, "1:00:00"), (7325, "2:02:05")]
)
def test_times_are_written_as_on_a_clock(seconds, told):
    assert clock_of(seconds) == told


def letter(name, message, kind="api", code=None, **more):
    error = {"class": kind, "code": code, "message": message, **more}
    return {"id": name, "http_status": 400, "error": error}


def test_causes_that_differ_in_what_is_quoted_or_counted_are_one():
    causes = Causes("connectory preview outgoing x", "connectory replay r-1")
    for number in range(7):
        causes.add(
            letter(f"a{number}", f"POST /x: the server answered 400: 'text {number}' has {number} tokens")
        )
    causes.add(letter("b", "the answer is cut", kind="result"))
    causes.add(letter("c", "busy", code="server_error", retryable=True))
    assert causes.lines() == [
        "  7 x api: POST /x: the server answered 400: 'text 0' has 0 tokens",
        "      records a0, a1, a2 and 4 more",
        "      the server refuses what is sent: mend the records or the payload",
        "  1 x result: the answer is cut",
        "      record b",
        "      answered and paid for; mend `result`, then `connectory replay r-1 --results` shapes it anew",
        "  1 x api server_error: busy",
        "      record c",
        "      it may go better another time; the command below sends them again",
    ]


def test_causes_of_several_processes_are_put_together_and_bounded():
    causes = Causes("p", "r")
    for process in range(2):
        other = Causes()
        for number in range(8):
            other.add(letter(f"{process}-{number}", "no " + "x" * number))
        causes.merge(json.loads(json.dumps(other.as_data())))
    assert [one.count for one in causes.most()] == [2] * 8
    assert causes.most()[0].records == ["0-0", "1-0"]
    assert causes.lines()[-1] == "  and 3 other causes"
    assert len(causes.told()) == 5


def test_nothing_is_drawn_before_some_time_has_passed(capsys, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 60.0)
    with Progress("outgoing x") as progress:
        progress.hear(RecordFinished("x", 0, "ok"))
        with progress.hidden():
            assert progress._thread is None
    progress.summary()
    assert capsys.readouterr().err == "outgoing x: 1 ok, 0 failed\n"


def test_who_types_the_records_is_told_that_they_are_awaited(project):
    words = ("run", "outgoing", "chat", "--sandbox")
    hint = "reading records from standard input; --input FILE reads a file"
    keyboard, terminal = pty.openpty()
    os.write(keyboard, b"\x04")  # the end of what is typed
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    try:
        typed = subprocess.run(
            [sys.executable, "-m", "connectory", *words],
            cwd=project,
            env=environment,
            stdin=terminal,
            capture_output=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)
    piped = connectory(*words, folder=project)

    assert (typed.returncode, typed.stdout, typed.stderr.decode().splitlines()[0]) == (0, b"", hint)
    assert (piped.code, hint in piped.said) == (0, False)
