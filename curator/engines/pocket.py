"""The embedded pocket reasoner: a transformers engine with a fixed model, so that everything runs anywhere.

Its files are ours, so they are read without torch and transformers, whose import takes longer than a short run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Annotated, Any

from curator.bounds import Ge
from curator.engines.chat import Chat
from curator.engines.forward import Decoder
from curator.engines.transformers import TransformersEngine
from curator.pocket import MODEL_DIR


def check_model() -> list[str]:
    """Return what is missing of the shipped model."""
    if (MODEL_DIR / "model.safetensors").exists():
        return []
    return [f"the pocket model is not in {MODEL_DIR}; `make pocket` trains it"]


class PocketEngine(TransformersEngine):
    """The pocket reasoner on the CPU."""

    kind = "pocket"

    def __init__(
        self,
        *,
        alias: str = "engine",
        batch_size: Annotated[int, Ge(1)] = 64,
        max_tokens: Annotated[int, Ge(1)] = 1024,
        threads: int | None = None,
    ) -> None:
        """Name the shipped model; it is loaded with the first request that the response store cannot answer.

        Args:
            alias: the pipeline's name for it.
            batch_size: most rows decoded together.
            max_tokens: most tokens of a completion, whatever a step asks for; its longest traces have a few hundred.
            threads: CPU threads; default all that this process may use, or OMP_NUM_THREADS.
        """
        super().__init__(
            alias=alias, model=str(MODEL_DIR), device="cpu", dtype="auto", batch_size=batch_size,
            max_tokens=max_tokens, threads=threads,
        )  # fmt: skip

    @property
    def model(self) -> str:
        """`pocket` and the beginning of its weights' hash."""
        return f"pocket@{self.identity['files'][:12]}"

    @property
    def identity(self) -> Mapping[str, str]:
        """Kind and a hash of the model's files."""
        return {**super().identity, "model": "pocket"}

    @property
    def chat(self) -> Chat:
        """The tokenizer, read from its file when first needed."""
        if self._chat is None:
            from curator.engines.fast.tokens import FileTokenizer

            self._chat = Chat(FileTokenizer(MODEL_DIR), self._alias)
        return self._chat

    def _load_config(self) -> Any:
        if self._config is None:
            self._config = SimpleNamespace(**json.loads((MODEL_DIR / "config.json").read_text("utf-8")))
        return self._config

    def _generation_config(self) -> Any:
        return None  # says nothing that config.json does not

    def _decoder(self) -> Decoder:
        from curator.engines.fast.batch import FastBatch
        from curator.engines.fast.files import net_in

        threads = self._threads or int(os.environ.get("OMP_NUM_THREADS") or 0) or _cores()
        return FastBatch(net_in(MODEL_DIR), self.batch_size, self._end_ids(), threads)


def _cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1
