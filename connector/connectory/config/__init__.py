"""The configuration: one YAML or JSON file as one validated, frozen tree, every problem at once."""

from __future__ import annotations

from connectory.config.checks import check_against
from connectory.config.clients import (
    ClientConfig,
)
from connectory.config.connections import OutputForm, WebhookConfig
from connectory.config.effective import Effective, effective
from connectory.config.incoming import IncomingConfig, IncrementalConfig
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
from connectory.config.model import OutgoingConfig
from connectory.config.schema import config_schema
from connectory.config.steps import StepConfig, parse_step
from connectory.config.tests import MappingTest, OutgoingTest, tests_of
from connectory.config.tree import Config

__all__ = [
    "ClientConfig",
    "Config",
    "CsvInput",
    "Effective",
    "FilesInput",
    "IncomingConfig",
    "IncrementalConfig",
    "InputForm",
    "MappingTest",
    "OutgoingConfig",
    "OutgoingTest",
    "OutputForm",
    "ParquetInput",
    "SqlInput",
    "SqlOutput",
    "StepConfig",
    "TableOutput",
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
