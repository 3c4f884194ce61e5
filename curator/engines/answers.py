"""What the response store keeps and under which name: keys of requests, answers and scores as JSON."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import orjson

from curator.engines.protocol import Completion, Request, TextScore


def keys(identity: Mapping[str, str], request: Request) -> list[bytes]:
    """Return the key of each sample of `request`: 16 bytes of SHA-256 over canonical JSON.

    In it: identity of the engine, messages, prefix, sampling without `max_tokens`, the logprobs flag, sample number.
    Not in it: `request.key`, `max_tokens`, `n`.

    Raises:
        TypeError: the text is not valid Unicode (a lone surrogate).
    """
    return sample_keys(key_head(identity), request)


def key_head(identity: Mapping[str, str]) -> bytes:
    """Return what all keys of one engine begin with, before hashing; see `sample_keys`."""
    return b"[" + orjson.dumps(identity, option=orjson.OPT_SORT_KEYS) + b","


def sample_keys(head: bytes, request: Request) -> list[bytes]:
    """Return the keys of `request`, as `keys` does, for the engine that `head` belongs to."""
    s = request.sampling
    rest = [
        [[m.role, m.content] for m in request.messages],
        request.prefix,
        [float(s.temperature), float(s.top_p), s.top_k, s.stop, s.bad_words, s.seed],
        request.logprobs,
    ]
    text, first = b"%s%s#" % (head, orjson.dumps(rest)[1:]), request.first_sample
    if request.n == 1:
        return [hashlib.sha256(b"%s%d" % (text, first)).digest()[:16]]
    base = hashlib.sha256(text)
    out = []
    for i in range(first, first + request.n):
        one = base.copy()
        one.update(b"%d" % i)
        out.append(one.digest()[:16])
    return out


def cut_key(key: bytes, context: int | None) -> bytes:
    """Return the key of an answer that the engine's context has cut; an unknown context is no part of it."""
    return key if context is None else hashlib.sha256(b"%s context %d" % (key, context)).digest()[:16]


def score_key(
    identity: Mapping[str, str], request: Request, text: str, also: frozenset[str] = frozenset(), what: str = "score"
) -> bytes:
    """Return the key of the score of `text` as the answer to the messages of `request`. `what`: score or embed."""
    body = [identity, what, [[m.role, m.content] for m in request.messages], text, *sorted(also)]
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()[:16]


def pack(c: Completion, engine: str, model: str) -> dict[str, Any]:
    """Return a completion as the payload of a record, with the engine and the model it came from."""
    out: dict[str, Any] = {
        "text": c.text, "finish": c.finish_reason, "n": c.n_tokens, "prompt": c.n_prompt_tokens,
        "engine": engine, "model": model, "at": int(time.time()),
    }  # fmt: skip
    if c.logprobs is not None:
        out["logprobs"], out["tokens"] = c.logprobs, c.logprob_tokens
    return out


def unpack(p: Mapping[str, Any]) -> Completion:
    """Return the completion of a payload, marked `cached`."""
    logprobs, tokens = p.get("logprobs"), p.get("tokens")
    return Completion(
        p["text"], p["finish"], p["n"], p["prompt"],
        None if logprobs is None else tuple(logprobs), None if tokens is None else tuple(tokens), cached=True,
    )  # fmt: skip


def pack_score(s: TextScore, engine: str, model: str) -> dict[str, Any]:
    """Return a score as the payload of a record."""
    out: dict[str, Any] = {
        "score": s.logprobs, "tokens": s.tokens, "offsets": s.offsets, "truncated": s.truncated,
        "engine": engine, "model": model, "at": int(time.time()),
    }  # fmt: skip
    if s.entropies is not None:
        out["entropies"] = s.entropies
    if s.margins is not None:
        out["margins"] = s.margins
    return out


def unpack_score(p: Mapping[str, Any]) -> TextScore:
    """Return the score of a payload."""
    entropies, margins = (None if p.get(name) is None else tuple(p[name]) for name in ("entropies", "margins"))
    return TextScore(
        tuple(p["tokens"]), tuple(p["score"]), tuple(p["offsets"]), p["truncated"], entropies, margins
    )
