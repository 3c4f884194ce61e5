"""The edit log replays to the edited text, and tells which characters were put in."""

from hypothesis import given, settings
from hypothesis import strategies as st

from curator.spans.edits import Edit, Plan, counted, cut_span, edits, inserted, positions, replay

KINDS = ("keep", "cut", "insert", "replace", "drop", "mask", "prepend")


@st.composite
def texts_and_logs(draw):
    text = draw(st.text("abcdefgh", max_size=20))
    log, length = [], len(text)
    for _ in range(draw(st.integers(0, 5))):
        a = draw(st.integers(0, length))
        b = draw(st.integers(a, length))
        new = draw(st.text("XYZ", max_size=4))
        log.append(Edit(a, b, "replace", new))
        length += len(new) - (b - a)
    return text, log


@settings(deadline=None)
@given(texts_and_logs())
def test_what_was_put_in_is_known_to_the_character(case):
    text, log = case
    out = replay(text, log)
    marked = set()
    for a, b in inserted(log):
        assert a < b <= len(out)
        marked |= set(range(a, b))
    assert all(c.isupper() == (i in marked) for i, c in enumerate(out))


@st.composite
def cut_texts(draw):
    pieces = draw(st.lists(st.text("abc\n", min_size=1, max_size=5), min_size=1, max_size=8))
    kinds = [draw(st.sampled_from(["start", "Wait", "outside"])) for _ in pieces]
    spans, at = [], 0
    for p, k in zip(pieces, kinds, strict=True):
        spans.append({"start": at, "end": at + len(p), "kind": k})
        at += len(p)
    return "".join(pieces), spans


@settings(deadline=None)
@given(
    cut_texts(), st.sampled_from(KINDS), st.sampled_from([0, 1, -1, [0, 2], "all", "inner", "random"]), st.booleans()
)
def test_every_edit_touches_its_spans_only(case, kind, at, before):
    text, spans = case
    plan = Plan(kind, at, "before" if before else "after", (0.5,), (0.0, 1.0), 1.0, None)
    places = counted(spans, None) if kind != "prepend" else [(0, 0)]
    chosen = positions(plan, len(places), "d")
    if not chosen:
        return
    log = edits(plan, text, places, chosen, lambda i: "<new>", "d")
    out = replay(text, log)
    assert [out[a:b] for a, b in inserted(log)] == (["<new>"] * len(log) if kind != "drop" else []) or kind in (
        "insert", "replace", "mask",
    )  # fmt: skip
    gone = {"replace", "drop", "mask"}
    kept = text
    if kind in gone:
        kept = "".join(c for i, c in enumerate(text) if not any(a <= i < b for a, b in (places[k] for k in chosen)))
    if kind in ("keep", "cut"):
        kept = text[: places[max(chosen)][1]]
    assert out.replace("<new>", "") == kept


def test_the_fraction_of_a_cut_keeps_whole_spans():
    spans = [(0, 4), (4, 8), (8, 12)]
    assert [cut_span(spans, f) for f in (0.1, 0.34, 0.67, 0.99, 1.0)] == [0, 0, 1, 1, 2]


def test_random_stays_between():
    plan = Plan("keep", "random", "after", (0.5,), (1 / 3, 1.0), 1.0, None)
    seen = {positions(plan, 9, str(i))[0] for i in range(300)}
    assert seen == set(range(2, 9))
    assert positions(plan, 0, "x") == []
    assert positions(plan, 1, "x") == [0]


def test_a_mask_by_chance():
    plan = Plan("mask", "all", "after", (0.5,), (0.0, 1.0), 0.25, None)
    spans = [(i, i + 1) for i in range(4000)]
    log = edits(plan, "x" * 4000, spans, range(4000), lambda i: "_", "d")
    assert 850 < len(log) < 1150
    assert log == edits(plan, "x" * 4000, spans, range(4000), lambda i: "_", "d")
