"""The vocabulary of columns: every column that two operators share, its Arrow type and what it means.

Long format: one row is one problem; after `generate` one row is one sample of one problem.
`row_id` is unique in every table. A row made from another carries its `parent_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa


class Column(NamedTuple):
    """One shared column: its Arrow type and one line of meaning."""

    type: pa.DataType
    meaning: str


_EDITS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("kind", pa.string()), ("text", pa.string())]))

COLUMNS: dict[str, Column] = {
    # identity
    "row_id": Column(pa.string(), "unique id of the row in its table"),
    "parent_id": Column(pa.string(), "row_id of the row this one was made from; null where it came from the input"),
    "problem_id": Column(pa.string(), "id of the problem; shared by all samples of one problem"),
    "sample_idx": Column(pa.int32(), "number of the sample within its problem, from 0"),
    # problem
    "problem": Column(pa.string(), "the question, as a person would read it"),
    "answer": Column(pa.string(), "short reference answer; null where there is none"),
    "solution": Column(pa.string(), "long human solution; null where there is none"),
    "domain": Column(pa.string(), "math, code, science, ..."),
    "source": Column(pa.string(), "where the problem came from"),
    "license": Column(pa.string(), "licence of the source, as found"),
    # sample
    "trace": Column(pa.string(), "full assistant text, thinking included (inline <think>)"),
    "think": Column(pa.string(), "thinking part of the trace; null where there is none"),
    "response": Column(pa.string(), "text after the thinking part"),
    "finish_reason": Column(pa.string(), "stop, length, error, or content_filter"),
    "error": Column(pa.string(), "what went wrong where finish_reason is error"),
    "engine": Column(pa.string(), "alias of the engine that wrote the trace"),
    "model": Column(pa.string(), "model name and revision that wrote the trace"),
    "n_tokens": Column(pa.int32(), "tokens of the trace, counted by the engine that wrote it"),
    "n_prompt_tokens": Column(pa.int32(), "tokens of the prompt, counted by the engine"),
    "temperature": Column(pa.float64(), "sampling temperature the trace was drawn at"),
    # loop and propose
    "round": Column(pa.int32(), "round of the loop that made the row, from 1; 0 where it entered the loop"),
    "parent_ids": Column(pa.list_(pa.string()), "row_ids of the rows this one was made from, where there are several"),
    "replies": Column(pa.list_(pa.string()), "what the model said in each turn of the conversation that made the row"),
    "rating": Column(pa.string(), "what the ratings come to: perfect, acceptable or bad; null where there are none"),
    "ratings": Column(
        pa.list_(pa.struct([("criterion", pa.string()), ("rating", pa.string())])), "rating by each criterion"
    ),
    "rate_error": Column(pa.string(), "why there is no rating; null where there is one"),
    "draw_idx": Column(pa.int32(), "number of the draw that made the row, from 0"),
    # verdict
    "verdict": Column(pa.string(), "correct, incorrect, unparseable, no_reference, timeout, or error"),
    "correct": Column(pa.bool_(), "true, false, or null where the verdict decides neither"),
    "score": Column(pa.float64(), "graded score on the verifier's own scale"),
    "score_scale": Column(pa.string(), "scale of score: 0-1, another range such as 0-5, or logit (unbounded)"),
    "predicted_answer": Column(pa.string(), "final answer found in the trace"),
    "verifier": Column(pa.string(), "which verifier decided, with its version"),
    "verdict_detail": Column(pa.string(), "why, in a few words"),
    "test_verdicts": Column(
        pa.list_(pa.string()), "of each test of a program: correct, incorrect, timeout, error, or not_run"
    ),
    # vote of the samples of a problem
    "consensus_answer": Column(pa.string(), "the answer most samples give; null where there is no one majority"),
    "consensus_votes": Column(pa.int32(), "samples that give it"),
    "consensus_n": Column(pa.int32(), "samples of the problem that give any answer"),
    "consensus_undecided": Column(pa.int32(), "samples of the problem without an answer"),
    # group
    "n": Column(pa.int32(), "samples of the problem that were decided"),
    "n_ok": Column(pa.int32(), "samples judged correct"),
    "n_undecided": Column(pa.int32(), "samples without a verdict, left out of n"),
    "pass_rate": Column(pa.float64(), "n_ok / n; null where n is 0"),
    "pass_rate_low": Column(pa.float64(), "lower end of the interval of pass_rate"),
    "pass_rate_high": Column(pa.float64(), "upper end of the interval of pass_rate"),
    "score_mean": Column(pa.float64(), "mean of the scores of the problem's samples"),
    "score_std": Column(pa.float64(), "their standard deviation, with the step's ddof; null where undefined"),
    "score_max": Column(pa.float64(), "the largest of them"),
    "cv": Column(pa.float64(), "score_std / score_mean; null where the mean is 0"),
    "passed": Column(pa.bool_(), "whether the sample's own score is over the threshold of its category"),
    "decision": Column(
        pa.string(), "DeepDistill's tests in order: max_below_threshold, none_above_threshold, cv_low, or cv_high"
    ),
    "band": Column(pa.string(), "name of the band that the problem falls in; null where in none"),
    "length_mean": Column(pa.float64(), "mean length of the problem's samples"),
    "solved_by": Column(pa.list_(pa.string()), "models with at least one correct sample of the problem"),
    "model_rates": Column(
        pa.list_(
            pa.struct(
                [
                    ("model", pa.string()),
                    ("n", pa.int32()),
                    ("n_ok", pa.int32()),
                    ("n_undecided", pa.int32()),
                    ("pass_rate", pa.float64()),
                    ("cv", pa.float64()),
                ]
            )
        ),
        "the same numbers for each model by itself, by name",
    ),
    "n_asked": Column(pa.int32(), "samples that were asked for to grade the problem"),
    "stopped": Column(pa.string(), "why no more samples were asked for: decided, or n (as many as allowed)"),
    "judged_difficulty": Column(pa.float64(), "mean difficulty over the replies that could be read"),
    "judged_n": Column(pa.int32(), "replies that could be read"),
    "judged_std": Column(pa.float64(), "their standard deviation (ddof 0)"),
    # likelihood of a given text under a model; a step's `name` stands before them: student_logprob_mean
    "logprob_sum": Column(pa.float64(), "sum of the natural log-probabilities of the tokens scored"),
    "logprob_mean": Column(pa.float64(), "their mean"),
    "perplexity": Column(pa.float64(), "exp(-logprob_mean)"),
    "n_scored": Column(pa.int32(), "tokens scored, by the scoring model's tokenizer"),
    "score_truncated": Column(pa.bool_(), "true where the text did not fit the context: only its head was scored"),
    "score_error": Column(pa.string(), "why nothing was scored; null where something was"),
    "scored_by": Column(pa.string(), "model that scored, with its revision"),
    "token_entropy": Column(pa.float64(), "mean entropy of the model's distribution at the tokens scored, in nats"),
    "margin": Column(pa.float64(), "mean difference of the two largest probabilities at the tokens scored"),
    "span_logprob_sum": Column(pa.list_(pa.float64()), "of each span: sum of its tokens' log-probabilities"),
    "span_n_scored": Column(pa.list_(pa.int32()), "of each span: tokens scored"),
    "reward": Column(pa.float64(), "number of the reward model: a logit, higher is better"),
    "embedding": Column(pa.list_(pa.float32()), "vector of the text: mean of the model's last hidden states"),
    "grad": Column(
        pa.list_(pa.float32()),  # not of fixed size: Arrow cannot read such a list back from Parquet where one is null
        "projected gradient of the text's mean loss over all parameters of the proxy, of length 1; null where none",
    ),
    "grad_loss": Column(pa.float64(), "that loss: mean nats a token of the text, the end of the turn included"),
    "grad_n_tokens": Column(pa.int32(), "those tokens, by the proxy's tokenizer"),
    "grad_truncated": Column(pa.bool_(), "true where the text was cut at max_tokens or at the proxy's context"),
    "grad_proxy": Column(pa.string(), "proxy model, with what tells its weights from others"),
    "grad_projection": Column(pa.string(), "its projection, kind:d:seed; different ones do not compare"),
    # where a sentence comes from
    "span_labels": Column(
        pa.list_(pa.string()), "of each span: teacher, student, common; with a distilled model shared or boosted too"
    ),
    "n_teacher_spans": Column(pa.int32(), "spans that are much likelier under the teacher"),
    "n_student_spans": Column(pa.int32(), "spans that are much likelier under the student"),
    # quality marks
    "flags": Column(pa.list_(pa.string()), "what speaks against the row, see `mark`; empty where nothing does"),
    "flag_detail": Column(pa.string(), "JSON: the number or the text behind each flag"),
    # dedup and decontamination
    "cluster_id": Column(
        pa.string(),
        "row_id of the row that stands for the cluster: the kept one of duplicates, or the nearest to the centroid",
    ),
    "cluster_size": Column(pa.int32(), "rows of the cluster"),
    "dup_of": Column(pa.string(), "row_id of the row this one duplicates"),
    "similarity": Column(pa.float64(), "similarity to dup_of, 0 to 1"),
    # cluster: spherical k-means of a vector column
    "cluster_cosine": Column(pa.float32(), "cosine of the row's vector to the centroid of its cluster"),
    "cluster_sparse": Column(pa.bool_(), "true where the cluster is among the smallest: the data is thin there"),
    "contaminated": Column(pa.bool_(), "true where the problem matches a benchmark item"),
    "contamination": Column(pa.string(), "JSON list of hits: benchmark, item, matched spans, score, method"),
    # compress (names of specs core 1.5)
    "difficulty": Column(pa.string(), "easy, medium or hard; null where nobody judged"),
    "difficulty_source": Column(pa.string(), "teacher, headings, pass_rate, or given (a column)"),
    "short_cot": Column(pa.string(), "the rewritten reasoning, sections included"),
    "short_solution": Column(pa.string(), "the rewritten solution with the final answer"),
    "final_answer_short": Column(pa.string(), "final answer of the rewrite"),
    "tokens_long": Column(pa.int32(), "tokens of the supplied long trace"),
    "tokens_short": Column(pa.int32(), "tokens of the rewrite, same tokenizer as tokens_long"),
    "compression_ratio": Column(pa.float64(), "tokens_short / tokens_long"),
    "verified": Column(pa.bool_(), "true where the rewrite was accepted"),
    "reject_reason": Column(pa.string(), "why the last rewrite was not accepted"),
    "n_attempts": Column(pa.int32(), "rewrites asked for"),
    # pair: the row itself is the chosen side
    "rejected_id": Column(pa.string(), "row_id of the rejected side of the pair"),
    "rejected_trace": Column(pa.string(), "trace of the rejected side"),
    "rejected_think": Column(pa.string(), "thinking part of the rejected side"),
    "rejected_response": Column(pa.string(), "text of the rejected side after its thinking part"),
    "rejected_finish_reason": Column(pa.string(), "finish_reason of the rejected side"),
    "rejected_inserted": Column(_EDITS, "parts of the rejected side's trace that nobody generated"),
    "rejected_n_tokens": Column(pa.int32(), "tokens of the rejected side"),
    "rejected_engine": Column(pa.string(), "engine that wrote the rejected side"),
    "rejected_model": Column(pa.string(), "model that wrote the rejected side"),
    "pair_differs": Column(pa.string(), "verdict where the sides have different ones, else the rule"),
    "desirable": Column(pa.bool_(), "KTO: true for an answer to learn, false for one to avoid"),
    "step_texts": Column(pa.list_(pa.string()), "steps of a trace, in order"),
    "step_labels": Column(pa.list_(pa.bool_()), "of each step: true where it is right"),
    # segment and splice (specs synthesis 1.3, 1.4)
    "spans": Column(
        pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("kind", pa.string())])),
        "pieces of a text, in order and covering it; start and end in characters (Unicode code points)",
    ),
    "n_spans": Column(pa.int32(), "number of spans"),
    "seg_ok": Column(pa.bool_(), "false where the pieces could not be found and the text is one span"),
    "chunk_loss": Column(pa.float64(), "mean over the chunks of their mean loss a token, in nats"),
    "chunk_loss_average": Column(pa.float64(), "the same for chunks of as many spans each"),
    "edit_log": Column(
        _EDITS, "edits that made the text: replace characters start..end by text, one after the other"
    ),
    "inserted": Column(
        _EDITS, "parts of the trace that nobody generated (hints, outputs of programs); null where there are none"
    ),
    "cut_idx": Column(pa.int32(), "number of the span that was edited, from 0"),
    "n_cuts": Column(pa.int32(), "rows made from the same parent, one for each place"),
    # tool_loop
    "n_calls": Column(pa.int32(), "code blocks of the trace that were run"),
    "exit_reason": Column(
        pa.string(), "why the loop ended: done, budget, no_budget, length, open_block, refused, or error"
    ),
    "tool_calls": Column(
        pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("status", pa.string())])),
        "code that was run: where it stands in the trace; status ok, error, timeout, cut, or ended",
    ),
    # retro_search (names of specs core 4.5)
    "trace_revised": Column(pa.string(), "the trace with the tails that rollouts gave it; the trace itself where none"),
    "think_revised": Column(pa.string(), "thinking part of trace_revised"),
    "answer_text_revised": Column(pa.string(), "text after the thinking part of trace_revised"),
    "n_thoughts_before": Column(pa.int32(), "thoughts of the thinking before the search"),
    "n_thoughts_after": Column(pa.int32(), "thoughts of the thinking after it"),
    "n_steps_before": Column(pa.int32(), "steps (parts between empty lines) of the thinking before the search"),
    "n_steps_after": Column(pa.int32(), "steps of the thinking after it"),
    "tokens_before": Column(pa.int32(), "tokens of the thinking before the search, counted by the revising engine"),
    "tokens_after": Column(pa.int32(), "tokens of the thinking after it, same tokenizer"),
    "n_rollouts": Column(pa.int32(), "rollouts asked for"),
    "n_correct_rollouts": Column(pa.int32(), "rollouts with the right answer"),
    "n_accepted": Column(pa.int32(), "rollouts that replaced a tail"),
    "accepted_positions": Column(pa.list_(pa.int32()), "thoughts (from 1) after which a tail was replaced, in order"),
    "start_thought": Column(pa.int32(), "thought (from 1) after which the first rollout began"),
    "revision_model": Column(pa.string(), "model that wrote the rollouts"),
    "changed": Column(pa.bool_(), "whether any tail was replaced"),
    "stop_reason": Column(pa.string(), "why the search ended, or why it did not begin"),
    "ban_route": Column(pa.string(), "how switch words were kept out of a first step: bad_words or sampled"),
    "tokens_spent": Column(pa.int32(), "tokens the rollouts generated, thrown-away ones included"),
    "tokens_read": Column(pa.int32(), "prompt tokens of the rollouts' requests, prefixes included"),
    "tokens_shared": Column(pa.int32(), "those of tokens_read that an engine with a prefix cache need not read again"),
    "rollouts": Column(
        pa.list_(
            pa.struct(
                [
                    ("sweep", pa.int32()),
                    ("position", pa.int32()),
                    ("sample", pa.int32()),
                    ("start", pa.int32()),
                    ("text", pa.string()),
                    ("verdict", pa.string()),
                    ("reward", pa.float64()),
                    ("steps_old", pa.int32()),
                    ("steps_new", pa.int32()),
                    ("tokens_old", pa.int32()),
                    ("tokens_new", pa.int32()),
                    ("accepted", pa.bool_()),
                    ("why", pa.string()),
                ]
            )
        ),
        "every rollout in order: thought it begins after, text, verdict, remaining steps before and after, accepted",
    ),
    # dropped rows
    "dropped_by": Column(pa.string(), "step that dropped the row"),
    "reason": Column(pa.string(), "reason code, from the step's own vocabulary"),
    "evidence": Column(pa.string(), "JSON: what the decision rests on"),
}

# What users call these columns elsewhere; `read` maps them (peers 7.4). Exact names win over aliases.
ALIASES: dict[str, tuple[str, ...]] = {
    "row_id": ("id", "uuid", "query_id", "problem_idx"),
    "problem": ("question", "prompt", "instruction", "query", "Problem", "Question", "question_content"),
    "answer": ("ground_truth", "expected_answer", "gold", "gt", "final_answer", "Answer", "gold_answer"),
    "solution": ("ground_truth_solution", "reference_solution"),
    "trace": ("generation", "output", "completion", "long_cot", "text"),
    "n_tokens": ("generated_token_count", "output_tokens"),
    "finish_reason": ("finish",),
    "domain": ("category", "problem_type"),
    "source": ("data_source", "question_source", "benchmark"),
}


def types(names: tuple[str, ...]) -> dict[str, pa.DataType]:
    """Return the Arrow type of each shared column in `names`. Raises KeyError for an unknown name."""
    return {name: COLUMNS[name].type for name in names}


def quote(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists, of whatever layout."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def put(table: pa.Table, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Return the table with these columns; those it has already are replaced where they stand."""
    for name, values in columns.items():
        at = table.column_names.index(name) if name in table.column_names else -1
        table = table.set_column(at, name, values) if at >= 0 else table.append_column(name, values)
    return table
