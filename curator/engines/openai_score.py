"""Log-probabilities of a given text over HTTP, as vLLM serves them: prompt and text as token ids, both scored."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from curator.engines.chat import margin, offsets
from curator.engines.openai_talk import Talk
from curator.engines.openai_wire import Broken
from curator.engines.protocol import Message, TextScore

_PROMPTS = 256  # tokenised prompts kept: several texts are scored after one prompt

Page = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...] | None]


class Scorer:
    """Scores texts after prompts on one vLLM server."""

    def __init__(self, talk: Talk, model: str) -> None:
        self._talk, self._model = talk, model
        # vLLM's own endpoint lies beside /v1, not under it.
        self._tokenize = talk.path("").removesuffix("/v1") + "/tokenize"
        self._prompts: OrderedDict[tuple[Message, ...], list[int]] = OrderedDict()

    async def score(self, messages: tuple[Message, ...], text: str, *, margins: bool) -> TextScore:
        """Score `text` token by token: prompt and text are tokenised apart, as they were generated."""
        try:
            prompt = await self._prompt(messages)
            ids, limit = await self._tokens({"prompt": text, "add_special_tokens": False})
            own = 0 if prompt else min(1, len(ids))  # of a text alone the first token is the prompt
            start = prompt or ids[:1]
            room = max(0, (limit or len(start) + len(ids) + 1) - len(start) - 1)
            kept = ids[own:][:room]
            if not kept:
                return TextScore((), (), (), len(ids) > own)
            body = {
                "model": self._model, "prompt": start + kept, "max_tokens": 1, "temperature": 0,
                "prompt_logprobs": 2 if margins else 0,
            }  # fmt: skip
            read = _reader(len(start), margins=margins)
            tokens, logprobs, found = await self._post(self._talk.path("/completions"), body, read)
            where = offsets((*await self._texts(ids[:own]), *tokens), text)[own:]
        except _Failed as e:
            return TextScore((), (), (), error=str(e))
        return TextScore(tokens, logprobs, where, own + len(kept) < len(ids), None, found)

    async def _prompt(self, messages: tuple[Message, ...]) -> list[int]:
        """Ids of the conversation; without one, of what the tokenizer begins a text with."""
        if messages not in self._prompts:
            turns = [{"role": m.role, "content": m.content} for m in messages]
            if turns:
                found, _ = await self._tokens({"messages": turns, "add_generation_prompt": True})
            else:  # servers refuse to tokenise nothing, so what stands before a letter tells
                found, _ = await self._tokens({"prompt": "a", "add_special_tokens": True})
                plain, _ = await self._tokens({"prompt": "a", "add_special_tokens": False})
                found = found[:1] if found[:1] != plain[:1] else []
            self._prompts[messages] = found
            while len(self._prompts) > _PROMPTS:
                self._prompts.popitem(last=False)
        return self._prompts[messages]

    async def _tokens(self, body: dict[str, Any]) -> tuple[list[int], int | None]:
        whole = {"model": self._model, **body}
        found: tuple[list[int], int | None] = await self._post(
            self._tokenize, whole, lambda p: (list(p["tokens"]), p.get("max_model_len"))
        )
        return found

    async def _texts(self, ids: list[int]) -> list[str]:
        """The text of each id."""
        path = self._tokenize.removesuffix("/tokenize") + "/detokenize"
        body = {"model": self._model}
        found = [await self._post(path, {**body, "tokens": [i]}, lambda p: (str(p["prompt"]),)) for i in ids]
        return [text for (text,) in found]

    async def _post(self, path: str, body: dict[str, Any], read: Any) -> Any:
        answer = await self._talk.post(path, body, read)
        if isinstance(answer, str):
            raise _Failed(answer)
        return answer


class _Failed(Exception):
    """A request that failed for good."""


def _reader(skip: int, *, margins: bool) -> Any:
    """Return what reads tokens, log-probabilities and margins off a page, after `skip` tokens of prompt."""

    def read(page: Any) -> Page:
        try:
            entries = page["choices"][0]["prompt_logprobs"][skip:]
            first = [next(iter(e.values())) for e in entries]
            tokens = tuple(str(e["decoded_token"]) for e in first)
            logprobs = tuple(float(e["logprob"]) for e in first)
            found = tuple(margin([float(v["logprob"]) for v in e.values()]) for e in entries) if margins else None
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as e:
            msg = f"an answer without prompt_logprobs ({e!r})"
            raise Broken(msg) from e
        return tokens, logprobs, found

    return read
