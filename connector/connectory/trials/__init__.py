"""Runs the tests that a configuration carries beside its mappings, and says what came out otherwise."""

from __future__ import annotations

from connectory.trials.comparing import differences
from connectory.trials.judging import Trial, Verdict, needs_server, trials, try_out
from connectory.trials.junit import junit

__all__ = [
    "Trial",
    "Verdict",
    "differences",
    "junit",
    "needs_server",
    "trials",
    "try_out",
]
