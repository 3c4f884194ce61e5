"""The fast decoder against the library: the same greedy text, the same log-probabilities, to float32's rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from curator.engines.decoding import Batch  # noqa: E402
from curator.engines.fast.batch import FastBatch  # noqa: E402
from curator.engines.fast.weights import net_of, refusal  # noqa: E402
from curator.engines.forward import Row, decoder_for  # noqa: E402

END = 2
SMALL = {
    "vocab_size": 77, "hidden_size": 48, "intermediate_size": 70, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2, "bos_token_id": None,
    "eos_token_id": END, "pad_token_id": 0,
}  # fmt: skip

ROPE = {"rope_theta": 1e4}


def random_model(kind: str, **changes: Any) -> Any:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **changes})
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():  # the library starts biases at 0 and norms at 1
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(torch.randn_like(p) * 0.2)
    return model


def pocket() -> Any:
    from transformers import AutoModelForCausalLM

    from curator.pocket import MODEL_DIR

    if not (MODEL_DIR / "model.safetensors").exists():
        pytest.skip("the pocket model has not been trained")
    return AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()


MODELS = {
    "pocket": pocket,
    "qwen2": lambda: random_model("Qwen2", tie_word_embeddings=True),
    "llama": lambda: random_model("Llama", tie_word_embeddings=False),
    "llama-bias": lambda: random_model("Llama", attention_bias=True, head_dim=20, num_key_value_heads=6),
    "llama-one-kv": lambda: random_model("Llama", num_attention_heads=12, hidden_size=96, num_key_value_heads=1),
    "llama3-rope": lambda: random_model(
        "Llama", rope_parameters={"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
                                  "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> Any:
    return MODELS[request.param]()


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    """Prompts of 1 to 150 tokens; half of them begin alike."""
    rng = np.random.default_rng(seed)
    head = rng.integers(3, 77, 70).tolist()
    return [
        (head[: 35 * (i % 3)] if i % 2 else []) + rng.integers(3, 77, int(rng.integers(1, 80))).tolist()
        for i in range(count)
    ]


def rows(texts: list[list[int]], limit: int = 40, **settings: Any) -> list[Row]:
    fields = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, **settings}
    return [Row(text, limit, seed=i, logprobs=[], **fields) for i, text in enumerate(texts)]


def finish(decoder: Any, wanted: list[Row]) -> list[Row]:
    """Feed rows in as places become free."""
    waiting = list(wanted)
    while waiting or decoder.active:
        if decoder.free and waiting:
            decoder.join(waiting[: decoder.free])
            waiting = [r for r in waiting if not r.ids]
        if decoder.active:
            decoder.step()
    return wanted


def fast(model: Any, size: int = 16, threads: int = 1, ends: frozenset[int] = frozenset([END])) -> FastBatch:
    assert refusal(model) is None
    return FastBatch(net_of(model), size, ends, threads)


@torch.inference_mode()
def truth(model: Any, row: Row) -> torch.Tensor:
    """Log-probabilities [tokens, vocabulary] of the library for what a row wrote, without a cache."""
    logits = model(torch.tensor([row.prompt + row.ids])).logits[0].double().log_softmax(-1)
    return logits[len(row.prompt) - 1 : -1]


def test_greedy_text_and_logprobs_are_the_library_s(model):
    """Tolerance: 2e-4 in a log-probability; a token may differ only where the library's best two are that close."""
    for row in finish(fast(model), rows(prompts(24))):
        told = truth(model, row)
        chosen = told.gather(-1, torch.tensor(row.ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(row.logprobs).double(), chosen, atol=2e-4)
        assert (told.max(-1).values - chosen).max() < 2e-4
        assert (row.ids[-1] == END) == (len(row.ids) < 40) or len(row.ids) == 40


def test_sampled_text_is_the_library_s(model):
    """Both decoders draw with the same random numbers; a draw within rounding of a boundary may differ."""
    settings = {"temperature": 0.8, "top_p": 0.95, "limit": 25}
    ours = finish(fast(model), rows(prompts(32), **settings))
    theirs = finish(Batch(model, 16, frozenset([END]), 0), rows(prompts(32), **settings))
    assert sum(a.ids == b.ids for a, b in zip(ours, theirs, strict=True)) >= 31


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 5, 64])
def test_a_text_does_not_depend_on_its_batch_to_the_last_bit(model, size, threads):
    settings = {"temperature": 1.0, "top_p": 0.9, "limit": 12}
    alone = [finish(fast(model, 1), [r])[0] for r in rows(prompts(8), **settings)]
    mixed = rows(prompts(8), **settings)
    finish(fast(model, size, threads), mixed[::-1])
    assert [(r.ids, r.logprobs) for r in mixed] == [(r.ids, r.logprobs) for r in alone]


def test_scores_are_the_library_s(model):
    texts = prompts(9, seed=1)
    pairs = [(p, t) for p, t in zip(texts, texts[1:] + texts[:1], strict=True)]
    pairs += pairs[:3]  # again, now that their pages are known
    ours, theirs = fast(model, threads=2).score(pairs), Batch(model, 4, frozenset([END]), 0).score(pairs)
    for a, b, (_, text) in zip(ours, theirs, pairs, strict=True):
        assert len(a.logprobs) == len(text)
        assert a.logprobs == pytest.approx(b.logprobs, abs=2e-4)
        assert a.entropies is None


