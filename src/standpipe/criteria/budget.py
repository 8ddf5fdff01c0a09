"""What the judges of one call may cost together, where its caller has said so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal

from standpipe.drain.prices import Prices, Used
from standpipe.errors import PaymentRequired


class Budget:
    """Holds what judges may cost, and counts what they did; in US dollars.

    A judge begins only if what it may cost at its dearest target fits in beside all the others.
    """

    def __init__(self, dollars: Decimal, prices: Prices) -> None:
        self._dollars = dollars
        self._prices = prices
        self._held = Decimal(0)

    async def hold(self, targets: Sequence[Used], at: int) -> Decimal:
        """Hold what an answer by any of the targets may cost, and return that.

        Raises PaymentRequired where it does not fit, or where a price is not known.
        """
        # The table of prices is imported with the first question, which takes its time.
        costs = [await asyncio.to_thread(self._prices.cost, [target], at) for target in targets]
        known = [cost.dollars for cost in costs if cost is not None]
        if len(known) < len(costs) or not known:
            raise PaymentRequired(
                "the price of the judge's model is not known, and standpipe-criteria-budget is set",
                param="standpipe-criteria-budget",
            )
        if self._held + max(known) > self._dollars:
            raise PaymentRequired(
                f"the judge may cost more than is left of standpipe-criteria-budget, "
                f"{self._dollars:f} dollars",
                param="standpipe-criteria-budget",
            )
        self._held += max(known)
        return max(known)

    def settle(self, held: Decimal, answers: Iterable[Used], at: int) -> None:
        """Count what a judge cost in place of what was held for it."""
        cost = self._prices.cost(answers, at)
        self._held += (Decimal(0) if cost is None else cost.dollars) - held
