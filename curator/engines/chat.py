"""Messages to token ids and back, with a Hugging Face tokenizer: what engines that run a model themselves share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curator.engines.protocol import Message, Request
from curator.errors import EngineError
from curator.text import THINK_OPEN

_WHOLE = 1 << 30  # bytes; larger weight files are hashed by their ends
_CONTEXT = 6  # prompt tokens decoded with a completion, so that its first token gets the space it has in the text


class Chat:
    """A tokenizer with its chat template. `alias` is for messages only."""

    def __init__(self, tokenizer: Any, alias: str) -> None:
        self.tokenizer, self._alias = tokenizer, alias

    def prompt(self, messages: Sequence[Message], prefix: str = "") -> list[int]:
        """Return the ids of the rendered conversation up to where the assistant writes, and of `prefix` after it.

        The prefix is appended to the rendered text and not given to the template, since templates of reasoning models
        cut the thinking out of earlier assistant turns. A `<think>` that the template has already opened is not
        repeated.

        Raises:
            EngineError: the tokenizer has no chat template.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            msg = f"engine '{self._alias}': this model has no chat template; name one with chat_template: FILE"
            raise EngineError(msg)
        turns = [{"role": m.role, "content": m.content} for m in messages]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        if prefix and text.rstrip().endswith(THINK_OPEN) and prefix.lstrip().startswith(THINK_OPEN):
            text = text.rstrip().removesuffix(THINK_OPEN)
            prefix = prefix.lstrip()
        return self.ids(text + prefix)

    def ids(self, text: str) -> list[int]:
        """Return the ids of `text`, without special tokens around it."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def text(self, ids: Sequence[int], before: Sequence[int] = ()) -> str:
        """Return generated ids as text. `before`: the ids they follow."""
        context = list(before[-_CONTEXT:])
        head = self._decode(context) if context else ""
        whole = self._decode([*context, *ids])
        return whole[len(head) :] if whole.startswith(head) else self._decode(list(ids))

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return the text of each token by itself."""
        return tuple(self.tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False))

    def _decode(self, ids: list[int]) -> str:
        out: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return out

    def bad_words(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the id sequences that spell each word at the start of a text and after a space, as vLLM does."""
        found = {tuple(self.ids(form)) for word in words for form in (word.lstrip(), " " + word.lstrip())}
        return sorted(f for f in found if f)

    def count(self, text: str) -> int:
        """Return the number of tokens of `text`."""
        return len(self.ids(text))


def offsets(tokens: tuple[str, ...], text: str) -> tuple[int, ...]:
    """Return where each token starts in `text`, in characters. A token that is part of a character starts at it."""
    out, at = [], 0
    for token in tokens:
        out.append(at)
        if text.startswith(token, at):
            at += len(token)
        elif "\ufffd" in token:
            at = min(len(text), at + len(token.rstrip("\ufffd")))
        else:
            at = min(len(text), at + len(token))
    return tuple(out)


def sample_seed(request: Request, sample: int, prompt: Sequence[int]) -> int:
    """Return the 64-bit seed of one sample: a hash of the request's seed, the prompt and the sample's number."""
    text = f"{request.sampling.seed}|{sample}|{','.join(map(str, prompt))}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def digest_of_folder(folder: Path) -> str:
    """Return a hash of a model folder: all files by name and content; of weights over 1 GiB only the two ends.

    Raises:
        EngineError: it is not a model folder.
    """
    files = sorted(f for f in folder.iterdir() if f.is_file() and f.suffix in _COUNTS) if folder.is_dir() else []
    if not any(f.name == "config.json" for f in files):
        msg = f"{folder} is not a model folder (no config.json)"
        raise EngineError(msg)
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}\0".encode())
        with file.open("rb") as f:
            if size > _WHOLE:
                digest.update(f.read(1 << 20))
                f.seek(-(1 << 20), 2)
            while block := f.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:32]


_COUNTS = frozenset({".json", ".safetensors", ".bin", ".model", ".jinja", ".txt"})
