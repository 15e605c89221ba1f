"""LiteLLM's asynchronous calls with a semaphore.

litellm_gather.py WORK ORIGIN INPUT OUTPUT CONCURRENCY
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = (
    "True"  # the list of prices that it brings, not one from the network
)

import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False


async def main():
    work, origin, source, target, concurrency = sys.argv[1:]
    semaphore = asyncio.Semaphore(int(concurrency))
    server = {"api_base": f"{origin}/v1", "api_key": "made-up", "num_retries": 4}

    async def one(record, results):
        async with semaphore:
            if work == "chat":
                messages = [{"role": "user", "content": record["text"]}]
                answer = await litellm.acompletion("openai/gpt-4o-mini", messages, **server)
            else:
                model = "openai/text-embedding-3-small"
                answer = await litellm.aembedding(model, [record["text"]], encoding_format="float", **server)
        results.write(json.dumps({"id": record["id"], "response": answer.model_dump(mode="json")}) + "\n")

    with open(source) as lines, open(target, "w") as results:  # noqa: PTH123, ASYNC230 - as such scripts are
        await asyncio.gather(*(one(json.loads(line), results) for line in lines))


if __name__ == "__main__":
    asyncio.run(main())
