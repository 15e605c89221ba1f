"""A client's configuration and its prototype, resolved to what a client needs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from connectory.auth import Credential
from connectory.errors import ConfigError, UnknownNameError
from connectory.pace.lanes import Limits
from connectory.requests.building import ClientOptions
from connectory.retry import Policy
from connectory.transport import Transport

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from connectory.catalogue import Catalogue, Prototype
    from connectory.config import ClientConfig, Config

_CREDENTIALS = frozenset({"token", "token_file", "token_command", "admin_token"})
_OWN_SERVER = frozenset(
    {"organization", "project", "base_uri", "headers", "proxy", "ca_file", "client_certificate"}
)
"""Keys of a client that matter only for its own server."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where every client is pointed instead of its own server, and with which token: the sandbox.

    Without an origin the clients keep their servers, and only their credentials are not looked at: a preview.
    """

    token: str = field(repr=False)
    origin: str | None = None

    @property
    def ignored(self) -> frozenset[str]:
        """The keys of a client that do not matter with this endpoint."""
        return _CREDENTIALS if self.origin is None else _CREDENTIALS | _OWN_SERVER


class Clients:
    """Resolves the clients of a configuration. Raises ConfigError, with file and line, for what does not fit."""

    def __init__(self, config: Config, catalogue: Catalogue, *, endpoint: Endpoint | None = None) -> None:
        self.config, self.catalogue, self.endpoint = config, catalogue, endpoint

    def name(self, wanted: str | None = None) -> str:
        """Give the client that a connection uses: the named one, the only one, or `default`."""
        if wanted is None:
            return self.config.client_name()
        if wanted not in self.config.clients:
            raise UnknownNameError("client", wanted, self.config.clients)
        return wanted

    def options(self, name: str) -> ClientOptions:
        """Resolve a client; the token itself is read at the first request."""
        settings = self.config.clients[name]
        self.config.require(("clients", name), ignore=self.endpoint.ignored if self.endpoint else ())
        prototype = self.catalogue.prototypes[settings.prototype]
        return ClientOptions(
            name=name,
            base_uri=self._base_uri(name, settings, prototype),
            prototype=prototype,
            credential=self._credential(settings, prototype, settings.token),
            admin_credential=self._admin_credential(settings, prototype),
            headers=self._headers(name, settings, prototype),
            query={**prototype.query, **settings.query},
            deployments=settings.deployments,
            connect_timeout=settings.timeout.connect,
            idle_timeout=settings.timeout.idle,
            total_timeout=settings.timeout.total,
            policy=Policy(settings.retry.attempts, settings.retry.max_wait, settings.retry.outage),
            limits=_limits(settings),
            redactor=self.config.redactor,
        )

    def base_uris(self, name: str) -> tuple[str, ...]:
        """Give the base URIs by which a client's server may be called: the configured one, and the sandbox's."""
        settings = self.config.clients[name]
        prototype = self.catalogue.prototypes[settings.prototype]
        effective = self._base_uri(name, settings, prototype)
        if self.endpoint is None or not (settings.base_uri or prototype.base_uri):
            return (effective,)
        return (effective, *Clients(self.config, self.catalogue).base_uris(name))

    def transport(self, name: str) -> Transport:
        """Open the transport of a client: no connection is made before the first request."""
        settings = self.config.clients[name]
        return Transport(
            limit=most_at_once(settings),
            connect_timeout=settings.timeout.connect,
            idle_timeout=settings.timeout.idle,
            proxy=None if self.elsewhere else settings.proxy,
            ssl_context=None if self.elsewhere else self._ssl_context(name, settings),
        )

    @property
    def elsewhere(self) -> bool:
        """Say whether the clients are pointed to another server than their own."""
        return self.endpoint is not None and self.endpoint.origin is not None

    def _base_uri(self, name: str, settings: ClientConfig, prototype: Prototype) -> str:
        is_open = self.config.is_unset(("clients", name, "base_uri"))
        text = prototype.base_uri if is_open else settings.base_uri or prototype.base_uri
        if not text and not self.elsewhere:
            raise ConfigError(self.config.problem(("clients", name), f"client {name!r} needs a base_uri"))
        parts = urlsplit(text or "")
        path = parts.path.rstrip("/")
        if settings.path_prefix is not None:
            if "?" in settings.path_prefix or "#" in settings.path_prefix:
                message = f"'path_prefix' {settings.path_prefix!r} is no path; a query goes to 'query'"
                raise ConfigError(self.config.problem(("clients", name, "path_prefix"), message))
            path += "/" + settings.path_prefix.strip("/")
        elif not path:
            path = "/" + prototype.path_prefix.strip("/")
        path = path.rstrip("/")
        if self.endpoint is not None and self.endpoint.origin is not None:
            return self.endpoint.origin + path
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    def _credential(
        self, settings: ClientConfig, prototype: Prototype, token: SecretStr | None
    ) -> Credential:
        header, prefix = prototype.auth["header"], prototype.auth["prefix"]
        if self.endpoint is not None:
            return Credential(header, prefix, self.endpoint.token)
        return Credential(
            header,
            prefix,
            token.get_secret_value() if token else "",
            token_file=self._file(settings.token_file),
            token_command=settings.token_command,
        )

    def _admin_credential(self, settings: ClientConfig, prototype: Prototype) -> Credential | None:
        token = settings.admin_token.get_secret_value().strip() if settings.admin_token else ""
        if not token or self.endpoint is not None:
            return None
        return Credential(prototype.auth["header"], prototype.auth["prefix"], token)

    def _headers(self, name: str, settings: ClientConfig, prototype: Prototype) -> dict[str, str]:
        place = ("clients", name)
        identity = {
            prototype.organization_header: settings.organization,
            prototype.project_header: settings.project,
        }
        identity = {header: value for header, value in identity.items() if header and (value or "").strip()}
        merged = {
            header.lower(): (header, (value or "").strip())  # names differ in more than their case
            for part in (prototype.headers, identity, settings.headers)
            for header, value in part.items()
            if header
        }
        for header, value in merged.values():
            if not value.isascii():
                message = f"header {header!r} of client {name!r} has a character outside ASCII"
                raise ConfigError(self.config.problem(place, message))
        return dict(merged.values())

    def _ssl_context(self, name: str, settings: ClientConfig) -> ssl.SSLContext | None:
        if settings.ca_file is None and settings.certificate_files is None:
            return None
        place = ("clients", name)
        try:
            authorities = self._file(settings.ca_file)
            context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
            if settings.certificate_files is not None:
                certificate, key = (self._file(one) for one in settings.certificate_files)
                context.load_cert_chain(str(certificate), str(key) if key else None, password="")
        except OSError as error:  # ssl's own errors are OSErrors too
            reason = error.strerror or str(error)
            raise ConfigError(
                self.config.problem(place, f"ca_file or client_certificate: {reason}")
            ) from None
        return context

    def _file(self, name: str | None) -> Path | None:
        return self.config.file(name) if name else None


def most_at_once(settings: ClientConfig) -> int:
    """Give how many requests of a client may be under way at once."""
    return _limits(settings).most_at_once


def _limits(settings: ClientConfig) -> Limits:
    limits = settings.limits
    return Limits(limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency)
