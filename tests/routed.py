"""Routes with their journals, in one process: built as the command line builds them, lived, broken off, lived on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import httpx
from connected import POSTS, Server, run
from journaled import Crash, Life, Project, hasten, lines_of, plan, watched

from connectory.adapters.linesink import LineSink
from connectory.connector import AsyncConnector
from connectory.journal import DEAD_LETTERS, Job, Run, new_facts
from connectory.runs.remembered import open_known
from connectory.runs.route import Route, Step

READS: dict[str, Any] = {"request": {"path": "/things"}}
ECHO: dict[str, Any] = {**POSTS, "payload": "&{@}", "on_uncertain": "resend"}
PURGE: dict[str, Any] = {
    "request": {"method": "DELETE", "path": "/things/{thing}"},
    "path": {"thing": "&{id}"},
}


class Things(Server):
    """Three pages of two things, which can be deleted; other requests are echoed."""

    def __init__(self) -> None:
        super().__init__()
        self.things = [f"t{number}" for number in range(6)]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            name = request.url.path.rpartition("/")[2]
            if name not in self.things:
                return httpx.Response(404, json={"error": {"message": "No such thing", "code": None}})
            self.things.remove(name)
            return httpx.Response(200, json={"deleted": True})
        if request.method == "POST":
            return await super().answer(request)
        after = request.url.params.get("after", "")
        left = [thing for thing in self.things if thing > after]
        page = {"data": [{"id": one} for one in left[:2]], "has_more": len(left) > 2}
        return httpx.Response(200, json=page)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


class Routed(Project):
    """A folder with a route `way`: `read`, and then outgoings."""

    def __init__(self, folder: Any, **outgoing: Any) -> None:
        names = list(outgoing)
        super().__init__(
            folder, incoming={"read": READS}, outgoing=outgoing, routes={"way": ["read", *names]}
        )

    @asynccontextmanager
    async def built(self, made: AsyncConnector, *, limit: int | None = None, new: bool = False) -> Any:
        """Build the route, and let go of it."""
        first, *others = made.assembly.route("way")
        targets = [made.assembly.publication(one, run={}).target for one in others]
        job = Job("route", "way")
        run = self.runs.begin(job, new_facts(job, target=", ".join(targets)), new=new)
        hasten(run.journal)
        subscriber = made.subscriber(first, limit=limit, journal=run.journal)
        steps = [self._step(made, run, number, name) for number, name in enumerate(others, 1)]
        route, sink = Route(run, steps, subscriber=subscriber), LineSink(self.output)
        try:
            route.open()
            yield route, sink
        finally:
            await route.aclose(sink)

    def _step(self, made: AsyncConnector, route: Run, number: int, name: str) -> Step:
        target = made.assembly.publication(name, run={}).target
        run = self.runs.step(route, number, name, target=target, then=())
        hasten(run.journal)
        known = open_known(made.assembly, made.runs, name, run)
        publisher = made.publisher(name, journal=run.journal, known=known)
        return Step(run, publisher, LineSink(run.folder / DEAD_LETTERS, lazy=True, staged=False))

    async def travelled(self, route: Route, sink: LineSink) -> None:
        """Do what the command line does with a route."""
        if route.deletes:
            await route.read()
            await route.send(sink)
        else:
            await route.all(sink)
        await route.put_in_place(sink)
        await route.finish()

    def travel(
        self,
        network: Any,
        *,
        crash: tuple[int, str, int] | None = None,
        limit: int | None = None,
        new: bool = False,
    ) -> Life:
        """Live one life of the route; `crash` says whose journal (0 for the reading), which method, which call."""
        life, moment = Life(), Crash(self.folder)

        async def main() -> None:
            async with (
                self.made(network, life.events) as made,
                self.built(made, limit=limit, new=new) as (route, sink),
            ):
                runs = [route.run, *(step.run for step in route.steps)]
                life.resumed, life.run = route.run.resumed, route.run.facts.run
                work = asyncio.ensure_future(self.travelled(route, sink))
                if crash is not None:
                    whose, name, number = crash
                    others = [run.journal for run in runs]
                    plan(runs[whose].journal, (name, number), moment, work, made, others=others)
                await watched(work, life, moment)
                life.counts = dict(runs[-1].journal.counts)

        run(main)
        if moment.happened:
            moment.put_back()
        return life

    def letters(self, number: int) -> list[Any]:
        """The dead letters of a step, from 1."""
        (route,) = [one for one in self.runs.ids() if "." not in one]
        return lines_of(self.runs.path(f"{route}.{number}") / DEAD_LETTERS)
