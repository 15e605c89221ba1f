"""The names of runs."""

from __future__ import annotations

import secrets
import time


def new_run_id() -> str:
    """Give the id of a new run: sorts by time, and two runs never share one."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
