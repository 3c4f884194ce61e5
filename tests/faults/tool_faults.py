"""A tool loop on the replay engine and the real sandbox, run as child processes and killed; see test_kill_tools.py.

What the model says is a function of the prefix alone. Every question is appended to a log before it is answered.
"""

from __future__ import annotations

import json
import os
import random

import run_stand_ins  # noqa: F401 - registers t_dump

import curator as cu
import curator.ops.read
import curator.ops.tool_loop
import curator.ops.verify  # noqa: F401 - loaded once, before the fork
from curator.op import REGISTRY
from curator.pipeline import Pipeline, Step


def write_problems(path, count):
    with open(path, "w") as f:
        for i in range(count):
            f.write(json.dumps({"id": f"p-{i}", "problem": f"What is {i} + {2 * i}?", "answer": str(3 * i)}) + "\n")


def answer(messages, sample_idx, prefix, request):
    text = messages[-1].content
    with open(os.environ["FAULT_LOG"], "a") as log:
        log.write(json.dumps([text, prefix, sample_idx, request.sampling.seed]) + "\n")
    a = int(text.split()[2])
    done, chance = prefix.count("```output"), random.Random(f"{text}{sample_idx}")
    if done < chance.randint(1, 4):
        return f"Step {done}.\n```python\nx = {'x + ' if done else ''}{a}\nprint(x)\n```\n"
    return f"So.\n</think>\n\n\\boxed{{{3 * a}}}"


def pipeline(problems, delay=0.0):
    teacher = cu.engine("replay", alias="teacher", function="tool_faults:answer", delay=delay)
    made = cu.read(path=str(problems)) | cu.tool_loop(engine=teacher, n=2, prefix="<think>\n", budget=3)
    return made | cu.verify() | Pipeline(steps=(Step("dump", REGISTRY["t_dump"], {}),))


def main(folder, problems, store, log, delay, workers):
    os.environ["FAULT_LOG"] = str(log)
    pipeline(problems, delay).run(folder, store=store, workers=workers, progress=False, shard_rows=7)
