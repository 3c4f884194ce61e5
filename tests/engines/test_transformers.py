"""The transformers engine on a tiny random model, with the library's own generation as the oracle."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from curator.engines import open_engine  # noqa: E402
from curator.engines.chat import Chat, digest_of_folder, offsets  # noqa: E402
from curator.engines.protocol import ENTROPY, MARGIN, Message, Request, Sampling  # noqa: E402
from curator.engines.sampling import Knobs, draw, uniform  # noqa: E402
from curator.engines.store import Store  # noqa: E402
from curator.engines.transformers import TransformersEngine  # noqa: E402
from curator.errors import EngineError  # noqa: E402

PROMPTS = ["2+2?", "Let me think", "But wait. So the answer is", "é漢", "step by step " * 6, "a", "Hmm", "x = 4"]


def ask(text: str = PROMPTS[0], **settings: Any) -> Request:
    fields = {k: settings.pop(k) for k in ("n", "prefix", "logprobs", "first_sample") if k in settings}
    return Request((Message("user", text),), Sampling(**{"max_tokens": 20, **settings}), **fields)


@pytest.fixture(scope="module")
def library(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(tiny_model)


FORWARD = {"forward": "auto"}


@pytest.fixture(autouse=True, params=["auto", "library"])
def _each_forward(request):
    """The contract holds with the compiled forward and with the library's."""
    FORWARD["forward"] = request.param


def run(model, *requests: Request, **settings: Any) -> list[Any]:
    """Ask one engine all requests at once."""

    async def main() -> list[Any]:
        engine = TransformersEngine(model=str(model), threads=1, **FORWARD, **settings)
        try:
            return await asyncio.gather(*(engine.generate(r) for r in requests))
        finally:
            await engine.close()

    return asyncio.run(asyncio.wait_for(main(), 120))


