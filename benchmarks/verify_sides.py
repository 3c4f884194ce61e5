"""The two sides of `verify.py` on pairs and traces, and their race."""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from curator.maths import arith, clean, exact, shape
from curator.maths.extract import final_answer, reference
from curator.maths.judge import judge
from curator.maths.pool import Pair, Pool

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
FILES = ("hendrycks_math_equivalence.jsonl", "olympiadbench_scoring.jsonl", "model_answer_pairs.jsonl.zst")
OUTPUTS = (
    "saturn_math500_r1_distill_qwen_7b", "saturn_aime24_aime25_4models", "qwen_math_cot_100x8",
    "zeroeval_math_l5_outputs_8models", "gsm8k_example_model_solutions_4models", "thinking_on_off_qwen3",
)  # fmt: skip

LONG = OUTPUTS[:2]
CHUNK = 16  # pairs a process takes at a time where two work


def load(name: str) -> list[dict]:
    path = DATA / "equivalence" / name
    lines = io.TextIOWrapper(zstandard.open(path, "rb")) if name.endswith("zst") else path.open()
    return [json.loads(line) for line in lines]


def cold() -> None:
    """Forget the memoised texts of this process; the worker stays, as both sides keep their parser's tables."""
    for memo in (clean.clean, shape.shape, arith.read, exact.value, exact._factors):
        memo.cache_clear()


def ours_pairs(pairs: list[tuple[str, str]]) -> list[str]:
    return [v.verdict for v in judge(pairs)]


def theirs_pairs(pairs: list[tuple[str, str]]) -> list[str]:
    from math_verify import parse
    from math_verify import verify as equal

    return [_theirs(parse, equal, rf"\boxed{{{g}}}", rf"\boxed{{{p}}}") for g, p in pairs]


def theirs_traces(rows: list[tuple[str, str]]) -> list[str]:
    """(gold, trace) rows."""
    from math_verify import parse
    from math_verify import verify as equal

    return [_theirs(parse, equal, rf"\boxed{{{reference(g)}}}", t) for g, t in rows]


def _theirs(parse: Callable, equal: Callable, gold: str, text: str) -> str:
    try:
        return "correct" if equal(parse(gold), parse(text)) else "incorrect"
    except Exception:
        return "error"


def ours_traces(rows: list[tuple[str, str]]) -> list[str]:
    """(gold, trace) rows; extraction included."""
    return [v for _, v, _ in judged(rows)]


def judged(rows: list[tuple[str, str]], opened: list[bool] | None = None) -> list[tuple[str | None, str, str]]:
    """(answer, verdict, detail) of (gold, trace) rows."""
    opened = opened or [False] * len(rows)
    found = [final_answer(t, opened=o) for (_, t), o in zip(rows, opened, strict=True)]
    pairs = [(reference(g), f.text) for (g, _), f in zip(rows, found, strict=True) if f.text and g]
    verdicts = iter(judge(pairs))
    return [
        (f.text, v.verdict, v.detail or "")
        for (g, _), f in zip(rows, found, strict=True)
        for v in [next(verdicts) if f.text and g else _Nothing("unparseable" if g else "no_reference", f.how)]
    ]


class _Nothing:
    def __init__(self, verdict: str, detail: str) -> None:
        self.verdict, self.detail = verdict, detail


def traces(name: str) -> tuple[pa.Table, list[tuple[str, str]], list[bool]]:
    """Rows of a trace file: the table, (gold, trace) and whether the prompt opened the thinking."""
    table = pq.read_table(DATA / "traces" / f"{name}.parquet")
    rows = [
        (str(g or ""), str(t or ""))
        for g, t in zip(table["gold"].to_pylist(), table["output"].to_pylist(), strict=True)
    ]
    prompts = table["prompt"].to_pylist() if "prompt" in table.column_names else [""] * len(rows)
    return table, rows, [str(p or "").rstrip().endswith("<think>") for p in prompts]


def cpu() -> float:
    """CPU seconds of this process and all its descendants that live."""
    me = psutil.Process()
    return sum(t.user + t.system for t in (p.cpu_times() for p in [me, *me.children(recursive=True)]))


def race(rounds: int, work: dict[str, Callable[[int], object]], n: int) -> dict[str, object]:
    """Run all sides alternating, other rows each round; return pairs/s, medians and all rounds."""
    for name in work:
        work[name](rounds)  # parser tables and first imports are not on the clock
    seconds: dict[str, list[float]] = {name: [] for name in work}
    burnt: dict[str, list[float]] = {name: [] for name in work}
    for r in range(rounds):
        for name in list(work) if r % 2 == 0 else list(work)[::-1]:
            cold()
            used, start = cpu(), time.perf_counter()
            work[name](r)
            seconds[name].append(time.perf_counter() - start)
            burnt[name].append(cpu() - used)
    wall = {name: n / statistics.median(s) for name, s in seconds.items()}
    rates = {name: n / max(statistics.median(s), 0.01) for name, s in burnt.items()}
    first, second = list(work)
    return {
        "pairs": n,
        "pairs_per_second": {k: round(v, 1) for k, v in wall.items()},
        "ratio": round(wall[first] / wall[second], 2),
        "pairs_per_cpu_second": {k: round(v, 1) for k, v in rates.items()},
        "cpu_ratio": round(rates[first] / rates[second], 2),
        "seconds": {k: [round(x, 3) for x in v] for k, v in seconds.items()},
    }


def _cold_chunk(work: Callable[[list], list[str]], rows: list) -> list[str]:
    cold()
    return work(rows)


def _round(run: Callable, work: Callable, samples: list[list], r: int) -> None:
    run(work, samples[r])


def speed(rounds: int) -> dict[str, object]:
    """Both sides on long traces and short answers, with one process and with two; our pool with one worker and two."""
    parts = rounds + 1
    rows = [row for name in LONG for row in traces(name)[1]]
    every = [(r["gold"], r["pred"]) for r in load(FILES[2])]
    long = [rows[i::parts] for i in range(parts)]
    short = [every[i :: 7 * parts] for i in range(parts)]
    kinds = {"long traces": (long, ours_traces, theirs_traces), "short answers": (short, ours_pairs, theirs_pairs)}
    result: dict[str, object] = {}
    with ProcessPoolExecutor(2, get_context("spawn")) as two:

        def spread(work: Callable[[list], list[str]], pairs: list) -> list[str]:
            chunks = [pairs[i : i + CHUNK] for i in range(0, len(pairs), CHUNK)]
            return [v for found in two.map(_cold_chunk, [work] * len(chunks), chunks) for v in found]

        for name, (samples, mine, theirs) in kinds.items():
            n = min(map(len, samples))
            cut = [sample[:n] for sample in samples]
            for processes, run in ((1, lambda work, pairs: work(pairs)), (2, spread)):
                work = {"ours": partial(_round, run, mine, cut), "math_verify": partial(_round, run, theirs, cut)}
                key = f"{name}, {processes} process{'es' * (processes > 1)}"
                result[key] = race(rounds, work, n)
                print(key, json.dumps(result[key]))
    hard = [Pair(rf"\sin^2 x + {i}", rf"{i + 1} - \cos^2 x") for i in range(96 * parts)]
    pools = {"2 workers": Pool(2), "1 worker": Pool(1)}
    sets = [hard[96 * r : 96 * r + 96] for r in range(parts)]
    ask = {k: partial(_round, lambda work, pairs: work(pairs), p.ask, sets) for k, p in pools.items()}
    result["pool, pairs that need sympy"] = race(rounds, ask, 96)
    print("pool", json.dumps(result["pool, pairs that need sympy"]))
    return result
