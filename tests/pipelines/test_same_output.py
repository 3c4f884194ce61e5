"""The main job gives the same bytes whatever the cut into shards and files, the order of rows, and the workers."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.check import load
from curator.pocket import world
from curator.run.local import run

# The main job, its teacher recorded, its problems from files; every operator of pipelines/litecot.yaml and no other.
PAGE = """
name: same
engines:
  teacher: {kind: replay, function: "same_answers:answer"}
steps:
  - read: {path: "problems/*.parquet"}
  - dedup: {on: problem}
  - decontaminate: {against: builtin:pocket-eval}
  - generate: {engine: teacher, n: 4}
  - verify:
  - grade:
  - select: {where: correct, best: n_tokens, per: problem_id}
  - compress: {engine: teacher}
  - export: {to: [trl, verl-rl]}
"""
# Right and wrong answers, none at all, thinking cut off, rewrites that fail every check, by a hash of what is asked.
ANSWERS = """
import hashlib
from curator import prompts
from curator.pocket import world

ANSWERS = {r["problem"]: r["answer"] for r in world.rows("pocket", None, 0)}

def answer(messages, sample_idx, prefix):
    asked = messages[-1].content
    box = "\\\\boxed{%s}" % next((a for p, a in ANSWERS.items() if p in asked), "0")
    draw = hashlib.sha256(f"{sample_idx} {asked}".encode()).digest()
    if "Long solution:" in asked:
        level = prompts.LEVELS[draw[0] % 3]
        names = prompts.SECTIONS[level][: -1 if draw[1] % 5 == 0 else None]
        words = "So. " * (400 if draw[2] % 5 == 0 else 2)
        text = f"DIFFICULTY: {level}\\n" + "".join(f"**{s}**\\n{words}\\n" for s in names)
        return text + "**Solution**\\n" + (box if draw[3] % 5 else "\\\\boxed{-7}")
    thought = "<think>" + "Let me see. " * (40 + draw[0] % 50) + ("" if draw[1] % 9 == 0 else "</think>\\n\\n")
    return thought + ("Who knows." if draw[2] % 7 == 0 else box if draw[3] % 3 else "\\\\boxed{-8}")
"""
pytestmark = pytest.mark.slow

COUNT = 110  # with 12 twins and 6 leaks 128 rows: 64 shards of 2


@pytest.fixture(scope="module")
def problems():
    """Problems of the built-in world, its planted twins and leaks among them, and rows that `read` refuses."""
    made = list(world.rows("pocket", COUNT, 0))
    rows = [{"id": f"p-{i}", "problem": r["problem"], "answer": r["answer"], "source": "s"} for i, r in enumerate(made)]
    rows += [{**row, "id": f"twin-{row['id']}"} for row in rows[:12]]
    leaks = [{"id": f"leak-{i}", **r} for i, r in zip(range(6), world.rows("pocket-eval", 6, 0), strict=False)]
    rows += [{"id": r["id"], "problem": r["problem"], "answer": r["answer"], "source": "s"} for r in leaks]
    return [*rows, {"id": "blank", "problem": " ", "answer": "1", "source": None}]


def outcome(folder: Path, rows: list, monkeypatch, *, files: int = 1, **options) -> tuple[dict[str, str], list]:
    """Run the page in `folder`; return a hash of every file of `out/`, and the ledger in order.

    The evidence of `read` says the file and line a row stood at, which is another one in another order.
    """
    (folder / "problems").mkdir(parents=True)
    (folder / "same_answers.py").write_text(ANSWERS)
    (folder / "page.yaml").write_text(PAGE)
    for i in range(files):
        pq.write_table(pa.Table.from_pylist(rows[i::files]), folder / "problems" / f"{i:02d}.parquet")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    done = run(load("page.yaml"), "run", progress=False, **options)
    out = done.folder / "out"
    hashes = {
        f.relative_to(out).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(out.rglob("*")) if f.is_file()
    }  # fmt: skip
    told = pq.read_table(done.folder / "ledger.parquet").to_pylist()
    ledger = [{**e, "evidence": None} if e["step"] == "read" else e for e in told]
    return hashes, sorted(ledger, key=lambda e: [str(v) for v in e.values()])


@pytest.fixture(scope="module")
def undisturbed(problems, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return outcome(tmp_path_factory.mktemp("one"), problems, patch, workers=0, shard_rows=10_000)


def test_the_job_exercises_every_operator(undisturbed):
    hashes, ledger = undisturbed
    dropped = {e["step"] for e in ledger if e["event"] == "dropped"}
    assert dropped >= {"read", "dedup", "decontaminate", "select"}
    assert {"README.md", "data/train-00000-of-00001.parquet", "verl-rl/train-00000-of-00001.parquet"} <= set(hashes)


@pytest.mark.parametrize(("shards", "workers"), [(1, 1), (7, 0), (7, 2), (64, 2)])
def test_the_cut_into_shards_and_the_workers_do_not_show(undisturbed, problems, tmp_path, monkeypatch, shards, workers):
    rows = -(-(len(problems) - 1) // shards)  # the blank problem is dropped while reading
    found = outcome(tmp_path / "b", problems, monkeypatch, workers=workers, shard_rows=rows)
    assert found == undisturbed
    cut = len(list((tmp_path / "b/run/steps/01-read").glob("part-*.parquet")))
    assert cut == shards


@pytest.mark.parametrize(("seed", "shards", "workers"), [(1, 7, 1), (2, 64, 0)])
def test_the_order_of_the_rows_does_not_show(undisturbed, problems, tmp_path, monkeypatch, seed, shards, workers):
    mixed = random.Random(seed).sample(problems, len(problems))
    rows = -(-len(problems) // shards)
    assert outcome(tmp_path / "b", mixed, monkeypatch, workers=workers, shard_rows=rows) == undisturbed


@pytest.mark.parametrize("files", [64])
def test_the_files_the_rows_come_in_do_not_show(undisturbed, problems, tmp_path, monkeypatch, files):
    assert outcome(tmp_path / "b", problems, monkeypatch, files=files, workers=0, shard_rows=10) == undisturbed
