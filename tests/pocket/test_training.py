"""Training: the loss mask, the step's data, resume equality, and that the export is what transformers computes."""

import random
from functools import partial

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import Tokenizer  # noqa: E402

from curator.pocket import parallel, tasks, tokenizer, traces, train  # noqa: E402
from curator.pocket.network import Network, Shape  # noqa: E402
from curator.pocket.optim import StackedMuon, orthogonalise  # noqa: E402
from curator.pocket.traces import Part  # noqa: E402

RECIPE = train.Recipe(steps=8, examples=3, warmup=2)


@pytest.fixture(scope="module")
def tok():
    return tokenizer.build(examples=300)


def _small(tok):
    return Shape(vocab=-(-tok.get_vocab_size() // 32) * 32, width=32, layers=2, heads=2, kv_heads=1, ffn=48)


def test_only_the_reply_is_taught_and_slips_are_not(tok):
    parts = [Part("We need 3+4.\n\n"), Part("First 3+4=8.", taught=False), Part("\n\nWait, 3+4=7.")]
    ids, taught = train.encode(tok, traces.Example("solve", "Compute 3 + 4.", parts))
    assert tok.decode([i for i, t in zip(ids, taught, strict=True) if t]) == "We need 3+4.\n\n\n\nWait, 3+4=7."
    assert set(taught) == {0.0, 1.0}
    assert taught[-1]
    assert ids[-1] == tok.token_to_id("<|im_end|>")
    whole = tok.decode(ids, skip_special_tokens=False)
    assert whole.startswith("<|im_start|>user\nCompute 3 + 4.<|im_end|>\n<|im_start|>assistant\nWe need")


def test_a_stated_problem_is_taught_lightly(tok):
    example = traces.Example("judge", "Solve: Compute 3 + 4. Now.", [Part("7")], ("Compute 3 + 4.",))
    ids, weights = train.encode(tok, example)
    light = [i for i, w in zip(ids, weights, strict=True) if w == train.STATED]
    assert tok.decode(light) == "3 + 4. "
    assert weights.count(1.0) == 2


def test_data_of_a_step_is_a_function_of_the_step(tok):
    a, b, c = (train.batch(tok, RECIPE, step, 2048) for step in (5, 5, 6))
    assert a.ids.equal(b.ids)
    assert a.weights.equal(b.weights)
    assert not a.ids[:50].equal(c.ids[:50])
    assert sum(a.lengths) == len(a.ids) == len(a.weights)


def test_resume_equals_an_uninterrupted_run(tok, tmp_path):
    whole = train.Run(RECIPE, tok, _small(tok))
    train.train(whole, tmp_path / "whole.pt")
    first = train.Run(RECIPE, tok, _small(tok))
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "part.pt")
    second = train.Run.load(tmp_path / "part.pt")
    train.train(second, tmp_path / "part.pt")
    assert second.step == whole.step == RECIPE.steps
    assert second.tokens == whole.tokens
    for (name, a), (_, b) in zip(whole.net.named_parameters(), second.net.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name, rtol=1e-4, atol=1e-5)


def _in_a_group(tok_text, folder):
    run = train.Run(RECIPE, Tokenizer.from_str(tok_text), _small(Tokenizer.from_str(tok_text)))
    train.train(run, folder / "group.pt")
    torch.save(run.net.state_dict(), folder / f"rank{parallel.ranks()[0]}.pt")


def test_two_processes_make_the_model_of_one(tok, tmp_path):
    alone = train.Run(RECIPE, tok, _small(tok))
    train.train(alone, tmp_path / "alone.pt")
    parallel.spread(partial(_in_a_group, tok.to_str(), tmp_path), 2)
    first, second = (torch.load(tmp_path / f"rank{k}.pt", weights_only=True) for k in (0, 1))
    saved = train.Run.load(tmp_path / "group.pt")
    assert saved.tokens == alone.tokens
    for name, weight in alone.net.state_dict().items():
        assert first[name].equal(second[name]), name
        torch.testing.assert_close(first[name], weight, msg=name, rtol=1e-3, atol=1e-4)
    assert saved.recent == pytest.approx(alone.recent, rel=1e-3)


@pytest.mark.parametrize("lengths", [[5], [9, 1, 1, 1, 4], [3] * 7])
def test_every_example_has_one_owner(lengths, monkeypatch):
    dealt = []
    for rank in range(3):
        monkeypatch.setattr(parallel, "ranks", lambda rank=rank: (rank, 3))
        dealt.append(parallel.share(lengths))
    assert sorted(sum(dealt, [])) == list(range(len(lengths)))
    loads = [sum(lengths[i] for i in one) for one in dealt]
    assert max(loads) - min(loads) <= max(lengths)


def test_a_few_steps_learn_something(tok):
    run = train.Run(train.Recipe(steps=20, examples=4, warmup=2), tok, _small(tok))
    held = train.batch(tok, run.recipe, 999, 2048)
    before = float(run.net.losses(held.ids, held.weights, held.lengths).sum().detach())
    for _ in range(20):
        run.advance()
    assert float(run.net.losses(held.ids, held.weights, held.lengths).sum().detach()) < 0.9 * before


def test_export_computes_the_same_in_transformers(tok, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = train.Run(RECIPE, tok, _small(tok))
    run.advance()
    run.export(tmp_path / "model")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    ids = torch.randint(0, tok.get_vocab_size(), (40,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = run.net.hidden(ids, [40]) @ run.net.model.embed_tokens.weight.T
        theirs = loaded(ids[None]).logits[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    text = "Anna has 12 apples.\n\n**Analysis**\nWait, 3+4=7."
    assert AutoTokenizer.from_pretrained(tmp_path / "model").encode(text) == tok.encode(text).ids


def test_sequences_end_to_end_do_not_see_each_other(tok):
    net = Network(_small(tok))
    a, b = torch.randint(0, 300, (9,)), torch.randint(0, 300, (14,))
    both = net.hidden(torch.cat([a, b]), [9, 14])
    torch.testing.assert_close(both[:9], net.hidden(a, [9]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[9:], net.hidden(b, [14]), rtol=1e-4, atol=1e-5)


def test_losses_are_those_of_each_sequence(tok):
    net = Network(_small(tok))
    rng = random.Random(0)
    made = [train.encode(tok, tasks.example(rng)) for _ in range(2)]
    ids = torch.tensor([i for one, _ in made for i in one])
    taught = torch.tensor([t for _, one in made for t in one])
    together = net.losses(ids, taught, [len(one) for one, _ in made])
    for k, (one, mask) in enumerate(made):
        alone = net.losses(torch.tensor(one), torch.tensor(mask), [len(one)])
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-4, atol=1e-4)
        assert abs(float(alone.detach()) / sum(mask) - torch.log(torch.tensor(float(net.shape.vocab)))) < 0.5


def test_muon_agrees_with_torch():
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    torch.manual_seed(0)
    weight = torch.randn(24, 40)
    ours, theirs = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(weight.clone())
    a = StackedMuon([ours], lr=1e-2, decay=0.05)
    b = torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradient = torch.randn(24, 40)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        a.step()
        b.step()
    with torch.no_grad():  # torch's iteration runs in bfloat16
        assert float((ours - theirs).norm() / (ours - weight).norm()) < 0.05


def test_orthogonalise_flattens_the_spectrum():
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 20, 50, generator=torch.Generator().manual_seed(0))))
    assert float(values.min()) > 0.4
    assert float(values.max()) < 1.4


def test_rate_warms_up_and_decays():
    recipe = train.Recipe(steps=1000, warmup=10, decay_from=0.4, decay_drop=0.5)
    assert train.rate(recipe, 0) == 0.1
    assert train.rate(recipe, 399) == 1.0
    assert train.rate(recipe, 700) == pytest.approx(0.25)
    assert train.rate(recipe, 999) == 0.01
