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
from connectory.config.connections import OutputForm, RequestParameters, WebhookConfig
from connectory.config.document import Place
from connectory.config.effective import Effective, effective
from connectory.config.incoming import IncomingConfig, IncomingRequest, IncrementalConfig, PagesConfig
from connectory.config.input import (
    CsvInput,
    FilesInput,
    InputForm,
    ParquetInput,
    SqlInput,
    SqlOutput,
    TableOutput,
    UsedInput,
    UsedOutput,
    is_csv,
    is_parquet,
    parse_input,
)
from connectory.config.loader import (
    config_from_dict,
    examine,
    lint,
    lint_warnings,
    load_config,
    one_client,
    read_text,
)
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
    "Effective",
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
    "OutputForm",
    "PagesConfig",
    "ParquetInput",
    "Place",
    "PriceConfig",
    "PricesConfig",
    "RequestParameters",
    "RetryConfig",
    "SqlInput",
    "SqlOutput",
    "StepConfig",
    "TableOutput",
    "TimeoutConfig",
    "Unset",
    "UsedInput",
    "UsedOutput",
    "WebhookConfig",
    "check_against",
    "config_from_dict",
    "config_schema",
    "effective",
    "examine",
    "is_csv",
    "is_parquet",
    "lint",
    "lint_warnings",
    "load_config",
    "one_client",
    "parse_input",
    "parse_step",
    "read_text",
    "tests_of",
]
