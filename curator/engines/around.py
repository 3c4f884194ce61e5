"""What every engine around another says: who it is and what it can do is the inner engine's."""

from __future__ import annotations

from collections.abc import Mapping

from curator.engines.protocol import Engine


class Around:
    """An engine around another. `inner`: the other."""

    inner: Engine

    @property
    def alias(self) -> str:
        """The name the pipeline gives it."""
        return self.inner.alias

    @property
    def model(self) -> str:
        """Model name and revision."""
        return self.inner.model

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides the text beside the request."""
        return self.inner.identity

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return self.inner.capabilities

    @property
    def max_context(self) -> int | None:
        """Longest prompt plus completion, in tokens."""
        return self.inner.max_context

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`."""
        return self.inner.count_tokens(text)
