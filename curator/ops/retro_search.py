"""`retro_search`: Retro-Search. At each change of mind ask how it had gone on, and keep what is right and shorter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from curator import prompts
from curator.bounds import Ge, Gt, Le
from curator.engines.protocol import BAD_WORDS, GENERATE, PREFIX, Engine, Sampling
from curator.errors import CheckError
from curator.op import ModelFn, operator
from curator.ops import _retro as behind
from curator.retro.choice import Limits
from curator.spans.thoughts import PAPER, compiled
from curator.text import fields

_SEARCHED = "FROM rows WHERE revision_model IS NOT NULL"
REPORTS = {
    "before and after": "SELECT version, count(*) AS traces, avg(tokens) AS mean_tokens, avg(thoughts) AS thoughts, "
    "avg(steps) AS steps, sum(steps) / sum(thoughts) AS steps_a_thought, avg(changed::INT) AS changed, "
    "1 - sum(tokens) / sum(tokens_before) AS tokens_saved FROM ("
    "SELECT 'before' AS version, tokens_before AS tokens, n_thoughts_before AS thoughts, n_steps_before AS steps, "
    f"tokens_before, NULL AS changed {_SEARCHED} UNION ALL SELECT 'after', tokens_after, n_thoughts_after, "
    f"n_steps_after, tokens_before, changed {_SEARCHED}) GROUP BY version ORDER BY version DESC",
    "what it cost": "SELECT sum(n_rollouts) AS rollouts, sum(tokens_spent) AS generated, sum(tokens_read) AS read, "
    "sum(tokens_shared) AS read_again, sum(tokens_before - tokens_after) AS saved, "
    "sum(tokens_spent) / nullif(sum(tokens_before - tokens_after), 0) AS generated_a_token_saved "
    f"{_SEARCHED}",
    "why the search ended": "SELECT stop_reason, count(*) AS rows, avg(n_rollouts) AS mean_rollouts, "
    "avg(n_accepted) AS mean_accepted FROM rows GROUP BY ALL ORDER BY rows DESC, 1",
    "rollouts": "SELECT r.verdict AS verdict, r.accepted AS accepted, r.why AS why, count(*) AS n FROM "
    "(SELECT unnest(rollouts) AS r FROM rows) GROUP BY ALL ORDER BY n DESC, 1, 2, 3 LIMIT 20",
}


def story(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the path of a row's search, for `curator why`."""
    from curator.retro.story import lines

    return lines(row)


def _needs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    named = (*fields(settings["prompt"]), *fields(settings["system"]))
    return tuple(dict.fromkeys(("row_id", "trace", behind.REFERENCE[settings["verifier"]], *named)))


