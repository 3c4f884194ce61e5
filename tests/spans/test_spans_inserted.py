"""What nobody generated is known to the character: through edits, prefixes and pieces of the trace."""

from hypothesis import given, settings
from hypothesis import strategies as st

from curator import prompts
from curator.spans.edits import Edit, inserted, put_in, replay
from curator.spans.inserted import fits, known, of_prefix, within


@st.composite
def texts_and_logs(draw):
    text = draw(st.text("abcdefgh", max_size=20))
    log, length = [], len(text)
    for i in range(draw(st.integers(0, 5))):
        a = draw(st.integers(0, length))
        b = draw(st.integers(a, length))
        new = draw(st.text("XYZ", max_size=4))
        log.append(Edit(a, b, f"kind{i}", new))
        length += len(new) - (b - a)
    return text, log


def covered(parts):
    return {i for p in parts for i in range(p.start, p.end)}


@settings(deadline=None)
@given(texts_and_logs())
def test_parts_are_what_the_log_put_in_with_its_text(case):
    text, log = case
    out, parts = replay(text, log), put_in(log)
    assert fits(parts, out)
    assert covered(parts) == {i for i, c in enumerate(out) if c.isupper()}
    assert covered(parts) == {i for a, b in inserted(log) for i in range(a, b)}
    assert replay(out, parts) == out


@settings(deadline=None)
@given(texts_and_logs(), st.data())
def test_a_piece_has_its_own_parts(case, data):
    text, log = case
    out = replay(text, log)
    a = data.draw(st.integers(0, len(out)))
    b = data.draw(st.integers(a, len(out)))
    inside = within(put_in(log), a, b)
    assert fits(inside, out[a:b])
    assert covered(inside) == {i for i, c in enumerate(out[a:b]) if c.isupper()}


ROW = {
    "trace": "<think>\nabXcd\n</think>\n\nabX",
    "inserted": [{"start": 10, "end": 11, "kind": "output", "text": "X"}],
    "edit_log": None,
    "think": "abXcd",
    "response": "abX",
    "draft": "mm",
}


def test_columns_of_the_trace():
    assert known(ROW, "trace") == [Edit(10, 11, "output", "X")]
    assert known(ROW, "think") == [Edit(2, 3, "output", "X")]
    assert known(ROW, "response") == []  # the last "abX", not the one in the thinking
    assert known(ROW, "draft") == []


def test_an_edited_column_is_known_by_its_log():
    log = [{"start": 2, "end": 2, "kind": "insert", "text": "HINT"}]
    row = {"trace": "abcd", "inserted": None, "edit_log": log, "hinted": "abHINTcd", "other": "elsewhere"}
    assert known(row, "hinted") == [Edit(2, 6, "insert", "HINT")]
    assert known(row, "trace") == []  # a new trace, which the log did not make
    assert known(row, "other") is None  # changed since, or another text: nobody can say


def test_a_prefix_is_what_the_template_says_and_what_its_columns_hold():
    log = [{"start": 2, "end": 2, "kind": "insert", "text": "HINT"}]
    row = {"trace": "abcd", "inserted": None, "edit_log": log, "hinted": "abHINTcd", "trimmed": "bHINTcd"}
    parts = of_prefix("<think>\n{hinted}!", row, ["hinted"])
    head = prompts.fill("<think>\n{hinted}!", hinted="abHINTcd")
    assert fits(parts, head)
    assert [(p.kind, p.text) for p in parts] == [("prefix", "<think>\n"), ("insert", "HINT"), ("prefix", "!")]
    assert [p.text for p in of_prefix("{trimmed}", row, ["trimmed"])] == ["bHINTcd"]  # as a whole, to be safe


@given(st.text("{}ab", max_size=30), st.dictionaries(st.sampled_from(["a", "b", "ab"]), st.text("xyz{}", max_size=4)))
def test_pieces_join_to_what_is_filled(template, values):
    found = list(prompts.pieces(template, values))
    assert "".join(t for _, t in found) == prompts.fill(template, **values)
    assert all(name is None or text == values[name] for name, text in found)
