"""A trace as the search sees it: thoughts of steps, a prefix up to each thought, a tail that can be replaced."""

from __future__ import annotations

from dataclasses import dataclass

from curator.spans.cuts import frame
from curator.spans.thoughts import Outline, Words, outline
from curator.text import THINK_CLOSE, THINK_OPEN


@dataclass(frozen=True)
class Trace:
    """`head` + `think` + `tail` is the text: opening tag, thinking, closing tag and response. Thoughts count from 1."""

    head: str
    think: str
    tail: str
    outline: Outline

    @classmethod
    def of(cls, text: str, words: Words) -> Trace | None:
        """Return the trace of a text; None where it has no thinking."""
        at = frame(text)
        if at is None or not text[at.start : at.end].strip():
            return None
        think = text[at.start : at.end]
        return cls(text[: at.start], think, text[at.end :], outline(think, words))

    @property
    def text(self) -> str:
        """The whole trace."""
        return self.head + self.think + self.tail

    @property
    def closed(self) -> bool:
        """Whether the thinking ends."""
        return bool(self.tail)

    @property
    def response(self) -> str:
        """What follows the closing tag."""
        return self.tail.partition(THINK_CLOSE)[2].lstrip("\r\n")

    @property
    def n_steps(self) -> int:
        """Steps of the thinking; those of the response do not count."""
        return len(self.outline.steps)

    @property
    def n_thoughts(self) -> int:
        """Thoughts of the thinking."""
        return len(self.outline.thoughts)

    def kept(self, thought: int) -> str:
        """Return the thinking up to the end of a thought, empty line after it included."""
        return self.think[: self.outline.end(thought - 1)]

    def prefix(self, thought: int) -> str:
        """Return what the assistant has said up to there: what an engine continues. It opens the thinking."""
        head = self.head if THINK_OPEN in self.head else f"{THINK_OPEN}\n"
        return head + self.kept(thought)

    def steps_after(self, thought: int) -> int:
        """Return how many steps follow a thought."""
        return self.n_steps - self.outline.steps_through(thought - 1)

    def replaced(self, thought: int, rollout: str, words: Words) -> Trace:
        """Return the trace whose tail after a thought is a rollout, cut into thoughts anew."""
        think, tail = split(rollout)
        think = self.kept(thought) + think
        return Trace(self.head, think, tail, outline(think, words))


def split(rollout: str) -> tuple[str, str]:
    """Return a continuation as (thinking, closing tag and what follows it); the tag's line breaks are the tag's."""
    at = rollout.rfind(THINK_CLOSE)
    if at < 0:
        return rollout, ""
    think = rollout[:at].rstrip("\r\n")
    return think, rollout[len(think) :]
