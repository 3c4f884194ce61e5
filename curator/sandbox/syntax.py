"""Python's own parser, for all threads of a process."""

from __future__ import annotations

import ast
import threading

_PARSING = threading.Lock()


def tree_of(code: str) -> ast.Module:
    """Parse Python; one thread at a time, because CPython 3.11 counts the depth of all threads' trees in one place.

    Two threads in `ast.parse` end in `SystemError: AST constructor recursion depth mismatch`; so nothing that a
    verifier runs in threads parses but here.

    Raises what `ast.parse` does: SyntaxError, ValueError (NUL), RecursionError, MemoryError.
    """
    with _PARSING:
        return ast.parse(code)
