"""vLLM in this process: its asynchronous engine, fed by as many requests as there are, so that its batch stays full.

The engine's core runs in a process of its own; here only strings and ids pass. Prompts are rendered and tokenised by
the same code as for `transformers`, so that two kinds of engine see the same ids.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from curator.bounds import Ge, Gt, Le
from curator.engines.chat import margin, text_score
from curator.engines.describe import MARGINS
from curator.engines.forward import Told
from curator.engines.local import LocalModel
from curator.engines.protocol import MARGIN, Completion, FinishReason, Message, Request, TextScore, too_long
from curator.errors import EngineError


class Refused(EngineError):
    """One request that vLLM does not accept."""


class VLLMEngine(LocalModel):
    """A model served by vLLM inside this program."""

    kind = "vllm"

    def __init__(
        self,
        *,
        alias: str = "engine",
        model: str,
        revision: str | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        max_context: int | None = None,
        max_tokens: int | None = None,
        max_num_seqs: Annotated[int, Ge(1)] = 256,
        tensor_parallel_size: Annotated[int, Ge(1)] = 1,
        gpu_memory_utilization: Annotated[float, Gt(0), Le(1)] = 0.9,
        enforce_eager: bool = False,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Name a model; vLLM starts with the first request that the response store cannot answer.

        Args:
            alias: the pipeline's name for it.
            model: folder, or repository id on the hub.
            revision: branch, tag or commit on the hub.
            dtype: `auto` is what the weights are stored in.
            max_context: longest prompt plus completion, in tokens; default what the model was made for.
            max_tokens: most tokens of a completion, whatever a step asks for.
            max_num_seqs: most rows decoded together.
            tensor_parallel_size: GPUs one copy of the model is spread over.
            gpu_memory_utilization: share of a GPU's memory vLLM may take.
            enforce_eager: no CUDA graphs: starts sooner, runs slower.
            chat_template: file with a Jinja template that replaces the model's own.
            trust_remote_code: run code that comes with the model. Leave it off for models you do not know.
            options: further arguments of vLLM's `AsyncEngineArgs`, e.g. quantization.
        """
        super().__init__(
            alias, model, revision=revision, dtype=dtype, max_context=max_context, chat_template=chat_template,
            trust=trust_remote_code,
        )  # fmt: skip
        self.max_tokens = max_tokens
        self._arguments: dict[str, Any] = {
            "model": model, "revision": revision, "dtype": dtype, "max_num_seqs": max_num_seqs,
            "tensor_parallel_size": tensor_parallel_size, "gpu_memory_utilization": gpu_memory_utilization,
            "enforce_eager": enforce_eager, "trust_remote_code": trust_remote_code, "enable_prefix_caching": True,
            "max_model_len": max_context, "disable_log_stats": True, **(options or {}),
        }  # fmt: skip
        self._llm: Any = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count()

    @property
    def identity(self) -> Mapping[str, str]:
        """Kind, model and files, and the quantisation where there is one."""
        quantised = self._arguments.get("quantization")
        return {**super().identity, **({"quantization": str(quantised)} if quantised else {})}

    @property
    def capabilities(self) -> frozenset[str]:
        """Everything but gradients, and of a given text no entropies: vLLM tells the likeliest tokens, not all."""
        return MARGINS

    async def generate(self, request: Request) -> list[Completion]:
        """Sample `request.n` answers; see `Engine.generate`."""
        prompt = self.chat.prompt(request.messages, request.prefix)
        room = self._room(prompt, request.sampling.max_tokens)
        if room < 1:
            return [too_long(len(prompt), self.max_context or 0)] * request.n
        answer = await self._ask(prompt, self._parameters(request, room))
        found = sorted(answer.outputs, key=lambda o: o.index)
        return [self._completion(o, len(prompt)) for o in found]

    def _room(self, prompt: list[int], wanted: int) -> int:
        context = self.max_context
        return wanted if context is None else min(wanted, context - len(prompt))

    def _parameters(self, request: Request, room: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        s = request.sampling
        return SamplingParams(
            n=request.n,
            temperature=s.temperature,
            top_p=s.top_p,
            top_k=s.top_k or 0,
            max_tokens=room,
            stop=list(s.stop) or None,
            include_stop_str_in_output=True,
            bad_words=list(s.bad_words) or None,
            # vLLM gives sample i of n the seed s + i; so a later sample has the seed it would have had in one request.
            seed=None if s.seed is None else (s.seed + request.first_sample) % 2**63,
            logprobs=0 if request.logprobs else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def _ask(self, prompt: list[int], parameters: Any) -> Any:
        """Return vLLM's final output. A cancelled request is taken out of its batch by vLLM itself."""
        llm = self._llm or await self._start()
        name = f"{self._alias}-{next(self._numbers)}"
        last = None
        try:
            async for out in llm.generate({"prompt_token_ids": prompt}, parameters, name):
                last = out
        except ValueError as e:  # this request is not acceptable to vLLM; others may be
            msg = f"engine '{self._alias}': vLLM refused the request: {' '.join(str(e).split())[:300]}"
            raise Refused(msg) from e
        except Exception as e:
            if type(e).__name__ != "EngineDeadError":
                raise
            msg = f"engine '{self._alias}': vLLM has died; its own messages above say why. Answers are kept"
            raise EngineError(msg) from e
        return last

    def _completion(self, out: Any, n_prompt: int) -> Completion:
        ids = list(out.token_ids)
        finish: FinishReason = "length" if out.finish_reason == "length" else "stop"
        if out.logprobs is None:
            return Completion(out.text, finish, len(ids), n_prompt)
        told = tuple(step[i].logprob for step, i in zip(out.logprobs, ids, strict=True))
        return Completion(out.text, finish, len(ids), n_prompt, told, self.chat.pieces(ids))

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Return the log-probabilities of `text`, tokenised apart from the prompt, as it would have been generated."""
        from vllm import SamplingParams

        prompt, ids, own = self.chat.to_score(messages, text)
        kept = ids[: max(0, self._room(prompt, len(ids) + 1) - 1)]  # vLLM wants to write at least one token
        if not kept:
            return TextScore((), (), (), bool(ids))
        whole = prompt + kept
        top = 2 if MARGIN in also else 0
        try:
            answer = await self._ask(whole, SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=top))
        except Refused as e:
            return TextScore((), (), (), error=str(e))
        steps = answer.prompt_logprobs[len(prompt) :]
        logprobs = [step[i].logprob for step, i in zip(steps, kept, strict=True)]
        margins = [margin([e.logprob for e in step.values()]) for step in steps] if top else None
        told = Told(logprobs, None, margins)
        return text_score(self.chat, text, prompt[len(prompt) - own :] + ids, told, own + len(kept), own)

    async def _start(self) -> Any:
        async with self._starting:
            if self._llm is None:
                # vLLM ties its sockets to the running loop, so it starts here and not in a thread; the loop stands
                # still meanwhile.
                os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.platforms import current_platform
                from vllm.v1.engine.async_llm import AsyncLLM

                wanted = {k: v for k, v in self._arguments.items() if v is not None}
                if current_platform.is_cpu():
                    # Where the prompt of a request with a seed is read in pieces, vLLM 0.32 dies on a CPU: it sets the
                    # generator back after each piece, and a CPU's generator cannot be.
                    wanted.setdefault("enable_chunked_prefill", False)
                try:
                    self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**wanted))
                except (TypeError, ValueError, OSError, RuntimeError) as e:
                    msg = f"engine '{self._alias}': vLLM does not start: {' '.join(str(e).split())[:300]}"
                    raise EngineError(msg) from e
            return self._llm

    async def close(self) -> None:
        """Stop vLLM and free its memory."""
        if self._llm is not None:
            llm, self._llm = self._llm, None
            await asyncio.to_thread(llm.shutdown)
