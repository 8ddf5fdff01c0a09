"""What happened in the last 60 seconds: a sliding window of slots, a second each. Pure."""

from __future__ import annotations

#: Slots that are counted: sixty whole seconds, and the one that is not over.
SLOTS = 61


class Window:
    """Amounts by the second. Never more than a limit that is kept is in any 60 seconds.

    What came in a second leaves with the whole second, 60 to 61 seconds later.
    """

    __slots__ = ("_slots", "total")

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        #: As of the last `pass_on`.
        self.total = 0

    def pass_on(self, now: float) -> None:
        """Let go what is over; `now` is in seconds."""
        first = int(now) - SLOTS + 1
        # Slots are in the order of their seconds, but for a clock that was set back.
        for slot in [slot for slot in self._slots if slot < first]:
            self.total -= self._slots.pop(slot)

    def add(self, amount: int, at: float) -> None:
        """Count an amount, or take back some of what was counted at the same time."""
        slot = int(at)
        there = self._slots.get(slot, 0)
        # What has left the window already need not be taken back.
        amount = max(amount, -there)
        if there + amount:
            self._slots[slot] = there + amount
        else:
            self._slots.pop(slot, None)
        self.total += amount

    def wait(self, amount: int, limit: int, now: float) -> float:
        """Return the seconds until there is room for an amount that is at most the limit."""
        over = self.total + amount - limit
        for slot in sorted(self._slots):
            if over <= 0:
                break
            over -= self._slots[slot]
            if over <= 0:
                return max(0.0, slot + SLOTS - now)
        return 0.0

    def reset(self, now: float) -> float:
        """Return the seconds until nothing is left in it."""
        return max(0.0, max(self._slots, default=-SLOTS) + SLOTS - now) if self._slots else 0.0
