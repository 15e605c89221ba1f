"""dlt's REST source into a folder of JSON Lines.

dlt_rest.py ORIGIN OUTPUT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

OUT = Path(sys.argv[2]).absolute()
os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "DLT_DATA_DIR": str(OUT.parent / "dlt"),
}

import dlt  # noqa: E402 - it reads the environment as it is imported
from dlt.sources.rest_api import rest_api_source  # noqa: E402 - the same


def main():
    origin = sys.argv[1]
    pages = {"type": "cursor", "cursor_path": "last_id", "cursor_param": "after", "has_more_path": "has_more"}
    source = rest_api_source({
        "client": {
            "base_url": f"{origin}/v1/",
            "auth": {"type": "bearer", "token": "made-up"},
            "paginator": pages,
        },
        "resources": [
            {"name": "files", "endpoint": {"path": "files", "params": {"limit": 100}, "data_selector": "data"}}
        ],
    })  # fmt: skip
    target = dlt.destinations.filesystem(bucket_url=OUT.parent.joinpath("lake").as_uri())
    pipeline = dlt.pipeline(
        "listed", destination=target, dataset_name="listed", pipelines_dir=str(OUT.parent / "pipelines")
    )
    pipeline.run(source, loader_file_format="jsonl")
    with OUT.open("wb") as out:
        for part in sorted((OUT.parent / "lake" / "listed" / "files").glob("*.jsonl")):
            out.write(part.read_bytes())


if __name__ == "__main__":
    main()
