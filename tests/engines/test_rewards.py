"""Reward models: the numbers are the model's own, whatever is read beside them, and are kept."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from curator.engines import capabilities_of, missing, open_engine, settings_of
from curator.engines.protocol import GENERATE, REWARDS, Message, Request
from curator.engines.rewards import RewardEngine
from curator.engines.store import Store
from curator.errors import EngineError
from curator.pocket import MODEL_DIR

from .reward_models import TOKENIZER, build_reward

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.skipif(
    not all((MODEL_DIR / n).exists() for n in TOKENIZER[:2]), reason="the pocket's tokenizer is not there"
)

PROBLEM = Message("user", "Ann has 3 apples and buys 4 more. How many apples does she have?")
TEXTS = ["3 + 4 = 7.", "The answer is \\boxed{7}.", "No.", "3 + 4 is 7, so Ann has 7 apples. " * 4]
TALKS = [(PROBLEM, Message("assistant", t)) for t in TEXTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_reward(tmp_path_factory.mktemp("reward") / "model")


def all_of(engine, talks=TALKS):
    async def ask():
        try:
            return await asyncio.gather(*(engine.rewards(t) for t in talks))
        finally:
            await engine.close()

    return asyncio.run(ask())


def by_hand(folder, talk):
    """The independent oracle: the library alone, one conversation, no padding."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    text = tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in talk], tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    model.config.pad_token_id = None
    with torch.inference_mode():
        return model(input_ids=ids).logits[0].tolist(), ids.shape[1]


def test_rewards_are_the_librarys_whatever_shares_the_batch(folder):
    found = all_of(RewardEngine(model=str(folder)))
    assert [r.error for r in found] == [None] * 4
    for reward, talk in zip(found, TALKS, strict=True):
        logits, n = by_hand(folder, talk)
        assert list(reward.scores) == ["reward"]
        assert reward.scores["reward"] == pytest.approx(logits[0], abs=1e-4)
        assert reward.n_tokens == n
    alone = all_of(RewardEngine(model=str(folder), batch_size=1))
    assert [r.scores["reward"] for r in alone] == pytest.approx([r.scores["reward"] for r in found], abs=1e-4)
    assert len({round(r.scores["reward"], 3) for r in found}) == 4


def test_a_batch_that_ends_with_the_padding_token_is_read_to_its_end(folder):
    engine = RewardEngine(model=str(folder))
    pad = engine.chat.tokenizer.pad_token_id
    rows = [[5, 6, 7, pad], [5, 6, 7, 8, 9, 10]]
    both, one = engine._forward(rows), engine._forward(rows[:1])
    assert both[0] == pytest.approx(one[0], abs=1e-5)
    assert engine._forward([[5, 6, 7]])[0] != pytest.approx(one[0], abs=1e-3)


def test_several_heads_keep_their_names(tmp_path):
    folder = build_reward(tmp_path / "model", heads=("correctness", "helpfulness", "verbosity"))
    (found,) = all_of(RewardEngine(model=str(folder)), TALKS[:1])
    assert list(found.scores) == ["correctness", "helpfulness", "verbosity"]
    assert list(found.scores.values()) == pytest.approx(by_hand(folder, TALKS[0])[0], abs=1e-4)


def test_what_does_not_fit_is_an_error_and_never_cut(folder):
    long = (PROBLEM, Message("assistant", "word " * 2000))
    found = all_of(RewardEngine(model=str(folder)), [long, TALKS[0]])
    assert "the model's context is 512" in found[0].error
    assert found[0].scores == {}
    assert found[1].error is None


def test_a_model_without_such_a_head_is_refused(some_model):
    with pytest.raises(EngineError, match="not a sequence classifier; its head would be random"):
        all_of(RewardEngine(model=str(some_model)), TALKS[:1])
    (told,) = missing("reward", {"model": str(some_model)})
    assert "not a sequence classifier" in told


def test_no_text_comes_out_of_it(folder):
    engine = RewardEngine(model=str(folder))
    (answer,) = asyncio.run(engine.generate(Request((PROBLEM,))))
    assert (answer.finish_reason, "writes no text" in answer.error) == ("error", True)
    with pytest.raises(EngineError, match="gives no log-probabilities"):
        asyncio.run(engine.score((PROBLEM,), "x"))


def test_a_kept_reward_is_not_read_again(folder, tmp_path):
    with closing(Store(tmp_path / "store")) as store:
        engine = open_engine("rm", "reward", {"model": str(folder)}, store=store)
        first = all_of(engine)
        assert (engine.statistics.requests, engine.statistics.cached) == (4, 0)
    with closing(Store(tmp_path / "store")) as store:
        again = open_engine("rm", "reward", {"model": str(folder)}, store=store)
        assert all_of(again) == first
        assert (again.statistics.requests, again.statistics.cached) == (0, 4)
        assert again.inner._net is None, "the model was not even loaded"


def no(messages, sample_idx, prefix):
    return "no"


def test_judge_and_reward_model_in_one_step_of_a_run(folder, tmp_path):
    """A page with both engines: the judge says no, so the real reward model is read, and its number decides."""
    import json

    import curator as cu

    (tmp_path / "rows.jsonl").write_text(json.dumps({"problem": PROBLEM.content, "answer": "8", "trace": TEXTS[1]}))
    judge = cu.engine("replay", alias="judge", function=f"{__name__}:no")
    model = cu.engine("reward", alias="rm", model=str(folder))
    made = cu.read(path=str(tmp_path / "rows.jsonl")) | cu.verify(
        kind=["math", "judge", "reward"], engine=judge, reward_engine=model, reward_threshold=-1e9
    )
    assert [str(p) for p in made.check()] == []
    (row,) = made.run(tmp_path / "run", workers=0, progress=False).table().to_arrow_table().to_pylist()
    assert (row["verdict"], row["score_scale"]) == ("correct", "logit")
    assert row["score"] == pytest.approx(by_hand(folder, TALKS[1])[0][0], abs=1e-4)
    assert "math/" in row["verdict_detail"]
    assert "judge/1" in row["verdict_detail"]


def test_capabilities_and_settings():
    for kind in ("reward", "vllm_reward"):
        assert REWARDS in capabilities_of(kind, {})
        assert GENERATE not in capabilities_of(kind, {})
        assert "model" in {s.name for s in settings_of(kind) if s.required}
    for kind in ("openai", "vllm", "transformers", "pocket", "replay"):
        assert REWARDS not in capabilities_of(kind, {})
