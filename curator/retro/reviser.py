"""Rollouts of an engine: the next step without a switch word, then on to the answer without any ban.

Two routes keep switch words out of exactly one step. Where the engine can ban words: a first request with these words
banned that stops at the empty line, then a second one that is free. Elsewhere first steps are sampled, at most `TRIES`
for each rollout, and those that open with a switch word are thrown away. The second request repeats the prompt of the
first and what it wrote, so an engine that caches prefixes reads only its last token anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from curator.engines.protocol import BAD_WORDS, SEED, Completion, Engine, Message, Request, Sampling
from curator.spans.cuts import BREAK
from curator.spans.thoughts import Words
from curator.text import THINK_CLOSE, split_think

STOP = "\n\n"
TRIES = 4  # first steps sampled for one rollout where words cannot be banned (specs core 4.4)
FAILED = ("error", "content_filter")


class Draw(NamedTuple):
    """One rollout: what was written after the prefix, or why there is none (`why`, with a note).

    `tokens`: generated, thrown-away first steps included; `prompt` tokens read, and `shared` those of them that an
    earlier request of the same rollout had read or written; `first_prompt`: of its first request.
    """

    text: str
    why: str = ""
    note: str | None = None
    tokens: int = 0
    prompt: int = 0
    shared: int = 0
    first_prompt: int = 0
    requests: int = 0


@dataclass(frozen=True)
class Reviser:
    """Asks one engine for rollouts. `route`: how the ban is kept, `bad_words` or `sampled`."""

    engine: Engine
    words: Words
    sampling: Sampling

    @property
    def route(self) -> Literal["bad_words", "sampled"]:
        """How switch words are kept out of the first step."""
        return "bad_words" if BAD_WORDS in self.engine.capabilities else "sampled"

    async def draw(self, messages: tuple[Message, ...], prefix: str, n: int, seed: int, key: str) -> list[Draw]:
        """Return `n` rollouts from the end of `prefix`; they share its computation."""
        at = _Place(messages, prefix, seed if SEED in self.engine.capabilities else None, key)
        first = self._banned if self.route == "bad_words" else self._sampled
        begun = await first(at, n)
        if len(begun) == 1:  # without a task of its own
            return [await self._on(at, 0, *begun[0])]
        import asyncio  # 0.03 s that `check` need not pay

        return list(await asyncio.gather(*(self._on(at, i, *b) for i, b in enumerate(begun))))

    def _request(self, at: _Place, prefix: str, sampling: Sampling, n: int, first: int) -> Request:
        return Request(at.messages, sampling, n, prefix, first_sample=first, key=at.key)

    def _sampling(self, at: _Place, limit: int, *, first: bool, ban: bool) -> Sampling:
        s = self.sampling
        stop, words = ((STOP,) if first else ()), (self.words.words if ban else ())
        return Sampling(s.temperature, s.top_p, s.top_k, limit, stop, words, at.seed)

    async def _banned(self, at: _Place, n: int) -> list[tuple[Completion, Draw]]:
        """First steps of an engine that bans words. One may still open with a word spelt in other tokens."""
        sampling = self._sampling(at, self.sampling.max_tokens, first=True, ban=True)
        found = await self.engine.generate(self._request(at, at.prefix, sampling, n, 0))
        return [(c, _spent(c, first=not i)) for i, c in enumerate(found)]

    async def _sampled(self, at: _Place, n: int) -> list[tuple[Completion, Draw]]:
        """First steps of an engine that cannot ban: asked until `n` open with no switch word, or `TRIES` each."""
        sampling = self._sampling(at, self.sampling.max_tokens, first=True, ban=False)
        good: list[tuple[Completion, Draw]] = []
        asked, thrown = 0, Draw("")
        while len(good) < n and asked < TRIES * n:
            more = min(n - len(good), TRIES * n - asked)
            found = await self.engine.generate(self._request(at, at.prefix, sampling, more, asked))
            for i, c in enumerate(found):
                spent = _added(thrown, _spent(c, first=not i))
                if c.finish_reason in FAILED or not self.words.find(_own(c.text, at.prefix)):
                    good.append((c, spent))
                    thrown = Draw("")
                else:
                    thrown = spent._replace(note=c.text)
            asked += more
        last = Completion(thrown.note or "", "stop")
        lost = [(last, thrown._replace(why="no_continuation", note=None)), (last, Draw("", "no_continuation"))]
        return [*good, *(lost[min(i, 1)] for i in range(n - len(good)))]

    async def _on(self, at: _Place, sample: int, first: Completion, spent: Draw) -> Draw:
        """Continue a first step to the answer."""
        step = _own(first.text, at.prefix)
        if why := spent.why or _failed(first) or ("no_continuation" if self.words.find(step) else ""):
            return spent._replace(text=step, why=why, note=first.error)
        if not step.strip():
            note = "the first step is blank: white space at the prefix's end was lost"
            return spent._replace(why="empty", note=note)
        ended = BREAK.search(step, len(step) - len(step.lstrip()))
        if ended:
            step = step[: ended.end()]  # an engine that does not stop is stopped here, so that the ban ends as well
        elif THINK_CLOSE in step and split_think(step).response.strip():
            return spent._replace(text=step)
        else:
            step += STOP  # an engine that keeps its stop string to itself
        sampling = self._sampling(at, max(1, self.sampling.max_tokens - first.n_tokens), first=False, ban=False)
        prefix = at.prefix + step
        (rest,) = await self.engine.generate(self._request(at, prefix, sampling, 1, sample))
        shared = min(rest.n_prompt_tokens, first.n_prompt_tokens + first.n_tokens)
        return Draw(
            step + _own(rest.text, prefix), _failed(rest), rest.error, spent.tokens + rest.n_tokens,
            spent.prompt + rest.n_prompt_tokens, spent.shared + shared, spent.first_prompt, spent.requests + 1,
        )  # fmt: skip


class _Place(NamedTuple):
    """Where rollouts begin: conversation, prefix, seed, row."""

    messages: tuple[Message, ...]
    prefix: str
    seed: int | None
    key: str


def _own(text: str, prefix: str) -> str:
    """Return a completion without the prefix, which some servers say again."""
    return text[len(prefix) :] if text.startswith(prefix) else text


def _failed(c: Completion) -> str:
    return "engine_error" if c.finish_reason in FAILED else "truncated" if c.finish_reason == "length" else ""


def _spent(c: Completion, *, first: bool) -> Draw:
    """Return the tokens of a completion; the prompt counts for the first sample of a request only."""
    read = c.n_prompt_tokens if first else 0
    return Draw("", tokens=c.n_tokens, prompt=read, first_prompt=read, requests=1)


def _added(a: Draw, b: Draw) -> Draw:
    """Return the tokens of `b` after those of `a`, thrown-away first steps from the same prefix."""
    if not a.requests:
        return b
    return Draw(
        "", "", None, a.tokens + b.tokens, a.prompt + b.prompt, a.shared + min(a.first_prompt, b.prompt),
        a.first_prompt or b.first_prompt, a.requests + b.requests,
    )  # fmt: skip
