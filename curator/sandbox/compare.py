"""Is an output the expected one? Plain values and text in, yes or no out."""

from __future__ import annotations

import math
from typing import Any

# Unpublished, ours: contest checkers allow 1e-6 on decimals; APPS compares floats with numpy's allclose (1e-5).
TOLERANCE = 1e-6


def same_output(got: str, expected: str) -> bool:
    """Compare standard outputs: line by line, trailing white space aside; numbers may differ in their spelling.

    Decimals agree within 1e-6, absolute or relative to the expected one; whole numbers must be equal.
    """
    mine, theirs = _lines(got), _lines(expected)
    if mine == theirs:
        return True
    if len(mine) != len(theirs):
        return False
    return all(a == b or _same_line(a.split(), b.split()) for a, b in zip(mine, theirs, strict=True))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _same_line(got: list[str], expected: list[str]) -> bool:
    return len(got) == len(expected) and all(map(_same_token, got, expected))


def _same_token(got: str, expected: str) -> bool:
    if got == expected:
        return True
    if len(got) > 400 or len(expected) > 400 or "_" in got + expected:
        return False
    try:
        if got.lstrip("+-").isdigit() and expected.lstrip("+-").isdigit():
            return int(got) == int(expected)
        return _near(float(got), float(expected))
    except ValueError:
        return False


def _near(got: float, expected: float) -> bool:
    return math.isfinite(got) and math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def same_value(got: Any, expected: Any, *, wrapped: bool = False) -> bool:
    """Compare a returned value with one from JSON: tuples count as lists, keys as text, floats agree within 1e-6.

    Args:
        got: plain value.
        expected: value from JSON.
        wrapped: the file may have put the value into a list of one (APPS).
    """
    if _equal(got, expected):
        return True
    return wrapped and isinstance(expected, list) and len(expected) == 1 and _equal(got, expected[0])


def _equal(got: Any, expected: Any) -> bool:
    if isinstance(got, tuple):
        got = list(got)
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(_equal, got, expected))
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return False
        keyed = {str(k): v for k, v in got.items()}
        return keyed.keys() == expected.keys() and all(_equal(keyed[k], v) for k, v in expected.items())
    if isinstance(got, float) and isinstance(expected, int | float) and not isinstance(expected, bool):
        return got == expected or _near(got, float(expected))
    if isinstance(expected, float) and isinstance(got, int) and not isinstance(got, bool):
        return _near(float(got), expected)
    return bool(got == expected) and isinstance(got, bool) == isinstance(expected, bool)
