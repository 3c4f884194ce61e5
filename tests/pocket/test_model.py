"""The shipped files: fresh for these prompts, small, and a tokenizer that keeps every byte."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import prompts
from curator.pocket import MODEL_DIR, world
from curator.pocket.grammar import ITEMS, NAMES

pytest.importorskip("transformers")
RECORD = json.loads((MODEL_DIR / "train.json").read_text())


@pytest.fixture(scope="module")
def tok():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL_DIR)


@pytest.fixture(scope="module")
def sampler():
    from curator.pocket.sample import Sampler

    return Sampler(MODEL_DIR)


def test_the_model_was_trained_on_these_prompts():
    assert RECORD["prompts_fingerprint"] == prompts.fingerprint(), (
        "curator/prompts.py changed: train again (make pocket), or evaluate again and record the new fingerprint"
    )


def test_size_and_record():
    assert sum(f.stat().st_size for f in MODEL_DIR.glob("*.safetensors")) <= 12_000_000
    assert 2_000_000 <= RECORD["parameters"] <= 4_000_000
    assert RECORD["steps_done"] == RECORD["recipe"]["steps"]
    assert RECORD["minutes"] > 0
    assert "seed" in RECORD["recipe"]


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=120))
def test_round_trip_of_any_text(tok, text):
    if any(mark in text for mark in tok.all_special_tokens):
        return
    assert tok.decode(tok.encode(text, add_special_tokens=False), skip_special_tokens=True) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\r\n\tb  c ",
        "\x00\x7f\u202e",
        "e\u0301 \u00e9",
        "\U0001f600\u4e2d",
        "\n\n**Analysis**\n\n**a**",
        "\\boxed{\\frac{1}{2}}",
        "<think>\n\n</think>",
        "A" * 3000,
        "1" * 500,
    ],
)
def test_round_trip_of_awkward_text(tok, text):
    assert tok.decode(tok.encode(text, add_special_tokens=False), skip_special_tokens=True) == text


def test_digits_names_items_and_switches_are_single_tokens(tok):
    for word in [*"0123456789", *NAMES, *(f" {i}" for i in ITEMS), *ITEMS, "Wait", "Alternatively", "Hmm", "But"]:
        assert len(tok.encode(word, add_special_tokens=False)) == 1, word
    ids = tok.encode("2048+0777", add_special_tokens=False)
    assert len(ids) == 9
    for tag in ("<think>", "</think>"):
        (number,) = tok.encode(tag, add_special_tokens=False)
        assert tok.decode([number], skip_special_tokens=True) == tag


def test_step_boundaries_are_token_boundaries(tok):
    steps = ["<think>\nWe need 3, +4.", "First 3+4: 3+4=7, so 3+4=7.", "Wait, check 3+4: 3+4=7. It was right."]
    whole = tok.encode("\n\n".join(steps), add_special_tokens=False)
    parts = [tok.encode(s, add_special_tokens=False) for s in steps]
    gap = tok.encode("\n\n", add_special_tokens=False)
    assert whole == parts[0] + gap + parts[1] + gap + parts[2]


def test_chat_template(tok):
    user = [{"role": "user", "content": "Hi {x}"}]
    assert tok.apply_chat_template(user, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\nHi {x}<|im_end|>\n<|im_start|>assistant\n"
    )
    begun = [*user, {"role": "assistant", "content": "<think>\nSo\n\n"}]
    text = tok.apply_chat_template(begun, tokenize=False, continue_final_message=True)
    assert text == "<|im_start|>user\nHi {x}<|im_end|>\n<|im_start|>assistant\n<think>\nSo\n\n"


def test_prompts_cost_few_tokens(tok):
    fixed = len(tok.encode(prompts.fill(prompts.COMPRESS, problem="", trace="", budget="")))
    assert fixed < 70


def test_easy_problems_are_solved_with_a_long_trace(sampler):
    problems = [world.make("pocket-eval", i, seed=9, n_ops=1 + i % 2) for i in range(12)]
    made = sampler.generate([prompts.fill(prompts.GENERATE, problem=p.text) for p in problems], cap=400)
    right = sum(f"\\boxed{{{p.answer}}}" in m.text for m, p in zip(made, problems, strict=True))
    assert right >= 9
    assert all(re.match(r"<think>\n.*\n</think>\n\n", m.text, re.DOTALL) for m in made if m.ended)
    assert sum("Wait" in m.text for m in made) >= 6


def test_generation_stops_at_the_cap(sampler):
    (made,) = sampler.generate(["Prove the Riemann hypothesis. " * 20], cap=40)
    assert made.tokens <= 41


def test_our_decoder_writes_what_transformers_writes(sampler):
    asked = [prompts.fill(prompts.GENERATE, problem=world.make("pocket-eval", i, n_ops=1).text) for i in range(6)]
    ours = [made.text for made in sampler.generate(asked, cap=60)]
    theirs = sampler.reference([sampler.render(text) for text in asked], 60)
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= 5
