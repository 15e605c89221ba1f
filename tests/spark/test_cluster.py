"""A write on a real cluster: a master and two workers, each a process, and tasks that are killed."""

from __future__ import annotations

import pytest

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")

from spark_runs import cluster, prepare, refuse_without_java, run_program
from spark_server import CountingServer

AT_ONCE = 8
"""Requests under way at once in all tasks, which is what a task that is killed can repeat at most."""


@pytest.mark.parametrize("rows", [200, pytest.param(1000, marks=pytest.mark.full)])
def test_rows_arrive_once_but_for_what_was_under_way_in_a_task_that_was_killed(tmp_path, rows):
    refuse_without_java()
    deaths, refused = (rows // 8, rows // 2 + 9), (11, 12, rows // 2)
    with CountingServer(refused=refused) as server, cluster(tmp_path) as master:
        prepare(tmp_path, server.base_uri, rows=rows, deaths=deaths)

        told = run_program("write", "--master", master, "--folder", str(tmp_path), "--rows", str(rows))

    found = told["write"]
    assert (rows, rows, 4, []) == (found["rows"], found["distinct"], found["partitions"], found["state"])
    assert rows == len(server.inputs)
    assert server.repeated <= found["in_doubt"] <= AT_ONCE * len(deaths)
    assert server.posts == rows + server.repeated + len(refused)
    assert {1} == {len(keys) for keys in server.keys.values()}
    assert {1} == set(server.ids.values())
    assert all((tmp_path / f"died-{number}").exists() for number in deaths)
