"""A connector in front of an embedded sandbox: a configuration is tested as it is, without a key."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connectory.assembly import Endpoint
from connectory.blocking import Connector
from connectory.catalogue import Catalogue
from connectory.config import config_from_dict, load_config
from connectory.sandbox import EmbeddedSandbox

if TYPE_CHECKING:
    from pathlib import Path


@contextmanager
def sandboxed(
    config: str | Path | Mapping[str, Any] = "connectory.yaml", **options: Any
) -> Generator[Connector]:
    """Give a connector for a configuration, a file or data, whose clients all speak to a sandbox of its own.

    The options are the sandbox's: `faults`, `seed`, `clock`.
    """
    loaded = config_from_dict(config) if isinstance(config, Mapping) else load_config(config)
    catalogue = Catalogue.load(*(loaded.file(name) for name in loaded.catalogue))
    with EmbeddedSandbox(catalogue=catalogue, **options) as server:
        endpoint = Endpoint(server.token, server.base_uri.removesuffix("/v1"))
        with Connector(loaded, catalogue=catalogue, endpoint=endpoint) as connector:
            yield connector
