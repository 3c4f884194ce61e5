"""Groupings by loss: brute force says what is best, and a descent never makes it worse."""

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.spans.chunks import Pieces, average, best, local, smallest

SCORED = st.lists(st.tuples(st.floats(-30, 0), st.integers(0, 9)), min_size=1, max_size=9)


def pieces_of(scored):
    return Pieces.of([s if n else 0.0 for s, n in scored], [n for _, n in scored])


def every(n, parts, small):
    for inner in combinations(range(1, n), min(parts, n) - 1):
        edges = [0, *inner, n]
        if all(b - a >= small for a, b in zip(edges, edges[1:], strict=False)):
            yield edges


@settings(deadline=None, max_examples=200)
@given(SCORED, st.integers(1, 4), st.sampled_from([0.1, 0.5, 1.0]))
def test_best_is_the_lowest_of_all(scored, parts, least):
    pieces = pieces_of(scored)
    small = smallest(pieces.n, parts, least)
    lowest = min(pieces.loss(e) for e in every(pieces.n, parts, small))
    found = best(pieces, parts, least)
    assert found in list(every(pieces.n, parts, small))
    assert pieces.loss(found) == lowest or math.isclose(pieces.loss(found), lowest, abs_tol=1e-9)


@settings(deadline=None, max_examples=200)
@given(SCORED, st.integers(1, 4), st.sampled_from([0.1, 0.5, 1.0]))
def test_a_descent_ends_where_no_move_lowers(scored, parts, least):
    pieces = pieces_of(scored)
    small = smallest(pieces.n, parts, least)
    found = local(pieces, parts, least)
    assert found in list(every(pieces.n, parts, small))
    assert pieces.loss(found) <= pieces.loss(average(pieces.n, parts))
    near = [e for e in every(pieces.n, parts, small) if sum(abs(a - b) for a, b in zip(e, found, strict=True)) == 1]
    assert all(pieces.loss(e) >= pieces.loss(found) - 1e-9 for e in near)


def test_a_boundary_moves_to_where_the_loss_changes():
    pieces = Pieces.of([-1.0, -1.0, -1.0, -9.0], [1] * 4)  # the last is hard: alone it would weigh a half
    assert local(pieces, 2, 0.5) == [0, 1, 4]
    assert best(pieces, 2, 0.5) == [0, 1, 4]
    assert local(pieces, 2, 1.0) == [0, 2, 4]  # as many each, nothing may move


def test_a_descent_can_stick_and_best_does_not():
    pieces = Pieces.of([-0.1, -0.1, -4.0, -3.0, -9.0, -0.5, -6.0, -0.1], [1] * 8)
    stuck, lowest = local(pieces, 3, 0.1), best(pieces, 3, 0.1)
    assert pieces.loss(lowest) < pieces.loss(stuck) < pieces.loss(average(8, 3))


@pytest.mark.parametrize(("n", "parts", "edges"), [(9, 4, [0, 2, 4, 6, 9]), (2, 4, [0, 1, 2]), (1, 1, [0, 1])])
def test_average_is_segments_own(n, parts, edges):
    from curator.spans.cuts import equal

    assert average(n, parts) == edges
    text = "\n\n".join("abcdefghi"[:n])
    cut = equal(text, parts, "paragraphs").starts
    assert cut == [3 * e for e in edges[:-1]]
