"""A model of the transformers library in this process, on CPU or GPU.

Requests that arrive together are decoded together: a thread of its own keeps one batch full, so the event loop stays
free. Each row keeps its own settings and its own random numbers. Two decoders do the work (`forward.decoder_for`):

- Small Llama- and Qwen2-type models in float32 on a CPU go through a compiled forward of ours (`fast`), which is
  several times as fast there. What a row draws does not depend on the rows beside it, to the last bit.
- Everything else goes through the library's forward (`decoding`). What a row draws does not depend on the rows beside
  it, except for the rounding of sums over a differently shaped batch.
"""

from __future__ import annotations

import importlib.util
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from curator.bounds import Ge
from curator.engines.chat import Chat, sample_seed, text_score
from curator.engines.forward import Decoder, Row, Told, decoder_for
from curator.engines.local import LocalModel
from curator.engines.protocol import Completion, Embedding, FinishReason, Message, Request, TextScore, too_long
from curator.errors import EngineError

if TYPE_CHECKING:
    import asyncio

_WINDOW = 0.005  # seconds an idle engine waits for further requests before it starts


@dataclass
class _Job:
    """Something to do on the model's thread, and who waits for it."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    row: Row | None = None  # of a generation
    prompt: list[int] | None = None
    text: list[int] | None = None  # of a scoring
    wanted: str = "score"  # of a text: score, spread (with entropies and margins), or embed

    def answer(self, value: Any) -> None:
        """Hand the result over to the event loop, unless nobody waits any more."""
        self._tell(lambda: None if self.future.done() else self.future.set_result(value))

    def fail(self, error: BaseException) -> None:
        """Hand an error over to the event loop."""
        self._tell(lambda: None if self.future.done() else self.future.set_exception(error))

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            self.loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed
            self.future.cancel()


class TransformersEngine(LocalModel):
    """A causal language model from a folder or from the hub."""

    kind = "transformers"

    def __init__(
        self,
        *,
        alias: str = "engine",
        model: str,
        revision: str | None = None,
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        batch_size: Annotated[int, Ge(1)] = 64,
        forward: Literal["auto", "library"] = "auto",
        max_context: int | None = None,
        max_tokens: int | None = None,
        chat_template: str | None = None,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Name a model; it is loaded with the first request that the response store cannot answer.

        Args:
            alias: the pipeline's name for it.
            model: folder, or repository id on the hub.
            revision: branch, tag or commit on the hub.
            device: `cpu`, `cuda`, `cuda:1`, ...; `auto` is the first GPU where there is one.
            dtype: `auto` is what the weights are stored in, and float32 on a CPU, where the narrow types are slow.
            batch_size: most rows decoded together.
            forward: `auto` is the compiled forward for Llama- and Qwen2-type models of up to 64 million parameters in
                float32 on a CPU, and the library's for all others; `library` is the library's for all.
            max_context: longest prompt plus completion, in tokens; default what the model was made for.
            max_tokens: most tokens of a completion, whatever a step asks for.
            chat_template: file with a Jinja template that replaces the model's own.
            threads: CPU threads of torch; default torch's own choice.
            trust_remote_code: run code that comes with the model. Leave it off for models you do not know.
        """
        super().__init__(
            alias, model, revision=revision, dtype=dtype, max_context=max_context, chat_template=chat_template,
            trust=trust_remote_code,
        )  # fmt: skip
        self._device, self.batch_size, self._library = device, batch_size, forward == "library"
        self.max_tokens, self._threads = max_tokens, threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def generate(self, request: Request) -> list[Completion]:
        """Decode `request.n` samples; see `Engine.generate`."""
        import asyncio  # 0.03 s that `check` need not pay

        s = request.sampling
        prompt = self.chat.prompt(request.messages, request.prefix)
        context = self.max_context
        room = s.max_tokens if context is None else min(s.max_tokens, context - len(prompt))
        if room < 1:
            return [too_long(len(prompt), context or 0)] * request.n
        bad = self.chat.bad_words(s.bad_words)
        jobs = []
        for i in range(request.first_sample, request.first_sample + request.n):
            stops = _Stops(self.chat, s.stop) if s.stop else None
            seed = sample_seed(request, i, prompt)
            row = Row(prompt, room, s.temperature, s.top_p, s.top_k, seed, bad, [] if request.logprobs else None)
            row.watch = stops
            jobs.append(self._submit(_Job(asyncio.get_running_loop(), _future(), row=row)))
        ended: list[str] = await asyncio.gather(*(j.future for j in jobs))
        return [self._completion(j.row, why) for j, why in zip(jobs, ended, strict=True)]

    def _completion(self, row: Any, why: str) -> Completion:
        text = self.chat.text(row.ids, row.prompt)
        if row.watch is not None and row.watch.found is not None:
            at = text.rfind(row.watch.found)  # a token may reach beyond the stop string
            text = text[: at + len(row.watch.found)] if at >= 0 else text
        told = row.logprobs
        pieces = self.chat.pieces(row.ids) if told is not None else None
        finish: FinishReason = "length" if why == "length" else "stop"
        logprobs = None if told is None else tuple(told)
        return Completion(text, finish, len(row.ids), len(row.prompt), logprobs, pieces)

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Return the log-probabilities of `text`, tokenised apart from the prompt, as it would have been generated."""
        prompt, ids, own = self.chat.to_score(messages, text)
        kept = self._fitting(prompt, ids)
        if not kept:
            return TextScore((), (), (), bool(ids))
        told: Told = await self._read(prompt, kept, "spread" if also else "score")
        return text_score(self.chat, text, prompt[len(prompt) - own :] + ids, told, own + len(kept), own)

    async def embed(self, messages: tuple[Message, ...], text: str) -> Embedding:
        """Return the mean of the last hidden states over the tokens of `text`."""
        prompt, ids, own = self.chat.to_score(messages, text)
        if own:  # the first token is not scored, but it has a state
            prompt, ids = [], prompt + ids
        kept = self._fitting(prompt, ids)
        if not kept:
            return Embedding((), 0, bool(ids), "nothing of the text fits the context" if ids else "the text is empty")
        return Embedding(tuple(await self._read(prompt, kept, "embed")), len(kept), len(kept) < len(ids))

    def _fitting(self, prompt: list[int], ids: list[int]) -> list[int]:
        context = self.max_context
        return ids if context is None else ids[: max(0, context - len(prompt))]

    async def _read(self, prompt: list[int], text: list[int], wanted: str) -> Any:
        import asyncio  # 0.03 s that `check` need not pay

        job = _Job(asyncio.get_running_loop(), _future(), prompt=prompt, text=text, wanted=wanted)
        return await self._submit(job).future

    async def close(self) -> None:
        """Finish what is under way and let the model go."""
        import asyncio  # 0.03 s that `check` need not pay

        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _submit(self, job: _Job) -> _Job:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"engine-{self._alias}", daemon=True)
            self._thread.start()
        self._jobs.put(job)
        return job

    def _work(self) -> None:
        """Load the model and serve jobs until told to stop: the engine's thread."""
        from curator.engines.worker import Worker

        try:
            worker = Worker(self._decoder())
        except BaseException as e:  # noqa: BLE001 - whoever waits must hear of it
            error = e if isinstance(e, EngineError) else EngineError(f"engine '{self._alias}': {e}")
            while (job := self._jobs.get()) is not None:
                job.fail(error)
            return
        worker.serve(self._jobs, _WINDOW)

    def _decoder(self) -> Decoder:
        return decoder_for(self._load(), self.batch_size, self._end_ids(), self._pad(), library=self._library)

    def _load(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()  # progress is the run's to show
        if self._threads:
            torch.set_num_threads(self._threads)
        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype: Any = "auto" if self._dtype == "auto" else getattr(torch, self._dtype)
        if dtype == "auto" and device == "cpu":
            dtype = torch.float32
        options = {"low_cpu_mem_usage": True} if importlib.util.find_spec("accelerate") else {}
        return self._from_hub(AutoModelForCausalLM, dtype=dtype, **options).to(device).eval()

    def _end_ids(self) -> frozenset[int]:
        found: set[int] = set()
        for source in (self._load_config(), self._generation_config(), self.chat.tokenizer):
            ids = getattr(source, "eos_token_id", None)
            found.update([ids] if isinstance(ids, int) else ids or ())
        return frozenset(found)

    def _generation_config(self) -> Any:
        from transformers import GenerationConfig

        try:
            return GenerationConfig.from_pretrained(self._name, revision=self._revision)
        except (OSError, ValueError):  # many models have none
            return None

    def _pad(self) -> int:
        pad = self.chat.tokenizer.pad_token_id
        return int(pad if pad is not None else min(self._end_ids(), default=0))


class _Stops:
    """Looks for stop strings in what a row has written. `found`: the one that ended it."""

    def __init__(self, chat: Chat, stop: tuple[str, ...]) -> None:
        self._chat = chat
        self._stop = tuple(s for s in stop if s)
        self._tail = max((len(s.encode()) for s in self._stop), default=0) + 4
        self._ends = frozenset(s[-1] for s in self._stop)
        self.found: str | None = None

    def __call__(self, ids: list[int]) -> bool:
        last = self._chat.text(ids[-1:])
        # Only a token with the last letter of a stop string in it, or a part of a letter, can complete one.
        if "\ufffd" not in last and self._ends.isdisjoint(last):
            return False
        text = self._chat.text(ids[-self._tail :])
        at = [(text.find(s) + len(s), s) for s in self._stop if s in text]
        if at:
            self.found = min(at)[1]
        return bool(at)


def _future() -> asyncio.Future[Any]:
    import asyncio  # 0.03 s that `check` need not pay

    return asyncio.get_running_loop().create_future()