def reference(library, text: str, limit: int, prefix: str = "") -> list[int]:
    model, tokenizer = library
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(rendered + prefix, add_special_tokens=False, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=limit, do_sample=False)
    return out[0][ids["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_greedy_is_what_the_library_writes(tiny_model, library, batch_size):
    """Rows of different lengths join and leave a full batch without touching each other."""
    limits = [5, 40, 17, 60, 33, 8, 50, 21]
    found = run(
        tiny_model,
        *(ask(p, temperature=0.0, max_tokens=n) for p, n in zip(PROMPTS, limits, strict=True)),
        batch_size=batch_size,
    )
    chat = Chat(library[1], "t")
    for (c,), prompt, limit in zip(found, PROMPTS, limits, strict=True):
        expected = reference(library, prompt, limit)
        assert c.n_tokens == len(expected)
        assert c.text == chat.text(expected)
        assert c.finish_reason == ("stop" if expected[-1] == library[1].eos_token_id else "length")


def test_a_sample_does_not_depend_on_its_neighbours(tiny_model):
    wanted = [ask(p, temperature=1.0, top_p=0.9, seed=3, max_tokens=12, n=2) for p in PROMPTS]
    together = run(tiny_model, *wanted)
    alone = [run(tiny_model, r)[0] for r in wanted[:3]]
    shuffled = run(tiny_model, *wanted[::-1], batch_size=4)[::-1]
    assert [[c.text for c in f] for f in together[:3]] == [[c.text for c in f] for f in alone]
    assert [[c.text for c in f] for f in together] == [[c.text for c in f] for f in shuffled]
    assert together[0][0].text != together[0][1].text
    (later,) = run(tiny_model, ask(temperature=1.0, top_p=0.9, seed=3, max_tokens=12, first_sample=1))
    assert later[0].text == together[0][1].text


def test_another_seed_is_another_sample(tiny_model):
    a, b, again = run(tiny_model, *(ask(temperature=1.0, seed=s) for s in (1, 2, 1)))
    assert a[0].text == again[0].text != b[0].text


def test_settings_of_each_row_hold_in_one_batch(tiny_model, library):
    greedy, hot, narrow = run(
        tiny_model,
        ask(temperature=0.0),
        ask(temperature=5.0, top_p=1.0, seed=1),
        ask(temperature=5.0, top_k=1, top_p=1.0, seed=1),
    )
    assert greedy[0].text == narrow[0].text == Chat(library[1], "t").text(reference(library, PROMPTS[0], 20))
    assert hot[0].text != greedy[0].text


def test_prefix_is_continued_and_not_repeated(tiny_model, library):
    (found,) = run(tiny_model, ask(temperature=0.0, prefix="So the answer"))
    expected = reference(library, PROMPTS[0], 20, "So the answer")
    assert found[0].text == Chat(library[1], "t").text(expected)


def test_stop_strings_stay_and_end_the_row(tiny_model):
    (whole,) = run(tiny_model, ask(temperature=0.0, max_tokens=60))
    stop = whole[0].text[10:13]
    cut, free = run(tiny_model, ask(temperature=0.0, max_tokens=60, stop=(stop,)), ask(temperature=0.0, max_tokens=60))
    assert cut[0].text.endswith(stop)
    assert cut[0].text.count(stop) == 1
    assert whole[0].text.startswith(cut[0].text)
    assert cut[0].finish_reason == "stop"
    assert cut[0].n_tokens < free[0].n_tokens == whole[0].n_tokens


def test_bad_words_are_not_written(tiny_model, library):
    chat = Chat(library[1], "t")
    expected = reference(library, PROMPTS[0], 20)
    word = next(p for p in chat.pieces(expected) if p.strip() and "\ufffd" not in p).strip()
    (found,) = run(tiny_model, ask(temperature=0.0, bad_words=(word,)))
    written = chat.ids(found[0].text)
    assert found[0].text != chat.text(expected)
    assert not any((t,) in chat.bad_words((word,)) for t in written)


def test_logprobs_are_the_model_s(tiny_model, library):
    (found,) = run(tiny_model, ask(temperature=0.0, logprobs=True))
    c = found[0]
    assert len(c.logprobs) == len(c.logprob_tokens) == c.n_tokens
    model, tokenizer = library
    prompt = Chat(tokenizer, "t").prompt((Message("user", PROMPTS[0]),))
    written = reference(library, PROMPTS[0], 20)
    logits = model(torch.tensor([prompt + written])).logits[0].log_softmax(-1)
    expected = [logits[len(prompt) - 1 + i, t].item() for i, t in enumerate(written)]
    assert c.logprobs == pytest.approx(expected, abs=1e-4)


def test_score_of_a_given_text(tiny_model, library):
    texts = ["4", "the answer is \\boxed{4}.", "é漢👍", "Hmm " * 20]

    async def main() -> list[Any]:
        engine = TransformersEngine(model=str(tiny_model), threads=1, **FORWARD)
        try:
            return await asyncio.gather(*(engine.score((Message("user", "2+2?"),), t) for t in texts))
        finally:
            await engine.close()

    model, tokenizer = library
    chat = Chat(tokenizer, "t")
    prompt = chat.prompt((Message("user", "2+2?"),))
    for text, score in zip(texts, asyncio.run(main()), strict=True):
        ids = chat.ids(text)
        logits = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
        expected = [logits[len(prompt) - 1 + i, t].item() for i, t in enumerate(ids)]
        assert score.logprobs == pytest.approx(expected, abs=1e-4)
        assert score.offsets[0] == 0
        assert len(score.offsets) == len(score.tokens) == len(ids)
        assert not score.truncated


def test_the_context_is_a_limit_with_a_name(tiny_model):
    long, near, fine = run(
        tiny_model,
        ask("漢" * 400),
        ask("a " * 60, max_tokens=4096, temperature=1.0, seed=1, top_p=1.0),
        ask(),
        max_context=140,
    )
    assert long[0].finish_reason == "error"
    assert "the model's context is 140" in long[0].error
    assert (long[0].too_long, long[0].n_prompt_tokens) == (True, 0)
    assert near[0].finish_reason in ("length", "stop")
    assert near[0].n_tokens + near[0].n_prompt_tokens <= 140
    assert fine[0].finish_reason in ("length", "stop")


def test_a_score_that_does_not_fit_is_truncated(tiny_model):
    async def main() -> Any:
        engine = TransformersEngine(model=str(tiny_model), threads=1, **FORWARD, max_context=40)
        try:
            return await engine.score((Message("user", "2+2?"),), "漢" * 100)
        finally:
            await engine.close()

    score = asyncio.run(main())
    assert score.truncated
    assert 0 < len(score.tokens) < 40


def test_a_cut_score_is_kept_for_its_context_only(tiny_model, tmp_path):
    """A larger context reads the text again; what was read whole is not read again."""
    asked = (Message("user", "2+2?"),)

    async def main(context: int) -> Any:
        settings = {"model": str(tiny_model), "threads": 1, "max_context": context}
        engine = open_engine("m", "transformers", settings, store=Store(tmp_path))
        try:
            read = await engine.score(asked, "漢" * 60), await engine.embed(asked, "漢" * 60)
            return *read, engine.statistics.cached
        finally:
            await engine.close()

    cut, vector, _ = asyncio.run(main(40))
    assert cut.truncated
    assert vector.truncated
    assert asyncio.run(main(40)) == (cut, vector, 2)
    whole, of_whole, cached = asyncio.run(main(140))
    assert (whole.truncated, of_whole.truncated, cached) == (False, False, 0)
    assert asyncio.run(main(140)) == (whole, of_whole, 2)


def test_a_text_alone_and_its_vector(tiny_model, library):
    """Without a prompt and without a token that begins texts, the first token is not scored; it has a state."""
    text = "the answer is \\boxed{4}."

    async def main() -> Any:
        engine = TransformersEngine(model=str(tiny_model), threads=1, **FORWARD)
        try:
            return (
                await engine.score((), text), await engine.score((), text, frozenset({ENTROPY, MARGIN})),
                await engine.embed((), text), await engine.score((), ""), await engine.embed((), ""),
            )  # fmt: skip
        finally:
            await engine.close()

    plain, spread, vector, nothing, no_vector = asyncio.run(main())
    model, tokenizer = library
    ids = Chat(tokenizer, "t").ids(text)
    out = model(torch.tensor([ids]), output_hidden_states=True)
    logits = out.logits[0].log_softmax(-1)
    assert plain.logprobs == pytest.approx([logits[i, t].item() for i, t in enumerate(ids[1:])], abs=1e-4)
    assert plain.offsets[0] > 0
    assert text[plain.offsets[0] :].startswith(plain.tokens[0])
    assert spread.logprobs == pytest.approx(plain.logprobs, abs=1e-5)
    assert len(spread.entropies) == len(spread.margins) == len(ids) - 1
    assert vector.vector == pytest.approx(out.hidden_states[-1][0].mean(0).tolist(), abs=1e-4)
    assert vector.n_tokens == len(ids)
    assert (nothing.logprobs, nothing.truncated) == ((), False)
    assert no_vector.error == "the text is empty"


def test_a_cancelled_request_frees_its_place(tiny_model):
    async def main() -> Any:
        engine = TransformersEngine(model=str(tiny_model), threads=1, **FORWARD, batch_size=2)
        slow = [asyncio.create_task(engine.generate(ask(p, max_tokens=200, temperature=0.0))) for p in PROMPTS]
        await asyncio.sleep(0.3)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        found = await asyncio.wait_for(engine.generate(ask(max_tokens=3)), 30)
        await engine.close()
        return found

    assert asyncio.run(main())[0].n_tokens <= 3


def test_a_missing_model_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineError, match="cannot be loaded") as caught:
        run(tmp_path, ask())
    assert "\n" not in str(caught.value)


def test_identity_follows_the_weights(tiny_model, tmp_path):
    import shutil

    copy = tmp_path / tiny_model.name
    shutil.copytree(tiny_model, copy)
    assert digest_of_folder(copy) == digest_of_folder(tiny_model)
    first = TransformersEngine(model=str(copy)).identity
    weights = copy / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert TransformersEngine(model=str(copy)).identity != first


def test_draws_follow_the_distribution():
    """A chi-squared test of 40,000 draws from a truncated distribution, at one in a million."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -5.0])
    rows = 40_000
    knobs = Knobs(
        np.full(rows, 0.7, np.float32), np.full(rows, 0.95, np.float32), np.full(rows, 4, np.int64),
        np.arange(rows, dtype=np.uint64),
    )  # fmt: skip
    drawn = draw(logits.repeat(rows, 1), knobs, np.zeros(rows, np.int64))
    p = torch.softmax(logits / 0.7, 0)
    p[4] = 0
    p = p / p.sum()
    p[3] = 0  # 2.0, 1.0 and 0.0 hold 0.95 of what top-k left
    p = p / p.sum()
    seen = torch.bincount(drawn, minlength=5)
    assert seen[3:].sum() == 0
    chi = float(((seen[:3] - rows * p[:3]) ** 2 / (rows * p[:3])).sum())
    assert chi < 27.6


def test_top_p_beyond_the_first_candidates():
    """A flat distribution over 500 tokens: top-p 0.9 keeps 450 of them, far more than the quick look at the head."""
    rows = 20_000
    knobs = Knobs(
        np.ones(rows, np.float32), np.full(rows, 0.9, np.float32), np.zeros(rows, np.int64),
        np.arange(rows, dtype=np.uint64),
    )  # fmt: skip
    logits = (torch.arange(500, 0, -1) * 1e-6).repeat(rows, 1)
    drawn = draw(logits, knobs, np.zeros(rows, np.int64))
    assert 445 <= int(drawn.max()) <= 451
    assert len(torch.unique(drawn)) > 440


def test_random_numbers_are_flat_and_independent_of_the_batch():
    seeds = np.arange(1000, dtype=np.uint64)
    whole = np.concatenate([uniform(seeds, np.full(1000, t)) for t in range(20)])
    assert whole.min() >= 0
    assert whole.max() < 1
    assert abs(whole.mean() - 0.5) < 5 * math.sqrt(1 / 12 / len(whole))
    assert np.array_equal(uniform(seeds[7:8], np.array([3])), uniform(seeds, np.full(1000, 3))[7:8])


def test_thinking_opened_by_the_template_is_not_opened_twice(library):
    tokenizer = library[1]
    chat = Chat(tokenizer, "t")
    plain, tokenizer.chat_template = tokenizer.chat_template, tokenizer.chat_template + "<think>\n"
    try:
        ids = chat.prompt((Message("user", "q"),), "<think>\nwell")
    finally:
        tokenizer.chat_template = plain
    text = tokenizer.decode(ids)
    assert text.count("<think>") == 1
    assert text.endswith("<think>\nwell")


def test_offsets_point_into_the_text(library):
    chat = Chat(library[1], "t")
    text = "So é漢👍 the answer"
    pieces = chat.pieces(chat.ids(text))
    at = offsets(pieces, text)
    assert at[0] == 0
    assert list(at) == sorted(at)
    assert text[at[-1] :].endswith(pieces[-1].strip())
