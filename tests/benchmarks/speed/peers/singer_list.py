"""A tap of singer-sdk: its records on stdout, as Singer messages.

singer_list.py ORIGIN OUTPUT
"""

from __future__ import annotations

import os
import sys

ORIGIN, TARGET = sys.argv[1:]
os.dup2(os.open(TARGET, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)

from singer_sdk import RESTStream, Tap  # noqa: E402 - stdout is set up first
from singer_sdk import typing as th  # noqa: E402 - the same
from singer_sdk.pagination import JSONPathPaginator  # noqa: E402 - the same


class Files(RESTStream):
    name = "files"
    path = "/v1/files"
    url_base = ORIGIN
    primary_keys = ("id",)
    records_jsonpath = "$.data[*]"
    schema = th.PropertiesList(
        th.Property("id", th.StringType),
        th.Property("object", th.StringType),
        th.Property("bytes", th.IntegerType),
        th.Property("created_at", th.IntegerType),
        th.Property("filename", th.StringType),
        th.Property("purpose", th.StringType),
        th.Property("status", th.StringType),
    ).to_dict()

    @property
    def http_headers(self):
        return {**super().http_headers, "Authorization": "Bearer made-up"}

    def get_new_paginator(self):
        return Pages("$.last_id")

    def get_url_params(self, context, next_page_token):
        return {"limit": 100, **({"after": next_page_token} if next_page_token else {})}


class Pages(JSONPathPaginator):
    def has_more(self, response):
        return response.json()["has_more"]


class FilesTap(Tap):
    name = "tap-files"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [Files(self)]


if __name__ == "__main__":
    FilesTap(config={}).sync_all()
