"""`score`: what a model says of a given text: how likely it is, how good, or where it lies."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from curator import prompts
from curator.engines.protocol import Engine
from curator.op import ModelFn, operator
from curator.ops import _score as behind


@operator("model", effect="marks", version=1, needs=behind.needs, adds=behind.adds, wants=behind.wants)
def score(
    *,
    engine: Engine,
    kind: Literal["logprob", "reward", "embedding"] = "logprob",
    on: str = "trace",
    given: str = prompts.GENERATE,
    system: str = "",
    name: str = "",
    also: list[Literal["entropy", "margin"]] = [],  # noqa: B006 - never changed; the default that YAML users read
    spans: str | None = None,
    heads: list[str] = [],  # noqa: B006
) -> ModelFn:
    """Mark every row with what a model says of a text that is there: nothing is generated.

    `logprob`: the natural log-probabilities of its tokens after the prompt, reduced to their sum, mean and perplexity
    (GRAPE, arXiv 2502.04194; DeepDistill's perplexity filter, arXiv 2504.17565, section 2.5, is `given: ""` and
    `on: "{problem} {trace}"`). `reward`: the number of a reward model. `embedding`: the mean of the model's last
    hidden states, for clusters and neighbours.

    Prompt and text are tokenised apart, as they were when the text was generated. A text that does not fit the model's
    context is scored up to there, and `score_truncated` says so; a prompt that leaves no room scores nothing. A failed
    request, a null or an empty text is a row with `score_error`. Sums are exactly rounded, so they do not depend on the
    batch beyond the model's own arithmetic.

    Per span, a token belongs where its first character that is no space lies. Models with different tokenizers are thus
    compared by characters, never token by token; `provenance` says where their tokens differ.

    Args:
        engine: the model. Entropies need its whole distribution, which served models do not tell; margins need its two
            likeliest tokens.
        kind: what is asked.
        on: column with the text, or a template with {columns}.
        given: user message before the text, as in `generate`. Empty: the text alone, without a chat template, after the
            token that begins a text where the model has one; else its first token is not scored.
        system: system message.
        name: goes before the names of all columns: `name: student` gives `student_logprob_mean`, for several models on
            the same rows.
        also: logprob: `entropy` (nats, mean over tokens) and `margin` (mean of p1 - p2, 0 to 1).
        spans: logprob: column with spans of `on`, as `segment` writes them: adds `span_logprob_sum`, `span_n_scored`.
        heads: reward: heads whose mean is the reward; by default the model's only one.

    Raises:
        CheckError: settings that do not fit together.
    """
    return behind.model_function(dict(locals()))


def check(settings: dict[str, Any], columns: dict[str, pa.DataType]) -> None:
    """Look at the type of the spans. Raises CheckError."""
    behind.check(settings, columns)
