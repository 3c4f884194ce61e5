"""`diversify`: the n rows that differ most from each other, by the Vendi score of their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pyarrow as pa

from curator.bounds import Ge
from curator.op import Split, TableFn, View, operator
from curator.ops import _features


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> None:
    """Check the type of the vector column. Raises CheckError."""
    _features.check(settings, columns, "diversify")


@operator(
    "table",
    effect="keeps",
    version=1,
    needs=_features.needs,
    reasons={
        "not_chosen": "other rows make a more diverse set of n",
        "no_vector": "its vector is null or zero, so nothing can be said of it",
    },
)
def diversify(
    *,
    n: Annotated[int, Ge(1)],
    on: str = "grad",
    how: Literal["greedy", "random", "kmeans"] = "greedy",
    seed: int | None = None,
) -> TableFn:
    """Keep the n rows that maximise G-Vendi, approximately: the effective number of different rows among them.

    The score (arXiv 2505.20161) is exp of the entropy of the eigenvalues of the mean outer product of unit vectors. The
    best n rows cannot be found in sensible time. `greedy` adds the row that most raises the score of order 2, by exact
    rank-one updates, then exchanges rows while that raises the score of order 1 (unpublished, ours: see
    `curator.diversity.choose`). It makes no promise of being near the best; instead the receipt counts `vendi` of the
    choice, `vendi_random` of n rows by chance, and `vendi_bound`, which no choice of n rows passes (from the concavity
    of the entropy). Cost: about rows x n x numbers of a vector multiplications, in blocks; all vectors are held, 4
    bytes a number.

    A set that is diverse is not thereby right or of good quality: select for that first. The result depends on no order
    of rows or shards. Rows without a vector are dropped and say so.

    Args:
        n: rows to keep; all that have a vector where there are fewer.
        on: column of vectors: gradient features, or an embedding.
        how: `greedy`; or to compare with: `random` (a hash of the id), `kmeans` (the rows nearest to n centroids).
        seed: of the hash that breaks ties and draws; default the pipeline's seed.

    Raises:
        InputError: vectors that cannot be compared.
    """

    def run(view: View) -> Split:
        import numpy as np

        from curator.diversity.choose import choose
        from curator.diversity.vendi import Moments

        held = _features.held(view, on, "diversify", seed or 0)
        found = choose(held.x, n, how)
        chosen = np.zeros(len(held.x), bool)
        chosen[found.rows] = True
        counts = {"no_vector": float(len(held.missing)), "zero_vectors": float(held.zero)}
        scores = {"vendi": found.vendi, "vendi_random": Moments().add(held.x[:n]).vendi(), "vendi_bound": found.bound}
        counts |= {name: value for name, value in scores.items() if value == value}
        lost = held.ids.filter(pa.array(~chosen))
        reasons = pa.array(["not_chosen"] * len(lost) + ["no_vector"] * len(held.missing), pa.string())
        ids = pa.chunked_array([lost, held.missing], pa.string())
        del held
        view.give_back()
        _features.told(view, "diversify_lost", {"row_id": ids, "reason": reasons})
        return Split(
            "select rows.* from rows anti join diversify_lost using (row_id)",
            "select row_id, reason, '{}' as evidence from diversify_lost",
            counts,
        )

    return run
