"""How the kernels of this room are compiled: without the interpreter's lock, bounds checks or Python's division."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])
_ALWAYS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(function: F) -> F:
    """Compile a function that Python calls, and keep what was compiled."""
    found: F = numba.njit(cache=True, **_ALWAYS)(function)
    return found


def part(**options: Any) -> Callable[[F], F]:
    """Compile a function that only kernels call: without what Python would need to call it, which compiles slowly."""

    def decorate(function: F) -> F:
        found: F = numba.njit(no_cpython_wrapper=True, **_ALWAYS, **options)(function)
        return found

    return decorate
