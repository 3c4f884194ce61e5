"""The vocabulary of instructions that can be checked by looking at a text: one function a name, its arguments typed.

Counts take `min`, `max` or both. Words are runs of letters and digits; so "words" means little in Chinese or Japanese.
Patterns are RE2 (linear time, whatever the pattern): no look-around, no back-references.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
_SENTENCE = re.compile(r"[^.!?。！？\s][^.!?。！？]*(?:[.!?。！？]+|\Z)")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|Dr|Mr|Mrs|Ms|St|vs|No|Fig|Eq|Prof)\.|(?<=\d)\.(?=\d)")
_HIGHLIGHT = re.compile(r"\*\*(?=\S)[^*\n]+(?<=\S)\*\*|(?<!\*)\*(?=[^\s*])[^*\n]+(?<=\S)\*(?!\*)")
SCRIPTS = ("LATIN", "HAN", "KANA", "HANGUL", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "THAI")
# Languages that their script tells apart from all other languages in wide use.
LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "zh": ("HAN",), "ja": ("HAN", "KANA"), "ko": ("HANGUL",), "el": ("GREEK",), "he": ("HEBREW",), "th": ("THAI",),
}  # fmt: skip
_LOOKED_AT = 100_000  # characters whose script is looked up
_SHARE = 0.9  # of the letters must be of the script (unpublished, ours: names and formulas are in Latin letters)


class Bad(Exception):
    """The arguments of a constraint make no sense; says why. A fault of the data."""


def _between(count: int, low: int | None, high: int | None) -> bool:
    if low is None and high is None:
        raise Bad("wants min, max or both")
    return (low is None or count >= low) and (high is None or count <= high)


def words(text: str, *, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """Number of words."""
    return _between(sum(1 for _ in _WORD.finditer(text)), min, max)


def sentences(text: str, *, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """Number of sentences: ends at . ! ? not counting common abbreviations and decimal points."""
    return _between(sum(1 for _ in _SENTENCE.finditer(_ABBREVIATION.sub("x", text))), min, max)


def _paragraphs(text: str, separator: str) -> list[str]:
    parts = text.split(separator) if separator.strip() else re.split(r"\n\s*\n", text)
    return [p.strip() for p in parts if p.strip()]


def paragraphs(text: str, *, min: int | None = None, max: int | None = None, separator: str = "\n\n") -> bool:  # noqa: A002
    """Number of paragraphs, divided by blank lines or by `separator`."""
    return _between(len(_paragraphs(text, separator)), min, max)


def bullets(text: str, *, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """Number of lines that begin with `-`, `*`, `+` or a bullet."""
    return _between(len(re.findall(r"^[ \t]*(?:[-+•]|\*(?!\*))[ \t]*\S", text, re.M)), min, max)


def highlights(text: str, *, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """Number of *highlighted* or **bold** parts."""
    return _between(len(_HIGHLIGHT.findall(text)), min, max)


def placeholders(text: str, *, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """Number of [placeholders] in square brackets."""
    return _between(len(re.findall(r"\[[^\[\]\n]+\]", text)), min, max)


def sections(text: str, *, splitter: str, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """Number of sections headed by `splitter` and a number, e.g. "Section 1"."""
    return _between(len(re.findall(rf"{re.escape(splitter.strip())}\s?\d+", text)), min, max)


def capital_words(text: str, *, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """Number of words in capitals only."""
    return _between(sum(m.group().isupper() for m in _WORD.finditer(text)), min, max)


def letter(text: str, *, letter: str, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """How often a letter comes, in either case."""
    return _between(text.casefold().count(letter.casefold()), min, max)


def _hits(text: str, word: str) -> int:
    if not word.strip():
        raise Bad("an empty word")
    head = r"(?<!\w)" if re.match(r"\w", word) else ""
    tail = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return len(re.findall(head + re.escape(word) + tail, text, re.I))


def keyword(text: str, *, word: str, min: int | None = None, max: int | None = None) -> bool:  # noqa: A002
    """How often a word or phrase comes, whole and in either case."""
    return _between(_hits(text, word), min, max)


def include(text: str, *, words: list[str]) -> bool:
    """All of these words or phrases come."""
    return all(_hits(text, w) for w in words)


def exclude(text: str, *, words: list[str]) -> bool:
    """None of these words or phrases comes."""
    return not any(_hits(text, w) for w in words)


def regex(text: str, *, pattern: str) -> bool:
    """The RE2 pattern is found somewhere."""
    try:
        found: bool = pc.match_substring_regex(pa.scalar(text), pattern).as_py()
    except pa.ArrowInvalid as e:
        msg = f"pattern is not RE2: {' '.join(str(e).split())[:100]}"
        raise Bad(msg) from None
    return found


def not_regex(text: str, *, pattern: str) -> bool:
    """The RE2 pattern is found nowhere."""
    return not regex(text, pattern=pattern)


def starts_with(text: str, *, text_: str) -> bool:
    """Begins so, in either case."""
    return text.strip().casefold().startswith(text_.strip().casefold())


def ends_with(text: str, *, text_: str) -> bool:
    """Ends so, in either case; quotation marks around the whole do not count."""
    return text.strip().strip('"').rstrip().casefold().endswith(text_.strip().casefold())


def first_word(text: str, *, paragraph: int, word: str, count: int | None = None) -> bool:
    """Paragraph number `paragraph` (from 1) begins with this word; there are `count` paragraphs where given."""
    found = _paragraphs(text, "\n\n")
    if not 1 <= paragraph <= len(found) or (count is not None and len(found) != count):
        return False
    first = _WORD.search(found[paragraph - 1])
    return first is not None and first.group().casefold() == word.strip().casefold()


def json_(text: str) -> bool:
    """All of it is valid JSON, in a code fence or not."""
    body = re.sub(r"\A```\w*", "", text.strip()).removesuffix("```")
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:
    """There is a title in double angle brackets, <<title>>."""
    return any(m.strip() for m in re.findall(r"<<([^<>\n]+)>>", text))


def lowercase(text: str) -> bool:
    """No capital letter."""
    return text == text.lower() and any(c.isalpha() for c in text)


def uppercase(text: str) -> bool:
    """No small letter."""
    return text == text.upper() and any(c.isalpha() for c in text)


def no_comma(text: str) -> bool:
    """No comma."""
    return "," not in text


def quoted(text: str) -> bool:
    """All of it stands between double quotation marks."""
    body = text.strip()
    return len(body) > 1 and body[0] in '"“' and body[-1] in '"”'


def postscript(text: str, *, marker: str = "P.S.") -> bool:
    """A line near the end begins with the marker."""
    spaced = r"\s*".join(re.escape(c) for c in marker.replace(" ", ""))
    return re.search(rf"^[ \t]*{spaced}.*\S", text, re.M | re.I) is not None


def one_of(text: str, *, options: list[str]) -> bool:
    """One of these phrases comes."""
    return any(o.strip().casefold() in text.casefold() for o in options)


def responses(text: str, *, count: int, separator: str = "******") -> bool:
    """So many different answers, divided by the separator."""
    parts = [p.strip() for p in text.split(separator)]
    return len(parts) == count and all(parts) and len(set(parts)) == count


def _share(text: str, wanted: tuple[str, ...]) -> float:
    names = [unicodedata.name(c, "").split(" ")[0] for c in text[:_LOOKED_AT] if c.isalpha()]
    alike = {"CJK": "HAN", "HIRAGANA": "KANA", "KATAKANA": "KANA", "KATAKANA-HIRAGANA": "KANA"}
    return sum(alike.get(n, n) in wanted for n in names) / len(names) if names else 0.0


def script(text: str, *, name: str) -> bool:
    """At least 0.9 of the letters are of this script."""
    if name.upper() not in SCRIPTS:
        msg = f"script '{name}' is not one of {', '.join(s.lower() for s in SCRIPTS)}"
        raise Bad(msg)
    return _share(text, (name.upper(),)) >= _SHARE


def language(text: str, *, code: str) -> bool:
    """At least 0.9 of the letters are of this language's script; only for languages their script tells apart."""
    wanted = LANGUAGES.get(code.lower())
    if wanted is None:
        msg = f"language '{code}' cannot be told by its script ({', '.join(LANGUAGES)} can); use script, or a judge"
        raise Bad(msg)
    return _share(text, wanted) >= _SHARE and (code.lower() != "ja" or _share(text, ("KANA",)) > 0)


CHECKS: Mapping[str, Callable[..., bool]] = {
    f.__name__.rstrip("_"): f
    for f in (
        words, sentences, paragraphs, bullets, highlights, placeholders, sections, capital_words, letter, keyword,
        include, exclude, regex, not_regex, starts_with, ends_with, first_word, json_, title, lowercase, uppercase,
        no_comma, quoted, postscript, one_of, responses, script, language,
    )
}  # fmt: skip
