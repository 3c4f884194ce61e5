"""The embedded pocket reasoner: a transformers engine with a fixed model, so that everything runs anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge

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
            threads: CPU threads of torch; default torch's own choice.
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
