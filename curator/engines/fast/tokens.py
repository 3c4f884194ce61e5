"""A tokenizer straight from its file, with the part of the transformers interface that `chat.Chat` uses.

For our own model only: what other tokenizers need beyond their file is transformers' business.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class FileTokenizer:
    """The tokenizer in a model folder: `tokenizer.json` and `tokenizer_config.json`."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        self.chat_template: str = config["chat_template"]
        self.eos_token_id: int | None = self._raw.token_to_id(config["eos_token"])
        self.pad_token_id: int | None = self._raw.token_to_id(config["pad_token"])
        self._template: Any = None

    def apply_chat_template(self, turns: Sequence[dict[str, str]], *, tokenize: bool, **variables: Any) -> str:
        """Return the conversation as text; `tokenize` must be False."""
        assert not tokenize
        if self._template is None:
            from jinja2.sandbox import ImmutableSandboxedEnvironment

            environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
            self._template = environment.from_string(self.chat_template)
        return str(self._template.render(messages=turns, **variables))

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        """Return the ids of a text as `input_ids`."""
        return {"input_ids": self._raw.encode(text, add_special_tokens=add_special_tokens).ids}

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False, **_: Any) -> str:
        """Return ids as text."""
        return str(self._raw.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def batch_decode(self, rows: Sequence[Sequence[int]], **_: Any) -> list[str]:
        """Return each row of ids as text."""
        return [self.decode(r) for r in rows]
