"""Tap and target as processes that are killed: the last STATE is enough to go on, and next to nothing is done twice."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any

import pytest
from echo_server import EchoServer
from singer_host import CONCURRENCY, PAGE, Host, Paced, configuration, listing
from wall import ThreadedWall

FILES = 120


@pytest.mark.fault(
    "X1",
    "Tap and target are killed and go on from the last STATE: every record arrives, and only what was under way twice.",
)
def test_a_sync_that_is_killed_again_and_again_loses_nothing(tmp_path):
    items = [{"id": f"file-{one}", "created_at": one} for one in range(FILES, 0, -1)]
    with ThreadedWall() as wall, EchoServer((pace := Paced(items, wall)).respond) as lists:
        wall.delay = 0.005
        (tmp_path / "connectory.yaml").write_text(configuration(lists, wall))
        host = Host(tmp_path, tap={"incoming": ["files"]}, target={"streams": {"files": "things"}})

        def kill(*which: int, after: int) -> Any:
            pace.begin()

            def during(*programs: Any) -> None:
                wall.wait_for(after)
                for one in which:
                    with suppress(ProcessLookupError):
                        programs[one].send_signal(signal.SIGKILL)
                pace.let_go()

            return during

        wall.open.clear()  # so that something is under way when they are killed for the first time
        assert host.run(kill(0, 1, after=CONCURRENCY)) == (-signal.SIGKILL, -signal.SIGKILL)
        wall.open.set()
        host.run(kill(1, after=40))
        host.run(kill(0, 1, after=80))
        wall.delay = 0
        assert host.run() == (0, 0)
        assert "Traceback" not in host.said
        times = wall.times()
        assert set(times) == {one["id"] for one in items}
        assert sum(times.values()) - FILES <= 3 * CONCURRENCY

        items[:0] = [{"id": "file-new", "created_at": FILES + 1}]
        assert host.run() == (0, 0)
        assert wall.times()["file-new"] == 1
        assert sum(wall.times().values()) == sum(times.values()) + 1


def test_another_machine_goes_on_with_nothing_but_the_state(tmp_path):
    items = [{"id": f"file-{one}", "created_at": one} for one in range(60, 0, -1)]
    with EchoServer(listing(lambda: items)) as lists, ThreadedWall() as wall:
        one, other = tmp_path / "one", tmp_path / "other"
        for folder in (one, other):
            folder.mkdir()
            (folder / "connectory.yaml").write_text(configuration(lists, wall))
        settings = {"tap": {}, "target": {"streams": {"files": "things"}}}
        host = Host(one, **settings)
        wall.delay = 0.02

        def end(tap: Any, target: Any) -> None:
            wall.wait_for(30)
            target.send_signal(signal.SIGTERM)

        assert host.run(end)[1] == 143
        assert host.state is not None
        wall.delay, elsewhere = 0, Host(other, **settings)
        elsewhere.state = host.state
        assert elsewhere.run() == (0, 0)
        assert set(wall.times()) == {one["id"] for one in items}
        assert (
            sum(wall.times().values()) - 60 <= PAGE + CONCURRENCY
        )  # without the journal: back to the last STATE
        assert list(one.glob("*")) != []
