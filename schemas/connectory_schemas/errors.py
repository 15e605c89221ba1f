"""What can go wrong while a catalogue is made."""

from __future__ import annotations


class GenerateError(ValueError):
    """The document cannot be made into a catalogue."""


class SchemaError(GenerateError):
    """A schema that cannot be converted."""


class OverlayError(GenerateError):
    """A rule that applies to nothing, or that names what does not exist."""


class SdkError(GenerateError):
    """A client library that cannot be read, or not the one that is wanted."""
