"""Lets a client's requests out: in turn, at the rate and in the number the server takes, and not while it is away."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from connectory.events import Held, Listener, ignore
from connectory.limits import Bucket, Pace
from connectory.pace.crowd import Crowd
from connectory.pace.lanes import Lane, Limits, Standing, Visit
from connectory.pace.tokens import Size, usage_of
from connectory.retry import (
    ALIKE,
    AWAY,
    HELD,
    Again,
    Aside,
    Budget,
    Decision,
    Failed,
    FailureClass,
    Policy,
    Stop,
    ceiling,
    classify,
    decide,
    limit_and_requested,
)
from connectory.text.hints import told, wait_hint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.pace.deadlines import Deadline

MOST_LANES = 256
"""Lanes at most: beyond that, requests share one."""

PROBE_WAIT = 5.0
"""Seconds at most between two tries of a server that is away: so soon is it noticed to be back."""

SHORTEST_WAIT = 0.1
"""Seconds at least between them, whatever `retry.max_wait` says, unless no outage is waited out at all."""

UNAVAILABLE = 503

NEVER_REACHED = 30.0
"""Seconds for which a server is waited for that has not answered once: its address is probably wrong."""


class Gate:
    """Decides when each request of a client leaves, and what follows one that failed.

    What concerns everybody is waited for once, by all: the server's limits, its refusals for pace, its absence. While
    it refuses or is away one request at a time is sent to see whether that is over.
    """

    def __init__(self, policy: Policy, limits: Limits, *, listen: Listener = ignore, name: str = "") -> None:
        self.policy, self._listen, self._name = policy, listen, name
        self.crowd = Crowd(limits.most_at_once, adapts=limits.concurrency is None)
        self._requests = Bucket(limits.requests_per_minute) if limits.requests_per_minute else None
        self._tokens = Bucket(limits.tokens_per_minute) if limits.tokens_per_minute else None
        self._lanes: dict[str, Lane] = {}
        self._lines: dict[Lane, None] = {}
        self._budget = Budget()
        self._visits = 0
        self._reached = self.down = False
        self._failing = 0
        self._down_since = self._next_try = 0.0
        self._tries, self._shrunk_at = 0, 0.0
        self._trying: Visit | None = None
        self._verdict: tuple[Stop, int] | None = None

    def visit(self, key: str, payload: Any = None) -> Visit:
        """Begin a call. Calls with the same key are counted together by the server."""
        lane = self._lanes.get(key)
        if lane is None:
            key = key if len(self._lanes) < MOST_LANES else ""
            lane = self._lanes.get(key) or self._lanes.setdefault(key, self._lane(key))
        self._visits += 1
        return Visit(lane, self._visits, asyncio.get_running_loop(), payload)

    def _lane(self, key: str) -> Lane:  # noqa: ARG002 - who shares the limits with others needs it
        """Make the lane of a key that comes for the first time."""
        return Lane(Pace(self._requests, self._tokens))

    def stuck(self, visit: Visit) -> bool:
        """Say whether nobody of this lane is being served: waiting for that is no record's fault."""
        return self.down or visit.lane.refusals > 1

    async def enter(self, visit: Visit, *, again: bool = False) -> Stop | None:
        """Wait for a turn to send; each `enter` that gives None is followed by a `leave`."""
        if again and (stop := self._sentence(visit)) is not None:
            return stop
        return None if self.lets_in(visit, again=again) else await self.line_up(visit, again=again)

    def lets_in(self, visit: Visit, *, again: bool = False) -> bool:
        """Let a call in at once, and say so; a `leave` follows. Who is not let in lines up."""
        if not again:
            self._budget.earn()
        now = visit.loop.time()
        if visit.lane in self._lines or self._wait(visit, now) != 0.0:
            return False
        self._admit(visit, now)
        return True

    async def again(self, visit: Visit, decision: Again, deadline: Deadline) -> Stop | None:
        """Wait until an attempt may be repeated. While nobody is served, the call's own time stands still."""
        if not decision.held:
            await asyncio.sleep(decision.wait)
        if not self.stuck(visit):
            return await self.enter(visit, again=True)
        left = deadline.stand_still()
        try:
            return await self.enter(visit, again=True)
        finally:
            deadline.go_on(left)

    def leave(self, visit: Visit) -> None:
        """Hear that an attempt is over, however it ended."""
        self.crowd.busy -= 1
        if self._trying is visit:
            self._trying = None
        if visit.lane.trying is visit:
            visit.lane.trying = None
        if self._lines:
            self._wake()

    def succeeded(self, visit: Visit, headers: Mapping[str, str], value: Any) -> None:
        """Hear of an answer that is usable."""
        now, lane = visit.loop.time(), visit.lane
        self._reached, self._failing = True, 0
        if self.down:
            self._in_touch()
        if lane.refusals:
            lane.let_through(visit.sent_at, now)
        if visit.size is not None and (usage := usage_of(value)) is not None:
            lane.estimate.learn(visit.size, usage, wanted=visit.wanted)
            lane.pace.settle(visit.taken, sum(usage) * lane.estimate.factor)
        if lane.pace.learn(headers, visit.taken, now):
            self.crowd.trust()
        self.crowd.answered(now)
        if self._lines:
            self._wake()

    def failed(self, visit: Visit, failed: Failed) -> Decision:
        """Hear of an attempt that failed, and decide what follows."""
        now, kind = visit.loop.time(), classify(failed)
        self._take_in(visit, failed, kind, now)
        visit.spent += not self.down and kind not in HELD
        decision = decide(
            failed, attempt=visit.spent, policy=self.policy, luck=random.random(), patient=self.down  # noqa: S311 - jitter
        )  # fmt: skip
        if kind in {"pace", "slow_down"} and isinstance(decision, Again):
            decision = self._refused(visit, decision, failed.message, now, slow_down=kind == "slow_down")
        elif failed.status == UNAVAILABLE and visit.sent_at >= self._shrunk_at:
            self._shrunk_at = now  # once for all that were under way together
            self.crowd.shrink()
        if kind in AWAY and self.down and not isinstance(decision, Stop):
            decision = self._away(decision, failed.message, now)
        if isinstance(decision, Stop):
            self._turn_away(decision, visit.lane if kind in {"pace", "slow_down"} else None)
        elif isinstance(decision, Again) and not decision.held:
            decision = Again(max(decision.wait, self._budget.spend(now)), decision.in_doubt)
        return self._sentenced(visit, failed, decision)

    def _take_in(self, visit: Visit, failed: Failed, kind: FailureClass, now: float) -> None:
        """Learn from a failure of the server's limits, and whether the server is there."""
        if kind == "pace" and visit.size is not None:
            self._surprised(visit, failed)
        if kind in {"unreached", "pace", "slow_down", "too_large"}:
            visit.lane.pace.give_back(visit.taken)
        if failed.headers is not None:
            self._learn(visit, failed.headers, now)
        if kind == "refused":
            visit.lane.let_through(visit.sent_at, now)
        if kind in AWAY:
            self._ailing(visit, failed, now, at_once=kind == "unreached")
        else:
            self._in_touch()

    # Who may go

    def standing(self) -> Standing:
        """Say how many requests are under way, and what the next one waits for; any thread may ask."""
        lane = next(iter([*self._lines]), None)
        full = f"{self.crowd.limit} at once" if self.crowd.full else ""
        held_by = "" if lane is None else lane.held_by(full, self._cost)
        return Standing(self.crowd.busy, "a server that is away" if self.down else held_by)

    def _wait(self, visit: Visit, now: float) -> float | None:
        """Give the seconds until a request may leave; None until something changes."""
        lane = visit.lane
        if self.crowd.full:
            self.crowd.met_full()
            return None
        if lane.alone and lane.trying is not None:
            return None
        wait = lane.not_before - now
        if self.down:
            if self._trying is not None:
                return None
            wait = max(wait, self._next_try - now)
        if wait > 0:
            return wait
        return lane.pace.wait(now, 0.0 if lane.pace.tokens is None else self._cost(visit))

    def _cost(self, visit: Visit) -> float:
        if visit.lane.pace.tokens is None:
            return 0.0
        if visit.size is None:
            visit.size = Size(visit.payload)
        return max(visit.wanted, visit.lane.estimate.cost(visit.size))

    def _admit(self, visit: Visit, now: float) -> None:
        lane = visit.lane
        visit.taken = lane.pace.take(now, 0.0 if lane.pace.tokens is None else self._cost(visit))
        visit.sent_at = now
        self.crowd.busy += 1
        if self.down:
            self._trying = visit
        if lane.alone:
            lane.trying = visit

    async def line_up(self, visit: Visit, *, again: bool = False) -> Stop | None:
        """Wait for a turn to send where a call was not let in; None is followed by a `leave`."""
        lane, loop = visit.lane, visit.loop
        line = lane.again if again else lane.first
        line.append(visit)
        self._lines[lane] = None
        try:
            while True:
                if (stop := self._sentence(visit)) is not None:
                    return stop
                wait, now = None, loop.time()
                if lane.head() is visit:
                    wait = self._wait(visit, now)
                else:
                    lane.wake()  # who is first may have changed meanwhile
                if wait == 0.0:
                    self._admit(visit, now)
                    return None
                await self._rest(visit, wait)
                if visit.admitted:
                    return None
        except BaseException:
            if visit.admitted:  # and cancelled before it could go
                self.leave(visit)
            raise
        finally:
            if not visit.admitted:
                line.remove(visit)
                self._let_in(lane, loop.time())
            visit.waiting, visit.admitted = None, False

    async def _rest(self, visit: Visit, seconds: float | None) -> None:
        loop = visit.loop
        visit.waiting = waiting = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _finish, waiting)
        try:
            await waiting
        finally:
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        """Let the first of each line look for itself: what has just ended is not judged yet."""
        for lane in self._lines:
            lane.wake()

    def _let_in(self, lane: Lane, now: float) -> None:
        """Admit who waits, as many as may go: one by one they would never catch up with those who come."""
        while (visit := lane.head()) is not None:
            waiting = visit.waiting
            if waiting is None or waiting.done():
                return
            if self._sentence(visit) is not None or self._wait(visit, now) != 0.0:
                waiting.set_result(None)  # to see for itself what it waits for now
                return
            self._admit(visit, now)
            visit.admitted = True
            lane.remove(visit)
            waiting.set_result(None)
        self._lines.pop(lane, None)

    def _learn(self, visit: Visit, headers: Mapping[str, str], now: float) -> None:
        if visit.lane.pace.learn(headers, visit.taken, now):
            self.crowd.trust()

    # Refused for pace

    def _refused(
        self, visit: Visit, decision: Again, reason: str, now: float, *, slow_down: bool
    ) -> Again | Stop:
        """Let the whole lane wait, once for all requests that were under way together."""
        lane = visit.lane
        if not lane.refusals or visit.sent_at >= lane.refused_at:
            if not lane.refusals:
                lane.refused_since = now
            lane.refusals += 1
            lane.refused_at = now
            if slow_down:
                lane.pace.slow_down()
            if slow_down or not lane.pace.known:
                self.crowd.shrink()
            lane.pace.empty()
            lane.alone = lane.refusals > 1 or not (decision.wait or lane.pace.known)
            if lane.refusals >= self.policy.attempts and now - lane.refused_since >= self.policy.outage:
                waited = now - lane.refused_since
                return Stop("unavailable", f"nothing but refusals for {waited:.0f} s: {reason}")
            pause = decision.wait
            if lane.alone:
                pause = max(pause, _spread(ceiling(lane.refusals, self.policy.max_wait)))
            lane.not_before = max(lane.not_before, now + pause)
            self._listen(Held(pause, reason, self._name))
        lane.not_before = max(lane.not_before, now + decision.wait)
        return Again(lane.not_before - now, decision.in_doubt, held=True)

    def _surprised(self, visit: Visit, failed: Failed) -> None:
        """Learn from a refusal for pace what the server counts, where that is more than it was thought to be."""
        headers, cost = failed.headers or {}, max(1.0, visit.taken.cost)
        requests, tokens = told(headers)
        numbers = limit_and_requested(failed.message) if "token" in failed.message else None
        if numbers is not None:
            visit.wanted = numbers[1]
        elif tokens.per_minute and tokens.remaining is not None and requests.remaining != 0:
            # a wish to the millisecond is the time in which the rest flows in
            missing = (
                (wait_hint(headers) or 0.0) * tokens.per_minute / 60 if "retry-after-ms" in headers else 0.0
            )
            visit.wanted = min(2 * cost, max(cost, tokens.remaining + missing))

    # Away

    def _in_touch(self) -> None:
        """Hear that the server is there."""
        self._reached, self._failing = True, 0
        if self.down:
            self.down = False
            self._wake()

    def _ailing(self, visit: Visit, failed: Failed, now: float, *, at_once: bool) -> None:
        """Count the calls that fail for the first time; too many without a contact mean that the server is away."""
        if not visit.failing:  # who failed before, while others succeeded, proves nothing
            visit.failing = True
            self._failing += 1
        if not self.down and (at_once or self._failing >= ALIKE):
            self.down, self._down_since, self._tries = True, now, 0
        elif not self.down or visit.sent_at < self._down_since:
            return
        self._tries += 1
        most = ceiling(self._tries, min(PROBE_WAIT, self.policy.max_wait))
        wait = max(_spread(most), min(SHORTEST_WAIT, self.policy.outage))
        self._next_try = now + wait
        self._listen(Held(wait, failed.message, self._name))

    def _away(self, decision: Again | Aside, reason: str, now: float) -> Decision:
        longest = self.policy.outage if self._reached else min(self.policy.outage, NEVER_REACHED)
        if self._tries >= self.policy.attempts and now - self._down_since >= longest:
            return Stop("unavailable", reason)
        if isinstance(decision, Aside):
            return decision
        self._next_try = max(self._next_try, now + decision.wait)
        return Again(self._next_try - now, decision.in_doubt, held=True)

    # The end

    def _sentenced(self, visit: Visit, failed: Failed, decision: Decision) -> Decision:
        """Keep pending what the end of a run keeps from being sent again."""
        stop = self._sentence(visit)
        if stop is None or isinstance(decision, Stop):
            return decision
        if isinstance(decision, Aside) and not (
            decision.retryable and (failed.repeatable or not decision.in_doubt)
        ):
            return decision
        return stop

    def _sentence(self, visit: Visit) -> Stop | None:
        """Give why a call that began before the end was told is not sent any more."""
        for verdict in (self._verdict, visit.lane.verdict):
            if verdict is not None and visit.number <= verdict[1]:
                return verdict[0]
        return None

    def _turn_away(self, stop: Stop, lane: Lane | None) -> None:
        """End the waiting of everybody, or of one lane; who comes later begins anew."""
        verdict = (stop, self._visits)
        if lane is None:
            self._verdict, self.down, self._failing = verdict, False, 0
        else:
            lane.verdict, lane.refusals, lane.alone, lane.not_before = verdict, 0, False, 0.0
        for one in self._lines if lane is None else (lane,):
            for visit in (*one.first, *one.again):
                if visit.waiting is not None and not visit.waiting.done():
                    visit.waiting.set_result(None)


def _spread(seconds: float) -> float:
    """Shorten a wait by up to a half, so that several clients do not come back together."""
    return seconds * (0.5 + random.random() / 2)  # noqa: S311 - no secret


def _finish(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
