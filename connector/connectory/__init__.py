"""Connectory: move records between your systems and the OpenAI API by configuration.

This is the front door: every public name, and nothing else. Names load on first use, so that importing the package
costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectory.blocking import Connector
    from connectory.catalogue import Catalogue, Entity
    from connectory.chain import Chain
    from connectory.connector import AsyncConnector
    from connectory.cost.usage import Tally
    from connectory.errors import (
        ApiError,
        ConfigError,
        ConnectoryError,
        CredentialsError,
        ExpressionError,
        InputError,
        NotSentError,
        OutcomeUnknownError,
        RecordError,
        RequestError,
        RunStoppedError,
        SaveError,
        SetupError,
        TooLargeError,
        TransformerError,
        TransportError,
        UnavailableError,
        UnknownNameError,
        WorkError,
    )
    from connectory.expressions import Expression
    from connectory.interfaces import Context, Journal, Memory, Reader, Sink, Source
    from connectory.placeholders import Template
    from connectory.plugins import transformer
    from connectory.record import Record, Result
    from connectory.steps.fields import Field
    from connectory.steps.nearby import InFile, read_file
    from connectory.steps.patterns import Pattern
    from connectory.steps.schemas import Schema

_HOMES = {
    "ApiError": "errors",
    "AsyncConnector": "connector",
    "Catalogue": "catalogue",
    "Chain": "chain",
    "ConfigError": "errors",
    "Connector": "blocking",
    "ConnectoryError": "errors",
    "Context": "interfaces",
    "CredentialsError": "errors",
    "Entity": "catalogue",
    "Expression": "expressions",
    "ExpressionError": "errors",
    "Field": "steps.fields",
    "InFile": "steps.nearby",
    "InputError": "errors",
    "Journal": "interfaces",
    "Memory": "interfaces",
    "NotSentError": "errors",
    "OutcomeUnknownError": "errors",
    "Pattern": "steps.patterns",
    "Reader": "interfaces",
    "Record": "record",
    "RecordError": "errors",
    "RequestError": "errors",
    "Result": "record",
    "RunStoppedError": "errors",
    "SaveError": "errors",
    "Schema": "steps.schemas",
    "SetupError": "errors",
    "Sink": "interfaces",
    "Source": "interfaces",
    "Template": "placeholders",
    "TooLargeError": "errors",
    "Tally": "cost.usage",
    "TransformerError": "errors",
    "TransportError": "errors",
    "UnavailableError": "errors",
    "UnknownNameError": "errors",
    "WorkError": "errors",
    "read_file": "steps.nearby",
    "transformer": "plugins",
}

__all__ = [
    "ApiError",
    "AsyncConnector",
    "Catalogue",
    "Chain",
    "ConfigError",
    "Connector",
    "ConnectoryError",
    "Context",
    "CredentialsError",
    "Entity",
    "Expression",
    "ExpressionError",
    "Field",
    "InFile",
    "InputError",
    "Journal",
    "Memory",
    "NotSentError",
    "OutcomeUnknownError",
    "Pattern",
    "Reader",
    "Record",
    "RecordError",
    "RequestError",
    "Result",
    "RunStoppedError",
    "SaveError",
    "Schema",
    "SetupError",
    "Sink",
    "Source",
    "Tally",
    "Template",
    "TooLargeError",
    "TransformerError",
    "TransportError",
    "UnavailableError",
    "UnknownNameError",
    "WorkError",
    "read_file",
    "transformer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'connectory' has no attribute {name!r}")
    return getattr(import_module(f"connectory.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
