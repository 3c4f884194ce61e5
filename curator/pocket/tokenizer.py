"""Builds the tokenizer: byte-level BPE, one token a digit, one token for each stock phrase of the world.

Text is first cut by a pattern: bold headings with their newlines, digits, names, items and switch words stand alone,
a run of lower-case words stays together. A piece that the world uses often enough is one token (`ignore_merges`: a
whole piece is looked up before any merge), everything else falls back to ordinary BPE merges and at last to bytes,
so every text survives the round trip byte for byte. Short prompts are what makes a model of this size quick.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from curator import prompts

from . import tasks
from .grammar import ITEMS, NAMES

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Padding, start of a message, end of a message (end of sequence): skipped in decoding."""
TAGS = ("<think>", "</think>")
"""One token each, but ordinary text: not skipped in decoding."""
ROLES = ("user", "assistant", "system")
CONTEXT = 2048

# Switch words of the Retro-Search list (specs core 4.2) must be tokens of their own, so that they can be banned.
_SWITCH = "Wait Alternatively Hmmm Hmm But However Another Not So".split()  # noqa: SIM905
_ALONE = "|".join([*_SWITCH, *NAMES])
_WORD = rf"(?!(?:{_ALONE}|{'|'.join(ITEMS)})\b)"
PATTERN = "|".join(
    [
        r"\n*\*\*[A-Z][^*\n]*\*\*\n*",
        r"\d",
        r"\\boxed\{",
        r"[A-Z]{4,}:",
        rf"(?:{_ALONE})\b",
        rf" ?(?:{'|'.join(ITEMS)})\b",
        rf"(?:[.,:;]? )?{_WORD}[A-Za-z][a-z]*(?:[,;]? {_WORD}[a-z]+)*[.,:;?]?(?: (?=[\dA-Z(\\]))?",
        r", [-+*/](?=\d)",
        r" [-+*/] ",
        r"[-+*/=()]",
        r"\n+",
        r"[.,:;?!]+ ?",
    ]
)

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if not loop.first %}{{ '\\n' }}{% endif %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML. `continue_final_message` works: the last message's text stands last before its end mark."""


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _corpus(examples: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = []
    for _ in range(examples):
        made = tasks.example(rng, rng.random())
        texts.append(made.prompt + "\n\n" + "".join(part.text for part in made.parts))
    return texts


def build(size: int = 1200, examples: int = 12000, seed: int = 0) -> Tokenizer:
    """Return the tokenizer with at most `size` tokens, deterministic for a seed.

    Half of the room beyond bytes and marks at most goes to merges of ordinary words, the rest to whole pieces.
    """
    texts = _corpus(examples, seed)
    pre = _pre_tokenizer()
    tags = "|".join(TAGS)
    pieces = Counter(
        piece for text in texts for plain in re.split(tags, text) for piece, _ in pre.pre_tokenize_str(plain)
    )
    wanted = [*ROLES, *NAMES, *(f"Ġ{item}" for item in ITEMS), *ITEMS, *_SWITCH]
    wanted += [piece for piece, count in pieces.most_common() if count >= examples // 1000 and len(piece) > 1]

    base = Tokenizer(models.BPE())
    base.pre_tokenizer = pre
    words = [word for text in prompts.TEMPLATES.values() for word in text.split()] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=520, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    base.train_from_iterator([*(" " + word for word in words), *texts[:500]], trainer)
    learned = json.loads(base.to_str())["model"]
    vocab: dict[str, int] = {mark: i for i, mark in enumerate((*SPECIAL, *TAGS))}
    for token in sorted(learned["vocab"], key=learned["vocab"].get):
        vocab.setdefault(token, len(vocab))
    for piece in wanted:
        if len(vocab) < size:
            vocab.setdefault(piece, len(vocab))
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in SPECIAL])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in TAGS])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` (with the chat template) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "unk_token": None,
        "additional_special_tokens": [SPECIAL[1]],
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
        "padding_side": "left",
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
