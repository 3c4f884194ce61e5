"""Rows, facts and a view for the tests of the export room."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curator import rows
from curator.export.rerun import FolderSink
from curator.ops.export import export

HOSTILE = 'What is 1+1? <script>alert(1)</script> | `x` ``` "quote" \\frac{1}{2} 素数 \u2028'
TYPES = [
    "row_id",
    "problem_id",
    "sample_idx",
    "problem",
    "answer",
    "source",
    "license",
    "domain",
    "trace",
    "finish_reason",
    "error",
    "short_cot",
    "short_solution",
    "verified",
    "tokens_long",
    "tokens_short",
    "engine",
    "model",
    "verdict",
    "verifier",
    "correct",
]
SCHEMA = pa.schema([(name, rows.COLUMNS[name].type) for name in TYPES])


def row(p: int, s: int, **changed) -> dict:
    thinking = f"First thought about {p}, sample {s}.\n\nWait, check: {p}+1."
    base = {
        "row_id": f"p-{p}/{s}", "problem_id": f"p-{p}", "sample_idx": s, "problem": f"What is {p}+1?",
        "answer": str(p + 1),
        "source": "made up", "license": "MIT", "domain": "math",
        "trace": f"<think>\n{thinking}\n</think>\n\nThe answer is \\boxed{{{p + 1}}}.", "finish_reason": "stop",
        "error": None,
        "short_cot": f"**Analysis** {p}/{s}", "short_solution": f"\\boxed{{{p + 1}}}", "verified": s == 0,
        "tokens_long": 40, "tokens_short": 9, "engine": "teacher", "model": "owner/model", "verdict": "correct",
        "verifier": "maths 1", "correct": True,
    }  # fmt: skip
    return {**base, **changed}


def table(found: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(found, schema=SCHEMA)


def some(n: int = 6, samples: int = 2) -> list[dict]:
    return [row(p, s) for p in range(n) for s in range(samples)]


class ArrowView:
    def __init__(self, found: pa.Table) -> None:
        self.schema = found.schema
        self.con = duckdb.connect()
        self.con.register("given", found)
        self.con.execute("CREATE VIEW rows AS SELECT * FROM given")

    def batches(self, columns):
        yield from self.con.sql("SELECT " + ", ".join(columns) + " FROM rows").to_arrow_reader(100)


FACTS = {
    "pipeline": "# small (arXiv 2505.19716)\nname: small\nsteps:\n- read: {path: x.parquet}\n- export: {to: trl}\n",
    "name": "small",
    "seed": 3,
    "receipts": [
        {"step": "read", "op": "read", "rows_in": 14, "made": 0, "out": 13, "dropped": 1, "reasons": {"no_problem": 1}},
        {
            "step": "decontaminate", "op": "decontaminate", "rows_in": 13, "made": 0, "out": 12, "dropped": 1,
            "reasons": {"contaminated": 1},
            "settings": {"against": ["/secret/home/aime24.parquet", "math500"], "ngram": 8},
        },
        {
            "step": "compress", "op": "compress", "rows_in": 12, "made": 0, "out": 12, "dropped": 0, "reasons": {},
            "engines": {"teacher": {"requests": 12, "tokens_in": 100, "tokens_out": 50, "cost": 0.25, "errors": 0}},
            "reports": {"level mix": [{"difficulty": "easy", "rows": 12}]},
        },
    ],
    "engines": {"teacher": {"kind": "vllm", "model": "owner/model", "identity": {}}},
}  # fmt: skip


def written(folder: Path, found, facts=FACTS, **settings) -> Path:
    """Run the operator on rows (dicts or a table) and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    export(**settings)(ArrowView(found if isinstance(found, pa.Table) else table(found)), FolderSink(folder, facts))
    return folder


def read(folder: Path, pattern: str = "data/*.parquet") -> list[dict]:
    return [r for path in sorted(folder.glob(pattern)) for r in pq.read_table(path).to_pylist()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def info(folder: Path, name: str):
    return json.loads((folder / name).read_text())
