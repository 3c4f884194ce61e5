"""Labels of tokens: exactly what the model wrote is learned, with a real tokenizer and by axolotl's own rule."""

import pytest
from export_stand import read, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_export_inserted import OUTPUT, TRACE, part, plain, ran, table

from curator.export import token_labels
from curator.export.axolotl import details
from curator.pocket import MODEL_DIR

transformers = pytest.importorskip("transformers", reason="needs the extra [local]")
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
)  # fmt: skip
NO_THINKING = CHATML.replace("m.content", "m.content.split('</think>')[-1]")


@pytest.fixture(scope="module")
def tokenizer():
    if not (MODEL_DIR / "tokenizer.json").exists():
        pytest.skip("the pocket's tokenizer is not there")
    found = transformers.AutoTokenizer.from_pretrained(MODEL_DIR)
    found.chat_template = CHATML
    return found


def test_only_what_the_model_wrote_is_learned(tmp_path, tokenizer):
    rows = read(written(tmp_path / "d", table(ran(), plain()), to="axolotl"))
    masked, whole = token_labels(rows, tokenizer)
    learned = tokenizer.decode([t for t, y in zip(*masked.values(), strict=True) if y >= 0])
    assert all(y in (t, -100) for t, y in zip(*masked.values(), strict=True))
    before, after = TRACE.split(OUTPUT)
    plainly = lambda text: text.replace(" ", "")  # noqa: E731 - a tokenizer may hang a space on the word after it
    assert plainly(learned).startswith(plainly(before).rstrip())
    assert plainly(after).strip() in plainly(learned)
    assert "output" not in learned
    assert "What is" not in learned
    assert tokenizer.decode([y for y in whole["labels"] if y >= 0]).count("First thought") == 1


def test_a_template_that_changes_the_answer_is_refused(tmp_path, tokenizer):
    rows = read(written(tmp_path / "d", table(ran()), to="axolotl"))
    with pytest.raises(ValueError, match="row 0: the chat template changes the answer"):
        list(token_labels(rows, tokenizer, chat_template=NO_THINKING))


def by_axolotl(content, detail, tokenizer):
    """Which tokens of a content axolotl learns: those inside a range that is widened to the borders of tokens."""
    starts = [a for a, _ in tokenizer(content, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]]
    places = [(a, b - 1) for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
    learned = set()
    for d in detail:
        inside = [i for i, (a, b) in enumerate(places) if a < d["end_offset"] + 1 and b > d["begin_offset"] - 1]
        learned |= set(inside) if d["train"] else set()
    return places, learned


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=st.integers(0, len(TRACE)), b=st.integers(0, len(TRACE)))
def test_by_axolotls_rule_no_token_inside_a_part_is_learned(tokenizer, a, b):
    a, b = min(a, b), max(a, b)
    places, learned = by_axolotl(TRACE, details(len(TRACE), [(a, b)] if a < b else []), tokenizer)
    for i, (start, end) in enumerate(places):
        wholly = a <= start and end < b
        outside = end < a or start >= b
        assert not (wholly and i in learned), TRACE[start : end + 1]
        assert not outside or i in learned


def test_the_part_of_the_table_is_where_it_says():
    assert TRACE[part(OUTPUT)["start"] : part(OUTPUT)["end"]] == OUTPUT
