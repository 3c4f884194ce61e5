r"""Multiple choice: which letter does an answer name? Only a stated answer counts, never a letter of running text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from curator.verdicts.case import ERROR, UNPARSEABLE, Case, Outcome, decided
from curator.verdicts.options import Options, Unreadable, letters_of

VERIFIER = "choice/1"
LETTERS = "ABCDEFGHIJ"
_TAIL = 4000  # characters at the end of a response in which a stated choice is looked for
_WRAP = re.compile(
    r"\\(?:boxed|fbox|text\w{0,2}|math\w{0,2}|mbox|boldsymbol|bf|rm|operatorname)\s*\{([^{}]*)\}|\\[()\[\]]|\\(?:left|right|,|;|!)"
)
_LETTER = re.compile(r"(?:(?:the )?(?:option|choice|answer)\s*:?\s*)?[(\[]?\s*([A-Ja-j])\s*[)\]]?\s*[.:;,]?", re.I)
_LABELLED = re.compile(
    r"(?:(?:option|choice)\s+)?(?:\(([A-J])\)|\[([A-J])\]|([A-J])\s*[).:]|([A-J])\s+[-–—])\s*(\S.*)", re.S
)
_REASONED = re.compile(r"(?:(?:option|choice)\s+)?[(\[]?([A-J])[)\]]?\s*,?\s+(?:because|since|as|for)\b.*", re.S)
_SEVERAL = re.compile(r"[(\[{]?\s*[A-J]\)?(?:\s*(?:,\s*and|,|;|&|/|and)\s*\(?[A-J]\)?)+\s*[)\]}]?\.?")
_CHOSEN = re.compile(
    r"\b(?:answer|option|choice)\s+(?:is|would be|must be)\s*:?\s*\**\s*(?:option\s+|choice\s+)?[(\[]?([A-J])"
    r"(?=[)\]]|\s*(?:[.,;:*]|$)|\s+(?:because|since)\b)"
    r"|\b(?:option|choice)\s+[(\[]?([A-J])[)\]]?\**\s+is\s+(?:the\s+)?(?:correct|right|best)\b"
    r"|\b(?:answer|option|choice)\s*\**\s*:\s*\**\s*[(\[]?([A-J])(?=[)\]]|\s*(?:[.,;:*]|$))",
    re.M | re.I,
)

Same = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]  # (option, answer) pairs -> equal values


def plain(text: str) -> str:
    r"""Return `text` without what typesets it: dollar signs, `\text{}`, asterisks, a final full stop."""
    for _ in range(4):
        changed = _WRAP.sub(lambda m: m.group(1) or "", text)
        if changed == text:
            break
        text = changed
    return " ".join(text.replace("$", " ").replace("*", " ").replace("`", " ").split()).strip()


def read(text: str, options: Options) -> tuple[frozenset[str], str | None]:
    """Return the letters an answer names (none where it names none) and what is odd about it.

    A letter, with brackets or a full stop; a letter with its option behind it; the text of exactly one option; several
    letters. A letter whose option text is another option's contradicts itself and names none.
    """
    said = plain(text)
    if m := _LETTER.fullmatch(said):
        return frozenset(m.group(1).upper()), None
    by_text = options.of_text(said)
    if len(by_text) == 1:
        return frozenset(by_text), None
    if by_text:
        return frozenset(), "several options have this text"
    if _SEVERAL.fullmatch(said) or (re.fullmatch("[A-J]{2,10}", said) and "".join(sorted(set(said))) == said):
        return frozenset(c for c in said if c in LETTERS), None
    if m := _LABELLED.fullmatch(said):
        letter = next(g for g in m.groups()[:4] if g)
        other = options.of_text(m.group(5))
        if other and letter not in other:
            return frozenset(), f"letter {letter} with the text of {', '.join(sorted(other))}"
        return frozenset(letter), None
    if m := _REASONED.fullmatch(said):
        return frozenset(m.group(1)), None
    return frozenset(), None


def stated(response: str) -> str | None:
    """Return the letter of the last "the correct option is B", "option B is correct" or "choice: B", else None."""
    found = list(_CHOSEN.finditer(response[-_TAIL:]))
    return next(g for g in found[-1].groups() if g).upper() if found else None


def judge(case: Case, column: str | None, same: Same) -> Outcome:
    """Compare the choice a trace states with the reference (a letter, several, or the text of an option).

    Args:
        case: the row.
        column: where the options are; None where there are none.
        same: compares values, for answers that write an option's value in another way.
    """
    if lacking := case.unread(VERIFIER):
        return lacking
    try:
        options = letters_of(case.row.get(column) if column else None)
    except Unreadable as e:
        return Outcome(ERROR, f"choices do not parse: {e}", case.found.text, verifier=VERIFIER)
    given, odd = _given(case, options, same)
    shown = "".join(sorted(given)) or case.found.text
    if lacking := case.unreferenced(VERIFIER, shown):
        return lacking
    gold, _ = read(case.reference, options)
    if not gold:
        ways = "nor the text of one choice" if options else "and there are no choices to find it in"
        return Outcome(ERROR, f"reference is no letter from A to J {ways}", shown, verifier=VERIFIER)
    if options and not gold <= options.letters:
        return Outcome(ERROR, f"reference {''.join(sorted(gold))} is none of the choices", shown, verifier=VERIFIER)
    if not given:
        cut = case.found.how == "truncated"
        why = odd or ("truncated" if cut else "no choice found" if case.found.text else "no answer found")
        return Outcome(UNPARSEABLE, why, shown, verifier=VERIFIER)
    return decided(given == gold, VERIFIER, shown)


def _given(case: Case, options: Options, same: Same) -> tuple[frozenset[str], str | None]:
    """The letters a trace states: in its final answer, else by a phrase, else by the value of exactly one option."""
    odd = None
    if answer := case.found.text:
        letters, odd = read(answer, options)
        if letters or odd:
            return letters, odd
    if letter := stated(case.response):
        return frozenset(letter), None
    if answer and options:
        equal = same([(text, answer) for _, text in options.pairs])
        hits = [letter for (letter, _), yes in zip(options.pairs, equal, strict=True) if yes]
        if len(hits) == 1:
            return frozenset(hits), None
        odd = "several options have this value" if hits else None
    return frozenset(), odd
