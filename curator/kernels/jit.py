"""How kernels are compiled: once a machine, without bounds checks, and without the lock of the interpreter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

Function = Callable[..., Any]


@lru_cache(maxsize=1)
def stamp() -> str:
    """Return the hash of the sources of all kernels."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()


def kernel(function: Function) -> Function:
    """Compile a function that Python calls, and keep what was compiled.

    Numba compiles again where the function's own file has changed. That is not enough: the machine code holds parts of
    other files. So each kernel is stamped with the sources of all of them.
    """
    compiled = numba.njit(nogil=True, cache=True, boundscheck=False, no_cfunc_wrapper=True)(function)
    compiled._cache._cache_file._source_stamp = stamp()  # noqa: SLF001 - numba has no other way
    return compiled  # type: ignore[no-any-return]


def part(function: Function) -> Function:
    """Compile a function that only kernels call: nothing for Python to call it with, which takes longest to compile."""
    found: Function = numba.njit(nogil=True, boundscheck=False, no_cfunc_wrapper=True, no_cpython_wrapper=True)(
        function
    )
    return found
