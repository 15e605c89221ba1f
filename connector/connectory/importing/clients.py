"""HTTP clients of an export as clients of ours; no secret that stands in an export is ever copied."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connectory.importing.exported import as_list, as_map, first

if TYPE_CHECKING:
    from connectory.importing.exported import Exported
    from connectory.importing.report import Fate
    from connectory.record import Record

_OPENAI = "api.openai.com"
_REFERENCE = re.compile(r"(?:Bearer )?\$\{[A-Za-z_]\w*(?::-[^{}]*)?\}")
_NOT_NEEDED = frozenset({"enableLogging", "loggerFormatter", "advanced", "connection", "enableErrorHandling"})
_KNOWN = _NOT_NEEDED | {
    *("baseUri", "baseUrl", "base_uri", "uri", "url"),
    *("token", "apiKey", "api_key", "accessToken", "key"),
    *("organization", "organizationId", "organization_id"),
    *("plugins", "authentications", "errorHttpCodeRanges"),
}


def client_of(exported: Exported, fate: Fate) -> Record:
    """Make a client; `fate` hears what is left behind."""
    parameters = exported.parameters
    base = first(parameters, "baseUri", "baseUrl", "base_uri", "uri", "url")
    token = first(parameters, "token", "apiKey", "api_key", "accessToken", "key")
    headers: Record = {}
    for plugin in map(as_map, as_list(parameters.get("plugins"))):
        base = _plugin(plugin, base, headers, fate)
    for one in map(as_map, as_list(parameters.get("authentications"))):
        token = token or first(as_map(one.get("parameters")), "token", "apiKey", "accessToken", "password")
    openai = "openai" in exported.prototype or (isinstance(base, str) and urlsplit(base).hostname == _OPENAI)
    made = _server(exported, base, fate, openai=openai)
    if token is not None or openai:
        made["token"] = _kept(token, exported, "TOKEN", fate, openai=openai)
    organization = first(parameters, "organization", "organizationId", "organization_id")
    made |= {"organization": organization} if isinstance(organization, str) else {}
    made |= {"headers": headers} if headers else {}
    _tell_rest(parameters, fate)
    return made


def _server(exported: Exported, base: Any, fate: Fate, *, openai: bool) -> Record:
    made: Record = {"prototype": "openai" if openai else "openai-compatible"}
    if isinstance(base, str):
        made["base_uri"] = base
    elif not openai:
        made["base_uri"] = _variable(exported, "BASE_URI")
        fate.missing.append(f"it has no base URI; set {made['base_uri']}")
    return made


def _tell_rest(parameters: Record, fate: Fate) -> None:
    if "errorHttpCodeRanges" in parameters:
        fate.notes.append("errorHttpCodeRanges: every answer of 400 and more is an error of its record here")
    for key in sorted(parameters.keys() - _KNOWN):
        if parameters[key] not in (None, "", [], {}, False):
            fate.missing.append(f"the parameter {key!r}")


def _plugin(plugin: Record, base: Any, headers: Record, fate: Fate) -> Any:
    prototype, parameters = str(plugin.get("prototype")), as_map(plugin.get("parameters"))
    if prototype == "base-uri":
        return base or first(parameters, "baseUri", "uri", "base_uri")
    if prototype == "header-append":
        name, value = first(parameters, "name", "header", "key"), parameters.get("value")
        if isinstance(name, str) and isinstance(value, str) and _REFERENCE.fullmatch(value):
            headers[name] = value
        else:
            fate.missing.append(f"the header {name!r}: its value may be secret, write it yourself")
    elif prototype != "logger":
        fate.missing.append(f"the plugin {prototype!r}")
    return base


def _kept(value: Any, exported: Exported, suffix: str, fate: Fate, *, openai: bool) -> str:
    """Keep a reference to the environment; what may be the secret itself is not copied."""
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        return value
    variable = "${OPENAI_API_KEY}" if openai else _variable(exported, suffix)
    fate.notes.append(f"its {suffix.lower()} was not copied; put it into the environment as {variable}")
    return variable


def _variable(exported: Exported, suffix: str) -> str:
    return f"${{{re.sub(r'[^A-Z0-9]+', '_', exported.name.upper()).strip('_') or 'CLIENT'}_{suffix}}}"
