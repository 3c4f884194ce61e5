"""Training: the loss mask, the step's data, resume equality, and that the export is what transformers computes."""

import random

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402, N812

from curator.pocket import network, tasks, tokenizer, traces, train  # noqa: E402
from curator.pocket.network import CausalAttention, Gated, Network, Normed, Shape  # noqa: E402
from curator.pocket.optim import StackedMuon, orthogonalise  # noqa: E402
from curator.pocket.sharing import shared  # noqa: E402
from curator.pocket.traces import Part  # noqa: E402

RECIPE = train.Recipe(steps=9, sharing=((5, 2), (7, 1)), examples=3, warmup=2)


@pytest.fixture(scope="module")
def tok():
    return tokenizer.build(examples=300)


def _small(tok):
    return Shape(vocab=-(-tok.get_vocab_size() // 32) * 32, width=32, layers=2, heads=4, kv_heads=4, head=16, ffn=48)


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


@pytest.mark.parametrize("stopped", [3, 5, 6, 7, 8])
def test_resume_equals_an_uninterrupted_run(tok, tmp_path, stopped):
    whole = train.Run(RECIPE, tok, _small(tok))
    train.train(whole, tmp_path / "whole.pt")
    first = train.Run(RECIPE, tok, _small(tok))
    for _ in range(stopped):
        first.advance()
    first.save(tmp_path / "part.pt")
    second = train.Run.load(tmp_path / "part.pt")
    train.train(second, tmp_path / "part.pt")
    assert second.step == whole.step == RECIPE.steps
    assert second.tokens == whole.tokens
    for (name, a), (_, b) in zip(whole.net.named_parameters(), second.net.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name, rtol=1e-4, atol=1e-5)


def _turned(x, cos, sin):
    low, high = x.chunk(2, -1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), -1)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_and_its_gradient_are_autograds(monkeypatch, kv_heads):
    monkeypatch.setattr(network, "QUERIES", 32)
    torch.manual_seed(0)
    lengths, heads, size = [20, 90, 1, 33], 4, 8
    turns, every = heads + kv_heads, heads + 2 * kv_heads
    n = sum(lengths)
    ours, theirs = (torch.randn(n, every, size, generator=torch.manual_seed(1)).requires_grad_() for _ in range(2))
    angle = torch.randn(n, 1, size // 2)
    weights = torch.randn(n, heads, size)
    made = CausalAttention.apply(ours, angle.cos(), angle.sin(), lengths, heads)
    turned = _turned(theirs[:, :turns], angle.cos(), angle.sin())
    parts = (x.split(lengths) for x in (turned[:, :heads], turned[:, heads:], theirs[:, turns:]))
    expected = torch.cat(
        [F.scaled_dot_product_attention(*(t.transpose(0, 1) for t in qkv), is_causal=True, enable_gqa=True)
         .transpose(0, 1)
         for qkv in zip(*parts, strict=True)]
    )  # fmt: skip
    torch.testing.assert_close(made, expected)
    (made * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_norm_and_gate_have_the_gradients_of_autograd():
    torch.manual_seed(0)
    x, weight = torch.randn(7, 12, dtype=torch.float32), torch.randn(12)
    for ours, theirs in (
        (lambda a, w: Normed.apply(a, w, torch.float32), lambda a, w: F.rms_norm(a, (12,), w, network.EPS)),
        (lambda a, w: Gated.apply(a * w), lambda a, w: F.silu((a * w)[:, :6]) * (a * w)[:, 6:]),
    ):
        pairs = []
        for function in (ours, theirs):
            a, w = x.clone().requires_grad_(), weight.clone().requires_grad_()
            made = function(a, w)
            (made * torch.arange(made.numel()).view(made.shape)).sum().backward()
            pairs.append((made.detach(), a.grad, w.grad))
        for one, two in zip(*pairs, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_bf16_products_give_nearly_the_loss_and_the_gradient_of_fp32(tok):
    net, made = Network(_small(tok)), train.batch(tok, RECIPE, 3, 2048)
    found = []
    for kind in (torch.float32, torch.bfloat16):
        net.zero_grad()
        losses = net.losses(made.ids, made.weights, made.lengths, kind)
        losses.sum().backward()
        found.append((losses.detach(), torch.cat([p.grad.flatten() for p in net.parameters()])))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-2, atol=0.1)
    assert float((found[0][1] - found[1][1]).norm() / found[0][1].norm()) < 0.05
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_first_heads_begin_by_looking_back():
    shape = Shape(vocab=64)
    net, n = Network(shape), 200
    first = net.model.layers[0].self_attn
    x = torch.randn(n, shape.width, generator=torch.manual_seed(0))
    angle = torch.outer(torch.arange(n), 1.0 / shape.theta ** (torch.arange(0, shape.head, 2) / shape.head))[:, None]
    q, k = (_turned(p(x).view(n, shape.heads, -1), angle.cos(), angle.sin()) for p in (first.q_proj, first.k_proj))
    for head, back in enumerate((1, 2, 3)):
        seen = (q[-1, head] @ k[:, head].T / shape.head**0.5).softmax(-1)
        assert float(seen[n - 1 - back].detach()) > 0.9


def _noisy(shape):
    net = Network(shape)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=torch.manual_seed(p.numel())) * 0.2)
    return net


def test_heads_that_share_with_none_compute_the_same(tok):
    net, ids = _noisy(_small(tok)), torch.arange(30)
    same = shared(net, 4)
    torch.testing.assert_close(same.hidden(ids, [30]), net.hidden(ids, [30]), rtol=1e-3, atol=1e-3)


def test_equal_heads_lose_nothing_by_sharing(tok):
    net, ids = _noisy(_small(tok)), torch.arange(30)
    with torch.no_grad():
        for layer in net.model.layers:
            for p in (layer.self_attn.k_proj, layer.self_attn.v_proj):
                p.weight[16:], p.bias[16:] = p.weight[:16].repeat(3, 1), p.bias[:16].repeat(3)
    fewer = shared(net, 1)
    assert fewer.shape.kv_heads == 1
    assert sum(p.numel() for p in fewer.parameters()) < sum(p.numel() for p in net.parameters())
    torch.testing.assert_close(fewer.hidden(ids, [30]), net.hidden(ids, [30]), rtol=1e-3, atol=1e-3)


def test_a_few_steps_learn_something(tok):
    run = train.Run(train.Recipe(steps=20, examples=4, warmup=2, curriculum=1, copying=1), tok, _small(tok))
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


def test_rate_warms_up_and_decays_again_whenever_heads_begin_to_share():
    recipe = train.Recipe(
        steps=1900, sharing=((1000, 2), (1400, 1)), warmup=10, decay_from=0.4, decay_drop=0.5, share_rate=0.2
    )
    assert train.rate(recipe, 0) == 0.1
    assert train.rate(recipe, 399) == 1.0
    assert train.rate(recipe, 700) == pytest.approx(0.25)
    assert train.rate(recipe, 999) == 0.01
    assert train.rate(recipe, 1000) == pytest.approx(0.02)
    assert train.rate(recipe, 1200) == pytest.approx(0.1)
    assert train.rate(recipe, 1399) == 0.01
    assert train.rate(recipe, 1400) == pytest.approx(0.02)
    assert train.rate(recipe, 1650) == pytest.approx(0.1)
    assert train.rate(recipe, 1899) == 0.01
