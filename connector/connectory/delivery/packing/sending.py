"""One pack: sent as one request, its answer taken apart, and divided where the server refuses one of its records."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

from connectory.answers.meaning import is_key_reused
from connectory.cost.usage import model_of
from connectory.delivery.delivering import SUSPECT, Delivering
from connectory.delivery.packing.joining import packed_call
from connectory.delivery.packs import ALIKE_IN_A_ROW, DIVIDED, MismatchError, pack_key
from connectory.delivery.results import blank_error, fingerprint, held_back, result_of, unsent, usage_of
from connectory.errors import ApiError, OutcomeUnknownError, RecordError, RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from connectory.delivery.packing.joining import Member, Pack
    from connectory.delivery.packs import PackOption
    from connectory.delivery.publication import Part
    from connectory.delivery.spending import Hold
    from connectory.record import Intent, Result
    from connectory.requests.attempts import Outcome
    from connectory.requests.building import Call

    Done: TypeAlias = dict[str, Result]


@dataclass(frozen=True, slots=True)
class _Group:
    """Deliveries that are sent in one request; `attempts` are those of the refused requests that they were in before.

    `in_doubt`: one of these may have been done.
    """

    members: Sequence[Member]
    attempts: int = 0
    in_doubt: bool = False

    def cut(self, *stretches: Sequence[Member]) -> list[_Group]:
        """Make groups of stretches of it."""
        return [_Group(one, self.attempts, self.in_doubt) for one in stretches if one]


class PackSending(Delivering):
    """Settles the packs of one run, many at a time; a delivery that goes alone is settled as ever."""

    _dividing: asyncio.Lock | None = None

    async def settle_pack(self, pack: Pack) -> list[tuple[Part, Result | None]]:
        """Give what became of each delivery of a pack; None where it stays pending. Raises RunStoppedError."""
        if pack.alone is not None:
            return [(pack.alone, await self.settle(pack.alone))]
        done: Done = {}
        try:
            await self._settle(pack.members, done)
        except RunStoppedError as reason:  # what is done is given all the same
            self._stop(reason)
        return [(part, done.get(part.delivery.key)) for part in pack.parts]

    @property
    def _option(self) -> PackOption:
        return cast("PackOption", self._publication.pack)

    def _own_call(self, member: Member) -> Call:
        """Give the request that a delivery would be alone."""
        return member.call if self._option.results is not None else packed_call(self._option, [member])

    async def _settle(self, members: Sequence[Member], done: Done) -> None:
        if self._known is None:
            await self._send_pack(members, done)
            return
        async with self._known.together({one.part.id for one in members}):
            new: list[Member] = []
            for one in members:
                try:
                    is_known = self._is_known(one.part, self._client.prepare(self._own_call(one)))
                except RecordError as error:
                    await self._refuse(one, error, done)
                    continue
                if is_known:
                    done[one.part.delivery.key] = await self._record(one.part, unsent(one.part, None))
                else:
                    new.append(one)
            await self._send_pack(new, done)

    async def _send_pack(self, members: Sequence[Member], done: Done) -> None:
        """Send what is not held back: in one request, or as many as it takes to find what is refused."""
        doubts: dict[str, Intent] = {}
        free: list[Member] = []
        held: list[tuple[Part, Result]] = []
        for one in members:
            doubt = self._journal.doubt(one.part.delivery)
            if doubt is not None and (result := held_back(one.part, one.call, doubt)) is not None:
                held.append((one.part, result))
                continue
            if doubt is not None:
                doubts[one.part.delivery.key] = doubt
            free.append(one)
        if held:  # they say nothing about the server: no alarm hears them
            await self._journal.record_pack([(part.delivery, result) for part, result in held])
            done.update((part.delivery.key, result) for part, result in held)
        suspected = any(doubt.lives >= SUSPECT for doubt in doubts.values())
        async with self._suspects if suspected else nullcontext():
            if not free or not (left := await self._sent_group(_Group(free), doubts, done)):
                return
        if not self.holding.undecided:
            await self._divide(left, doubts, done)
            return
        # As long as nothing went well, all packs may be refused for what they share: one of them finds out.
        self._dividing = self._dividing or asyncio.Lock()
        async with self._dividing:
            if self.holding.undecided:
                await self._divide(left, doubts, done)
                return
        await self._divide(left, doubts, done)

    async def _divide(self, groups: list[_Group], doubts: dict[str, Intent], done: Done) -> None:
        """Send a refused pack in smaller ones, from its beginning, until what is refused is alone.

        Where one record after the other is refused alone, all may share the cause: then the rest go one by one, until
        one goes well. `groups` are those that come next, the last one first.
        """
        refused = 0
        while groups:
            group = groups.pop()
            if refused >= ALIKE_IN_A_ROW and len(group.members) > 1:
                groups += group.cut(group.members[1:])
                (group,) = group.cut(group.members[:1])
            groups += await self._sent_group(group, doubts, done)
            if self.capacity.stopped:
                return
            if len(group.members) == 1:
                result = done.get(group.members[0].part.delivery.key)
                refused = refused + 1 if result is not None and not result.ok else 0

    async def _sent_group(self, group: _Group, doubts: dict[str, Intent], done: Done) -> list[_Group]:
        """Send one request and note what became of it, or give the groups that are to be tried instead."""
        members, whole = group.members, len(group.members) > 1 or self._option.results is None
        if whole:
            call = packed_call(self._option, members)
            key = pack_key([one.part.delivery.key for one in members])
        else:
            call, key = members[0].call, members[0].part.delivery.key
        try:
            request = self._client.prepare(call, key=key, life=self._journal.life)
        except RecordError as error:
            return await self._sorted_out(group, error, done)
        hold = None if self.spending is None else await self.spending.reserve(call.payload)
        try:
            async with self.capacity:
                if self.capacity.stopped:
                    return []
                outcome = await self._exchanged(group, call, request, key if whole else "", doubts, hold=hold)
            return await self._taken_in(group, call, outcome, hold, whole=whole, doubts=doubts, done=done)
        finally:
            if hold is not None:
                hold.release()

    async def _taken_in(
        self,
        group: _Group,
        call: Call,
        outcome: Outcome,
        hold: Hold | None,
        *,
        whole: bool,
        doubts: dict[str, Intent],
        done: Done,
    ) -> list[_Group]:
        """Note what became of a request, or give the groups that are to be tried instead."""
        members = group.members
        in_doubt = group.in_doubt or outcome.in_doubt
        if len(members) > 1 and self._is_divisible(outcome):
            self._withdraw(members, doubts, in_doubt=in_doubt)
            again = replace(group, attempts=group.attempts + outcome.attempts, in_doubt=in_doubt)
            return self._smaller(again, str(outcome.error))
        results = self._taken_apart(members, call, outcome, whole=whole)
        for place, (one, result) in enumerate(zip(members, results, strict=True)):
            doubt = doubts.get(one.part.delivery.key)
            result.attempts += group.attempts
            result.in_doubt = result.in_doubt or in_doubt or doubt is not None
            result.requests = 0 if place else outcome.attempts
            if self._counts:
                result.model = model_of(call.payload)
        if hold is not None:
            hold.settle(results)
        await self._record_pack(members, results, done)
        return []

    async def _exchanged(
        self,
        group: _Group,
        call: Call,
        request: httpx.Request,
        pack: str,
        doubts: dict[str, Intent],
        *,
        hold: Hold | None,
    ) -> Outcome:
        body = fingerprint(request)
        first = group.members[0].part
        if (doubt := doubts.get(first.delivery.key)) is not None:
            self._notice_change(first, body, doubt)
        outcome = await self._asked(call, request, partial(self._begin_pack, group.members, body, pack, hold))
        if isinstance(outcome.error, RunStoppedError):
            self._withdraw(group.members, doubts, in_doubt=group.in_doubt or outcome.in_doubt)
            raise outcome.error
        return outcome

    async def _begin_pack(self, members: Sequence[Member], body: str, pack: str, hold: Hold | None) -> None:
        if hold is not None:
            hold.begin()
        await self._journal.intend_pack([one.part.delivery for one in members], body, pack)
        if hold is not None:
            await self._journal.flush()

    def _withdraw(self, members: Sequence[Member], doubts: dict[str, Intent], *, in_doubt: bool) -> None:
        """Forget the intents of what was refused, so that nothing of it is in doubt."""
        for one in members:
            if not in_doubt and one.part.delivery.key not in doubts:
                self._journal.withdraw(one.part.delivery)

    def _is_divisible(self, outcome: Outcome) -> bool:
        """Say whether a refusal may be the fault of one record, or of their number; a file stays one file."""
        error = outcome.error
        return (
            self._option.results is not None
            and isinstance(error, ApiError)
            and error.status in DIVIDED
            and not is_key_reused(error)
            and not outcome.retryable
        )

    def _smaller(self, group: _Group, message: str) -> list[_Group]:
        """Give smaller groups of a refused one, the last to be sent first; whom the refusal names goes first."""
        members = group.members
        named = self._option.suspect(message, len(members))
        if named is not None:
            return group.cut([*members[:named], *members[named + 1 :]], members[named : named + 1])
        middle = len(members) // 2
        return group.cut(members[middle:], members[:middle])

    async def _sorted_out(self, group: _Group, error: RecordError, done: Done) -> list[_Group]:
        """Find the records for which a request cannot be made; without one each goes alone."""
        fit: list[Member] = []
        for one in group.members if len(group.members) > 1 else ():
            try:
                self._client.prepare(self._own_call(one))
            except RecordError as own:
                await self._refuse(one, own, done)
            else:
                fit.append(one)
        if len(group.members) == 1:
            await self._refuse(group.members[0], error, done)
        if len(fit) < len(group.members):
            return group.cut(fit)
        return group.cut(*([one] for one in reversed(fit)))

    async def _refuse(self, member: Member, error: RecordError, done: Done) -> None:
        done[member.part.delivery.key] = await self._record(member.part, unsent(member.part, error))

    def _taken_apart(
        self, members: Sequence[Member], call: Call, outcome: Outcome, *, whole: bool
    ) -> list[Result]:
        """Give each delivery its result; `whole` says that the answer is one for many."""
        if outcome.answer is None or not whole:
            return [result_of(one.part, call, outcome) for one in members]
        try:
            values = self._option.divide(outcome.answer.value, [one.value.tokens for one in members])
        except MismatchError as error:
            message = f"{call.what}: {error}; for a server that takes one at a time leave out `pack`"
            unusable = replace(outcome, answer=None, error=OutcomeUnknownError(message))
            return [result_of(one.part, call, unusable) for one in members]
        results: list[Result] = []
        for one, value in zip(members, values, strict=True):
            result = result_of(one.part, one.call, outcome)
            result.response, result.usage = value, usage_of(value)
            results.append(result)
        return results

    async def _record_pack(self, members: Sequence[Member], results: Sequence[Result], done: Done) -> None:
        """Write down all results in one piece, then shape them."""
        for one, result in zip(members, results, strict=True):
            blank_error(result, self._client.redactor)
            if result.ok and self._known is not None:
                self._remember(one.part, fingerprint(self._client.prepare(self._own_call(one))))
        await self.holding.settle_pack(
            [(one.part, result) for one, result in zip(members, results, strict=True)]
        )
        for one, result in zip(members, results, strict=True):
            if result.ok:
                await self._shape(one.part, one.call, result)
            done[one.part.delivery.key] = result
            await self._listen_for_alarm(result)
