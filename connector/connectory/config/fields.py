"""The kinds of value that the configuration's fields hold, with the checks that belong to the value alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    Tag,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

if TYPE_CHECKING:
    Json = Any  # the same words as everywhere in the engine, where a JSON value is Any
else:
    Json = JsonValue

T = TypeVar("T")
Method = Literal["GET", "POST", "DELETE", "PUT", "PATCH"]
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LENGTH = re.compile(r"\s*\d{1,9}\s*[smhdw]\s*")
_SHORT = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s)\s*")
_NAME = re.compile(r"[^\s/\\\x00-\x1f\x7f]+")


class Section(BaseModel):
    """What all parts of the configuration have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def wrong(message: str) -> PydanticCustomError:
    """Make an error whose message is the rest of a sentence that begins with the field's name."""
    return PydanticCustomError("connectory", "{message}", {"message": message})


def nothing() -> Mapping[str, Any]:
    """Give an empty map that cannot change."""
    return MappingProxyType({})


def freeze(values: Mapping[str, T]) -> Mapping[str, T]:
    """Give a view of a map through which it cannot be changed."""
    return MappingProxyType(values)


class Instead:
    """Reads what stands for a value, in front of its own check; `also` tells an editor what that may be."""

    def __init__(self, read: Callable[[Any], Any], *also: dict[str, Any]) -> None:
        self._read, self._also = read, also

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(core), *self._also]}


def shape(value: Any) -> str:
    """Say which branch of a union a value belongs to."""
    if isinstance(value, dict):
        return "<mapping>"
    return "<list>" if isinstance(value, (list, tuple)) else "<text>"


def _template_shape(value: Any) -> str:
    return "<mapping>" if value == [] else shape(value)


def _empty_map(value: Any) -> Any:
    # `[]` is how an empty map comes out of Alumio; a key with nothing after it means the same
    return {} if value is None or value in ([], {}) else value


def _empty_list(value: Any) -> Any:
    return () if value is None else value


def _empty_text(value: Any) -> Any:
    return None if value == "" else value


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise wrong(f"must be 1, not {str(value).lower()}")
    return value


