"""Puts the parts of a connection together from its configuration."""

from __future__ import annotations

from connectory.assembly.clients import Endpoint
from connectory.assembly.connections import Assembly
from connectory.assembly.ends import Input, input_of, known_source, sql_sink, used_sink
from connectory.assembly.finding import problems
from connectory.assembly.levels import input_above, levels_above, remembers
from connectory.assembly.pricing import models_in, prices_of
from connectory.assembly.raw import raw_call
from connectory.assembly.webhook import WebhookSink

__all__ = [
    "Assembly",
    "Endpoint",
    "Input",
    "WebhookSink",
    "input_above",
    "input_of",
    "known_source",
    "levels_above",
    "models_in",
    "prices_of",
    "problems",
    "raw_call",
    "remembers",
    "sql_sink",
    "used_sink",
]
