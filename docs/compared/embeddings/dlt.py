import json
from pathlib import Path

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

client = RESTClient("https://api.openai.com/v1/", auth=BearerTokenAuth(dlt.secrets["openai_api_key"]))


@dlt.resource
def embedded():
    for line in Path("texts.jsonl").read_text().splitlines():
        record = json.loads(line)
        answer = client.post("embeddings", json={"model": "text-embedding-3-small", "input": record["text"]})
        answer.raise_for_status()
        yield {"id": record["id"], "embedding": answer.json()["data"][0]["embedding"]}


dlt.pipeline("openai", destination="duckdb").run(embedded)
