"""A gradient run with the pocket model, as child processes run it to be killed; see test_kill_gradient.py.

Each text is logged before its gradient is computed: what is computed twice stands there twice.
"""

from __future__ import annotations

import json
import os

import torch  # loaded once, before the fork
from transformers import LlamaForCausalLM  # noqa: F401

import curator as cu
import curator.ops.read
import curator.ops.score  # noqa: F401
from curator.engines.pocket import PocketEngine
from curator.gradients import features  # noqa: F401


class Logged(PocketEngine):
    """The pocket model, with a log of what it is asked."""

    async def gradient(self, messages, text, projection, max_tokens):
        with open(os.environ["FAULT_LOG"], "a") as log:
            log.write(json.dumps([messages[-1].content, 0]) + "\n")
        return await super().gradient(messages, text, projection, max_tokens)


def write_rows(path, count):
    with open(path, "w") as f:
        for i in range(count):
            trace = f"<think>\n{'Add them. ' * (i % 3)}\n</think>\n\n{3 * i}"
            f.write(json.dumps({"id": f"p-{i}", "problem": f"What is {i} + {2 * i}?", "trace": trace}) + "\n")


def main(folder, given, store, log):
    os.environ["FAULT_LOG"] = str(log)
    torch.set_num_threads(1)
    import curator.engines.pocket as pocket

    pocket.PocketEngine = Logged
    proxy = cu.engine("pocket", alias="proxy", threads=1)
    pipeline = cu.read(path=str(given)) | cu.score(engine=proxy, kind="gradient", d=256)
    pipeline.run(folder, store=store, workers=0, progress=False, shard_rows=9)
