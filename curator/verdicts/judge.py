"""An engine's opinion: what a judge is asked, how its reply is read, and how votes become one outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from curator.verdicts.case import ERROR, NO_REFERENCE, UNPARSEABLE, Case, Outcome, graded

VERIFIER = "judge/1"
MAX_CHARS = 20_000  # of a quoted answer: a longer one is not sent
_NUMBER = r"-?\d+(?:\.\d+)?"
_SCORE = re.compile(
    rf"(?:.*\b(?:score|rating|grade|verdict|answer|similarity)\W{{0,6}}(?:is\W{{1,3}})?)?"
    rf"({_NUMBER})(?:\s*(?:/|out of)\s*({_NUMBER}))?\W*",
    re.I | re.S,
)
_BOX = re.compile(r"\\boxed\{([^{}]*)\}")
_EDGES = " \t\r\n*_`\"'“”.,:;!#>()[]{}$\\"
_NEGATION = re.compile(
    r"\b(?:not|never|isn't|aren't|doesn't|don't|cannot|can't|hardly|neither|without)\W+(?:\w+\W+){0,2}\Z", re.I
)

_NEAR = 80  # characters before a word in which a negation counts

Vote = bool | float | None


@dataclass(frozen=True)
class Reading:
    """How a reply is read: words that mean yes and no, or a number on a scale; `pattern` finds either."""

    words: Mapping[str, bool]
    pattern: re.Pattern[str] | None = None
    scale: tuple[float, float] | None = None

    @property
    def scale_name(self) -> str:
        """As in the column score_scale."""
        return "0-1" if self.scale is None else f"{self.scale[0]:g}-{self.scale[1]:g}"


@dataclass(frozen=True)
class Reply:
    """One answer of the engine; `error` where the request failed."""

    text: str
    error: str | None = None


def read(reply: str, how: Reading) -> Vote:
    """Return yes, no or a number, or None where the reply says neither: it is never guessed.

    Only what follows `</think>` counts. With a pattern: its last match, first group. Else the whole reply, a boxed
    part, its last line or its first word; a word anywhere else counts only where no word of the other kind and no
    negation stands beside it.
    """
    said = reply.rpartition("</think>")[2] if "</think>" in reply else reply
    if said.lstrip().startswith("<think>"):
        return None
    if how.pattern is not None:
        found = list(how.pattern.finditer(said))
        return _value(found[-1].group(1 if how.pattern.groups else 0) or "", how) if found else None
    boxed = _BOX.findall(said)
    lines = [line for line in said.splitlines() if line.strip(_EDGES)]
    for part in (said, *boxed[-1:], *lines[-1:]):
        value = _value(part, how)
        if value is not None:
            return value
    return _loose(said, how.words) if how.scale is None else None


def _value(text: str, how: Reading) -> Vote:
    """The value of a text that says nothing else."""
    if how.scale is not None:
        m = _SCORE.fullmatch(text.strip(_EDGES))
        if not m or (m.group(2) and float(m.group(2)) != how.scale[1]):
            return None
        number = float(m.group(1))
        return number if how.scale[0] <= number <= how.scale[1] else None
    plain = " ".join(text.strip(_EDGES).split()).casefold()
    plain = re.sub(r"^(?:(?:final |my )?(?:verdict|answer|judge?ment|decision)\W*(?:is\b)?\W*)", "", plain)
    return how.words.get(plain.strip(_EDGES))


def _loose(said: str, words: Mapping[str, bool]) -> Vote:
    pattern = "|".join(sorted((re.escape(w) for w in words), key=len, reverse=True))
    found = list(re.finditer(rf"(?<![\w'-])(?:{pattern})(?![\w'-])", said, re.I))
    if (
        found
        and re.match(r"[.,:;!\n]|\s*[-–—]\s", said[found[0].end() :] or ".")
        and not said[: found[0].start()].strip(_EDGES)
    ):
        last = words[found[0].group().casefold()]
        return last if words[found[-1].group().casefold()] is last or len(found) == 1 else None
    kinds = {words[m.group().casefold()] for m in found}
    if len(kinds) != 1 or any(_NEGATION.search(said[max(0, m.start() - _NEAR) : m.start()]) for m in found):
        return None
    return kinds.pop()


def material(case: Case, needs: Sequence[str]) -> dict[str, str] | Outcome:
    """Return the fields a template quotes, or the outcome of a row that cannot be asked about.

    `reference`: the reference answer; `answer`: the final answer of the trace, or all of the response where it states
    none; `response`, `trace`; every other name is a column.
    """
    if lacking := case.unread(VERIFIER):
        return lacking
    found = case.found
    given = found.text or ("" if case.cut else case.response)
    if "reference" in needs and (lacking := case.unreferenced(VERIFIER, given[:200] or None)):
        return lacking
    ours = {"reference": case.reference, "answer": given, "response": case.response, "trace": case.trace}
    fields = {}
    for name in needs:
        value = ours[name] if name in ours else case.row.get(name)
        if not isinstance(value, str | int | float) or value == "":
            return _lacking(name, cut=case.cut or found.how == "truncated")
        if len(str(value)) > MAX_CHARS:
            long = f"{name} has {len(str(value)):,} characters, a judge is sent at most {MAX_CHARS:,}"
            return Outcome(UNPARSEABLE, long, verifier=VERIFIER)
        fields[name] = str(value)
    return fields


def _lacking(name: str, *, cut: bool) -> Outcome:
    if name in ("answer", "response"):
        return Outcome(UNPARSEABLE, "truncated" if cut else "no answer found", verifier=VERIFIER)
    return Outcome(NO_REFERENCE, f"column '{name}' is empty", verifier=VERIFIER)


def outcome(orders: Sequence[Sequence[Reply]], how: Reading, threshold: float, who: str, answer: str | None) -> Outcome:
    """Make one outcome of the replies to one row; `orders`: one list of votes, or two where the answers were swapped.

    Yes or no: more than half of the votes that could be read, in each order; score is the share of yes. A number: the
    mean, correct from `threshold` on. Orders that come to different verdicts decide nothing: unparseable. No vote that
    could be read: unparseable; no vote at all: error.
    """
    read_ = [[read(r.text, how) for r in replies if r.error is None] for replies in orders]
    votes = [[v for v in found if v is not None] for found in read_]
    scale = how.scale_name
    if any(not v for v in votes):
        errors = [r.error for replies in orders for r in replies if r.error is not None]
        if errors and any(not r for r in read_):
            return Outcome(ERROR, f"the judge failed: {errors[0]}", answer, None, scale, who)
        shown = next((r.text for replies in orders for r in replies if r.error is None), "")
        return Outcome(
            UNPARSEABLE, f"judge's reply not understood: {' '.join(shown.split())[:120]!r}", answer, None, scale, who
        )
    score = fmean(fmean(float(v) for v in found) for found in votes)
    sides = [fmean(float(v) for v in found) for found in votes]
    level = threshold if how.scale is not None else 0.5
    if how.scale is None and 0.5 in sides:
        return Outcome(UNPARSEABLE, f"votes tie, {_tally(votes)}", answer, score, scale, who)
    if len({s >= level for s in sides}) > 1:
        return Outcome(UNPARSEABLE, f"the two orders disagree, {_tally(votes)}", answer, score, scale, who)
    several = sum(map(len, votes)) > 1
    made = graded(score, level, scale, who, _tally(votes) if several else None)
    return Outcome(made.verdict, made.detail, answer, score, scale, who)


def _tally(votes: Sequence[Sequence[bool | float]]) -> str:
    shown = [", ".join(f"{v:g}" if not isinstance(v, bool) else "yes" if v else "no" for v in found) for found in votes]
    return "votes " + " | ".join(shown)
