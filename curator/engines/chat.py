"""Messages to token ids and back, with a Hugging Face tokenizer: what engines that run a model themselves share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curator.engines.forward import Told
from curator.engines.protocol import Message, Request, TextScore
from curator.errors import EngineError
from curator.text import THINK_OPEN

_WHOLE = 1 << 30  # bytes; larger weight files are hashed by their ends
_CONTEXT = 6  # prompt tokens decoded with a completion, so that its first token gets the space it has in the text


class Chat:
    """A tokenizer with its chat template. `alias` is for messages only."""

    def __init__(self, tokenizer: Any, alias: str) -> None:
        self.tokenizer, self._alias = tokenizer, alias
        self._pieces: dict[int, str] = {}
        self._closing: list[int] | None = None

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

    def to_score(self, messages: Sequence[Message], text: str) -> tuple[list[int], list[int], int]:
        """Return prompt and text as ids, each tokenised by itself, and how many of the text's are in the prompt.

        Without messages the prompt is what the tokenizer begins a text with; where that is nothing, a language model
        says nothing about the first token, which then is the prompt.
        """
        ids = self.ids(text)
        if messages:
            return self.prompt(messages), ids, 0
        start: list[int] = self.tokenizer("", add_special_tokens=True)["input_ids"][:1]
        return (start, ids, 0) if start else (ids[:1], ids[1:], min(1, len(ids)))

    def to_learn(self, messages: Sequence[Message], text: str) -> tuple[list[int], list[int]]:
        """Return prompt and text as ids, as for `to_score`, the text with what ends an assistant's turn behind it."""
        prompt, ids, _ = self.to_score(messages, text)
        return prompt, [*ids, *self.closing()] if messages and ids else ids

    def closing(self) -> list[int]:
        """Return the ids that end an assistant's turn: what the template writes behind the text, space aside."""
        if self._closing is None:
            mark = "answer-0f1e"
            turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False)
            before, _, after = text.rpartition(mark)
            end = self.tokenizer.eos_token_id
            self._closing = self.ids(after.strip()) if before else []
            self._closing = self._closing or ([] if end is None else [end])
        return self._closing

    def text(self, ids: Sequence[int], before: Sequence[int] = ()) -> str:
        """Return generated ids as text. `before`: the ids they follow."""
        context = list(before[-_CONTEXT:])
        head = self._decode(context) if context else ""
        whole = self._decode([*context, *ids])
        return whole[len(head) :] if whole.startswith(head) else self._decode(list(ids))

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return the text of each token by itself."""
        new = [i for i in dict.fromkeys(ids) if i not in self._pieces]
        if new:
            found = self.tokenizer.batch_decode([[i] for i in new], clean_up_tokenization_spaces=False)
            self._pieces.update(zip(new, found, strict=True))
        return tuple([self._pieces[i] for i in ids])

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


def text_score(chat: Chat, text: str, ids: list[int], told: Told, kept: int, skipped: int) -> TextScore:
    """Return what a model said about a text.

    Args:
        chat: its tokenizer.
        text: what was scored.
        ids: of the whole text, those that are the prompt included.
        told: log-probabilities, entropies and margins of the tokens scored.
        kept: how many of the ids the model saw.
        skipped: how many of these were the prompt.
    """
    pieces = chat.pieces(ids[:kept])
    where = offsets(pieces, text)
    logprobs, entropies, margins = told
    return TextScore(
        pieces[skipped:], tuple(logprobs), where[skipped:], kept < len(ids),
        None if entropies is None else tuple(entropies), None if margins is None else tuple(margins),
    )  # fmt: skip


def margin(logprobs: Sequence[float]) -> float:
    """Return the difference of the two largest probabilities."""
    first, second = sorted(logprobs, reverse=True)[:2]
    return math.exp(first) - math.exp(second)


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
