"""Steps as a plan and a preview run them: no more rows made than are wanted, and nothing waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from curator.flow import hook
from curator.op import Split
from curator.pipeline import Step


def resized(step: Step, size: Callable[[int], int]) -> Step:
    """Return a step, and those of a loop, with `size` of the number of rows it makes by itself."""
    own = hook(step.op, "sized")
    settings = own(step.bound, size) if own is not None else step.settings
    return replace(step, settings=settings, body=tuple(resized(inner, size) for inner in step.body))


def without_waiting(step: Step) -> Step:
    """Return a step, and those of a loop, with barriers that let the rows pass: for a plan and a preview."""
    body = tuple(without_waiting(inner) for inner in step.body)
    if step.kind != "barrier":
        return replace(step, body=body)

    def passing(**settings: Any) -> Callable[[Any], Split]:
        return lambda _view: Split(f'select *, null::varchar as "{settings["expects"]}" from rows')

    return replace(step, op=replace(step.op, kind=lambda _settings: "table", factory=passing), settings=step.bound)
