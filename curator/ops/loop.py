"""`loop`: repeat steps on a table that grows, or is replaced, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from curator.errors import CheckError
from curator.op import LoopFn, Steps, View, operator


def _condition(until: str) -> str:
    # The line break ends a trailing comment; `having` makes it a question about all rows: `n > 3` alone is refused.
    return f"select ({until}\n) as value from rows having true"


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> None:
    """Bind `until` against the columns of the state. Raises CheckError."""
    from curator.ops._sql import bind, shorten

    if settings["until"] is None:
        return
    (found,) = bind(_condition(settings["until"]), columns).values()
    if not pa.types.is_boolean(found):
        msg = f"until: '{shorten(settings['until'])}' is {found}, not a condition; write count(*) >= 400 or the like"
        raise CheckError(msg)


@operator("loop", effect="shapes", version=1, adds=("round",))
def loop(
    *,
    rounds: int,
    steps: Steps,
    until: str | None = None,
    mode: Literal["append", "replace"] = "append",
) -> LoopFn:
    """Run `steps` on the rows so far, again and again, at most `rounds` times.

    The rows that enter are the first state, with `round` 0. Each round hands the state to the steps and takes what they
    yield: `append` adds the rows that are new by their id and leaves the others as they were, `replace` goes on with
    what was yielded. New rows carry the number of their round. Every round draws with a seed of its own (hash of the
    run's seed and the round), unless a step names its seed. A round that yields nothing new is the last one, and the
    run says so. In the settings of the steps `${state}` is the path of the state at the beginning of the round, for
    `dedup: {against: "${state}"}` and the like.

    Each round has a folder with its own steps and receipts, so a stopped run goes on in the middle of one, and a
    higher `rounds` goes on after the last. Sources, sinks and other loops do not stand in a loop. (LOOP of the
    specification; the rounds of Prismatic Synthesis, PromptCoT 2.0 and STILL-2 are such loops.)

    Args:
        rounds: at most so many; 0 passes the rows through.
        steps: the steps of a round, as on a page.
        until: SQL condition over the state, such as `count(*) >= 400`; asked after each round, and true is the end.
        mode: `append` or `replace`.

    Raises:
        CheckError: `rounds` is negative, or `until` is not one SQL condition over the state.
    """
    if rounds < 0:
        msg = f"loop: rounds is {rounds}, it must be 0 or more"
        raise CheckError(msg)
    if until is not None:
        from curator.ops._sql import confine

        confine(_condition(until))

    def ended(view: View) -> bool:
        if until is None:
            return False
        ((found,),) = view.con.execute(_condition(until)).fetchall()
        return bool(found)

    return ended
