"""`verify` with kind consensus: the answer most samples of a problem give, with or without a reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from curator import rows
from curator.op import Split, TableFn, View
from curator.ops._sql import with_columns
from curator.ops._verify import read, rules_of
from curator.ops._verify_settings import ADDS, CONSENSUS, Settings
from curator.rows import quote

PART = 50_000  # samples compared at a time; the samples of a problem are never parted

Sample = Mapping[str, Any]


def table_function(settings: Settings) -> TableFn:
    """Return the function of the step."""

    def run(view: View) -> Split:
        _store_answers(view, settings)
        view.con.execute(
            "create or replace temp table consensus_said (row_id varchar, verdict varchar, correct boolean, "
            "score double, score_scale varchar, predicted_answer varchar, verifier varchar, verdict_detail varchar, "
            "consensus_answer varchar, consensus_votes integer, consensus_n integer, consensus_undecided integer)"
        )
        counts = {"problems": 0.0, "with_consensus": 0.0}
        for samples in _parts(view):
            said, problems, agreed = _judge(samples, settings)
            counts["problems"] += problems
            counts["with_consensus"] += agreed
            view.con.register("consensus_batch", said)
            view.con.execute("insert into consensus_said select * from consensus_batch")
            view.con.unregister("consensus_batch")
        new = {name: f"s.{quote(name)}" for name in ADDS + CONSENSUS}
        select = with_columns(view.schema, new)
        return Split(f"select {select} from rows join consensus_said s using (row_id)", None, counts)

    return run


def _store_answers(view: View, settings: Settings) -> None:
    """Fill consensus_answers(row_id, grp, idx, answer, why): short texts beside ids, which DuckDB may spill."""
    view.con.execute(
        "create or replace temp table consensus_answers (row_id varchar, grp varchar, idx bigint, answer varchar, "
        "verdict varchar, why varchar)"
    )
    group, trace = settings["by"], settings["trace"]
    also = [c for c in ("sample_idx", "finish_reason", "prompt", "error") if c in view.schema.names]
    for batch in view.batches(list(dict.fromkeys(["row_id", group, trace, *also]))):
        table = pa.Table.from_batches([batch])
        ids = table["row_id"].to_pylist()
        keys = [i if k is None else str(k) for i, k in zip(ids, table[group].to_pylist(), strict=True)]
        order = table["sample_idx"].to_pylist() if "sample_idx" in table.column_names else [None] * len(ids)
        found = [_answer(case) for case in read(table, {**settings, "answer": ""})]
        answers, verdicts, why = ([f[at] for f in found] for at in range(3))
        made = {"row_id": ids, "grp": keys, "idx": order, "answer": answers, "verdict": verdicts, "why": why}
        types = {"idx": pa.int64()}
        stored = pa.table({n: pa.array(v, types.get(n, pa.string())) for n, v in made.items()})
        view.con.register("consensus_batch", stored)
        view.con.execute("insert into consensus_answers select * from consensus_batch")
        view.con.unregister("consensus_batch")


def _answer(case: Any) -> tuple[str | None, str | None, str | None]:
    """The final answer of a sample, or (None, verdict, why) where it has none."""
    from curator.verdicts.case import UNPARSEABLE

    if lacking := case.unread(""):
        return None, lacking.verdict, lacking.detail
    if case.found.text:
        return case.found.text.encode("utf-8", "replace").decode(), None, None
    return None, UNPARSEABLE, "truncated" if case.found.how == "truncated" else "no answer found"


def _parts(view: View) -> Iterator[list[Sample]]:
    """Yield samples in the order of problem, sample number, row id; some problems at a time."""
    ((count,),) = view.con.execute("select count(*) from consensus_answers").fetchall()
    parts = -(-count // PART)
    for part in range(parts):
        query = (
            f"select * from consensus_answers where md5_number_lower(grp) % {parts} = {part} "
            "order by grp, idx nulls last, row_id"
        )
        yield view.con.sql(query).to_arrow_table().to_pylist()


def _judge(samples: Sequence[Sample], settings: Settings) -> tuple[pa.Table, int, int]:
    """Return the new columns of the samples, the number of problems, and of those with one consensus."""
    from curator.verdicts.consensus import classes, winners

    problems = [list(group) for _, group in groupby(samples, key=itemgetter("grp"))]
    grouped = classes([[s["answer"] for s in problem] for problem in problems], rules_of(settings).same)
    said: list[dict[str, Any]] = []
    agreed = 0
    for problem, found in zip(problems, grouped, strict=True):
        won = winners(found, len(problem), settings["majority"])
        agreed += len(won) == 1
        said += _said(problem, found, won, settings["majority"])
    schema = pa.schema([("row_id", pa.string()), *rows.types(ADDS + CONSENSUS).items()])
    return pa.Table.from_pylist(said, schema), len(problems), agreed


def _said(problem: Sequence[Sample], found: list[list[int]], won: list[int], majority: str) -> Iterator[dict[str, Any]]:
    """Yield the new columns of each sample of a problem."""
    from curator.verdicts.consensus import VERIFIER

    mine = {position: number for number, members in enumerate(found) for position in members}
    decided = len(mine)
    votes = max((len(found[w]) for w in won), default=None)
    answer = problem[found[won[0]][0]]["answer"] if len(won) == 1 else None
    for position, sample in enumerate(problem):
        own = mine.get(position)
        share = len(found[own]) / len(problem) if own is not None else None
        if own is None:
            verdict, why = sample["verdict"], sample["why"]
        elif won:
            verdict, why = ("correct" if own in won else "incorrect"), f"{len(found[own])} of {len(problem)} agree"
        else:
            sizes = ", ".join(str(n) for n in sorted(map(len, found), reverse=True)[:8])
            verdict, why = "no_reference", f"no majority: votes {sizes} of {len(problem)}"
        yield {
            "row_id": sample["row_id"], "verdict": verdict, "score": share, "verdict_detail": why,
            "correct": {"correct": True, "incorrect": False}.get(verdict), "predicted_answer": sample["answer"],
            "score_scale": "0-1" if share is not None else None, "verifier": f"{VERIFIER}:{majority}",
            "consensus_answer": answer, "consensus_votes": votes, "consensus_n": decided,
            "consensus_undecided": len(problem) - decided,
        }  # fmt: skip
