"""Runs the tests that a configuration carries beside its mappings, and says what came out otherwise."""

from __future__ import annotations

from connectory.testing.comparing import Difference, differences
from connectory.testing.junit import junit
from connectory.testing.trials import Trial, Verdict, needs_server, trials, try_out

__all__ = [
    "Difference",
    "Trial",
    "Verdict",
    "differences",
    "junit",
    "needs_server",
    "trials",
    "try_out",
]
