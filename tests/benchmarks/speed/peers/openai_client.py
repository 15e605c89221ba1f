"""The official client, asynchronous, with a semaphore: as its documents show it, with its own retries.

    openai_client.py WORK ORIGIN INPUT OUTPUT CONCURRENCY [aiohttp]

With `aiohttp` it uses the faster HTTP client that it offers.
"""

from __future__ import annotations

import asyncio
import json
import sys

from openai import AsyncOpenAI, DefaultAioHttpClient


async def read(client, results):
    async for item in client.files.list(limit=100):
        results.write(item.model_dump_json() + "\n")


async def send(client, work, records, results, concurrency):
    semaphore = asyncio.Semaphore(concurrency)

    async def chat(record):
        messages = [{"role": "user", "content": record["text"]}]
        async with semaphore:
            answer = await client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        results.write(json.dumps({"id": record["id"], "response": answer.to_dict()}) + "\n")

    async def embed(batch):
        texts = [record["text"] for record in batch]
        async with semaphore:
            answer = await client.embeddings.create(model="text-embedding-3-small", input=texts)
        for record, item in zip(batch, answer.data, strict=True):
            results.write(json.dumps({"id": record["id"], "response": item.to_dict()}) + "\n")

    if work == "chat":
        await asyncio.gather(*map(chat, records))
    else:
        size = 256 if work == "packed" else 1
        await asyncio.gather(*(embed(records[at : at + size]) for at in range(0, len(records), size)))


async def main():
    work, origin, source, target, concurrency, *faster = sys.argv[1:]
    options = {"http_client": DefaultAioHttpClient()} if faster else {}
    async with AsyncOpenAI(api_key="made-up", base_url=f"{origin}/v1", max_retries=4, **options) as client:
        with open(target, "w") as results:  # noqa: PTH123, ASYNC230 - as such scripts are
            if work == "list":
                await read(client, results)
                return
            with open(source) as lines:  # noqa: PTH123, ASYNC230 - the same
                records = [json.loads(line) for line in lines]
            await send(client, work, records, results, int(concurrency))


if __name__ == "__main__":
    asyncio.run(main())
