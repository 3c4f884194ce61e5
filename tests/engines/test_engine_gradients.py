"""Gradients through the engines: the chat template, what is cut, what is stored, and who cannot."""

from __future__ import annotations

import asyncio
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from curator.engines import capabilities_of, kinds, open_engine  # noqa: E402
from curator.engines.chat import Chat  # noqa: E402
from curator.engines.protocol import GRADIENTS, Message  # noqa: E402
from curator.engines.store import Store  # noqa: E402
from curator.engines.transformers import TransformersEngine  # noqa: E402
from curator.errors import EngineError  # noqa: E402
from curator.gradients.projection import Projection  # noqa: E402
from curator.gradients.single import Single  # noqa: E402
from curator.gradients.texts import Text  # noqa: E402

ASKED = (Message("system", "Be brief."), Message("user", "2+2?"))
SKETCH = "countsketch:128:0"


def run(engine, *asked, projection=SKETCH, max_tokens=4096):
    """Ask for (messages, text) at once."""

    async def main():
        try:
            return await asyncio.gather(*(engine.gradient(m, t, projection, max_tokens) for m, t in asked))
        finally:
            await engine.close()

    return asyncio.run(asyncio.wait_for(main(), 120))


@pytest.fixture(scope="module")
def library(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(tiny_model)


def reference(library, prompt: str, completion: str, keep: int | None = None):
    """What the definition says, from rendered text."""
    model, tokenizer = library
    ids = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, completion)]
    told = Single(model, Projection.parse(SKETCH))([Text(ids[0], ids[1][:keep])])
    return torch.nn.functional.normalize(told.features)[0].numpy(), told.losses[0], len(ids[1][:keep])


PROMPT = "<|im_start|>system\nBe brief.<|im_end|><|im_start|>user\n2+2?<|im_end|><|im_start|>assistant\n"


@pytest.mark.parametrize("forward", ["auto", "library"])
def test_the_turn_with_its_end(tiny_model, library, forward):
    engine = TransformersEngine(model=str(tiny_model), threads=1, forward=forward)
    (found, alone) = run(engine, (ASKED, "The answer is 4."), ((), "step by step"))
    vector, loss, n = reference(library, PROMPT, "The answer is 4.<|im_end|>")
    assert np.abs(np.frombuffer(found.vector, "<f4") - vector).max() < 1e-5
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert (found.n_tokens, found.truncated, found.error) == (n, False, None)
    ids = library[1]("step by step", add_special_tokens=False)["input_ids"]
    loss = Single(library[0], Projection.parse(SKETCH))([Text(ids[:1], ids[1:])]).losses[0]
    assert (alone.n_tokens, alone.error) == (len(ids) - 1, None)  # its first token is the prompt, and there is no turn
    assert alone.loss == pytest.approx(loss, rel=1e-5)


def test_generation_and_gradients_share_an_engine(tiny_model, library):
    from curator.engines.protocol import Request, Sampling

    engine = TransformersEngine(model=str(tiny_model), threads=1, forward="library")

    async def main():
        before = await engine.generate(Request(ASKED, Sampling(temperature=0, max_tokens=8)))
        found = await engine.gradient(ASKED, "The answer is 4.", SKETCH, 4096)
        scored = await engine.score(ASKED, "The answer is 4.")
        after = await engine.generate(Request(ASKED, Sampling(temperature=0, max_tokens=8)))
        await engine.close()
        return before, found, scored, after

    before, found, scored, after = asyncio.run(main())
    assert before == after
    assert -sum(scored.logprobs) < found.loss * found.n_tokens + 1e-4  # the end of the turn is one token more
    expected = reference(library, PROMPT, "The answer is 4.<|im_end|>")[0]
    assert np.abs(np.frombuffer(found.vector, "<f4") - expected).max() < 1e-5


def test_what_is_too_long_is_cut_and_told(tiny_model, library):
    long = "step by step " * 60
    prompt = run(TransformersEngine(model=str(tiny_model), threads=1), (ASKED, long), max_tokens=9)[0]
    vector, loss, n = reference(library, PROMPT, long, 9)
    assert (prompt.n_tokens, n, prompt.truncated, prompt.error) == (9, 9, True, None)
    assert prompt.loss == pytest.approx(loss, rel=1e-5)
    assert np.abs(np.frombuffer(prompt.vector, "<f4") - vector).max() < 1e-5
    (found,) = run(TransformersEngine(model=str(tiny_model), threads=1, max_context=60), (ASKED, long))
    assert found.truncated
    assert found.n_tokens == 60 - len(library[1](PROMPT, add_special_tokens=False)["input_ids"])
    (exact,) = run(TransformersEngine(model=str(tiny_model), threads=1), (ASKED, "4"), max_tokens=2)
    assert (exact.n_tokens, exact.truncated) == (2, False)  # the text and the end of the turn


