"""The thread that owns a model: collects jobs, keeps the batch full, reads given texts in between."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from curator.engines.forward import Decoder
from curator.engines.protocol import GRADIENTS
from curator.errors import CuratorError, EngineError

if TYPE_CHECKING:
    from curator.engines.transformers import _Job
    from curator.gradients.features import Features


class Worker:
    """Serves jobs with one decoder, and with one model for gradients. Both are loaded when first needed.

    Args:
        alias: of the engine, for messages.
        decoder: loads the decoder.
        features: loads what computes gradients; gets the decoder's model, or None where it has none of torch's.
    """

    def __init__(
        self, alias: str, decoder: Callable[[], Decoder], features: Callable[[Any], Features]
    ) -> None:
        self._alias, self._load_decoder, self._load_features = alias, decoder, features
        self._loaded: Decoder | None = None
        self._features: Features | None = None
        self._waiting: list[_Job] = []
        self._scoring: list[_Job] = []
        self._running: list[_Job] = []
        self._open = True

    def serve(self, jobs: queue.SimpleQueue[_Job | None], window: float) -> None:
        """Work until None comes, then finish what is under way. An error fails everybody who waits."""
        while self._open or self._busy:
            self._collect(jobs, window)
            try:
                self._once()
            except Exception as e:  # noqa: BLE001 - out of memory and the like: told to those who wait
                for job in (*self._waiting, *self._scoring, *self._running):
                    job.fail(_told(e))
                self._waiting, self._scoring, self._running = [], [], []
                if self._loaded is not None:
                    self._loaded.clear()

    @property
    def _busy(self) -> bool:
        return bool(self._waiting or self._scoring or (self._loaded is not None and self._loaded.active))

    @property
    def _decoder(self) -> Decoder:
        if self._loaded is None:
            self._loaded = self._load(self._load_decoder)
        return self._loaded

    def _collect(self, jobs: queue.SimpleQueue[_Job | None], window: float) -> None:
        idle = not self._busy
        deadline: float | None = None
        while self._open:
            try:
                if idle:
                    left = None if deadline is None else deadline - time.monotonic()
                    job = jobs.get(timeout=left) if left is None or left > 0 else jobs.get_nowait()
                else:
                    job = jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._open = False
            elif job.row is not None:
                job.row.gone = job.future.cancelled
                job.row.done = lambda _row, why, job=job: job.answer(why)
                self._waiting.append(job)
            else:
                self._scoring.append(job)
            if deadline is None:
                deadline = time.monotonic() + window

    def _once(self) -> None:
        if self._scoring:
            self._score()
        self._waiting = [j for j in self._waiting if not j.future.cancelled()]
        if not self._waiting and self._loaded is None:
            return
        decoder = self._decoder
        # Joining in groups: a prefill of one row costs nearly as much as one of eight.
        if self._waiting and (decoder.free >= min(len(self._waiting), max(1, decoder.size // 8))):
            room = decoder.free
            chosen, self._waiting = self._waiting[:room], self._waiting[room:]
            self._running += chosen
            decoder.join([j.row for j in chosen if j.row is not None])
        if decoder.active:
            decoder.drop_gone()
        if decoder.active:
            decoder.step()
        self._running = [j for j in self._running if not j.future.done()]

    def _score(self) -> None:
        jobs = [j for j in self._scoring if not j.future.cancelled()]
        self._scoring = []
        self._running += jobs
        if not jobs:
            return
        for wanted in ("score", "spread", "embed"):
            some = [j for j in jobs if j.wanted == wanted]
            texts = [(j.prompt or [], j.text or []) for j in some]
            found: list[Any] = []
            if some and wanted == "embed":
                found = self._decoder.embed(texts)
            elif some:
                found = self._decoder.score(texts, spread=wanted == "spread")
            for job, told in zip(some, found, strict=True):
                job.answer(told)
        for wanted in sorted({j.wanted for j in jobs if j.wanted.startswith(GRADIENTS)}):
            self._differentiate([j for j in jobs if j.wanted == wanted], wanted.removeprefix(GRADIENTS).strip())

    def _differentiate(self, jobs: list[_Job], projection: str) -> None:
        """Answer each job as soon as its pass is done: what is stored then is not lost with the rest."""
        from curator.gradients.projection import Projection
        from curator.gradients.texts import Text

        if self._features is None:
            self._features = self._load(self._load_features, getattr(self._loaded, "model", None))
        texts = [Text(j.prompt or [], j.text or []) for j in jobs]
        for i, feature in self._features.of(texts, Projection.parse(projection)):
            jobs[i].answer(feature)

    def _load(self, load: Callable[..., Any], *given: Any) -> Any:
        try:
            return load(*given)
        except CuratorError:
            raise
        except BaseException as e:  # whoever waits must hear of it
            msg = f"engine '{self._alias}': {e}"
            raise EngineError(msg) from e


def _told(error: Exception) -> Exception:
    if isinstance(error, CuratorError):
        return error
    first = " ".join(str(error).split())[:300]
    return EngineError(f"the model failed: {type(error).__name__}: {first}; a smaller batch_size needs less memory")