@operator(
    "model",
    effect="makes",
    version=1,
    needs=_needs,
    adds=behind.ADDS,
    wants=frozenset({GENERATE, PREFIX}),
    reasons={"original_wrong": "the answer of the trace is wrong (on_wrong: drop)"},
    reports=REPORTS,
)
def retro_search(
    *,
    engine: Engine,
    mode: Literal["full", "partial"] = "full",
    rollouts: Annotated[int, Ge(1)] = 1,
    passes: Annotated[int, Ge(1)] = 1,
    words: tuple[str, ...] = PAPER,
    window: Annotated[int, Ge(0)] = 0,
    verifier: Literal["math", "choice", "code", "constraints"] = "math",
    strict: bool = False,
    limit_s: float = 5.0,
    gamma: Annotated[float, Gt(0)] = 0.9,
    graded: bool = False,
    choose: Literal["best", "mean"] = "best",
    length_unit: Literal["steps", "tokens"] = "steps",
    guard: bool = False,
    max_thoughts: Annotated[int, Ge(1)] = 64,
    max_rollouts: Annotated[int, Ge(1)] = 64,
    on_wrong: Literal["keep", "drop"] = "keep",
    prompt: str = prompts.GENERATE,
    system: str = "",
    temperature: Annotated[float, Ge(0)] = 1.0,
    top_p: Annotated[float, Gt(0), Le(1)] = 0.98,
    top_k: Annotated[int, Ge(0)] = 0,
    max_tokens: Annotated[int, Ge(1)] = 16384,
    seed: int | None = None,
) -> ModelFn:
    """Revise correct traces into shorter correct ones by asking, at each change of mind, how it had gone on.

    Retro-Search (arXiv 2504.04383). Thoughts are cut at switch words (see `segment`). From the first thought on the
    engine continues the trace from the end of the thought; switch words are banned in the first step of the rollout
    and only there. Where the rollout ends in the right answer with strictly fewer steps than the rest of the trace has,
    it takes the place of that rest, the new tail is cut into thoughts anew, and the search goes on with the next
    thought. The engine may be the model that wrote the trace (self) or a smaller one (weak-to-strong).

    Only traces that are right are revised: `correct` true, or judged so here where nobody has yet. Others go on as they
    are (`trace_revised` is the trace, `changed` false) and `stop_reason` says why: no_problem, no_thinking, unclosed,
    original_wrong, original_undecided, no_reference, one_thought. A search ends with done, max_thoughts, max_rollouts,
    too_long (the prefix fills the engine's context), or not_verified (the revised trace as a whole did not check out;
    the original is kept).

    `rollouts` is the audit: every rollout with the thought it begins after (`position`, from 1), its text, its verdict
    (of the verifier, or empty, looping, repeats, truncated, unclosed, no_continuation, engine_error), the remaining
    steps before and after, whether it was accepted and why not. `curator why ROW` and the report show it.

    All rows of a shard are searched at the same time; positions of one trace are sequential. Requests of one trace
    begin with the same text, so turn prefix caching on.

    Args:
        engine: the revising model. It must be able to continue an assistant prefix.
        mode: `full` begins after the first thought, `partial` after one drawn by hash of seed and row: cheaper, and
            recalled to be what the 32B reviser used.
        rollouts: at each position; of several the most valuable one counts (with right and wrong alone: the right one
            with the fewest steps).
        passes: go over the trace again, at most so often in all, until nothing changes. Unverified in the paper.
        words: switch words, banned in a first step.
        window: as in `segment`.
        verifier: who decides on right and wrong, as `kind` of `verify` (without engines).
        strict: strict maths, see `verify`.
        limit_s: CPU seconds a comparison or a test may take.
        gamma: discount a step in V = gamma^(steps to go) R. It matters only with `choose: mean` or `graded`; one
            rollout that is right or wrong is judged alike by every gamma in (0, 1).
        graded: rewards are the verifier's score (the share of tests passed) and not only 1 and 0; then a far shorter
            rollout may replace a better one.
        choose: of several rollouts: `best` takes the best alone; `mean` asks also that the mean of their values is
            above the original's.
        length_unit: what makes a rollout shorter: `steps` of the thinking (published), or `tokens`.
        guard: also refuse a rollout whose thinking has more tokens than the tail it would replace. Ours.
        max_thoughts: no rollout after a later thought than this.
        max_rollouts: of a trace, over all passes.
        on_wrong: `keep` wrong originals as they are, or `drop` them.
        prompt: user message, as in `generate`; it should be what the trace answered.
        system: system message, same fields; empty sends none.
        temperature: of the rollouts (recalled as the paper's, as the next two).
        top_p: nucleus sampling.
        top_k: keep the k likeliest tokens; 0 keeps all.
        max_tokens: longest rollout, in tokens; one that is cut off counts as wrong.
        seed: None is the run's seed; a rollout is drawn with hash(seed, row_id, position, pass) where the engine takes
            seeds.

    Raises:
        CheckError: settings that do not fit together, or an engine that can neither ban words nor sample.
    """
    _accept(engine, words, gamma, temperature, choose=choose, rollouts=rollouts, passes=passes)
    if verifier == "code":
        behind.isolated()
    limits = Limits(
        mode,
        rollouts,
        passes,
        gamma,
        graded,
        choose == "mean",
        length_unit,
        guard,
        max_thoughts,
        max_rollouts,
        seed or 0,
    )
    sampling = Sampling(temperature, top_p, top_k, max_tokens)
    judged_by = behind.Judge(verifier, strict, limit_s, graded)
    return behind.Work(
        engine, compiled(tuple(words), window), sampling, limits, judged_by, prompt, system, on_wrong == "drop"
    )


def _accept(
    engine: Engine, words: tuple[str, ...], gamma: float, temperature: float, *, choose: str, rollouts: int,
    passes: int,
) -> None:  # fmt: skip
    """Judge settings that types alone let pass. Raises CheckError."""
    if not words or not all(w.strip() for w in words):
        raise CheckError("retro_search: words has no word, or an empty one; thoughts are cut at switch words")
    if gamma >= 1:
        msg = f"retro_search: gamma is {gamma}; it must be below 1, or steps would not count"
        raise CheckError(msg)
    if temperature == 0 and BAD_WORDS not in engine.capabilities:
        msg = (
            f"retro_search: temperature is 0 and engine '{engine.alias}' cannot ban words, so first steps must be "
            "sampled until one opens with no switch word; set temperature above 0 (the paper's is 1.0)"
        )
        raise CheckError(msg)
    if temperature == 0 and (rollouts > 1 or passes > 1):
        msg = f"retro_search: {rollouts} rollouts and {passes} passes at temperature 0 say the same each time; set 1.0"
        raise CheckError(msg)
    if choose == "mean" and rollouts == 1:
        raise CheckError("retro_search: choose: mean wants several rollouts; set rollouts: 4, or choose: best")
