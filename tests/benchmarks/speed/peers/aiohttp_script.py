"""The script that one writes: a task a record, a semaphore, retries with a growing wait, results as they come.

aiohttp_script.py WORK ORIGIN INPUT OUTPUT CONCURRENCY
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

import aiohttp

TEMPORARY = {408, 409, 429, 500, 502, 503, 504}


async def post(session, url, payload):
    for attempt in range(5):
        try:
            async with session.post(url, json=payload) as response:
                if response.status not in TEMPORARY or attempt == 4:
                    response.raise_for_status()
                    return await response.json()
        except (aiohttp.ClientConnectionError, TimeoutError):
            if attempt == 4:
                raise
        await asyncio.sleep(random.uniform(0.5, 1) * 2**attempt)  # noqa: S311 - spreads the attempts
    raise AssertionError


async def send(url, payloads, results, concurrency):
    """Send each (ids, payload) and write the answers in the order in which they come."""
    semaphore = asyncio.Semaphore(concurrency)
    connector = aiohttp.TCPConnector(limit=concurrency)
    headers = {"Authorization": "Bearer made-up"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one(ids, payload):
            async with semaphore:
                answer = await post(session, url, payload)
            for id_, part in zip(ids, answer["data"] if len(ids) > 1 else [answer], strict=True):
                results.write(json.dumps({"id": id_, "response": part}) + "\n")

        await asyncio.gather(*(one(ids, payload) for ids, payload in payloads))


def chats(records):
    for record in records:
        messages = [{"role": "user", "content": record["text"]}]
        yield [record["id"]], {"model": "gpt-4o-mini", "messages": messages}


def embeddings(records, size, **options):
    for at in range(0, len(records), size):
        batch = records[at : at + size]
        texts = [record["text"] for record in batch]
        payload = {"model": "text-embedding-3-small", "input": texts if size > 1 else texts[0], **options}
        yield [record["id"] for record in batch], payload


async def read(url, results):
    headers, query = {"Authorization": "Bearer made-up"}, {"limit": "100"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.get(url, params=query) as response:
                response.raise_for_status()
                page = await response.json()
            results.writelines(json.dumps(item) + "\n" for item in page["data"])
            if not page["has_more"]:
                return
            query["after"] = page["last_id"]


async def main():
    work, origin, source, target, concurrency = sys.argv[1:]
    with open(target, "w") as results:  # noqa: PTH123, ASYNC230 - as such scripts are
        if work == "list":
            await read(f"{origin}/v1/files", results)
            return
        with open(source) as lines:  # noqa: PTH123, ASYNC230 - the same
            records = [json.loads(line) for line in lines]
        if work == "chat":
            await send(f"{origin}/v1/chat/completions", chats(records), results, int(concurrency))
            return
        size, options = (256, {"encoding_format": "base64"}) if work == "packed" else (1, {})
        payloads = embeddings(records, size, **options)
        await send(f"{origin}/v1/embeddings", payloads, results, int(concurrency))


if __name__ == "__main__":
    asyncio.run(main())
