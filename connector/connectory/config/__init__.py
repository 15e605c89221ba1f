"""The configuration: one YAML or JSON file as one validated, frozen tree, every problem at once."""

from __future__ import annotations

from connectory.config.checks import check_against
from connectory.config.clients import (
    CertificateConfig,
    ClientConfig,
    LimitsConfig,
    RetryConfig,
    TimeoutConfig,
)
from connectory.config.connections import RequestParameters, WebhookConfig
from connectory.config.document import Place
from connectory.config.incoming import IncomingConfig, IncomingRequest, IncrementalConfig, PagesConfig
from connectory.config.input import (
    CsvInput,
    FilesInput,
    InputForm,
    SqlInput,
    SqlOutput,
    UsedInput,
    UsedOutput,
    is_csv,
    parse_input,
)
from connectory.config.loader import config_from_dict, examine, lint, lint_warnings, load_config, one_client
from connectory.config.model import OutgoingConfig, OutgoingRequest
from connectory.config.prices import PriceConfig, PricesConfig
from connectory.config.schema import config_schema
from connectory.config.steps import StepConfig, parse_step
from connectory.config.tests import ExpectedRequest, MappingTest, OutgoingTest, tests_of
from connectory.config.tree import Config, Unset

__all__ = [
    "CertificateConfig",
    "ClientConfig",
    "Config",
    "CsvInput",
    "ExpectedRequest",
    "FilesInput",
    "IncomingConfig",
    "IncomingRequest",
    "IncrementalConfig",
    "InputForm",
    "LimitsConfig",
    "MappingTest",
    "OutgoingConfig",
    "OutgoingRequest",
    "OutgoingTest",
    "PagesConfig",
    "Place",
    "PriceConfig",
    "PricesConfig",
    "RequestParameters",
    "RetryConfig",
    "SqlInput",
    "SqlOutput",
    "StepConfig",
    "TimeoutConfig",
    "Unset",
    "UsedInput",
    "UsedOutput",
    "WebhookConfig",
    "check_against",
    "config_from_dict",
    "config_schema",
    "examine",
    "is_csv",
    "lint",
    "lint_warnings",
    "load_config",
    "one_client",
    "parse_input",
    "parse_step",
    "tests_of",
]
