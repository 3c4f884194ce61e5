"""kill -9 in the middle of gradients: features reach Parquet all the same, and none is computed twice."""

import time

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import gradient_faults  # noqa: E402
from kills import forkserver, killed_rounds  # noqa: E402

KILLS, ROWS = 3, 36


def features(folder):
    """Return row_id -> (feature, loss) of what a run wrote."""
    files = sorted(folder.glob("steps/*-score/part-*.parquet"))
    rows = [r for f in files for r in pq.read_table(f).to_pylist()]
    return {r["row_id"]: (np.array(r["grad"]), r["grad_loss"]) for r in rows}


def test_killed_and_resumed(tmp_path):
    given = tmp_path / "rows.jsonl"
    gradient_faults.write_rows(given, ROWS)
    with forkserver("gradient_faults") as context:

        def begin(folder, log):
            store = folder.parent / f".store-{folder.name}"
            child = context.Process(target=gradient_faults.main, args=(str(folder), str(given), str(store), str(log)))
            child.start()
            return child

        began = time.monotonic()
        whole = begin(tmp_path / "whole", tmp_path / "whole.log")
        whole.join()
        assert whole.exitcode == 0
        expected = features(tmp_path / "whole")
        assert len(expected) == ROWS
        for folder, _ in killed_rounds(begin, tmp_path, KILLS, time.monotonic() - began):
            found = features(folder)
            assert found.keys() == expected.keys()
            for row, (vector, loss) in found.items():
                # Another batch sums in another order, so the last bits may differ.
                assert np.abs(vector - expected[row][0]).max() < 1e-5
                assert loss == pytest.approx(expected[row][1], rel=1e-5)
                assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
