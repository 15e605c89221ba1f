"""Singer SDK's own standard tests pass on our tap and target."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOTS
from meltano_project import uv

SDK = "singer-sdk==0.54.9"
HERE = Path(__file__).parent


def test_the_standard_tests_of_the_sdk_pass(tmp_path: Path):
    """The SDK lies in a folder of its own, because it would load itself into every other run of pytest."""
    sdk = tmp_path / "sdk"
    command = [uv(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(sdk), SDK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED with {SDK}: it cannot be installed: {done.stderr[-500:]}")
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:singer_testing",
            "-p",
            "no:cacheprovider",
            "--confcutdir",
            str(HERE),
            "-W",
            "ignore:Fields in transformed catalog:UserWarning",
            "-W",
            "ignore:No records were available:UserWarning",
            str(HERE / "singer_sdk_tests.py"),
        ],
        cwd=HERE.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*ROOTS, str(HERE), str(sdk)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", ended.stdout)[-1]) > 70, ended.stdout
