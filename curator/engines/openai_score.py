"""Log-probabilities of a given text over HTTP, as vLLM serves them: prompt and text as token ids, both scored."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from curator.engines.chat import offsets
from curator.engines.openai_talk import Talk
from curator.engines.openai_wire import Broken
from curator.engines.protocol import Message, TextScore
from curator.errors import EngineError

_PROMPTS = 256  # tokenised prompts kept: several texts are scored after one prompt


class Scorer:
    """Scores texts after prompts on one vLLM server."""

    def __init__(self, talk: Talk, alias: str, model: str) -> None:
        self._talk, self._alias, self._model = talk, alias, model
        # vLLM's own endpoint lies beside /v1, not under it.
        self._tokenize = talk.path("").removesuffix("/v1") + "/tokenize"
        self._prompts: OrderedDict[tuple[Message, ...], list[int]] = OrderedDict()

    async def score(self, messages: tuple[Message, ...], text: str) -> TextScore:
        """Score `text` token by token: prompt and text are tokenised apart, as they were generated.

        Raises:
            EngineError: the server refuses.
        """
        prompt = self._prompts.get(messages)
        if prompt is None:
            chat = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
            prompt = (await self._tokens({**chat, "add_generation_prompt": True}))[0]
            self._prompts[messages] = prompt
            while len(self._prompts) > _PROMPTS:
                self._prompts.popitem(last=False)
        ids, limit = await self._tokens({"prompt": text, "add_special_tokens": False})
        room = max(0, (limit or len(prompt) + len(ids) + 1) - len(prompt) - 1)
        kept = ids[:room]
        if not kept:
            return TextScore((), (), (), bool(ids))
        body = {
            "model": self._model, "prompt": prompt + kept, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0,
        }  # fmt: skip
        rows = await self._talk.post(self._talk.path("/completions"), body, lambda p: _prompt_logprobs(p, len(prompt)))
        if isinstance(rows, str):
            msg = f"engine '{self._alias}': scoring failed: {rows}"
            raise EngineError(msg)
        tokens, logprobs = rows
        return TextScore(tokens, logprobs, offsets(tokens, text), len(kept) < len(ids))

    async def _tokens(self, body: dict[str, Any]) -> tuple[list[int], int | None]:
        answer = await self._talk.post(
            self._tokenize, {"model": self._model, **body}, lambda p: (list(p["tokens"]), p.get("max_model_len"))
        )
        if isinstance(answer, str):
            msg = f"engine '{self._alias}': cannot tokenise: {answer}"
            raise EngineError(msg)
        return answer[0], answer[1]


def _prompt_logprobs(page: Any, skip: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    try:
        entries = page["choices"][0]["prompt_logprobs"][skip:]
        first = [next(iter(e.values())) for e in entries]
        return tuple(str(e["decoded_token"]) for e in first), tuple(float(e["logprob"]) for e in first)
    except (KeyError, TypeError, IndexError, AttributeError) as e:
        msg = f"an answer without prompt_logprobs ({e!r})"
        raise Broken(msg) from e