def test_entropies_margins_and_vectors_are_the_library_s(model):
    texts = prompts(6, seed=2)
    pairs = [(p, t) for p, t in zip(texts, texts[1:] + texts[:1], strict=True)]
    library = Batch(model, 4, frozenset([END]), 0)
    for a, b in zip(fast(model, threads=2).score(pairs, spread=True), library.score(pairs, spread=True), strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=2e-4)
        assert a.entropies == pytest.approx(b.entropies, abs=2e-4)
        assert a.margins == pytest.approx(b.margins, abs=2e-4)
    for a, b in zip(fast(model).embed(pairs), library.embed(pairs), strict=True):
        assert a == pytest.approx(b, abs=2e-4)
    assert fast(model).embed([([], texts[0])])[0] == pytest.approx(library.embed([([], texts[0])])[0], abs=2e-4)


def test_entropy_and_margin_by_their_definitions(model):
    import torch

    prompt, text = prompts(2, seed=3)
    p = model(torch.tensor([prompt + text])).logits[0, len(prompt) - 1 : -1].detach().double().softmax(-1)
    (told,) = fast(model).score([(prompt, text)], spread=True)
    two = p.topk(2).values
    assert told.entropies == pytest.approx((-(p * p.log()).sum(-1)).tolist(), abs=1e-3)
    assert told.margins == pytest.approx((two[:, 0] - two[:, 1]).tolist(), abs=1e-3)


@pytest.mark.parametrize(("limit", "size"), [("_CPU_PASS", 40), ("_CACHED", 160), ("_LOGITS", 2000)])
def test_the_library_tells_the_same_in_parts(monkeypatch, limit, size):
    """A pass over few texts, a part of few rows, room for few logits: the limits are speed and memory, no values."""
    from curator.engines import scoring

    model = MODELS["qwen2"]()
    texts = prompts(9, seed=4)
    pairs = [(p, t) for p, t in zip(texts, texts[1:] + texts[:1], strict=True)]
    library = Batch(model, 4, frozenset([END]), 0)
    whole, vectors = library.score(pairs, spread=True), library.embed(pairs)
    monkeypatch.setattr(scoring, limit, size)
    library = Batch(model, 4, frozenset([END]), 0)
    for a, b, c in zip(library.score(pairs, spread=True), whole, library.score(pairs), strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)
        assert c.logprobs == pytest.approx(b.logprobs, abs=1e-5)
        assert a.entropies == pytest.approx(b.entropies, abs=1e-5)
        assert a.margins == pytest.approx(b.margins, abs=1e-5)
    for a, b in zip(library.embed(pairs), vectors, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_what_is_scored_is_what_was_told(model):
    """A text's score is bit for bit what its generation told: the same sums, in a prefill or step by step."""
    written = finish(fast(model), rows(prompts(4), temperature=1.0))
    for row, told in zip(written, fast(model).score([(r.prompt, r.ids) for r in written]), strict=True):
        assert told.logprobs == row.logprobs


def test_samples_of_one_prompt_are_prefilled_once(model, monkeypatch):
    from curator.engines.fast import lane

    computed = []
    real = lane.forward
    monkeypatch.setattr(lane, "forward", lambda token, *rest: (computed.append(len(token)), real(token, *rest)))
    text = prompts(1)[0] * 3
    decoder = fast(model)
    decoder.join(rows([text] * 4, temperature=1.0))
    assert computed == [len(text)]
    decoder.join(rows([text] * 2, temperature=1.0))
    assert computed[1] <= 32


def test_rows_that_nobody_waits_for_leave():
    decoder = fast(MODELS["qwen2"](), ends=frozenset())
    wanted = rows(prompts(3))
    wanted[1].gone = lambda: True
    decoder.join(wanted)
    decoder.drop_gone()
    assert decoder.active == 2
    assert decoder.free == 14
    finish(decoder, [])
    assert [len(r.ids) for r in wanted] == [40, 1, 40]


def test_a_row_that_ends_with_its_first_token_leaves_no_trace():
    decoder = fast(MODELS["qwen2"](), ends=frozenset(range(77)))
    ended = []
    wanted = rows([prompts(1)[0]] * 5)
    for r in wanted:
        r.done = lambda _row, why: ended.append(why)
    decoder.join(wanted)
    assert ended == ["stop"] * 5
    assert decoder.active == 0


@pytest.mark.parametrize(
    ("why", "make"),
    [
        ("architecture", lambda: random_model("Mistral", sliding_window=None)),
        ("float32", lambda: random_model("Llama").bfloat16()),
        ("positions", lambda: random_model("Llama", rope_parameters={**ROPE, "rope_type": "dynamic", "factor": 2.0})),
        ("feed-forward", lambda: random_model("Llama", mlp_bias=True)),
        ("feed-forward", lambda: random_model("Llama", hidden_act="gelu")),
        ("sliding", lambda: random_model("Qwen2", use_sliding_window=True, sliding_window=64, max_window_layers=1)),
    ],
)  # fmt: skip
def test_other_models_keep_the_library_s_forward(why, make):
    model = make()
    assert why in refusal(model)
    assert isinstance(decoder_for(model, 4, frozenset([END]), 0), Batch)


def test_a_layer_that_was_changed_is_noticed():
    model = random_model("Llama")
    model.model.layers[0].self_attn.q_proj = torch.nn.Sequential(model.model.layers[0].self_attn.q_proj)
    assert refusal(model) == "changed layers"


def test_large_models_keep_the_library_s_forward(monkeypatch):
    from curator.engines.fast import weights

    monkeypatch.setattr(weights, "LIMIT", 1000)
    assert "parameters" in refusal(random_model("Llama"))


def test_the_choice_can_be_made_by_hand():
    model = random_model("Llama")
    assert isinstance(decoder_for(model, 4, frozenset([END]), 0), FastBatch)
    assert isinstance(decoder_for(model, 4, frozenset([END]), 0, library=True), Batch)