def test_nothing_left(tiny_model):
    """A prompt that fills the context masks the completion to nothing."""
    engine = TransformersEngine(model=str(tiny_model), threads=1, max_context=20)
    found, none = run(engine, ((Message("user", "step by step " * 20),), "4"), (ASKED[1:], ""))
    assert (found.error, found.vector, found.truncated) == ("empty", b"", True)
    assert (none.error, none.truncated) == ("empty", False)


def test_a_proxy_without_a_chat_template(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "plain")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match="no chat template; name one with chat_template"):
        run(TransformersEngine(model=str(folder), threads=1), (ASKED, "4"))
    (found,) = run(TransformersEngine(model=str(folder), threads=1), ((), "step by step"))
    assert found.error is None


def test_a_model_that_cannot_be_loaded_fails_whoever_waits(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(EngineError, match="."):
        run(TransformersEngine(model=str(folder), threads=1), (ASKED, "4"))


def test_another_architecture_says_that_it_is_slow(tiny_model, tmp_path):
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, eos_token_id=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="one sample at a time .architecture GPT2LMHeadModel"):
        (found,) = run(TransformersEngine(model=str(tmp_path), threads=1), (ASKED, "4"))
    assert found.error is None


class Counting:
    """A raw engine's gradient, with a count of its calls."""

    def __init__(self, engine) -> None:
        self.calls, self._inner = [], engine.inner.gradient
        engine.inner.gradient = self

    async def __call__(self, messages, text, projection, max_tokens):
        self.calls.append((text, projection, max_tokens))
        return await self._inner(messages, text, projection, max_tokens)


def test_nothing_is_computed_twice(tiny_model, tmp_path):
    """A whole text serves every limit that it stays within; a cut one its own limit only."""
    engine = open_engine("proxy", "transformers", {"model": str(tiny_model), "threads": 1}, store=Store(tmp_path))
    counting = Counting(engine)
    text, tokens = "The answer is 4.", 0

    async def main():
        nonlocal tokens
        first = await engine.gradient(ASKED, text, SKETCH, 4096)
        tokens = first.n_tokens
        assert await engine.gradient(ASKED, text, SKETCH, 4096) == first
        assert await engine.gradient(ASKED, text, SKETCH, tokens) == first
        assert len(counting.calls) == 1
        cut = await engine.gradient(ASKED, text, SKETCH, tokens - 1)
        assert cut.truncated
        assert await engine.gradient(ASKED, text, SKETCH, tokens - 1) == cut
        assert (await engine.gradient(ASKED, text, SKETCH, tokens - 2)).n_tokens == tokens - 2
        assert len(counting.calls) == 3
        for projection in ("countsketch:128:1", "rademacher:128:0", "countsketch:64:0"):
            other = await engine.gradient(ASKED, text, projection, 4096)
            assert len(other.vector) == 4 * int(projection.split(":")[1])
        assert len(counting.calls) == 6
        assert await engine.gradient(ASKED, text, SKETCH, 4096) == first
        for _ in range(2):  # errors are not stored
            assert (await engine.gradient(ASKED[1:], "", SKETCH, 4096)).error == "empty"
        assert len(counting.calls) == 8
        await engine.close()

    asyncio.run(main())
    assert engine.statistics.errors == 0  # an empty text is the row's fault
    assert engine.statistics.cached == 4


def test_a_lone_surrogate(tiny_model, tmp_path):
    engine = open_engine("proxy", "transformers", {"model": str(tiny_model)}, store=Store(tmp_path))
    (found,) = run(engine, (ASKED, "\ud800"))
    assert "not valid Unicode" in found.error


def test_who_can():
    able = {kind for kind in kinds() if GRADIENTS in capabilities_of(kind, {})}
    assert able == {"transformers", "pocket"}


class Rendered:
    """A tokenizer that renders a template, a character a token; None ends nothing."""

    def __init__(self, template: str, eos: int | None = None) -> None:
        from jinja2 import Template

        self.chat_template, self.eos_token_id, self._made = template, eos, Template(template)

    def apply_chat_template(self, turns, **variables):
        return self._made.render(messages=turns, **variables)

    def __call__(self, text, **_):
        return {"input_ids": [ord(c) for c in text]}


@pytest.mark.parametrize(("after", "eos", "ends"), [
    ("<|im_end|>\n", None, "<|im_end|>"), ("<|eot_id|>", 1, "<|eot_id|>"), (" </s>", None, "</s>"),
    ("", 65, "A"), ("", None, ""),
])  # fmt: skip
def test_what_ends_a_turn(after, eos, ends):
    """It is read off the template, also where that writes thinking before the text."""
    turn = "{{ m.role }}: {% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}" + after
    chat = Chat(Rendered("{% for m in messages %}" + turn + "{% endfor %}", eos), "proxy")
    assert "".join(map(chr, chat.closing())) == ends
    prompt, ids = chat.to_learn(ASKED, "four")
    assert "".join(map(chr, ids)) == f"four{ends}"
    assert prompt
