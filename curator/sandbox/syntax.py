"""Python's own parser, for all threads of a process."""

from __future__ import annotations

import ast
import contextlib
import threading

_PARSING = threading.Lock()
_TRIES = 9


def tree_of(code: str) -> ast.Module:
    """Parse Python; one thread at a time, because CPython 3.11 counts the depth of all threads' trees in one place.

    Two threads in `ast.parse` end in `SystemError: AST constructor recursion depth mismatch`; so nothing that a
    verifier runs in threads parses but here. Others' threads may parse all the same (a traceback that is printed
    does), so it is tried again.

    Raises what `ast.parse` does: SyntaxError, ValueError (NUL), RecursionError, MemoryError.
    """
    with _PARSING:
        for _ in range(_TRIES):
            with contextlib.suppress(SystemError):
                return ast.parse(code)
        return ast.parse(code)
