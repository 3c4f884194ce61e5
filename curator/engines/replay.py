"""Recorded outputs as an engine: from a file, or from a function. Slow and failing on demand, always the same.

For rehearsing a pipeline before it costs anything, for importing answers made elsewhere, and for tests.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from curator.bounds import Ge, Le
from curator.engines.protocol import (
    BAD_WORDS,
    GENERATE,
    PREFIX,
    PROMPT_LOGPROBS,
    SEED,
    Completion,
    FinishReason,
    Message,
    Request,
    TextScore,
)
from curator.engines.recording import Recording
from curator.errors import CheckError, EngineError

Fraction = Annotated[float, Ge(0), Le(1)]


class ReplayEngine:
    """Answers from a recording or a function."""

    def __init__(
        self,
        *,
        alias: str = "engine",
        path: str | None = None,
        function: str | None = None,
        score: str | None = None,
        problem: str | None = None,
        trace: str | None = None,
        model: str = "replay",
        finish_reason: FinishReason | None = None,
        delay: Annotated[float, Ge(0)] = 0.0,
        fail_rate: Fraction = 0.0,
        fail_every: Annotated[int, Ge(0)] = 0,
    ) -> None:
        """Read the recording, or import the function.

        Args:
            alias: the pipeline's name for it.
            path: Parquet, JSONL or JSONL.zst file with one row a sample: a problem (or prompt) and its output. Rows of
                one problem are its samples, in the file's order (or by `sample_idx` where there is one).
            function: `module:function`, called as `function(messages, sample_idx, prefix)` with `messages` a tuple of
                `Message`; returns text or a `Completion`. If it has a parameter `request` it gets the `Request`.
            score: `module:function`, called as `score(messages, text)`; returns one log-probability a character, or
                a `TextScore`. Gives the engine the capability prompt_logprobs.
            problem: column with the problem or prompt; default the first of problem, prompt, question, instruction.
            trace: column with the output; default the first of trace, output, generation, completion, response.
            model: name recorded in rows.
            finish_reason: replaces the recorded one; `error` makes every request fail.
            delay: seconds each request takes.
            fail_rate: share of samples that fail, chosen by hash of the request and the sample's number.
            fail_every: of so many samples one fails, chosen the same way; 0 is none.

        Raises:
            CheckError: neither or both of `path` and `function`, or the function cannot be imported.
            InputError: the file is missing, unreadable or lacks the columns.
        """
        if (path is None) == (function is None):
            msg = f"engine '{alias}' (replay) needs a path (recorded outputs) or a function (module:function), not both"
            raise CheckError(msg)
        self._alias, self._model, self._finish = alias, model, finish_reason
        self._delay, self._fail_rate, self._fail_every = delay, fail_rate, fail_every
        self._recording = Recording.read(Path(path), problem, trace) if path is not None else None
        self._function = load_function(function, alias) if function is not None else None
        self._wants_request = self._function is not None and "request" in inspect.signature(self._function).parameters
        self._score = load_function(score, alias) if score is not None else None
        source = self._recording.digest if self._recording else _digest_of(self._function)
        self._identity = {"kind": "replay", "model": model, "source": source}
        if self._score is not None:
            self._identity["score"] = _digest_of(self._score)
        if finish_reason is not None:
            self._identity["finish_reason"] = finish_reason

    @property
    def alias(self) -> str:
        """The name the pipeline gives it."""
        return self._alias

    @property
    def model(self) -> str:
        """As set."""
        return self._model

    @property
    def identity(self) -> Mapping[str, str]:
        """Kind, model, and a hash of the file or of the function's source."""
        return self._identity

    @property
    def capabilities(self) -> frozenset[str]:
        """Generation and prefixes; with a function also banned words (its own affair); with `score` scoring."""
        return capabilities({"function": self._function, "score": self._score})

    @property
    def max_context(self) -> int | None:
        """Unknown."""
        return None

    def count_tokens(self, text: str) -> int:
        """Four characters a token: an estimate."""
        return (len(text) + 3) // 4

    async def generate(self, request: Request) -> list[Completion]:
        """Return the recorded samples; a sample that was never recorded is an error, never something else."""
        if self._delay:
            await asyncio.sleep(self._delay)
        return [self._sample(request, request.first_sample + i) for i in range(request.n)]

    def _sample(self, request: Request, sample: int) -> Completion:
        if self._fails(request, sample) or self._finish == "error":
            return Completion("", "error", error="failed on demand (replay)")
        prompt = sum(self.count_tokens(m.content) for m in request.messages)
        if self._function is not None:
            extra = {"request": request} if self._wants_request else {}
            got = self._function(request.messages, sample, request.prefix, **extra)
            if isinstance(got, Completion):
                return got
            text, finish, n_tokens = str(got), "stop", None
        else:
            found = self._recording.find(request.messages, sample) if self._recording else "no recording"
            if isinstance(found, str):
                return Completion("", "error", error=found)
            text, finish, n_tokens = found
            if not text.startswith(request.prefix):
                return Completion("", "error", error="the recorded output does not begin with the prefix")
            if request.prefix:
                text, n_tokens = text[len(request.prefix) :], None
        ended = _until(text, request.sampling.stop)
        if ended != text:
            text, finish, n_tokens = ended, "stop", None
        count = self.count_tokens(text) if n_tokens is None else n_tokens
        reason: FinishReason = self._finish or ("length" if finish == "length" else "stop")
        return Completion(text, reason, count, prompt)

    def _fails(self, request: Request, sample: int) -> bool:
        if not self._fail_rate and not self._fail_every:
            return False
        text = "\x00".join([*(f"{m.role}\x01{m.content}" for m in request.messages), request.prefix, str(sample)])
        draw = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")
        return draw < self._fail_rate * 2**64 or (self._fail_every > 0 and draw % self._fail_every == 0)

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Return what the `score` function says."""
        del also  # not among its capabilities
        if self._score is None:
            msg = f"engine '{self._alias}' (replay) has no score function; set score: module:function"
            raise EngineError(msg)
        found = self._score(messages, text)
        if isinstance(found, TextScore):
            return found
        return TextScore(tuple(text), tuple(float(x) for x in found), tuple(range(len(text))))

    async def close(self) -> None:
        """Nothing is open."""


def capabilities(settings: Mapping[str, Any]) -> frozenset[str]:
    """Return what a replay engine with these settings can do."""
    able = {GENERATE, PREFIX, SEED}
    if settings.get("function"):
        able.add(BAD_WORDS)
    if settings.get("score"):
        able.add(PROMPT_LOGPROBS)
    return frozenset(able)


def _until(text: str, stop: tuple[str, ...]) -> str:
    """Return `text` up to and with the first stop string in it."""
    ends = [text.find(s) + len(s) for s in stop if s and s in text]
    return text[: min(ends)] if ends else text


def load_function(target: str, alias: str) -> Callable[..., Any]:
    """Import `module:function`. Raises CheckError where that does not work."""
    import importlib

    module, _, name = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as e:
        msg = f"engine '{alias}' (replay): cannot import {target} as module:function ({e})"
        raise CheckError(msg) from e
    return found


def _digest_of(function: Callable[..., Any] | None) -> str:
    """Return a hash of a function's name and source; an edited function is another engine."""
    if function is None:
        return ""
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', function)}"
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = ""
    return f"{name}@{hashlib.sha256(source.encode()).hexdigest()[:16]}"
