"""Batched gradients are those of torch's own backward pass, one sample at a time."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from gradient_models import model, texts  # noqa: E402

from curator.gradients import room  # noqa: E402
from curator.gradients.batched import Batched, refusal  # noqa: E402
from curator.gradients.features import Features  # noqa: E402
from curator.gradients.layout import layout  # noqa: E402
from curator.gradients.projection import KINDS, Projection, projector  # noqa: E402
from curator.gradients.single import Single, gradients_of  # noqa: E402
from curator.gradients.texts import Text, passes  # noqa: E402

SKETCH = Projection("countsketch", 256, 0)
MODELS = {
    "Llama with biases, tied": ("Llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "Llama, untied": ("Llama", {"tie_word_embeddings": False}),
    "Qwen2, tied": ("Qwen2", {"tie_word_embeddings": True}),
    "Qwen3: norms of heads": ("Qwen3", {"head_dim": 8, "tie_word_embeddings": True}),
    "Mistral: a sliding window": ("Mistral", {"sliding_window": 8, "head_dim": 6}),
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def close(found, expected, tolerance=2e-5):
    """Rows differ by at most a part of the expected row's length."""
    error = (found - expected).double().norm(dim=1) / expected.double().norm(dim=1)
    assert float(error.max()) < tolerance, error


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_all_at_once_is_one_by_one(name, kind):
    made = model(MODELS[name][0], **MODELS[name][1])
    assert refusal(made) is None
    projection, given = Projection(kind, 256, 0), texts()
    one_by_one = Single(made, projection)(given)
    together = Batched(made, projection)(given)
    close(together.features, one_by_one.features)
    assert together.losses == pytest.approx(one_by_one.losses, rel=1e-5)


def test_the_reference_projects_the_whole_gradient():
    """Names in order, tied parameters once, and each number where the layout says."""
    made = model("Llama", tie_word_embeddings=True)
    text = texts(3)[2]
    _, found = gradients_of(made, text)
    assert list(layout(made)) == sorted(found)
    assert "lm_head.weight" not in found
    vector = torch.cat([found[name].flatten() for name in sorted(found)])[None]
    assert vector.shape[1] == sum(p.numel() for p in made.parameters())
    out = torch.zeros(1, 256)
    projector(SKETCH, torch.device("cpu")).add(out, vector, 0)
    close(Single(made, SKETCH)([text]).features, out, 1e-5)


def test_a_loss_of_completions_only():
    """Independent of the code above: finite differences of the mean loss along the gradient."""
    made = model("Qwen2").double()
    text = texts(4)[3]
    loss, found = gradients_of(made, text)
    length = sum(float(g.square().sum()) for g in found.values()) ** 0.5
    step = 1e-4 / length

    def at(scale):
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                parameter.add_(found[name], alpha=scale)
            ids = torch.tensor([text.prompt + text.completion])
            told = made(input_ids=ids).logits[0].log_softmax(-1)
            for name, parameter in made.named_parameters():
                parameter.add_(found[name], alpha=-scale)
        before = len(text.prompt) - 1
        return -float(np.mean([float(told[before + i, t]) for i, t in enumerate(text.completion)]))

    assert at(0) == pytest.approx(loss, rel=1e-5)
    assert (at(step) - at(-step)) / (2 * step) == pytest.approx(length**2, rel=1e-4)


@pytest.mark.parametrize("tokens", [1, 40, 100_000])
def test_the_same_in_passes_of_any_size(tokens):
    made, given = model("Qwen2"), texts(12)
    reference = Batched(made, SKETCH)(given)
    compute = Batched(made, SKETCH)
    for group in passes(given, tokens):
        assert len(group) == 1 or len(group) * max(given[i].read for i in group) <= tokens
        told = compute([given[i] for i in group])
        close(told.features, reference.features[group])
    assert sorted(i for g in passes(given, tokens) for i in g) == list(range(12))


def test_little_room(monkeypatch):
    """Logits and products in small pieces, completions cut in the middle."""
    made, given = model("Llama", tie_word_embeddings=False), texts(9)
    reference = Batched(made, SKETCH)(given)
    monkeypatch.setattr(room, "CPU", room.CPU._replace(logits=90 * 11, piece=9 * 24 * 7))
    told = Batched(made, SKETCH)(given)
    close(told.features, reference.features)
    assert told.losses == pytest.approx(reference.losses, rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_layer_by_layer(monkeypatch, name):
    """What a pass of a text takes that does not fit the memory."""
    made, given = model(MODELS[name][0], **MODELS[name][1]), texts(6)
    reference = Batched(made, SKETCH)(given)
    monkeypatch.setattr(room, "CPU", room.CPU._replace(memory=1))
    compute = Batched(made, SKETCH)
    assert compute.tokens == 1
    told = compute(given)
    close(told.features, reference.features)
    assert told.losses == pytest.approx(reference.losses, rel=1e-6)


def test_narrow_weights_are_read_in_float32():
    made = model("Qwen2").bfloat16()
    given = texts(5)
    close(Batched(made, SKETCH)(given).features, Single(made, SKETCH)(given).features, 0.1)


def test_features_have_length_one_and_come_back_in_place():
    made, given = model("Qwen2"), texts(8)
    features = Features(made)
    found = dict(features.of(given, SKETCH))
    reference = Single(made, SKETCH)(given)
    for i, row in enumerate(torch.nn.functional.normalize(reference.features)):
        told = np.frombuffer(found[i].vector, "<f4")
        assert found[i].error is None
        assert np.linalg.norm(told) == pytest.approx(1, abs=1e-6)
        assert np.abs(told - row.numpy()).max() < 1e-5
        assert found[i].loss == pytest.approx(reference.losses[i], rel=1e-5)


def test_other_architectures_one_by_one():
    made = model("GPTNeoX", tie_word_embeddings=True)
    features = Features(made)
    assert "GPTNeoX" in features.refused
    given = texts(3)
    found = dict(features.of(given, SKETCH))
    loss, _ = gradients_of(made, given[1])
    assert found[1].loss == pytest.approx(loss)
    assert found[1].error is None


def test_a_changed_layer_is_refused():
    made = model("Llama")
    made.model.norm = torch.nn.LayerNorm(24)
    assert refusal(made) == "layers of type LayerNorm"


def test_a_loss_that_is_no_number_stays_with_its_text():
    made = model("Llama", tie_word_embeddings=False)
    with torch.no_grad():
        made.model.embed_tokens.weight[77] = float("nan")
    given = [Text([3, 4], [5, 6, 7]), Text([3, 77], [5, 6]), Text([9], [8, 7, 6, 5])]
    found = dict(Features(made).of(given, SKETCH))
    assert [found[i].error for i in range(3)] == [None, "nan_loss", None]
    assert found[1].vector == b""
    alone = Single(made, SKETCH)([given[0]])
    row = torch.nn.functional.normalize(alone.features)[0].numpy()
    assert np.abs(np.frombuffer(found[0].vector, "<f4") - row).max() < 1e-5


def test_a_gradient_of_zero_has_no_direction():
    made = model("Llama", tie_word_embeddings=False)
    with torch.no_grad():
        made.lm_head.weight.zero_()
        made.model.norm.weight.zero_()
    found = dict(Features(made).of(texts(2), SKETCH))
    assert [(f.error, f.vector) for f in found.values()] == [("zero_gradient", b"")] * 2
    assert found[0].loss == pytest.approx(np.log(90))
