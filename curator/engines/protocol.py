"""What an operator may ask of a model, and what it gets back. No engine is imported here.

Operators receive an `Engine` and nothing else: retries, pacing, budgets, the response store and prices live behind it.
Failure is a value: a request that fails after its retries is a `Completion` with `finish_reason="error"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length", "error", "content_filter"]

# Capabilities an engine declares and an operator may want.
GENERATE = "generate"  # messages in, text out
PREFIX = "prefix"  # continue a given assistant prefix
BAD_WORDS = "bad_words"  # strings that may not be generated
LOGPROBS = "logprobs"  # log-probabilities of generated tokens
PROMPT_LOGPROBS = "prompt_logprobs"  # log-probabilities of a given text
SEED = "seed"  # per-request sampling seed
TOKENIZE = "tokenize"  # exact token counts
ENTROPY = "entropy"  # the entropy of the whole distribution at each token of a given text
MARGIN = "margin"  # the difference of the two largest probabilities at each token of a given text
EMBED = "embed"  # a vector for a given text: see `Embedder`
GRADIENTS = "gradients"  # the projected gradient of a text's loss: see `Differentiable`
REWARDS = "rewards"  # a conversation in, the numbers of a reward head out: see `RewardModel`


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. `max_tokens` counts completion tokens; `stop` strings are *kept* at the end of the text."""

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 0
    max_tokens: int = 4096
    stop: tuple[str, ...] = ()
    bad_words: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt, `n` samples. `prefix`: assistant text to continue (not repeated in the completion's text).

    `key` names the row for messages and logs; it is not part of the response key. `first_sample` numbers the samples
    `first_sample .. first_sample+n-1`, so that asking for more later pays only for the new ones.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    n: int = 1
    prefix: str = ""
    logprobs: bool = False
    first_sample: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample. `text` is the whole assistant text that was generated: thinking inline as `<think>...</think>`,
    also where the server sent it in a separate field; a matched stop string is part of it; a given prefix is not.

    `logprobs`: natural logs, one per generated token, or None.
    `logprob_tokens`: the token strings they belong to.
    `too_long`: an error that is the row's and not the engine's, see `too_long`.
    """

    text: str
    finish_reason: FinishReason
    n_tokens: int = 0
    n_prompt_tokens: int = 0
    logprobs: tuple[float, ...] | None = None
    logprob_tokens: tuple[str, ...] | None = None
    error: str | None = None
    cached: bool = False
    too_long: bool = False


def too_long(tokens: int, context: int) -> Completion:
    """Return the failure of a prompt that leaves no room in the model's context: nothing was read, nothing is paid.

    It says something about the row and nothing about the engine, so it does not count towards `max_error_share`.
    """
    why = f"the prompt has {tokens} tokens, the model's context is {context}"
    return Completion("", "error", error=why, too_long=True)


@dataclass(frozen=True, slots=True)
class TextScore:
    """Log-probabilities (natural) of a given completion under the model, token by token.

    `offsets`: start of each token in the completion, in characters. `truncated`: the text did not fit the context and
    only its head was scored. `entropies` (nats) and `margins`: as many as tokens where they were asked for. `error`:
    why nothing was scored, where the request failed after its retries.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    offsets: tuple[int, ...]
    truncated: bool = False
    entropies: tuple[float, ...] | None = None
    margins: tuple[float, ...] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of a text: the mean of the model's last hidden states over its tokens.

    Empty with `error` set where the request failed; `truncated`: only the head that fits was read.
    """

    vector: tuple[float, ...]
    n_tokens: int = 0
    truncated: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Gradient:
    """The gradient of a text's mean loss over all parameters, projected, of length 1.

    `vector`: float32, little-endian; empty with `error` set where there is none: `empty` (nothing of the text fits),
    `zero_gradient`, `nan_loss`, `nan_gradient`, or why the request failed. `loss`: mean nats a token of the text.
    `n_tokens`: of the text, the token that ends the turn included. `truncated`: only the head of the text was read.
    """

    vector: bytes
    loss: float | None = None
    n_tokens: int = 0
    truncated: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """What the heads of a reward model say of one conversation: head -> logit, unbounded; higher is better.

    Empty with `error` set where there is none: the conversation does not fit the model (it is never cut), or the
    request failed.
    """

    scores: Mapping[str, float]
    n_tokens: int = 0
    error: str | None = None


@runtime_checkable
class Engine(Protocol):
    """A model that can be asked. All methods may be called concurrently from one event loop."""

    @property
    def alias(self) -> str:
        """The name the pipeline gives it."""
        ...

    @property
    def model(self) -> str:
        """Model name and revision, as recorded in rows."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides the text beside the request: kind, model, revision, template, endpoint. Part of every key."""
        ...

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        ...

    @property
    def max_context(self) -> int | None:
        """Longest prompt plus completion, in tokens; None where unknown."""
        ...

    async def generate(self, request: Request) -> list[Completion]:
        """Return `request.n` completions, in sample order. Never raises for a failed request: see `finish_reason`.

        Raises:
            EngineError: the engine is unusable (wrong key, unknown model, too many failures in a row).
            BudgetSpent: the budget of this engine is used up.
        """
        ...

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Return the log-probabilities of `text` as the assistant's answer to `messages`.

        Without messages `text` stands alone, without a chat template, after the token that begins a text where the
        model has one; else its own first token is not scored. `also`: `ENTROPY`, `MARGIN`. Never raises for a failed
        request: see `error`.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`; an estimate (4 characters a token) where `tokenize` is not among the capabilities."""
        ...

    async def close(self) -> None:
        """Finish what is under way, free the model or the connections."""
        ...


class RewardModel(Engine, Protocol):
    """An engine with the capability `REWARDS`."""

    async def rewards(self, messages: tuple[Message, ...]) -> Reward:
        """Judge a conversation that ends with the assistant's turn. Never raises for a failed request: see `error`."""
        ...


class Differentiable(Engine, Protocol):
    """An engine with the capability `GRADIENTS`."""

    async def gradient(self, messages: tuple[Message, ...], text: str, projection: str, max_tokens: int) -> Gradient:
        """Return the gradient of `text` as the assistant's answer to `messages`, or by itself without any.

        `projection`: KIND:D:SEED, see `gradients.projection`; `max_tokens`: of the text, what is longer is cut. Never
        raises for a failed request: see `error`.
        """
        ...


class Embedder(Engine, Protocol):
    """An engine with the capability `EMBED`."""

    async def embed(self, messages: tuple[Message, ...], text: str) -> Embedding:
        """Return the vector of `text` as the assistant's answer to `messages`, or by itself without any."""
        ...
