"""The entity catalogue as data, and the generator that makes it from an OpenAPI document."""
