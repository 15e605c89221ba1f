"""Runs and requests as OpenTelemetry traces and metrics; the library is imported when a Telemetry is made."""

from __future__ import annotations

from connectory.listeners.telemetry.listening import Telemetry
from connectory.listeners.telemetry.sending import carried, sending

__all__ = ["Telemetry", "carried", "sending"]
