"""The thread that owns a model: collects jobs, keeps the batch full, scores in between."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any

import torch

from curator.engines.decoding import Batch, Row

if TYPE_CHECKING:
    from curator.engines.transformers import _Job

_LOGITS = 1 << 27  # float32 values of one scoring pass: 512 MiB


class Worker:
    """Serves jobs with one model. `prefill`: tokens of one pass, padding included."""

    def __init__(self, model: Any, size: int, ends: frozenset[int], pad: int, prefill: int) -> None:
        self._batch = Batch(model, size, ends, pad)
        self._model, self._size, self._pad, self._prefill = model, size, pad, prefill
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
                self._batch = Batch(self._model, self._size, frozenset(self._batch._ends.tolist()), self._pad)

    @property
    def _busy(self) -> bool:
        return bool(self._waiting or self._scoring or self._batch.active)

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
        batch = self._batch
        # Joining in groups: a prefill of one row costs nearly as much as one of eight.
        if self._waiting and (batch.free >= min(len(self._waiting), max(1, self._size // 8))):
            self._join()
        if batch.active:
            batch.drop_gone()
        if batch.active:
            batch.step()
        self._running = [j for j in self._running if not j.future.done()]

    def _join(self) -> None:
        """Let rows in, those of like length together so that little is padding."""
        self._waiting.sort(key=lambda j: len(j.row.prompt))
        room = self._batch.free
        group: list[Row] = []
        chosen, self._waiting = self._waiting[:room], self._waiting[room:]
        self._running += chosen
        for job in chosen:
            if group and (len(group) + 1) * len(job.row.prompt) > self._prefill:
                self._batch.join(group)
                group = []
            group.append(job.row)
        self._batch.join(group)

    def _score(self) -> None:
        jobs = [j for j in self._scoring if not j.future.cancelled()]
        self._scoring = []
        self._running += jobs
        jobs.sort(key=_length)
        vocabulary = int(self._model.config.vocab_size)
        limit = max(1, min(self._prefill, _LOGITS // vocabulary))
        group: list[_Job] = []
        for job in jobs:
            if group and (len(group) + 1) * _length(job) > limit:
                self._score_group(group)
                group = []
            group.append(job)
        if group:
            self._score_group(group)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _score_group(self, jobs: list[_Job]) -> None:
        longest = max(_length(j) for j in jobs)
        ids = torch.full((len(jobs), longest), self._pad, dtype=torch.long)
        mask = torch.zeros((len(jobs), longest), dtype=torch.long)
        for i, job in enumerate(jobs):
            n = _length(job)
            ids[i, :n] = torch.tensor((job.prompt or []) + (job.text or []))
            mask[i, :n] = 1
        device = self._model.device
        # Padded on the right: no row sees its padding, causal attention looks left only.
        logits = self._model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
        for i, job in enumerate(jobs):
            start, n = len(job.prompt or []), len(job.text or [])
            told: list[float] = []
            for at in range(start - 1, start - 1 + n, 1024):
                part = logits[i, at : min(at + 1024, start - 1 + n)].float().log_softmax(-1)
                want = ids[i, at + 1 : at + 1 + len(part), None].to(device)
                told += part.gather(-1, want)[:, 0].tolist()
            job.answer(told)


def _length(job: _Job) -> int:
    return len(job.prompt or ()) + len(job.text or ())


def _told(error: Exception) -> Exception:
    from curator.errors import CuratorError, EngineError

    if isinstance(error, CuratorError):
        return error
    first = " ".join(str(error).split())[:300]
    return EngineError(f"the model failed: {type(error).__name__}: {first}; a smaller batch_size needs less memory")
