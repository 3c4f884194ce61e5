"""`cluster`: marks, sparse clusters, a pool, whatever the order of rows, and bad input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tableview import step
from vectors_stand import featured, unit

import curator as cu
from curator.errors import CheckError, InputError
from curator.op import find
from curator.ops.cluster import check, cluster, inputs

MARKS = ("cluster_id", "cluster_size", "cluster_cosine", "cluster_sparse")


def marks(rows):
    return {r["row_id"]: tuple(r[m] for m in MARKS) for r in rows}


def test_marks_and_counts():
    out, dropped, counts = step(cluster(), featured(unit(60, 8, groups=6)))
    assert not dropped
    assert counts["clusters"] == 6
    by_id = {}
    for row in out:
        by_id.setdefault(row["cluster_id"], []).append(row)
    assert len(by_id) == 6
    for name, rows in by_id.items():
        assert {r["cluster_size"] for r in rows} == {len(rows)}
        assert len({r["cluster_sparse"] for r in rows}) == 1
        assert max(rows, key=lambda r: r["cluster_cosine"])["row_id"] == name
        assert all(-1 <= r["cluster_cosine"] <= 1 + 1e-6 for r in rows)
    sizes = sorted((len(rows), rows[0]["cluster_sparse"]) for rows in by_id.values())
    assert [s for _, s in sizes] == [True] * 3 + [False] * 3 or sizes[2][0] == sizes[3][0]
    assert sum(rows[0]["cluster_sparse"] for rows in by_id.values()) == 3


@pytest.mark.parametrize("seed", [0, 7])
def test_order_and_shards_do_not_count(seed):
    x = unit(90, 6, 3, groups=5)
    rows = featured(x, nulls=(4, 50))
    one = marks(step(cluster(seed=seed), rows)[0])
    order = np.random.default_rng(1).permutation(90)
    other = marks(step(cluster(seed=seed), rows.take(pa.array(order)), batch_rows=17)[0])
    assert one == other
    assert one["r00004"] == (None, None, None, None)
    if seed:
        assert one != marks(step(cluster(seed=0), rows)[0])


def test_legacy_depends_on_the_order_and_ours_on_ids():
    x = unit(60, 4, 5)
    rows = featured(x)
    legacy = marks(step(cluster(legacy=True), rows)[0])
    turned = marks(step(cluster(legacy=True), rows.take(pa.array(range(59, -1, -1))))[0])
    assert legacy != turned
    assert marks(step(cluster(legacy=True, init="hash"), rows)[0]) == marks(
        step(cluster(legacy=True, init="hash"), rows.take(pa.array(range(59, -1, -1))))[0]
    )
    first = marks(step(cluster(init="first_k"), rows)[0])
    assert first != marks(step(cluster(), rows)[0])


def pool_of(tmp_path, x, **more):
    path = tmp_path / "pool.parquet"
    pq.write_table(featured(x, [f"p{i:04}" for i in range(len(x))], **more), path)
    return str(path)


def test_a_pool_marks_the_rows_that_fall_where_it_is_thin(tmp_path):
    axes = np.eye(4, dtype=np.float32)
    pool = np.concatenate([axes, np.repeat(axes, [29, 19, 2, 1], axis=0)])
    pool = pool + np.random.default_rng(0).normal(size=pool.shape).astype(np.float32) * 0.05
    path = pool_of(tmp_path, pool)
    rows = featured(axes + 0.01, ["many", "some", "few", "least"], nulls=())
    plan = {"against": path, "k": 4, "init": "first_k"}
    out, _, counts = step(cluster(**plan), rows)
    found = {r["row_id"]: (r["cluster_size"], r["cluster_sparse"], r["cluster_id"][0]) for r in out}
    assert found == {"many": (30, False, "p"), "some": (20, False, "p"), "few": (3, True, "p"), "least": (2, True, "p")}
    assert counts["pool"] == 55
    assert inputs({"against": path}) == [path]
    assert inputs({"against": None}) == []
    empty = featured(axes[:1], nulls=(0,))
    assert step(cluster(**plan), empty)[0][0]["cluster_id"] is None


def test_the_pool_in_other_order_or_files_is_the_same(tmp_path):
    x = unit(80, 6, 2, groups=6)
    rows = featured(unit(10, 6, 9, groups=6))
    whole = pool_of(tmp_path, x)
    folder = tmp_path / "parts"
    folder.mkdir()
    table = pq.read_table(whole)
    order = np.random.default_rng(0).permutation(80)
    for part in range(4):
        pq.write_table(table.take(pa.array(order[part::4])), folder / f"part-{part}.parquet")
    assert marks(step(cluster(against=whole), rows)[0]) == marks(step(cluster(against=str(folder)), rows)[0])


def test_few_rows_and_none():
    (only,), _, counts = step(cluster(), featured(unit(1, 8)))
    assert (only["cluster_id"], only["cluster_size"], only["cluster_sparse"]) == ("r00000", 1, True)
    assert counts["clusters"] == 1
    out, _, counts = step(cluster(), featured(unit(3, 8), nulls=(0, 1, 2)))
    assert {marks(out)[f"r0000{i}"] for i in range(3)} == {(None,) * 4}
    assert counts["no_vector"] == 3
    zero = np.zeros((4, 3), np.float32)
    zero[3] = 1
    out, _, counts = step(cluster(k=1), featured(zero))
    assert counts["zero_vectors"] == 3
    assert [r["cluster_size"] for r in out] == [None, None, None, 1]
    out, _, counts = step(cluster(), featured(unit(5, 64)))  # n < d, n < 10
    assert counts["clusters"] == 2


def test_plain_lists_are_vectors_too():
    table = pa.table({"row_id": [f"r{i}" for i in range(4)], "embedding": [[1.0, 0], [0.9, 0.1], [0, 1], [0, 2]]})
    out, _, _ = step(cluster(on="embedding", k=2), table)
    assert out[0]["cluster_id"] in ("r0", "r1")
    assert out[2]["cluster_id"] == out[3]["cluster_id"] in ("r2", "r3")


def test_bad_vectors():
    x = unit(6, 4)
    proxies = featured(x, proxy=["pocket"] * 3 + ["qwen"] * 3)
    with pytest.raises(InputError, match=r"cluster: 'grad' holds features of pocket with .* and of qwen .*grad_proxy"):
        step(cluster(), proxies)
    with pytest.raises(InputError, match=r"countsketch:4:0 and of pocket with rademacher:4:0"):
        step(cluster(), featured(x, projection=["countsketch:4:0"] * 3 + ["rademacher:4:0"] * 3))
    bad = x.copy()
    bad[2, 1] = np.nan
    with pytest.raises(InputError, match=r"'grad' of row r00002 holds NaN"):
        step(cluster(), featured(bad))
    uneven = pa.table({"row_id": ["a", "b", "c", "d"], "grad": [[1.0, 2], [1.0], [1.0, 0], [0.0, 1]]})
    with pytest.raises(InputError, match=r"row b has 1 numbers, of row a 2"):
        step(cluster(), uneven)
    with pytest.raises(InputError, match=r"row b has 1 numbers, of row a 2"):
        step(cluster(), uneven, batch_rows=1)
    texts = pa.table({"row_id": ["a"], "grad": ["x"]})
    with pytest.raises(InputError, match="a vector column is a list of numbers"):
        step(cluster(), texts)


def test_too_many_clusters_and_settings_out_of_range():
    with pytest.raises(InputError, match=r"9 clusters of 4 rows with a vector cannot be; lower k to 4"):
        step(cluster(k=9), featured(unit(4, 3)))
    with pytest.raises(InputError, match=r"0 clusters of 4 rows with a vector cannot be; set k"):
        step(cluster(legacy=True), featured(unit(4, 3)))
    for settings in ({"ratio": 1.5}, {"ratio": 1, "legacy": True}):
        with pytest.raises(CheckError, match="ratio"):
            cluster(**settings)


def test_bad_pools(tmp_path):
    rows = featured(unit(4, 6))
    path = pool_of(tmp_path, unit(20, 6), proxy="qwen")
    with pytest.raises(InputError, match=r"with the pool pool.parquet: 'grad' holds features of pocket .* and of qwen"):
        step(cluster(against=path), rows)
    path = pool_of(tmp_path, unit(20, 5), projection="countsketch:6:0")
    with pytest.raises(InputError, match=r"'grad' has 6 numbers, in the pool pool.parquet 5"):
        step(cluster(against=path), rows)
    path = pool_of(tmp_path, unit(20, 6), on="grads")
    with pytest.raises(InputError, match=r"has no column grad; did you mean 'grads'"):
        step(cluster(against=path), rows)
    path = pool_of(tmp_path, unit(2, 6), nulls=(0, 1))
    with pytest.raises(InputError, match="the pool has none"):
        step(cluster(against=path), rows)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        step(cluster(against=str(broken)), rows)


@pytest.mark.parametrize("verb", [cu.cluster(on="grda"), cu.diversify(n=2, on="grda")])
def test_a_column_that_is_not_there_has_its_near_miss(verb, tmp_path):
    pq.write_table(featured(unit(4, 3), problem=["a", "b", "c", "d"]), tmp_path / "rows.parquet")
    with pytest.raises(CheckError, match="needs column 'grda'.*did you mean 'grad'"):
        (cu.read(path=str(tmp_path / "rows.parquet")) | verb).run(tmp_path / "run", progress=False)


def test_the_type_is_checked_before_the_first_row():
    with pytest.raises(CheckError, match=r"cluster: column 'problem' is string.*there is grad"):
        check({"on": "problem"}, {"problem": pa.string(), "grad": pa.list_(pa.float32(), 4)})
    check({"on": "grad"}, {"grad": pa.list_(pa.float32(), 4)})
    assert find("cluster").needs({"on": "embedding"}) == ("row_id", "embedding")
