"""Traces and metrics of one program, sent where the standard OTEL_* variables say: OpenTelemetry's own set-up."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.listeners.telemetry.listening import MISSING, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

DEFAULTS = {
    "OTEL_SERVICE_NAME": "connectory",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}
"""What the variables are where nobody has set them."""

PATIENCE = 5.0
"""Seconds in which what is left is sent at the end, or lost: a collector that is away must not hold a program."""

SET_UP = "opentelemetry.sdk._configuration"
"""Where the SDK configures itself by the variables: the door that its distributions use."""

LONGEST = 200
"""Characters of a problem that are told."""

INSTANCE, RESOURCE = "service.instance.id", "OTEL_RESOURCE_ATTRIBUTES"


@contextmanager
def sending(tell: Callable[[str], None], name: str = "connectory") -> Generator[Telemetry, None, None]:
    """Send what is heard, below one span of this name, and what is left at the end.

    `tell` hears once that something cannot be sent. The variable TRACEPARENT names the span above. Raises ConfigError.
    """
    try:
        from opentelemetry import context, metrics, propagate, trace  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(MISSING) from None
    problems = _Problems(tell)
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(problems)
    logger.propagate = False
    _set_up(trace.get_tracer_provider())
    above = propagate.extract(
        {name: os.environ.get(name.upper(), "") for name in ("traceparent", "tracestate")}
    )
    try:
        token = context.attach(above)
        try:
            tracer = trace.get_tracer("connectory")
            with tracer.start_as_current_span(
                name, record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    yield Telemetry()
                except BaseException as error:
                    span.set_attribute("error.type", type(error).__name__)
                    span.set_status(trace.StatusCode.ERROR)
                    raise
        finally:
            context.detach(token)
    finally:
        late = _finish(trace.get_tracer_provider(), metrics.get_meter_provider())
        if late and not problems.told:
            tell(f"telemetry: the last of it was not sent in {PATIENCE:g} s")
        problems.told = True  # what the interpreter's end still brings helps nobody


def carried() -> dict[str, str]:
    """Give the variables by which another process goes on with the current trace."""
    try:
        from opentelemetry import propagate  # noqa: PLC0415 - an extra
    except ImportError:
        return {}
    found: dict[str, str] = {}
    propagate.inject(found)
    return {name.upper(): value for name, value in found.items() if name in {"traceparent", "tracestate"}}


def _set_up(provider: Any) -> None:
    """Let the SDK configure itself, unless whoever started this program has done so."""
    try:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
    except ImportError:
        raise ConfigError(MISSING) from None
    if isinstance(provider, TracerProvider):
        return
    given = os.environ.get(RESOURCE, "")
    wanted = {**DEFAULTS, **os.environ}
    if INSTANCE not in given:  # the processes of one run count for themselves, and must not be taken for one
        wanted[RESOURCE] = ",".join(filter(None, [given, f"{INSTANCE}={uuid.uuid4()}"]))
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        set_up: Any = getattr(import_module(SET_UP), "_OTelSDKConfigurator")  # noqa: B009 - what every distribution calls
        set_up().configure()
    except (
        RuntimeError,
        ValueError,
    ) as error:  # an exporter that is not installed, a value that makes no sense
        raise ConfigError(f"the OTEL_* variables: {error}; {MISSING}") from error
    finally:  # other programs that this one starts have their own
        for name in set(wanted) - set(before):
            del os.environ[name]
        os.environ.update(before)


def _finish(*providers: Any) -> bool:
    """Send what is left, within bounds; say whether it took longer."""
    ends = [one.shutdown for one in providers if hasattr(one, "shutdown")]
    threads = [threading.Thread(target=end, name="connectory-telemetry", daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return any(thread.is_alive() for thread in threads)


class _Problems(logging.Handler):
    """Hears what OpenTelemetry has to say, and passes on the first of it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell, self.told = tell, False

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it, once."""
        if not self.told:
            self.told = True
            text = record.getMessage()
            self._tell(f"telemetry: {text if len(text) <= LONGEST else text[:LONGEST] + '...'}")
