"""The near miss: what a person probably meant, for the end of an error message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, options: Iterable[str]) -> str | None:
    """Return the option closest to `name`, or None where nothing is close. Case, `-` and `_` do not count."""
    plain = {_plain(option): option for option in options}
    found = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def hint(name: str, options: Iterable[str], *, limit: int = 12) -> str:
    """Return `; did you mean 'x'?`, or the options where nothing is close, or nothing where there are none."""
    options = list(options)
    close = nearest(name, options)
    if close is not None:
        return f"; did you mean '{close}'?"
    if not options:
        return ""
    more = f", ... ({len(options) - limit} more)" if len(options) > limit else ""
    return "; there is " + ", ".join(options[:limit]) + more


def shown(value: object, *, limit: int = 60) -> str:
    """Return `value` as a message shows it: its repr, cut at `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
