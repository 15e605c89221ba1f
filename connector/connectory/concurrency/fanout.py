"""Several walks at once, merged into one: nobody runs ahead of what was dealt with."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

T = TypeVar("T")
_Handed: TypeAlias = "tuple[T, asyncio.Future[None]] | BaseException | None"


async def merged(walks: Iterable[AsyncGenerator[T, None]], most: int) -> AsyncGenerator[T, None]:
    """Give what the walks give, at most `most` of them at once, in the order in which it comes.

    A walk goes on when the next thing is asked for after its own was given: that is when it was dealt with. The first
    error ends all of them.
    """
    waiting = iter(walks)
    if most <= 1:
        for walk in waiting:
            async with aclosing(walk):
                async for one in walk:
                    yield one
        return
    handed: asyncio.Queue[_Handed[T]] = asyncio.Queue()
    workers = [asyncio.create_task(_work(waiting, handed)) for _ in range(most)]
    try:
        busy = most
        while busy:
            got = await handed.get()
            if isinstance(got, BaseException):
                raise got
            if got is None:
                busy -= 1
                continue
            one, dealt_with = got
            yield one
            if not dealt_with.done():
                dealt_with.set_result(None)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _work(waiting: Iterator[AsyncGenerator[T, None]], handed: asyncio.Queue[_Handed[T]]) -> None:
    loop = asyncio.get_running_loop()
    try:
        for walk in waiting:
            async with aclosing(walk):
                async for one in walk:
                    dealt_with: asyncio.Future[None] = loop.create_future()
                    handed.put_nowait((one, dealt_with))
                    await dealt_with
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised to who asks for the next thing
        handed.put_nowait(error)
    else:
        handed.put_nowait(None)
