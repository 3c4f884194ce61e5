"""Verdicts of rollouts as they come in: judged in batches on a few threads, so that the event loop stays free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from curator.verdicts.case import Case, Outcome

BATCH = 32  # cases judged together: a comparison that takes seconds holds up no more than these
THREADS = 4


class Judging:
    """Judges cases for many searches at once.

    `judge` blocks and is called on a thread; `quick` answers what takes microseconds at once, None for the others.
    """

    def __init__(
        self,
        judge: Callable[[Sequence[Case]], list[Outcome]],
        quick: Callable[[Case], Outcome | None] = lambda _case: None,
    ) -> None:
        self._judge, self._quick = judge, quick
        self._waiting: list[tuple[Case, asyncio.Future[Outcome]]] = []
        self._at_work = 0
        self._tasks: set[asyncio.Task[None]] = set()  # nobody else holds them

    async def __call__(self, case: Case) -> Outcome:
        """Return the outcome of one case."""
        known = self._quick(case)
        if known is not None:
            return known
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((case, answer))
        if self._at_work < THREADS:
            self._at_work += 1
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _work(self) -> None:
        try:
            await self._drain()
        finally:
            self._at_work -= 1  # with no await since nothing was waiting: a case that comes now starts another

    async def _drain(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                found = await asyncio.to_thread(self._judge, [case for case, _ in some])
            except Exception as e:  # noqa: BLE001 - whoever waits must hear of it
                for _, answer in some:
                    if not answer.done():
                        answer.set_exception(e)
                continue
            for (_, answer), outcome in zip(some, found, strict=True):
                if not answer.done():
                    answer.set_result(outcome)
