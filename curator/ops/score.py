"""`score`: what a model says of a given text: how likely it is, how good, or where it lies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pyarrow as pa

from curator import prompts
from curator.bounds import Ge
from curator.engines.protocol import Engine
from curator.op import ModelFn, operator
from curator.ops import _score as behind


@operator("model", effect="marks", version=1, needs=behind.needs, adds=behind.adds, wants=behind.wants)
def score(
    *,
    engine: Engine,
    kind: Literal["logprob", "reward", "embedding", "gradient"] = "logprob",
    on: str = "trace",
    given: str = prompts.GENERATE,
    system: str = "",
    name: str = "",
    also: list[Literal["entropy", "margin"]] = [],  # noqa: B006 - never changed; the default that YAML users read
    spans: str | None = None,
    heads: list[str] = [],  # noqa: B006
    d: Annotated[int, Ge(1)] = 1024,
    projection: Literal["countsketch", "rademacher"] = "countsketch",
    projection_seed: int = 0,
    max_tokens: Annotated[int, Ge(1)] = 4096,
) -> ModelFn:
    """Mark every row with what a model says of a text that is there: nothing is generated.

    `logprob`: the natural log-probabilities of its tokens after the prompt, reduced to their sum, mean and perplexity
    (GRAPE, arXiv 2502.04194; DeepDistill's perplexity filter, arXiv 2504.17565, section 2.5, is `given: ""` and
    `on: "{problem} {trace}"`). `reward`: the number of a reward model. `embedding`: the mean of the model's last
    hidden states, for clusters and neighbours. `gradient`: the gradient of the mean loss of its tokens, the end of the
    turn included, over all parameters of a proxy model, projected at random and of length 1 (G-Vendi and Prismatic
    Synthesis, released code: features of `cluster`, `diversity` and `diversify`; an instruct model of half a billion
    parameters serves). A gradient that is zero or not a number is null, with its name in `score_error`, and counted.

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
        d: gradient: numbers of a vector (released code: 1024).
        projection: gradient: `countsketch` adds each parameter to one number, fast on any machine; `rademacher` is the
            dense matrix of signs of the released code, d times the work. Both keep inner products alike.
        projection_seed: gradient: of the signs. Vectors of different seeds have nothing in common.
        max_tokens: gradient: most tokens of the text; what is longer is cut, and `grad_truncated` says so
            (unpublished, ours: the released code has no limit).

    Raises:
        CheckError: settings that do not fit together.
    """
    return behind.model_function(dict(locals()))


def check(settings: dict[str, Any], columns: dict[str, pa.DataType]) -> None:
    """Look at the type of the spans. Raises CheckError."""
    behind.check(settings, columns)
