"""The sandbox: a local server that answers like the API, for tests and first steps without a key."""

from connectory.sandbox.server import EmbeddedSandbox, serve

__all__ = ["EmbeddedSandbox", "serve"]
