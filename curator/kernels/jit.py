"""How kernels are compiled: once a machine, without bounds checks, and without the lock of the interpreter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numba

Function = Callable[..., Any]
_ALWAYS: dict[str, Any] = {"nogil": True, "boundscheck": False, "no_cfunc_wrapper": True}


@lru_cache(maxsize=8)
def stamp(folder: Path) -> str:
    """Return the hash of the sources of all kernels of a folder, and of how they are compiled."""
    files = [*sorted(folder.glob("*.py")), Path(__file__)]
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()


def kernel(function: Function, **options: Any) -> Function:
    """Compile a function that Python calls, and keep what was compiled.

    Numba compiles again where the function's own file has changed. That is not enough: the machine code holds parts of
    other files. So each kernel is stamped with the sources of its whole folder.
    """
    compiled = numba.njit(cache=True, **_ALWAYS, **options)(function)
    compiled._cache._cache_file._source_stamp = stamp(Path(function.__code__.co_filename).parent)  # noqa: SLF001 - numba has no other way
    return compiled  # type: ignore[no-any-return]


@overload
def part(function: Function, **options: Any) -> Function: ...
@overload
def part(**options: Any) -> Callable[[Function], Function]: ...
def part(function: Function | None = None, **options: Any) -> Any:
    """Compile a function that only kernels call: nothing for Python to call it with, which takes longest to compile."""
    compile_it = numba.njit(no_cpython_wrapper=True, **_ALWAYS, **options)
    return compile_it if function is None else compile_it(function)
