"""How a delivery worker asks whether messages may go now, where their rate is limited."""

from collections.abc import Sequence
from typing import Protocol

from cdp.domain.rate_budget import Grant, Want


class Budgets(Protocol):
    """The budgets of a channel, which all its workers share."""

    async def spend(self, wants: Sequence[Want]) -> list[Grant]:
        """Spend for as many as may go now; a grant for each want. What is granted is spent, also
        if it is not used.

        Raises:
            WorkerLost: whoever keeps the budgets could not be asked; nothing may go.
            OutcomeUnknown: MongoDB could not be asked; nothing may go.
        """
