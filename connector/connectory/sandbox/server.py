"""The sandbox as a server: blocking for the command line, or embedded in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import uvicorn

    from connectory.catalogue import Catalogue

LOOPBACK = "127.0.0.1"
_NEEDED = ("starlette", "uvicorn", "python_multipart")
_PATIENCE = 10.0


def serve(
    host: str,
    port: int,
    *,
    catalogue: Catalogue | None = None,
    token: str | None = None,
    allow_anonymous: bool = False,
    faults: Mapping[str, float] | None = None,
    seed: int = 0,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted; port 0 takes a free one. `started` hears the base URI once the port is bound.

    Raises ConfigError where the port cannot be had, and KeyboardInterrupt at the end.
    """
    server = _server(catalogue, token=token, allow_anonymous=allow_anonymous, faults=faults, seed=seed)
    listening = _listen(host, port)
    with listening:
        if started is not None:
            started(_base_uri(listening))
        server.run([listening])


class EmbeddedSandbox:
    """A sandbox on a free loopback port for as long as the block lasts.

    `faults` names what goes wrong and how often, as in `{"429": 0.1, "drop": 0.01}`; `seed` decides when. `clock`, in
    epoch seconds, says when items are made.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue | None = None,
        token: str = "sandbox-token",  # noqa: S107 - it opens nothing but this sandbox
        allow_anonymous: bool = False,
        faults: Mapping[str, float] | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.base_uri = ""
        self._server = _server(
            catalogue, token=token, allow_anonymous=allow_anonymous, faults=faults, seed=seed, clock=clock
        )
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._socket = _listen(LOOPBACK, 0)
        self.base_uri = _base_uri(self._socket)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="connectory-sandbox", daemon=True
        )
        self._thread.start()
        give_up = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                self.__exit__()
                raise ConfigError(
                    f"starting the sandbox on {self.base_uri!r} failed: the server did not come up"
                )
            time.sleep(0.005)
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        if self._socket is not None:
            self._socket.close()


def _server(catalogue: Catalogue | None, **options: Any) -> uvicorn.Server:
    """Build the server; its logs stay silent but for errors, and open connections do not hold up its end."""
    if absent := [name for name in _NEEDED if find_spec(name) is None]:
        what = ", ".join(name.replace("_", "-") for name in absent)
        raise ConfigError(
            f"starting the sandbox: {what} is not installed; run pip install 'connectory[sandbox]'"
        )
    import uvicorn  # noqa: PLC0415 - an optional part: nothing of it loads until it is used

    from connectory.sandbox.app import create_app  # noqa: PLC0415 - the same

    return uvicorn.Server(
        uvicorn.Config(
            create_app(catalogue, **options),
            access_log=False,
            lifespan="off",
            log_config=None,
            log_level="error",
            server_header=False,
            timeout_graceful_shutdown=1,
            ws="none",
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        where = f"{host}:{port}"
        raise ConfigError(
            f"starting the sandbox on {where!r}: {error.strerror}; choose another port"
        ) from error


def _base_uri(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
