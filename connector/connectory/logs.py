"""Events and everything else that goes to the logger `connectory`; no secret passes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from connectory.events import BatchChanged, Held, Noticed, RequestRetried, StateChanged
from connectory.redaction import LogFilter

if TYPE_CHECKING:
    from connectory.events import Event

logger = logging.getLogger("connectory")
logger.addFilter(LogFilter())

transformers_logger = logging.getLogger("connectory.transformers")
transformers_logger.addFilter(LogFilter())  # a filter is asked for the logger's own lines only


def log_event(event: Event) -> None:
    """Hand events to the logger `connectory`: the default listener."""
    match event:
        case Noticed(message):
            logger.warning(message)
        case Held(wait, reason):
            logger.info("all requests wait for %.1f s: %s", wait, reason)
        case StateChanged(connection, _, name, item, state):
            logger.info("%s: %s of record %r is %s", connection, item, name, state)
        case BatchChanged(connection, part, batch, state, total, completed, failed):
            logger.info(
                "%s: part %d, batch %s: %s, %d of %d done, %d failed",
                connection,
                part,
                batch,
                state,
                completed,
                total,
                failed,
            )
        case RequestRetried(what, attempt, wait, reason, held=False):
            logger.info("%s: attempt %d failed, next in %.1f s: %s", what, attempt, wait, reason)
        case _:
            pass
