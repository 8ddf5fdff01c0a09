"""The shared counters while they are there, and this node's own while they are not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from typing_extensions import override

from standpipe.limits.ledger import Away, Crossing, Ledger, Memory, Place, Span, spans
from standpipe.limits.messages import End, Verdict, Want
from standpipe.limits.nodes import Roll
from standpipe.limits.shared import Shared


class Either(Ledger):
    """For an operator who would rather exceed limits than refuse calls."""

    def __init__(self, shared: Shared, own: Memory) -> None:
        self._shared = shared
        self._own = own
        #: What was spent while the shared ones were away: they must ask the store for it.
        self._unheard: set[Place] = set()

    @override
    async def unknown(self, want: Want) -> list[Span]:
        try:
            found = await self._shared.unknown(want)
        except Away:
            return await self._own.unknown(want)
        return found + [
            span for span in spans(want) if span.place in self._unheard and span not in found
        ]

    @override
    async def ended(self, span: Span) -> Mapping[str, str]:
        own = await self._own.ended(span)
        try:
            return {**own, **await self._shared.ended(span)}
        except Away:
            return own

    @override
    async def settle(self, span: Span, stored: int, calls: Collection[str]) -> list[Crossing]:
        found = await self._own.settle(span, stored, calls)
        try:
            found = await self._shared.settle(span, stored, calls)
        except Away:
            return found
        self._unheard.discard(span.place)
        return found

    @override
    async def our_turn(self, of: Sequence[Span]) -> list[Span]:
        try:
            return await self._shared.our_turn(of)
        except Away:
            return list(of)

    @override
    async def begin(self, want: Want) -> Verdict:
        try:
            return await self._shared.begin(want)
        except Away:
            if await self._own.unknown(want):  # it will be known when the call comes again
                raise
            return await self._own.begin(want)

    @override
    async def end(self, want: Want, end: End, cost: int) -> list[Crossing]:
        if not self._own.has_begun(end.call):
            return await self._shared.end(want, end, cost)
        self._unheard.update(span.place for span in spans(want))
        return await self._own.end(want, end, cost)

    @override
    async def lose(self, want: Want) -> None:
        if not self._own.has_begun(want.call):
            return await self._shared.lose(want)
        self._unheard.update(span.place for span in spans(want))
        return await self._own.lose(want)

    @override
    async def keep(self, wants: Iterable[Want]) -> None:
        await self._shared.keep(want for want in wants if not self._own.has_begun(want.call))

    @override
    async def call_roll(self, node: str, roll: Roll) -> None:
        await self._own.call_roll(node, roll)
        await self._shared.call_roll(node, roll)

    @override
    async def rolls(self, nodes: Collection[str]) -> Mapping[str, Roll]:
        own = await self._own.rolls(nodes)
        try:
            return {**own, **await self._shared.rolls(nodes)}
        except Away:
            return own

    @override
    async def close(self) -> None:
        await self._shared.close()
