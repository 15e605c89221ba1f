"""What an option takes, as JSON Schema: never less than what the check of the option lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from pydantic import TypeAdapter

A_STEP = {"$comment": "a step of a chain"}
"""Stands for the schema of a step, which only the configuration knows."""

_INTEGER = r"^\s*[+-]?[0-9_]+(\.0*)?\s*$"
_NUMBER = r"^\s*[+-]?([0-9_.]+([eE][+-]?[0-9]+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN])\s*$"
_TRUTH = r"^\s*([01tTfFyYnN]|[oO][nN]|[oO][fF][fF]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[yY][eE][sS]|[nN][oO])\s*$"
_BUT_TRUTH = {"not": {"type": ["string", "number", "object", "array", "null"]}}


def schema_of(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """Describe what the adapter takes; `{}` where that is code, or cannot be said."""
    try:
        return adapter.json_schema(schema_generator=_Taken)
    except PydanticInvalidForJsonSchema:
        return {}


_UNSAID = frozenset(
    [
        *(
            "function-before",
            "function-wrap",
            "json-or-python",
            "lax-or-strict",
            "arguments",
            "call",
            "named-tuple",
        ),
        *(
            "date",
            "time",
            "datetime",
            "timedelta",
            "decimal",
            "bytes",
            "complex",
            "uuid",
            "url",
            "multi-host-url",
            "json",
        ),
    ]
)
"""Kinds of pydantic's that take more than JSON Schema can say."""


def _anything(_schema: Any) -> dict[str, Any]:
    return {}


class _Taken(GenerateJsonSchema):
    """Knows what pydantic turns into the wanted type: the text '5' is taken where a whole number is.

    What a function sees before it is checked may be anything, and so may what is written as text and read into an
    object, such as a date.
    """

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own attribute

    def build_schema_type_to_method(self) -> dict[Any, Any]:
        """Let anything stand for what cannot be said."""
        made = super().build_schema_type_to_method()
        return {kind: _anything if kind in _UNSAID else method for kind, method in made.items()}

    def int_schema(self, schema: Any) -> dict[str, Any]:
        return {"anyOf": [super().int_schema(schema), {"type": "string", "pattern": _INTEGER}, _BUT_TRUTH]}

    def float_schema(self, schema: Any) -> dict[str, Any]:
        return {"anyOf": [super().float_schema(schema), {"type": "string", "pattern": _NUMBER}, _BUT_TRUTH]}

    def bool_schema(self, schema: Any) -> dict[str, Any]:
        numbers = {
            "not": {"type": ["string", "boolean", "object", "array", "null"]},
            "minimum": 0,
            "maximum": 1,
        }
        return {"anyOf": [super().bool_schema(schema), {"type": "string", "pattern": _TRUTH}, numbers]}

    def str_schema(self, schema: Any) -> dict[str, Any]:
        """Keep what JSON Schema sees as pydantic does: its patterns are of another dialect, and it may strip blanks."""
        if schema.get("coerce_numbers_to_str"):
            return {}
        return {"type": "string", **({"minLength": schema["min_length"]} if schema.get("min_length") else {})}

    def set_schema(self, schema: Any) -> dict[str, Any]:
        """Let the same item stand twice: it is taken once."""
        made = super().set_schema(schema)
        return {
            key: value for key, value in made.items() if key not in {"uniqueItems", "minItems", "maxItems"}
        }

    frozenset_schema = set_schema

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        """Leave keys alone: they are checked as texts that are read."""
        made = super().dict_schema(schema)
        below = next(iter(made.pop("patternProperties", {}).values()), None)
        made.pop("propertyNames", None)
        return made if below is None else {**made, "additionalProperties": below}

    def literal_schema(self, schema: Any) -> dict[str, Any]:
        """Let any number and truth value stand beside those that are named: 1 is taken for true."""
        made = super().literal_schema(schema)
        if all(isinstance(one, str) for one in schema["expected"]):
            return made
        return {"anyOf": [made, {"not": {"type": ["string", "object", "array", "null"]}}]}

    def enum_schema(self, schema: Any) -> dict[str, Any]:
        made = super().enum_schema(schema)
        return made if all(isinstance(one, str) for one in made["enum"]) and not schema.get("missing") else {}

    def tagged_union_schema(self, schema: Any) -> dict[str, Any]:
        return {"anyOf": super().tagged_union_schema(schema)["oneOf"]}

    def model_fields_schema(self, schema: Any) -> dict[str, Any]:
        return self._named(schema) or super().model_fields_schema(schema)

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        return self._named(schema) or super().typed_dict_schema(schema)

    def dataclass_args_schema(self, schema: Any) -> dict[str, Any]:
        return self._named(schema) or super().dataclass_args_schema(schema)

    @staticmethod
    def _named(schema: Any) -> dict[str, Any] | None:
        """Say little where a field has several names."""
        fields: dict[str, Any] | list[Any] = schema["fields"]
        every = list(fields.values()) if isinstance(fields, dict) else fields
        return {"type": "object"} if any(one.get("validation_alias") is not None for one in every) else None

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:  # noqa: ARG002 - pydantic's signature
        return {}
