"""What `doctor` looks at on this machine: one finding for each thing that runs have failed for."""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import stat
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from connectory.cli.outcome import CONFIGURATION, CREDENTIALS, UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.config import ClientConfig, Config

State = Literal["ok", "warn", "fail"]
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_PACKAGE = "connectory"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*?(?:extra == ['\"]([^'\"]+)['\"])?$")
_LITTLE_DISK, _NO_DISK = 1_000_000_000, 50_000_000
_OURS = ("CONNECTORY_CONFIG", "CONNECTORY_ALLOW_COMMANDS")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, what to do about it, and the exit code where it has failed."""

    what: str
    state: State
    text: str
    do: str = ""
    code: int = 0


def machine() -> Iterator[Finding]:
    """Look at Python, at what is installed, and at how text leaves this process."""
    system = f"{platform.system()} {platform.machine()}"
    yield Finding(
        "python", "ok", f"{platform.python_version()} ({platform.python_implementation()}), {system}"
    )
    yield from _installed()
    yield from _encoding()


def _installed() -> Iterator[Finding]:
    try:
        version, lines = metadata.version(_PACKAGE), metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        text = "is imported from a folder and not installed: which packages it needs is not known"
        yield Finding(_PACKAGE, "warn", text, "pip install connectory")
        return
    yield Finding(_PACKAGE, "ok", version)
    groups: dict[str, dict[str, str | None]] = {}
    for line in lines:
        found = _REQUIREMENT.match(line)
        if found:
            groups.setdefault(found[2] or "", {})[found[1]] = _version(found[1])
    for extra, packages in groups.items():
        missing = [name for name, version in packages.items() if version is None]
        there = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
        if not extra:
            again = f"pip install --force-reinstall {_PACKAGE}"
            text = there + (f"; missing: {', '.join(missing)}" if missing else "")
            yield Finding(
                "packages", "fail" if missing else "ok", text, again if missing else "", CONFIGURATION
            )
        else:
            install = f"pip install '{_PACKAGE}[{extra}]'"
            text = (
                there
                if not missing
                else f"not installed ({', '.join(missing)}); where it is wanted: {install}"
            )
            yield Finding(f"extra {extra}", "ok", text)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _encoding() -> Iterator[Finding]:
    found = {name: str(getattr(stream, "encoding", "")).lower() for name, stream in _streams()}
    text = ", ".join(f"{name} {encoding}" for name, encoding in found.items())
    text += f", files {sys.getfilesystemencoding()}"
    other = [name for name, encoding in found.items() if encoding.replace("-", "") not in {"utf8", ""}]
    if other:
        yield Finding(
            "encoding", "warn", f"{text}: some characters are written as escapes", "export PYTHONUTF8=1"
        )
    else:
        yield Finding("encoding", "ok", text)


def _streams() -> Iterator[tuple[str, Any]]:
    yield from (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr))


def variables(config: Config | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at every variable that the configuration names, and at our own: set or not, and never at what it holds."""
    from connectory.config.environment import references

    named: dict[str, list[str | None]] = {}
    for _, name, default in references(config.source) if config is not None else ():
        named.setdefault(name, []).append(default)
    for name, defaults in named.items():
        value = environ.get(name)
        if value:
            yield Finding(f"${name}", "ok", "is set")
        elif None not in defaults:
            yield Finding(f"${name}", "ok", "is not set: its default stands for it")
        elif value == "":
            yield Finding(f"${name}", "warn", "is set to nothing", f"export {name}=...")
        else:
            yield Finding(f"${name}", "warn", "is not set; what needs it cannot send", f"export {name}=...")
    for name in _OURS:
        if name in environ and name not in named:
            yield Finding(f"${name}", "ok", "is set")


def clients(config: Config, environ: Mapping[str, str], *, only: str | None = None) -> Iterator[Finding]:
    """Look at what each client, or only one, needs of this machine: its token, its way, its certificates."""
    for name, client in config.clients.items():
        if only not in (None, name):
            continue
        yield from _token(config, name, client, environ)
        yield _way(name, client, environ)
        yield from _certificates(config, name, client)


def _token(config: Config, name: str, client: ClientConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    what = f"client {name}: token"
    if client.token_command is not None:
        if environ.get("CONNECTORY_ALLOW_COMMANDS") == "1":
            yield Finding(what, "ok", "from a command")
        else:
            text = "comes from a command, and commands are not allowed here"
            yield Finding(what, "fail", text, "export CONNECTORY_ALLOW_COMMANDS=1", CONFIGURATION)
    elif client.token_file is not None:
        yield _token_file(what, config.file(client.token_file))
    elif client.token is None and client.prototype != "openai-compatible":
        text = f"there is none, and {client.prototype} wants one"
        yield Finding(what, "warn", text, "connectory config show --origin")


def _token_file(what: str, file: Path) -> Finding:
    try:
        mode, empty = file.stat().st_mode, not file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", "") or "it is no text").lower()
        return Finding(what, "fail", f"{file} cannot be read: {reason}", code=CREDENTIALS)
    if empty:
        return Finding(what, "fail", f"{file} is empty", code=CREDENTIALS)
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        return Finding(what, "warn", f"{file} can be read by others", f"chmod 600 {file}")
    return Finding(what, "ok", f"from {file}")


def proxies(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Tell which proxies the environment names; no client takes one from there by itself."""
    found = _proxies(environ)
    if not found:
        yield Finding("proxies", "ok", "the environment names none")
        return
    told = ", ".join(f"{name} is {_host(value)}" for name, value in found.items())
    text = f"{told}; a client uses a proxy only where its 'proxy' says so"
    yield Finding("proxies", "ok", text)


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    both = [(name, environ.get(name) or environ.get(name.lower())) for name in PROXIES]
    return {name: value for name, value in both if value}


def _host(uri: str) -> str:
    """Give host and port, without the user and the password."""
    try:
        parts = urlsplit(uri if "//" in uri else f"//{uri}")
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        return "not a URI"


def _way(name: str, client: ClientConfig, environ: Mapping[str, str]) -> Finding:
    what = f"client {name}: way"
    if client.proxy:
        return Finding(what, "ok", f"through the proxy {_host(client.proxy)}")
    uri = urlsplit(client.base_uri or "https://api.openai.com")
    host, scheme = uri.hostname or "", uri.scheme or "https"
    found = _proxies(environ)
    wanted = next((one for one in (f"{scheme.upper()}_PROXY", "ALL_PROXY") if one in found), None)
    if wanted is None or host in {"localhost", "127.0.0.1", "::1"} or _needs_none(host, environ):
        return Finding(what, "ok", f"straight to {host}")
    text = f'straight to {host}, although {wanted} is set; write proxy: "${{{wanted}}}" if it should go there'
    return Finding(what, "warn", text, "connectory config show --origin")


def _needs_none(host: str, environ: Mapping[str, str]) -> bool:
    """Say whether NO_PROXY names a host, or a domain that it is in."""
    names = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").lower().split(",")
    bare = {name.strip().lstrip(".").partition(":")[0] for name in names} - {""}
    return any(one in ("*", host) or host.endswith(f".{one}") for one in bare)


def authorities(environ: Mapping[str, str]) -> Finding:
    """Look at the authorities whose certificates are trusted where a client names none."""
    paths = ssl.get_default_verify_paths()
    try:
        count = ssl.create_default_context().cert_store_stats()["x509_ca"]
    except (OSError, ssl.SSLError) as error:
        text = f"cannot be read: {error.strerror or error}"
        return Finding("authorities", "fail", text, "connectory doctor", CONFIGURATION)
    where = paths.cafile or paths.capath or paths.openssl_cafile
    named = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if environ.get(name)]
    told = f"{where}{f' (by {named[0]})' if named else ''}"
    if count:
        return Finding("authorities", "ok", f"{count} from {told}")
    folder = Path(paths.capath or paths.openssl_capath)
    if folder.is_dir() and any(folder.iterdir()):
        return Finding("authorities", "ok", f"those of {folder}")
    text = f"there are none at {told}: no https:// server can be trusted; install ca-certificates, or set ca_file"
    return Finding("authorities", "fail", text, "export SSL_CERT_FILE=...", CONFIGURATION)


def _certificates(config: Config, name: str, client: ClientConfig) -> Iterator[Finding]:
    if client.ca_file:
        file = config.file(client.ca_file)
        try:
            count = ssl.create_default_context(cafile=str(file)).cert_store_stats()["x509_ca"]
            yield Finding(f"client {name}: ca_file", "ok", f"{count} authorities in {file}")
        except OSError as error:
            text = f"{file}: {(error.strerror or str(error)).lower()}"
            yield Finding(f"client {name}: ca_file", "fail", text, code=CONFIGURATION)
    if client.certificate_files is not None:
        certificate, key = (config.file(one) if one else None for one in client.certificate_files)
        what = f"client {name}: client_certificate"
        try:
            ssl.create_default_context().load_cert_chain(
                str(certificate), str(key) if key else None, password=""
            )
            yield Finding(what, "ok", str(certificate))
        except OSError as error:
            text = f"{certificate}: {(error.strerror or str(error)).lower()}"
            yield Finding(what, "fail", text, code=CONFIGURATION)


def journal(folder: Path) -> Iterator[Finding]:
    """Look whether runs can be remembered: whether the folder takes files, and how much more."""
    above = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        if not above.is_dir():
            raise NotADirectoryError(20, "Not a directory")
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        text = f"{folder} cannot be written: {(error.strerror or str(error)).lower()}"
        yield Finding("journal", "fail", text, code=UNAVAILABLE)
        return
    yield Finding("journal", "ok", f"{folder}{'' if folder.exists() else ' (made by the first run)'}")
    free = shutil.disk_usage(above).free
    state: State = "fail" if free < _NO_DISK else "warn" if free < _LITTLE_DISK else "ok"
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free", code=UNAVAILABLE if state == "fail" else 0)
