"""How the sandbox says no: a status and the API's error envelope."""

from __future__ import annotations

from typing import Any

TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_exceeded"}
MESSAGES = {
    400: "the request is not valid",
    401: "the token is not valid",
    403: "the token may not do this",
    404: "there is no such object",
    409: "the object is being changed by another request",
    422: "the request cannot be processed",
    429: "too many requests",
    500: "the server had an error",
    503: "the server is overloaded",
}
QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}


class RefusedError(Exception):
    """This request is answered with an error."""

    def __init__(
        self, status: int, message: str = "", *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.message = message or MESSAGES.get(status, f"status {status}")

    @property
    def envelope(self) -> dict[str, Any]:
        """Give the body of the answer."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")  # noqa: PLR2004 - the HTTP class
        if self.code in QUOTA_CODES:
            kind = "insufficient_quota"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Give the headers that belong to this status."""
        waits = self.status in {429, 503} and self.code not in QUOTA_CODES
        return {"retry-after": "1"} if waits else {}


def fault(text: str) -> RefusedError:
    """Read the header that orders an error: `STATUS` or `STATUS:CODE`."""
    status, _, code = text.partition(":")
    if not status.strip().isdigit() or not 400 <= int(status) <= 599:  # noqa: PLR2004 - the range of HTTP errors
        message = f"x-sandbox-fault wants STATUS, STATUS:CODE or the name of a fault, not {text!r}"
        return RefusedError(400, message)
    defaults = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
    return RefusedError(int(status), code=code.strip() or defaults.get(int(status)))
