"""A generate-verify-compress run on the replay engine, as child processes run it to be killed; see test_kill.py.

Problems are sums. The replay function answers wrongly now and then, so that rows are dropped, and appends every
question to a log before it answers: what is asked twice stands there twice.
"""

from __future__ import annotations

import json
import os
import re

import run_stand_ins  # noqa: F401 - registers t_dump

import curator as cu
import curator.ops.compress
import curator.ops.generate
import curator.ops.read
import curator.ops.select
import curator.ops.verify  # noqa: F401 - loaded once, before the fork
from curator.op import REGISTRY
from curator.pipeline import Pipeline, Step

LONG = "Let me add them again to be sure. " * 12
SHORT = "DIFFICULTY: easy\n**Analysis**\nA sum.\n**Approach**\nAdd.\n**Summary**\nDone.\n**Solution**\n\\boxed{%d}"


def answer(messages, sample_idx, prefix):
    text = messages[-1].content
    a, b = map(int, re.search(r"What is (\d+) \+ (\d+)\?", text).groups())
    with open(os.environ["FAULT_LOG"], "a") as log:
        log.write(json.dumps([text, sample_idx]) + "\n")
    if "Long solution" in text:
        return SHORT % (a + b)
    wrong = (a + sample_idx) % 5 == 0
    return f"<think>\n{LONG}\n</think>\n\\boxed{{{a + b + wrong}}}"


def write_problems(path, count):
    with open(path, "w") as f:
        for i in range(count):
            f.write(json.dumps({"id": f"p-{i}", "problem": f"What is {i} + {2 * i}?", "answer": str(3 * i)}) + "\n")


def pipeline(problems, delay=0.0, **compress):
    teacher = cu.engine("replay", alias="teacher", function="fault_pipeline:answer", delay=delay)
    made = (
        cu.read(path=str(problems))
        | cu.generate(engine=teacher, n=2)
        | cu.verify()
        | cu.select(where="correct", best="n_tokens", per="problem_id")
        | cu.compress(engine=teacher, **compress)
    )
    return made | Pipeline(steps=(Step("dump", REGISTRY["t_dump"], {}),))


def main(folder, problems, store, log, delay, workers):
    os.environ["FAULT_LOG"] = str(log)
    pipeline(problems, delay).run(folder, store=store, workers=workers, progress=False, shard_rows=7)
