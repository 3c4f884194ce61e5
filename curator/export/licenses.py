"""Licence ids that a dataset card may carry, and the way from a licence as found to one of them.

Ids: the Hugging Face documentation of repository licences. A licence that is not on the list is never guessed at.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from curator.errors import CheckError

IDS: frozenset[str] = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
    openmdw-1.0 openmdw-1.1 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown
    other
    """.split()  # noqa: SIM905 - 83 quoted strings would hide the list
)


def known(text: str | None) -> str | None:
    """Return the id that `text` spells (case, spaces and a trailing "license" aside), or None. No guessing."""
    if not text:
        return None
    plain = re.sub(r"\s+licen[cs]e$", "", text.strip().lower())
    plain = re.sub(r"[\s_]+", "-", plain)
    return plain if plain in IDS and plain not in ("unknown", "other") else None


def chosen(license_: str) -> str:
    """Return a licence the user states, checked against the list.

    Raises:
        CheckError: the Hub does not know it.
    """
    if license_ in IDS:
        return license_
    found = known(license_)
    if found:
        return found
    near = difflib.get_close_matches(license_.lower(), IDS, 1, 0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    msg = f"export: license '{license_}' is not an id the Hub knows{hint} (or use 'other' with license_name)"
    raise CheckError(msg)


def combined(found: Iterable[str | None]) -> str | list[str]:
    """Return the card's `license` for the licences of all rows: one id, several, `other` or `unknown`.

    `unknown` where no row names a licence; `other` where some do not, or name one that is not on the list.
    """
    texts = {None if text is None or text.strip().lower() in ("", "unknown") else text for text in found}
    ids = {known(text) for text in texts}
    if texts <= {None}:
        return "unknown"
    if None in ids:
        return "other"
    listed = sorted(i for i in ids if i)
    return listed[0] if len(listed) == 1 else listed
