"""What engines that hold a model's files share: its name, its configuration, its tokenizer, its identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curator.engines.chat import Chat, digest_of_folder
from curator.errors import EngineError


class LocalModel:
    """A model given by a folder or by a repository id on the hub. Nothing is loaded before it is asked for."""

    kind = "local"

    def __init__(
        self,
        alias: str,
        name: str,
        *,
        revision: str | None,
        dtype: str,
        max_context: int | None,
        chat_template: str | None,
        trust: bool,
    ) -> None:
        """See the settings of the engines.

        Raises:
            EngineError: the template file cannot be read.
        """
        self._alias, self._name, self._revision, self._dtype = alias, name, revision, dtype
        self._context, self._trust = max_context, trust
        self._template = None
        if chat_template is not None:
            try:
                self._template = Path(chat_template).read_text(encoding="utf-8")
            except OSError as e:
                msg = f"engine '{alias}': chat_template {chat_template} cannot be read ({e.strerror})"
                raise EngineError(msg) from e
        self._chat: Chat | None = None
        self._config: Any = None
        self._identity: dict[str, str] | None = None

    @property
    def alias(self) -> str:
        """The name the pipeline gives it."""
        return self._alias

    @property
    def model(self) -> str:
        """Model name and revision."""
        return f"{self._name}@{self._revision}" if self._revision else self._name

    @property
    def identity(self) -> Mapping[str, str]:
        """Kind, model, and a hash of the folder's files or the hub's commit; the template where it is replaced."""
        if self._identity is None:
            folder = Path(self._name)
            if folder.is_dir():
                found = {"kind": self.kind, "model": folder.name, "files": digest_of_folder(folder)}
            else:
                commit = getattr(self._load_config(), "_commit_hash", None)
                found = {"kind": self.kind, "model": self._name, "revision": str(commit or self._revision)}
            if self._dtype != "auto":
                found["dtype"] = self._dtype
            if self._template is not None:
                found["template"] = self._template
            self._identity = found
        return self._identity

    @property
    def capabilities(self) -> frozenset[str]:
        """Everything but rewards."""
        from curator.engines.describe import LOCAL

        return LOCAL

    @property
    def max_context(self) -> int | None:
        """As set, else the positions the model was made for."""
        if self._context is None:
            self._context = getattr(self._load_config(), "max_position_embeddings", None)
        return self._context

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, exactly."""
        return self.chat.count(text)

    @property
    def chat(self) -> Chat:
        """The tokenizer, loaded when first needed."""
        if self._chat is None:
            from transformers import AutoTokenizer

            tokenizer = self._from_hub(AutoTokenizer)
            if self._template is not None:
                tokenizer.chat_template = self._template
            self._chat = Chat(tokenizer, self._alias)
        return self._chat

    def _load_config(self) -> Any:
        if self._config is None:
            from transformers import AutoConfig

            self._config = self._from_hub(AutoConfig)
        return self._config

    def _from_hub(self, what: Any, **options: Any) -> Any:
        try:
            return what.from_pretrained(self._name, revision=self._revision, trust_remote_code=self._trust, **options)
        except (OSError, ValueError) as e:
            said = " ".join(str(e).split())[:300]
            msg = f"engine '{self._alias}': model '{self._name}' cannot be loaded: {said}"
            raise EngineError(msg) from e
