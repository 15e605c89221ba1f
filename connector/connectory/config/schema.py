"""The JSON Schema of the configuration, for editors: made from the models, the catalogue and the transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from connectory.config.admitting import ENVIRONMENT, admit
from connectory.config.model import ConfigModel
from connectory.config.offering import offer_steps
from connectory.config.targets import target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from connectory.catalogue import Catalogue
    from connectory.config.admitting import Schema
    from connectory.plugins import Listed

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def config_schema(
    catalogue: Catalogue, transformers: Iterable[Listed] = (), chains: Collection[str] = ()
) -> dict[str, Any]:
    """Give the schema, the same for the same catalogue, transformers and names of `chains`.

    It never calls wrong what `lint` lets pass, as long as all that the configuration names is in them.
    """
    raw = ConfigModel.model_json_schema(mode="validation")
    models = cast("dict[str, Schema]", raw.pop("$defs"))
    definitions = {name: admit(one, models) for name, one in models.items()}
    schema: Schema = {
        "$schema": _DRAFT,
        **admit(raw, models),
        "title": "Connectory configuration",
        "$defs": definitions,
    }
    # `transformer` is another name of `input_transformers`; the model knows it, its schema does not
    incoming = definitions["IncomingConfig"]["properties"]
    incoming["transformer"] = {
        **incoming["input_transformers"],
        "description": "Another name for input_transformers (default: none)",
    }
    _only(definitions["OutgoingConfig"]["properties"]["dialect"], sorted(catalogue.dialects))
    _only(definitions["ClientConfig"]["properties"]["prototype"], sorted(catalogue.prototypes))
    offer_steps(definitions, list(transformers), chains)
    target(schema, catalogue)
    return schema


def _only(described: Schema, names: list[str]) -> None:
    """Let one of these names stand there, and nothing else."""
    described.pop("type", None)
    described.pop("minLength", None)
    rest = [one for one in described.get("anyOf", []) if one.get("type") != "string"]
    described["anyOf"] = [{"enum": names}, ENVIRONMENT, *rest]
