"""Reward models: a sequence-classification head on a conversation, by transformers in this process or by vLLM.

The numbers are logits as the head gives them, unbounded, one a head (`id2label` of the model's configuration). Nothing
is ever cut: a conversation that does not fit is an error, for the head reads the last token of a whole one.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from curator.bounds import Ge
from curator.engines.describe import REWARDING
from curator.engines.local import LocalModel
from curator.engines.protocol import Completion, Message, Request, Reward, TextScore
from curator.engines.vllm import VLLMEngine
from curator.errors import EngineError

_PASS = 16384  # tokens of one forward pass, padding included


def _no_classifier(model: str, architectures: Sequence[str]) -> str | None:
    """Say why a model with these architectures has no reward head, or None where it may have one."""
    if not architectures or any(a.endswith(("Classification", "RewardModel")) for a in architectures):
        return None
    return f"model '{model}' is a {architectures[0]}, not a sequence classifier; its head would be random numbers"


def check_model(model: str) -> list[str]:
    """Return what is wrong with a model folder, before it is loaded; a name on the hub is looked at when loaded."""
    try:
        found = json.loads((Path(model) / "config.json").read_text(encoding="utf-8")).get("architectures")
    except (OSError, ValueError, AttributeError):
        return []
    why = _no_classifier(model, found or [])
    return [why] if why else []


class _Rewarding(LocalModel):
    """What both ways share: the conversation as ids, the names of the heads, and no generation."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Rewards and exact token counts."""
        return REWARDING[self.kind]

    def _names(self) -> list[str]:
        """The heads, in order: `id2label`."""
        config = self._load_config()
        named: Mapping[int, str] = getattr(config, "id2label", None) or {}
        return [str(named.get(i, i)) for i in range(int(getattr(config, "num_labels", 1) or 1))]

    def _ids(self, messages: Sequence[Message]) -> list[int] | str:
        """The conversation as the model's template writes it, or why it cannot be read."""
        tokenizer = self.chat.tokenizer
        if not getattr(tokenizer, "chat_template", None):
            msg = f"engine '{self._alias}': this model has no chat template; name one with chat_template: FILE"
            raise EngineError(msg)
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False)
            ids = self.chat.ids(text)
        except (ValueError, TypeError, UnicodeError) as e:
            return f"the conversation cannot be tokenised: {' '.join(str(e).split())[:200]}"
        context = self.max_context
        if not ids:
            return "the conversation is empty"
        if context is not None and len(ids) > context:
            return f"the conversation has {len(ids)} tokens, the model's context is {context}"
        return ids

    def _reward(self, logits: Sequence[float], n_tokens: int) -> Reward:
        names = self._names()
        if len(names) != len(logits):
            names = [str(i) for i in range(len(logits))]
        return Reward(dict(zip(names, map(float, logits), strict=True)), n_tokens)

    async def generate(self, request: Request) -> list[Completion]:
        """Fail: a reward model writes nothing."""
        why = f"engine '{self._alias}' is a reward model and writes no text"
        return [Completion("", "error", error=why)] * request.n

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Refuse: a reward model has no token probabilities."""
        del messages, text, also
        msg = f"engine '{self._alias}' is a reward model and gives no log-probabilities"
        raise EngineError(msg)


class RewardEngine(_Rewarding):
    """A sequence-classification model of the transformers library, in this process."""

    kind = "reward"

    def __init__(
        self,
        *,
        alias: str = "engine",
        model: str,
        revision: str | None = None,
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        batch_size: Annotated[int, Ge(1)] = 16,
        max_context: int | None = None,
        chat_template: str | None = None,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Name a model; it is loaded with the first conversation that the response store cannot answer.

        Args:
            alias: the pipeline's name for it.
            model: folder, or repository id on the hub.
            revision: branch, tag or commit on the hub.
            device: `cpu`, `cuda`, `cuda:1`, ...; `auto` is the first GPU where there is one.
            dtype: `auto` is what the weights are stored in, and float32 on a CPU, where the narrow types are slow.
            batch_size: most conversations read together.
            max_context: longest conversation, in tokens; default what the model was made for.
            chat_template: file with a Jinja template that replaces the model's own.
            threads: CPU threads of torch; default torch's own choice.
            trust_remote_code: run code that comes with the model. Leave it off for models you do not know.
        """
        super().__init__(
            alias, model, revision=revision, dtype=dtype, max_context=max_context, chat_template=chat_template,
            trust=trust_remote_code,
        )  # fmt: skip
        self._device, self._threads, self.batch_size = device, threads, batch_size
        self._net: Any = None
        self._waiting: list[tuple[list[int], asyncio.Future[list[float]]]] = []
        self._pump: asyncio.Task[None] | None = None

    async def rewards(self, messages: tuple[Message, ...]) -> Reward:
        """Return the logits of the heads; conversations that arrive together are read together."""
        ids = self._ids(messages)
        if isinstance(ids, str):
            return Reward({}, 0, ids)
        future: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._waiting.append((ids, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work())
        return self._reward(await future, len(ids))

    async def _work(self) -> None:
        """Read what waits, the longest first, until nothing does. An error fails everybody who waits."""
        await asyncio.sleep(0)  # those that were started together come together
        while self._waiting:
            self._waiting.sort(key=lambda w: -len(w[0]))
            size = max(1, min(self.batch_size, _PASS // len(self._waiting[0][0])))
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            try:
                found = await asyncio.to_thread(self._forward, [ids for ids, _ in batch])
            except Exception as e:  # noqa: BLE001 - out of memory and the like: told to those who wait
                told = e if isinstance(e, EngineError) else self._failed(e)
                for _, future in (*batch, *self._waiting):
                    if not future.done():
                        future.set_exception(told)
                self._waiting = []
                return
            for (_, future), logits in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(logits)

    def _failed(self, error: Exception) -> EngineError:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return EngineError(
            f"engine '{self._alias}': the reward model failed: {said}; a smaller batch_size needs less memory"
        )

    def _forward(self, batch: list[list[int]]) -> list[list[float]]:
        """Logits of each conversation, float32; one pass, padded on the right."""
        import torch

        net = self._net = self._net or self._load()
        longest = max(map(len, batch))
        pad = self._pad(batch)
        ids = torch.full((len(batch), longest), pad, dtype=torch.long)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for i, row in enumerate(batch):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        net.config.pad_token_id = pad  # decoders find the last token of a row by it
        with torch.inference_mode():
            logits = net(input_ids=ids.to(net.device), attention_mask=mask.to(net.device)).logits.float()
        found: list[list[float]] = logits.reshape(len(batch), -1).tolist()
        return found

    def _pad(self, batch: list[list[int]]) -> int:
        """An id that ends no row: many models pad with their end token, which a conversation may end with as well."""
        own = self.chat.tokenizer.pad_token_id
        ends = {row[-1] for row in batch}
        return int(own) if own is not None and own not in ends else min(set(range(len(ends) + 1)) - ends)

    def _load(self) -> Any:
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        logging.disable_progress_bar()  # progress is the run's to show
        if self._threads:
            torch.set_num_threads(self._threads)
        architectures = getattr(self._load_config(), "architectures", None) or []
        if why := _no_classifier(self._name, architectures):
            msg = f"engine '{self._alias}': {why}"
            raise EngineError(msg)
        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype: Any = "auto" if self._dtype == "auto" else getattr(torch, self._dtype)
        if dtype == "auto" and device == "cpu":
            dtype = torch.float32
        return self._from_hub(AutoModelForSequenceClassification, dtype=dtype).to(device).eval()

    async def close(self) -> None:
        """Let the model go."""
        if self._pump is not None:
            await asyncio.gather(self._pump, return_exceptions=True)
        self._net = self._pump = None


class VLLMRewardEngine(_Rewarding, VLLMEngine):
    """A sequence-classification model served by vLLM inside this program; settings as for `VLLMEngine`."""

    kind = "vllm_reward"

    async def _start(self) -> Any:
        self._arguments = {"runner": "pooling", **self._arguments}
        return await super()._start()

    async def rewards(self, messages: tuple[Message, ...]) -> Reward:
        """Return the logits of the heads, without vLLM's activation on top."""
        ids = self._ids(messages)
        if isinstance(ids, str):
            return Reward({}, 0, ids)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import PoolingParams

        llm = self._llm or await self._start()
        name, last = f"{self._alias}-{next(self._numbers)}", None
        try:
            parameters = PoolingParams(task="classify", use_activation=False)
            async for out in llm.encode({"prompt_token_ids": ids}, parameters, name):
                last = out
        except ValueError as e:
            return Reward({}, len(ids), f"vLLM refused the conversation: {' '.join(str(e).split())[:300]}")
        if last is None:
            return Reward({}, len(ids), "vLLM gave no answer")
        return self._reward(last.outputs.data.float().reshape(-1).tolist(), len(ids))
