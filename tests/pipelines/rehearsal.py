"""A stand-in teacher for the replay engine: short rewrites of a long trace, some of them bad on purpose."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from curator.maths.extract import final_answer
from curator.prompts import LEVELS, SECTIONS

TRACES = Path(__file__).resolve().parents[3] / "shared/data/traces/saturn_math500_r1_distill_qwen_7b.parquet"
FAULTS = ("wrong", "long", "sections", "tags", "none", "none", "none", "none", "none", "none")


def fault_of(prompt: str, sample: int) -> str:
    """Which fault the stand-in makes; every tenth prompt never comes right, the others do on a later attempt."""
    draw = hashlib.sha256(prompt.encode("utf-8", "replace")).digest()
    kind = FAULTS[draw[0] % len(FAULTS)]
    return kind if sample == 0 or draw[1] % 4 == 0 else "none"


@cache
def _answers() -> dict[str, str | None]:
    """Problem -> the final answer of its recorded trace, which a teacher would read off the thinking."""
    rows = pq.read_table(TRACES, columns=["problem", "output"]).to_pylist()
    return {r["problem"]: final_answer(r["output"]).text for r in rows}


def teacher(messages, sample_idx, prefix):
    """Judge by a hash, rewrite by the sections of the level, answer as the recorded trace does."""
    prompt = messages[-1].content
    problem, _, long = prompt.partition("Problem:\n")[2].partition("\n\nLong solution:\n")
    level = LEVELS[hashlib.sha256(prompt.encode("utf-8", "replace")).digest()[2] % 3]
    fault = fault_of(prompt, sample_idx)
    answer = "-987654321" if fault == "wrong" else _answers()[problem]
    words = long if fault == "long" else "We use what is given."
    words += "</think>" if fault == "tags" else ""
    names = SECTIONS[level][:-1] if fault == "sections" else SECTIONS[level]
    body = "\n".join(f"**{name}**\n{words}" for name in names)
    return f"DIFFICULTY: {level}\n{body}\n**Solution**\n\\boxed{{{answer}}}"
