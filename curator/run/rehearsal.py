"""Engines that are looked over but not paid: for `plan`, which counts requests before the first call.

A rehearsal engine looks every sample up in the response store and answers the rest with a canned text that the
operators here accept: the row's own reference answer in a box, and the sections of a rewrite. So a plan counts as if
every answer were right, which is the most that later steps can be asked to do.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from curator import prompts
from curator.engines.around import Around
from curator.engines.protocol import Completion, Embedding, Engine, Gradient, Message, Request, Reward, TextScore
from curator.pipeline import Pipeline
from curator.run.meter import Engines, Meter
from curator.text import THINK_CLOSE

FILLER = "Step by step, one thought after the other. "
THOUGHTS = 15  # of a canned long answer: the mean of right MATH-500 traces of R1-Distill-7B (docs/retro-search.md)
LONG = "<think>\n" + "\n\nWait, ".join([FILLER * 4] * THOUGHTS) + "\n</think>\n\n"
# Goes on for longer than any trace has steps left, so a search takes none of them: the most it can ask.
ENDLESS = "So.\n\n" * 2000 + "</think>\n\n"
_EASY = "".join(f"**{name}**\nAs above.\n" for name in prompts.SECTIONS["easy"])


@dataclass
class Use:
    """What one step asked of one engine in a rehearsal. Samples and tokens.

    `known_out`: completion tokens of the stored answers; `cap`: the most the others may take (their `max_tokens`);
    `long`: how many prompts quote a canned long answer, whose real length is not known yet.
    """

    requests: int = 0
    stored: int = 0
    tokens_in: int = 0
    stored_in: int = 0
    known_out: int = 0
    cap: int = 0
    long: int = 0


class Rehearsal(Around):
    """An `Engine` in front of a real one that is never asked."""

    def __init__(self, inner: Engine, answer_of: Callable[[str], str | None]) -> None:
        self.inner, self._answer_of = inner, answer_of
        self.use = Use()

    async def generate(self, request: Request) -> list[Completion]:
        """Return stored answers and canned ones; count both."""
        text = "\n".join(m.content for m in request.messages) + request.prefix
        long = text.count(LONG)
        tokens = self.count_tokens(text.replace(LONG, ""))
        found = self._stored(request)
        new = sum(c is None for c in found)
        use = self.use
        use.requests += len(found)
        use.stored += len(found) - new
        use.known_out += sum(c.n_tokens for c in found if c is not None)
        use.cap += new * request.sampling.max_tokens
        if new:
            use.tokens_in += tokens
            use.long += long
        else:
            use.stored_in += tokens
        canned = self._canned(request, text)
        return [c if c is not None else canned for c in found]

    def _stored(self, request: Request) -> list[Completion | None]:
        """Return the stored answer of each sample, where there is one."""
        store = getattr(self.inner, "store", None)
        if store is None:
            return [None] * request.n
        from curator.engines import answers as kept

        try:
            keys = kept.keys(self.inner.identity, request)
        except (TypeError, AttributeError):
            return [None] * request.n
        payloads = (store.get(key, request.sampling.max_tokens) for key in keys)
        return [None if p is None else kept.unpack(p) for p in payloads]

    def _canned(self, request: Request, text: str) -> Completion:
        answer = f"\\boxed{{{self._answer_of(request.key) or '0'}}}"
        if request.prefix and THINK_CLOSE not in request.prefix:
            stop = request.sampling.stop
            body = FILLER + stop[0] if stop else ENDLESS + answer
            return Completion(body, "stop", self.count_tokens(body), 0)
        rewrite = "DIFFICULTY:" in text
        body = f"DIFFICULTY: easy\n{_EASY}**Solution**\n{answer}" if rewrite else LONG + answer
        head = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]  # two prompts, two answers
        return Completion(body if rewrite else f"{body}\n({head})", "stop", self.count_tokens(body), 0)

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Count one request; every token gets log-probability 0."""
        whole = text + "".join(m.content for m in messages)
        self.use.requests += 1
        self.use.tokens_in += self.count_tokens(whole.replace(LONG, ""))
        self.use.long += whole.count(LONG)
        told = (0.0,) if also else None
        return TextScore((text,), (0.0,), (0,), False, told, told)

    async def embed(self, messages: tuple[Message, ...], text: str) -> Embedding:
        """Count one request; the vector is 0."""
        await self.score(messages, text)
        return Embedding((0.0,), 1)

    async def gradient(self, messages: tuple[Message, ...], text: str, projection: str, max_tokens: int) -> Gradient:
        """Count one request; the vector is one of the axes, by hash of the text."""
        await self.score(messages, text)
        d = int(projection.split(":")[1])
        axis = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") % d
        return Gradient(bytes(4 * axis) + struct.pack("<f", 1.0) + bytes(4 * (d - axis - 1)), 0.0, 1)

    async def rewards(self, messages: tuple[Message, ...]) -> Reward:
        """Count one request; the only head says 0."""
        found = await self.score(messages, "")
        return Reward({"reward": found.logprobs[0]})

    async def close(self) -> None:
        """Close the real engine."""
        await self.inner.close()


class Rehearsed(Engines):
    """Rehearsals in front of engines. Aliases are "<step>/<alias>": each step is counted apart, the engine shared."""

    def __init__(self, pipeline: Pipeline, store: Any, answers: Mapping[str, str | None]) -> None:
        super().__init__(pipeline, store, lambda _alias, _use: None)
        self.answers = answers
        self.uses: dict[str, Use] = {}
        self.prices: dict[str, tuple[float, float] | None] = {}
        self._rehearsals: dict[str, Meter] = {}

    def get(self, alias: str) -> Meter:
        """Return the rehearsal of one step's engine."""
        if alias not in self._rehearsals:
            real = super().get(alias.rpartition("/")[2])
            rehearsal = Rehearsal(real.inner, self.answer_of)
            self.uses[alias], self.prices[alias] = rehearsal.use, real.price
            self._rehearsals[alias] = Meter(rehearsal, self._watch)
        return self._rehearsals[alias]

    def answer_of(self, key: str) -> str | None:
        """Return the reference answer of a row, or of the row it was made from ("p-1/0" -> "p-1")."""
        while key not in self.answers and "/" in key:
            key = key.rpartition("/")[0]
        return self.answers.get(key)