def _truth(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise wrong("must be true, a list of fields or a mapping of new fields, not a number")
    return value


def _seconds(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise wrong("must be a number of seconds: no timeout can be infinite")
    return value


def _present(value: Any) -> Any:
    if value is None:
        raise wrong("must be a mapping of connect, idle and total: no timeout can be infinite")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or value.startswith("-"):
        raise wrong("is no name: a name has at least one character, no space, no slash and no '-' in front")
    return value


def _header_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise wrong("is no header's name: letters, digits and '-' make one")
    return value


def _header_value(value: str) -> str:
    if _CONTROL.search(value.strip()):
        raise wrong("has a line break or another control character, and a header can have none")
    return value


def _base_uri(value: str | None) -> str | None:
    if value is None or "${" in value:
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise wrong("is no URI; write something like https://api.openai.com/v1") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise wrong("must begin with https:// or http:// and a host")
    if parts.username is not None or parts.query or parts.fragment or _CONTROL.search(value):
        raise wrong("must be scheme, host and path only; a token goes to 'token', a query to 'query'")
    return value


def _relative_path(value: str) -> str:
    if not value.startswith("/") or value.startswith("//") or _CONTROL.search(value):
        raise wrong("must be a path that begins with one '/': the host is the client's")
    return value


def _webhook(value: str) -> str:
    if "${" in value:
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise wrong("is no URL; write something like https://hooks.example.com/results") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment or "@" in parts.netloc:
        raise wrong("must be a URL that begins with https:// or http:// and a host")
    if _CONTROL.search(value):
        raise wrong("has a control character in it")
    return value


def _max_dead(value: Any) -> Any:
    if isinstance(value, str):
        number = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", value.strip())
        if number is None or float(number[1]) > 100:  # noqa: PLR2004 - per cent
            raise wrong("must be a number of records or a share such as '5%'")
    elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise wrong("must be a number of records or a share such as '5%'")
    return value


def _short_wait(value: Any) -> Any:
    if isinstance(value, str) and (number := _SHORT.fullmatch(value)):
        return float(number[1]) / (1000 if number[2] == "ms" else 1)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong("must be a number of seconds, or a number with ms or s, such as 50ms")
    return float(value)


def _length(value: str) -> str:
    if not _LENGTH.fullmatch(value):
        raise wrong("must be a number and one of s, m, h, d, w, such as '2d'")
    return value


def _request_path(value: str) -> str:
    return value if value.startswith(("http://", "https://")) else _relative_path(value)


def at_least(count: int, message: str) -> tuple[AfterValidator, Any]:
    """Ask for a number of items, after each of them was found right, and tell an editor."""

    def check(values: tuple[T, ...]) -> tuple[T, ...]:
        if len(values) < count:
            raise wrong(message)
        return values

    return AfterValidator(check), Field(json_schema_extra={"minItems": count})


_SOME_CHECK, _SOME_SCHEMA = at_least(1, "must not be empty")
_TWO_CHECK, _TWO_SCHEMA = at_least(2, "needs at least two names: an incoming, then one or more outgoings")
_NULL: dict[str, Any] = {"type": "null"}
_NO_ITEMS: dict[str, Any] = {"type": "array", "maxItems": 0}
EmptyText = Instead(_empty_text, {"type": "string", "maxLength": 0})
EmptyMap = Instead(_empty_map, _NO_ITEMS, _NULL)
EmptyList = Instead(_empty_list, _NULL)
Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(strict=False), EmptyList]
SomeTexts = Annotated[tuple[Text, ...], Field(strict=False), _SOME_CHECK, _SOME_SCHEMA]
Methods = Annotated[tuple[Method, ...], Field(strict=False), _SOME_CHECK, _SOME_SCHEMA]
Route = Annotated[tuple[Text, ...], Field(strict=False), _TWO_CHECK, _TWO_SCHEMA]
OptionalText = Annotated[str | None, EmptyText]
HeaderText = Annotated[str | None, EmptyText, AfterValidator(lambda v: v and _header_value(v))]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
BaseUri = Annotated[str | None, EmptyText, AfterValidator(_base_uri)]
WebhookUrl = Annotated[str, AfterValidator(_webhook)]
Length = Annotated[str, AfterValidator(_length)]
RequestPath = Annotated[str, AfterValidator(_request_path)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False), BeforeValidator(_seconds)]
Wait = Annotated[float, Field(gt=0, le=30 * 86_400, allow_inf_nan=False), BeforeValidator(_seconds)]
ShortWait = Annotated[
    float,
    Field(ge=0, le=3600, allow_inf_nan=False),
    Instead(_short_wait, {"type": "string", "pattern": rf"^{_SHORT.pattern}$"}),
]
Present = BeforeValidator(_present)
NoTruth = BeforeValidator(_no_truth)
Truth = BeforeValidator(_truth)
Frozen = AfterValidator(freeze)
ByShape = Discriminator(shape)
ByTemplateShape = Discriminator(_template_shape)


def _auto(value: Any) -> Any:
    if value is None:
        raise wrong("must be a whole number or auto")
    return None if value == "auto" else value


def _on_or_map(value: Any) -> Any:
    if value is True or value == []:
        return {}
    return None if value is False else value


def _auto_schema(schema: dict[str, Any]) -> None:
    """Tell an editor that the word is `auto` where the model has None."""
    schema["anyOf"] = [one if one.get("type") != "null" else {"const": "auto"} for one in schema["anyOf"]]
    schema["default"] = "auto"


Auto = BeforeValidator(_auto)
AutoSchema = Field(json_schema_extra=_auto_schema)
OnOrMap = Instead(_on_or_map, {"type": "boolean"}, _NO_ITEMS)


JsonMap = Annotated[dict[str, Json], EmptyMap]
TextOrList = Annotated[Annotated[Text, Tag("<text>")] | Annotated[SomeTexts, Tag("<list>")], ByShape]
TextOrMap = Annotated[Annotated[Text, Tag("<text>")] | Annotated[JsonMap, Tag("<mapping>")], ByTemplateShape]
TextMap = Annotated[Mapping[str, str], EmptyMap, Frozen]
MaxDead = Annotated[
    int | str,
    BeforeValidator(_max_dead),
    Field(
        json_schema_extra={
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
            ]
        }
    ),
]
