"""Any server that speaks the chat completions protocol: OpenAI, vLLM, SGLang, DeepSeek and the many like them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from curator.bounds import Ge, Gt
from curator.engines import openai_wire as wire
from curator.engines.openai_talk import Talk, base_url_of, is_local
from curator.engines.openai_wire import Flavour
from curator.engines.pacing import Pacer, Patience
from curator.engines.protocol import MARGIN, PREFIX, PROMPT_LOGPROBS, Completion, Message, Request, TextScore
from curator.errors import EngineError

if TYPE_CHECKING:
    from curator.engines.openai_score import Scorer


class OpenAIEngine:
    """A chat completions server."""

    def __init__(
        self,
        *,
        alias: str = "engine",
        model: str,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        flavour: Flavour = "openai",
        revision: str | None = None,
        max_concurrency: Annotated[int, Ge(1)] = 256,
        timeout: Annotated[float, Gt(0)] = 900.0,
        retries: Annotated[int, Ge(0)] = 5,
        patience: Annotated[float, Gt(0)] = 900.0,
        max_context: int | None = None,
        limit_name: str = "max_tokens",
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        """Name a server; nothing is sent yet.

        Args:
            alias: the pipeline's name for it.
            model: name the server knows.
            base_url: address up to and with `/v1`. Default: the environment variable OPENAI_BASE_URL, else OpenAI.
            api_key_env: name of the environment variable that holds the key; a server on localhost needs none.
            flavour: what the server is: openai (plain), vllm, sglang or deepseek. Decides prefix continuation, banned
                words, log-probabilities of a given text and whether a matched stop string is kept.
            revision: recorded beside the model, and part of every response key; set it when a server changes weights.
            max_concurrency: most requests under way; the engine finds the right number below it.
            timeout: seconds until one request counts as lost.
            retries: further attempts for one request that was answered by an error or a damaged body.
            patience: seconds of nothing but refusals (429, 503) before the engine is given up.
            max_context: longest prompt plus completion the server takes, in tokens, where you know it.
            limit_name: field that carries max_tokens; newer OpenAI models want max_completion_tokens.
            extra_body: further fields of the request body; part of every response key.
        """
        self._alias, self._model, self._flavour = alias, model, flavour
        self.base_url = base_url_of({"base_url": base_url})
        self._revision, self._max_context = revision, max_context
        self._limit_name, self._extra = limit_name, dict(extra_body or {})
        self.max_concurrency = max_concurrency
        self.pacer = Pacer(max_concurrency, Patience(throttled=patience))
        self._talk = Talk(
            alias, self.base_url, model, key_env=api_key_env, timeout=timeout, retries=retries, pacer=self.pacer
        )
        self._chat = self._talk.path("/chat/completions")
        self._knows_n = flavour != "deepseek"
        self._scorer: Scorer | None = None

    @property
    def alias(self) -> str:
        """The name the pipeline gives it."""
        return self._alias

    @property
    def model(self) -> str:
        """Model name, with the revision where one is set."""
        return f"{self._model}@{self._revision}" if self._revision else self._model

    @property
    def identity(self) -> Mapping[str, str]:
        """Kind, model, revision, server and extra body; never the key."""
        import orjson

        url = urlsplit(self.base_url)
        # A server on this machine is the same server on another port.
        endpoint = "local" if is_local(self.base_url) else f"{url.hostname or ''}{url.path}"
        out = {"kind": "openai", "model": self._model, "endpoint": endpoint}
        if self._revision:
            out["revision"] = self._revision
        if self._extra:
            out["extra_body"] = orjson.dumps(self._extra, option=orjson.OPT_SORT_KEYS).decode()
        return out

    @property
    def capabilities(self) -> frozenset[str]:
        """What servers of this flavour can do."""
        return wire.CAPABILITIES[self._flavour]

    @property
    def max_context(self) -> int | None:
        """As set."""
        return self._max_context

    def count_tokens(self, text: str) -> int:
        """Four characters a token: an estimate."""
        return (len(text) + 3) // 4

    async def generate(self, request: Request) -> list[Completion]:
        """Ask for `request.n` samples; see `Engine.generate`."""
        if request.n == 1 and not request.prefix:  # nearly all
            return await self._once(request)
        if request.prefix and PREFIX not in self.capabilities:
            msg = (
                f"engine '{self._alias}': a server of flavour {self._flavour} cannot continue a prefix; "
                "set flavour to vllm, sglang or deepseek if it is one"
            )
            raise EngineError(msg)
        if request.n > 1 and not self._knows_n:
            return await self._one_by_one(request)
        found = await self._once(request)
        if len(found) < request.n and found[0].finish_reason != "error":
            self._knows_n = False  # a server that ignores n
            rest = replace(request, n=request.n - len(found), first_sample=request.first_sample + len(found))
            found += await self._one_by_one(rest)
        return found

    async def _one_by_one(self, request: Request) -> list[Completion]:
        first = request.first_sample
        asked = [self._once(replace(request, n=1, first_sample=i)) for i in range(first, first + request.n)]
        return [c for found in await asyncio.gather(*asked) for c in found]

    async def _once(self, request: Request) -> list[Completion]:
        body = wire.payload(request, self._model, self._flavour, self._extra, limit_name=self._limit_name)
        answer = await self._talk.post(self._chat, body, lambda page: wire.parse(page, request))
        if isinstance(answer, str):
            return [Completion("", "error", error=answer, too_long=wire.is_too_long(answer))] * request.n
        found: list[Completion] = answer
        return found

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Score `text` token by token (flavour vllm); see `openai_score`.

        Raises:
            EngineError: another flavour.
        """
        if PROMPT_LOGPROBS not in self.capabilities:
            msg = f"engine '{self._alias}': a server of flavour {self._flavour} cannot score a given text; vllm can"
            raise EngineError(msg)
        if self._scorer is None:
            from curator.engines.openai_score import Scorer

            self._scorer = Scorer(self._talk, self._model)
        return await self._scorer.score(messages, text, margins=MARGIN in also)

    async def close(self) -> None:
        """Close the connections."""
        await self._talk.close()
