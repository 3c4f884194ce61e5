"""A loop of draw, propose, solve and vote on the replay engine, as child processes run it to be killed."""

from __future__ import annotations

import hashlib
import json
import os
import re

import run_stand_ins  # noqa: F401 - registers t_dump

import curator as cu
import curator.ops.dedup
import curator.ops.draw
import curator.ops.generate
import curator.ops.loop
import curator.ops.propose
import curator.ops.read
import curator.ops.select
import curator.ops.verify  # noqa: F401 - loaded once, before the fork
from curator.op import REGISTRY
from curator.pipeline import Pipeline, Step


def answer(messages, sample_idx, prefix):
    text = messages[-1].content
    with open(os.environ["FAULT_LOG"], "a") as log:
        log.write(json.dumps([text, sample_idx]) + "\n")
    if "Write one new problem" in text:
        a, b = hashlib.sha256(text.encode()).digest()[:2]
        return f"What is {a} + {b}?"
    a, b = map(int, re.search(r"What is (\d+) \+ (\d+)\?", text).groups())
    return f"\\boxed{{{a + b + sample_idx * (a % 4 == 0)}}}"


def pipeline(problems, delay=0.0, rounds=3):
    teacher = cu.engine("replay", alias="teacher", function="fault_loop:answer", delay=delay)
    body = (
        cu.draw(n=10, k=3)
        | cu.propose(engine=teacher)
        | cu.dedup(on="problem", against="${state}")
        | cu.generate(engine=teacher, n=3)
        | cu.verify(kind="consensus")
        | cu.select(where="correct", best="sample_idx", per="problem_id")
    )
    made = cu.read(path=str(problems)) | cu.loop(rounds=rounds, steps=body)
    return made | Pipeline(steps=(Step("dump", REGISTRY["t_dump"], {}),))


def main(folder, problems, store, log, delay):
    os.environ["FAULT_LOG"] = str(log)
    pipeline(problems, delay).run(folder, store=store, workers=0, progress=False, shard_rows=4)
