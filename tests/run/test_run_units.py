"""How rows are cut into units of work: enough for several workers, never by how many there are."""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import curator as cu
from curator.run.segment import PIECE_ROWS, PIECES, cut, rows_of_unit
from curator.shards import Part


@given(st.lists(st.integers(0, 9000), min_size=1, max_size=20), st.none() | st.integers(1, 256))
def test_units_are_all_rows_once_and_enough_for_several_workers(sizes, most):
    shards = [Part(Path(str(i)), n) for i, n in enumerate(sizes)]
    units = cut(shards, rows_of_unit(shards, most))
    of = defaultdict(list)
    for unit in units:
        of[unit.source].append(unit)
    for shard in shards:
        ends = list(accumulate((u.rows for u in of[shard.path]), initial=0))
        assert ends[-1] == shard.rows
        assert [u.start for u in of[shard.path]] == ends[:-1]
    assert [u.number for u in units] == list(range(len(units)))
    if most is None:
        assert len(units) >= min(PIECES, -(-sum(sizes) // PIECE_ROWS))
        assert len(units) <= max(len(shards), 2 * PIECES + len(shards))
    else:
        assert max(u.rows for u in units) <= most


def test_one_file_of_a_few_thousand_rows_is_shared_out(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"problem": "{i}+1?", "answer": "{i + 1}", "trace": "{i + 1}"}}\n' for i in range(1200)))
    done = (cu.read(str(rows)) | cu.verify()).run(tmp_path / "run", workers=2, progress=False)
    assert next(r for r in done.receipts if r["step"] == "verify")["parts"] == 5
    assert done.table("verify").to_arrow_table()["verdict"].to_pylist() == ["correct"] * 1200
