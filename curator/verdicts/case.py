"""What a verifier is given and what it says: `Case` and `Outcome`, the same for every kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from curator.maths.extract import Found, final_answer, reference
from curator.text import split_think

CORRECT, INCORRECT = "correct", "incorrect"
UNPARSEABLE, NO_REFERENCE, TIMEOUT, ERROR = "unparseable", "no_reference", "timeout", "error"
UNDECIDED = (ERROR, TIMEOUT, UNPARSEABLE, NO_REFERENCE)  # the one that a second run may mend comes first
NOT_TEXT = object()  # stands for bytes that are not UTF-8


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verdict. `score` is on `scale` ("0-1", "0-5", "logit"); `verifier` names who decided, with its version.

    `tests`: what each test of a program came to, where there were tests.
    """

    verdict: str
    detail: str | None = None
    predicted: str | None = None
    score: float | None = None
    scale: str | None = None
    verifier: str = ""
    tests: tuple[str, ...] | None = None

    @property
    def correct(self) -> bool | None:
        """True, false, or None where the verdict decides neither."""
        return {CORRECT: True, INCORRECT: False}.get(self.verdict)


def decided(correct: bool, verifier: str, predicted: str | None = None, detail: str | None = None) -> Outcome:  # noqa: FBT001
    """Return the outcome of a verifier that says yes or no: score 1 or 0."""
    verdict = CORRECT if correct else INCORRECT
    return Outcome(verdict, detail, predicted, float(correct), "0-1", verifier)


def graded(score: float, threshold: float, scale: str, verifier: str, detail: str | None = None) -> Outcome:
    """Return the outcome of a verifier that gives a number: correct from `threshold` on."""
    return Outcome(CORRECT if score >= threshold else INCORRECT, detail, None, score, scale, verifier)


@dataclass(frozen=True)
class Case:
    """One row to be judged. `trace` and `answer` are text, None or `NOT_TEXT`; `row` has the other columns."""

    row_id: str
    trace: Any
    answer: Any
    row: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def reference(self) -> str:
        """The short reference answer; of a whole solution what it states at its end; empty where there is none."""
        return reference(self.answer) if isinstance(self.answer, str) else ""

    @cached_property
    def found(self) -> Found:
        """The final answer of the trace, see `maths.extract`."""
        opened = str(self.row.get("prompt") or "").rstrip().endswith("<think>")
        return final_answer(self.trace, finish_reason=self.row.get("finish_reason"), opened=opened)

    @cached_property
    def response(self) -> str:
        """What follows the thinking; empty where the thinking never closed."""
        return split_think(self.trace).response.strip()

    @property
    def cut(self) -> bool:
        """Whether the trace ran into its token limit."""
        return self.row.get("finish_reason") == "length"

    def unread(self, verifier: str) -> Outcome | None:
        """Return the outcome of a row that has no trace to look at, else None."""
        if self.trace is NOT_TEXT:
            return Outcome(UNPARSEABLE, "the trace is bytes that are not text", verifier=verifier)
        if self.trace is None or not self.trace.strip():
            why = self.row.get("error")
            return Outcome(ERROR, f"no trace: {why}" if why else "no trace", verifier=verifier)
        return None

    def unreferenced(self, verifier: str, predicted: str | None) -> Outcome | None:
        """Return the outcome of a row without a usable reference, else None: a fault of the data, not of the answer."""
        if self.answer is NOT_TEXT:
            return Outcome(ERROR, "the reference is bytes that are not text", predicted, verifier=verifier)
        return None if self.reference else Outcome(NO_REFERENCE, None, predicted, verifier=verifier)


def text(value: Any) -> Any:
    """Return a cell as text: None stays, numbers are written out, bytes are read as UTF-8 or become `NOT_TEXT`."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return NOT_TEXT
    return value if value is None or isinstance(value, str) else str(value)


def values(column: pa.ChunkedArray) -> list[Any]:
    """Return the cells of a column; a text column with invalid UTF-8 in it gives bytes there, and only there."""
    try:
        found: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        found = [text(v) if text(v) is not NOT_TEXT else v for v in column.cast(pa.binary()).to_pylist()]
    return found
