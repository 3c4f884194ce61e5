"""Operators as Python verbs: `cu.dedup(on="problem")` is the pipeline of that one step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from curator.near import hint
from curator.op import find, known_names
from curator.pipeline import Pipeline, step


def verb(name: str) -> Callable[..., Pipeline]:
    """Return the verb of the operator `name`, with its signature and docstring.

    Raises:
        AttributeError: there is no such operator.
    """
    try:
        op = find(name)
    except KeyError:
        msg = f"module 'curator' has no operator '{name}'{hint(name, known_names())}"
        raise AttributeError(msg) from None

    def call(*first: Any, **settings: Any) -> Pipeline:
        return step(name, *first, **settings)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = op.doc
    call.__module__ = "curator"
    signature = inspect.signature(op.factory)
    call.__signature__ = signature.replace(return_annotation=Pipeline)  # type: ignore[attr-defined]  # for help()
    return call
