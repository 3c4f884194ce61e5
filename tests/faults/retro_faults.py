"""A Retro-Search run on the replay engine, as child processes run it to be killed; see test_kill_retro.py.

What the model says is a function of the prefix alone. Every question is appended to a log before it is answered.
"""

from __future__ import annotations

import json
import os
import random

import run_stand_ins  # noqa: F401 - registers t_dump

import curator as cu
import curator.ops.read
import curator.ops.retro_search
import curator.ops.verify  # noqa: F401 - loaded once, before the fork
from curator.op import REGISTRY
from curator.pipeline import Pipeline, Step


def steps(chance, n):
    return [chance.choice(["so", "Wait, no", "Hmm, then", "thus"]) + f" {chance.randrange(1000)}" for _ in range(n)]


def write_traces(path, count):
    chance = random.Random(11)
    with open(path, "w") as f:
        for i in range(count):
            think = "\n\n".join(["We add.", *steps(chance, chance.randint(6, 16))])
            trace = f"<think>\n{think}\n</think>\n\n\\boxed{{{3 * i}}}"
            row = {"id": f"p-{i}", "problem": f"What is {i} + {2 * i}?", "answer": str(3 * i), "trace": trace}
            f.write(json.dumps(row) + "\n")


def answer(messages, sample_idx, prefix, request):
    text = messages[-1].content
    with open(os.environ["FAULT_LOG"], "a") as log:
        log.write(json.dumps([text, prefix, sample_idx, request.sampling.seed]) + "\n")
    a = int(text.split()[2])
    chance = random.Random(f"{text}{prefix}{sample_idx}")
    think = "\n\n".join(["Go on.", *steps(chance, chance.randint(0, 6))])
    return f"{think}\n</think>\n\n\\boxed{{{3 * a + (chance.random() < 0.4)}}}"


def pipeline(traces, delay=0.0):
    teacher = cu.engine("replay", alias="teacher", function="retro_faults:answer", delay=delay)
    made = cu.read(path=str(traces)) | cu.retro_search(engine=teacher, rollouts=2, passes=2)
    return made | cu.verify(trace="trace_revised") | Pipeline(steps=(Step("dump", REGISTRY["t_dump"], {}),))


def main(folder, traces, store, log, delay, workers):
    os.environ["FAULT_LOG"] = str(log)
    pipeline(traces, delay).run(folder, store=store, workers=workers, progress=False, shard_rows=7)
