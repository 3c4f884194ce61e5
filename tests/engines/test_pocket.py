"""The embedded model: read from its files as the library reads it, and without the library."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest

from curator.pocket import MODEL_DIR

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
if not (MODEL_DIR / "model.safetensors").exists():
    pytest.skip("the pocket model has not been trained", allow_module_level=True)

from curator.engines.chat import Chat  # noqa: E402
from curator.engines.fast.files import net_in  # noqa: E402
from curator.engines.fast.tokens import FileTokenizer  # noqa: E402
from curator.engines.fast.weights import net_of  # noqa: E402
from curator.engines.pocket import PocketEngine  # noqa: E402
from curator.engines.protocol import Message, Request, Sampling  # noqa: E402
from curator.engines.transformers import TransformersEngine  # noqa: E402
from curator.pocket.world import rows  # noqa: E402

PROBLEMS = [str(r["problem"]) for r in rows("pocket-eval", 6)]
STRANGE = [
    "",
    "é漢 👍\n\n",
    "<think>\nWait, 12+7=19.\n\n</think> \\boxed{19}",
    "a  b\t.\r\n",
    "<|im_end|><|im_start|>user",
]


@pytest.fixture(scope="module")
def library():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(MODEL_DIR)


def test_the_tokenizer_is_the_library_s(library):
    ours, theirs = Chat(FileTokenizer(MODEL_DIR), "a"), Chat(library[1], "b")
    for text in [*PROBLEMS, *STRANGE]:
        turns = (Message("system", "Be brief."), Message("user", text))
        assert ours.prompt(turns, "So the") == theirs.prompt(turns, "So the")
        ids = theirs.ids(text)
        assert ours.ids(text) == ids
        assert ours.text(ids) == theirs.text(ids)
        assert ours.pieces(ids) == (theirs.pieces(ids) if ids else ())
    assert ours.tokenizer.eos_token_id == theirs.tokenizer.eos_token_id
    assert ours.tokenizer.pad_token_id == theirs.tokenizer.pad_token_id


def test_the_weights_are_the_library_s(library):
    ours, theirs = net_in(MODEL_DIR), net_of(library[0])
    assert all(np.array_equal(a, b) for a, b in zip(ours.arrays, theirs.arrays, strict=True))
    for a, b in zip(ours.angles(2048), theirs.angles(2048), strict=True):
        assert np.allclose(a, b, atol=3e-4)  # float32 angles of position 2,047 are this coarse
    assert (ours.heads, ours.kv_heads, ours.depth, ours.vocabulary) == (
        theirs.heads, theirs.kv_heads, theirs.depth, theirs.vocabulary,
    )  # fmt: skip


def test_it_writes_what_the_transformers_engine_writes():
    """Greedy text of the compiled forward against the library's, through the engines."""

    async def main(engine):
        try:
            wanted = [Request((Message("user", p),), Sampling(temperature=0, max_tokens=60)) for p in PROBLEMS]
            return [c for (c,) in await asyncio.gather(*(engine.generate(r) for r in wanted))]
        finally:
            await engine.close()

    ours = asyncio.run(main(PocketEngine(threads=1)))
    theirs = asyncio.run(main(TransformersEngine(model=str(MODEL_DIR), threads=1, forward="library")))
    assert ours == theirs


def test_it_needs_neither_torch_nor_transformers():
    code = (
        "import asyncio, sys\n"
        "from curator.engines.pocket import PocketEngine\n"
        "from curator.engines.protocol import Message, Request, Sampling\n"
        "async def main():\n"
        "    e = PocketEngine(threads=1)\n"
        "    r = Request((Message('user', '2+2?'),), Sampling(max_tokens=5, seed=1), n=2, logprobs=True)\n"
        "    assert len(await e.generate(r)) == 2 and e.max_context and e.count_tokens('a')\n"
        "    await e.score(r.messages, '4')\n"
        "    await e.close()\n"
        "asyncio.run(main())\n"
        "print(*({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
