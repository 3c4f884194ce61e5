"""Training never learns text that no model wrote: masked where the format can say so, left out elsewhere, and told."""

import pyarrow as pa
import pytest
import yaml
from export_stand import SCHEMA, read, row, written
from hypothesis import given
from hypothesis import strategies as st

from curator import rows
from curator.errors import CheckError, InputError
from curator.export.axolotl import details
from curator.export.formats import all_formats

TYPE = rows.COLUMNS["inserted"].type
TRACE = "<think>\nLet me run it.\n```python\nprint(2)\n```\n```output\n2\n```\nSo 2.\n</think>\n\nHere: \\boxed{2}."
OUTPUT = "```output\n2\n```\n"


def part(text, kind="output", trace=TRACE):
    at = trace.index(text)
    return {"start": at, "end": at + len(text), "kind": kind, "text": text}


def table(*found, **more):
    schema = SCHEMA.append(pa.field("inserted", TYPE))
    for name, kind in more.items():
        schema = schema.append(pa.field(name, kind))
    return pa.Table.from_pylist(list(found), schema=schema)


def ran(p=0, **changed):
    return row(p, 0, **{"verified": False, "trace": TRACE, "inserted": [part(OUTPUT)], **changed})


def plain(p=5):
    return row(p, 0, verified=False, inserted=None)


def masked_text(message):
    kept = [d for d in message["train_detail"] if not d["train"]]
    return [message["content"][d["begin_offset"] : d["end_offset"] + 1] for d in kept]


def left(out):
    return {r["row_id"]: r["reason"] for r in read(out, "left_out/*.parquet")}


def test_axolotl_says_which_characters_are_trained(tmp_path):
    out = written(tmp_path / "d", table(ran(), plain()), to="axolotl")
    hinted, whole = (r["messages"][-1] for r in read(out))
    assert hinted["content"] == TRACE
    assert masked_text(hinted) == [OUTPUT]
    assert whole["train_detail"] is None
    (block,) = yaml.safe_load((out / "axolotl.yaml").read_text())["datasets"]
    assert block["message_field_training_detail"] == "train_detail"
    assert block["roles_to_train"] == ["assistant"]
    assert "split_thinking" not in block  # it would move the offsets
    assert "1 rows hold such text" in (out / "README.md").read_text()


def test_hf_has_the_places_as_columns(tmp_path):
    (found,) = read(written(tmp_path / "d", table(ran()), to="hf"))
    ((p,),) = [found["reasoning_inserted"]]
    assert found["reasoning"][p["start"] : p["end"]] == OUTPUT
    assert p["kind"] == "output"
    assert found["response_inserted"] == []


@pytest.mark.parametrize("name", [n for n, f in all_formats().items() if not f.masks and not f.per_problem])
def test_a_format_that_cannot_say_it_leaves_the_row_out(tmp_path, name):
    sides = {"rejected_trace": "<think>\nno\n</think>\n\n1", "rejected_think": "no", "rejected_response": "1",
             "rejected_finish_reason": "stop", "desirable": True}  # fmt: skip
    steps = {"step_texts": ["a"], "step_labels": [True]}
    more = {n: rows.COLUMNS[n].type for n in (*sides, *steps)}
    out = written(tmp_path / "d", table({**ran(), **sides, **steps}, {**plain(), **sides, **steps}, **more), to=name)
    trained_on_steps = name == "trl-prm"  # labels of steps; no text is learned
    assert left(out) == ({} if trained_on_steps else {"p-0/0": "inserted"})
    assert len(read(out, "data/**/*.parquet")) == 2 - bool(left(out))
    card = (out / "README.md").read_text()
    assert ("1 rows are left out" in card) == bool(left(out))


@pytest.mark.parametrize("to", ["trl-dpo", "llama-factory-dpo"])
def test_the_rejected_side_is_looked_at_too(tmp_path, to):
    sides = {"rejected_trace": TRACE, "rejected_think": None, "rejected_response": None,
             "rejected_finish_reason": "stop", "rejected_inserted": [part(OUTPUT)]}  # fmt: skip
    more = {n: rows.COLUMNS[n].type for n in sides}
    with pytest.raises(InputError, match="inserted 1"):
        written(tmp_path / "d", table({**plain(), **sides}, **more), to=to)


def test_reinforcement_learning_does_not_see_traces(tmp_path):
    assert len(read(written(tmp_path / "d", table(ran(), plain()), to="trl-grpo"))) == 2


def test_nothing_changes_where_nothing_was_put_in(tmp_path):
    out = written(tmp_path / "d", table(plain(), ran(inserted=[])), to=["trl", "axolotl", "hf"])
    assert len(read(out)) == 2
    assert "train_detail" not in read(out, "axolotl/*.parquet")[0]["messages"][-1]
    assert "split_thinking: true" in (out / "axolotl.yaml").read_text()
    assert "no model wrote" not in (out / "README.md").read_text()


def test_tags_and_white_space_are_no_text(tmp_path):
    head = {"start": 0, "end": 8, "kind": "prefix", "text": "<think>\n"}
    close = part("\n</think>\n\n", "keep")
    line = {"start": 22, "end": 23, "kind": "insert", "text": TRACE[22]}
    assert line["text"] == "\n"
    out = written(tmp_path / "d", table(ran(inserted=[head, line, close])), to=["trl", "axolotl"])
    assert len(read(out)) == 1
    assert "split_thinking: true" in (out / "axolotl.yaml").read_text()  # nothing to mask, so nothing changes


def test_a_part_is_cut_where_the_thinking_ends(tmp_path):
    across = part("So 2.\n</think>\n\nHere:", "insert")
    (found,) = read(written(tmp_path / "d", table(ran(inserted=[across])), to="axolotl"))
    assert masked_text(found["messages"][-1]) == ["So 2.", "Here:"]


def test_kinds_may_be_learned_by_choice_and_the_card_says_so(tmp_path):
    parts = [part("Let me run it.", "keep"), part(OUTPUT)]
    out = written(tmp_path / "d", table(ran(inserted=parts)), to="axolotl", learn=["keep"])
    assert masked_text(read(out)[0]["messages"][-1]) == [OUTPUT]
    assert "is trained on: keep" in (out / "README.md").read_text()
    with pytest.raises(CheckError, match="no kind of inserted text 'outptu' to learn; did you mean 'output'"):
        written(tmp_path / "e", table(ran()), to="axolotl", learn=["outptu"])


def test_a_trace_that_was_changed_later_is_left_out(tmp_path):
    changed = ran(trace=TRACE.replace("Let me", "Let us please"))
    out = written(tmp_path / "d", table(changed, plain()), to=["axolotl"])
    assert left(out) == {"p-0/0": "inserted_moved"}


def test_a_text_that_splice_made_into_the_trace_is_known_by_its_log(tmp_path):
    log = [{"start": 8, "end": 11, "kind": "mask", "text": "[MASK]"}]
    masked = ran(inserted=None, trace="<think>\n[MASK] is it.\n</think>\n\n\\boxed{2}", edit_log=log)
    (found,) = read(written(tmp_path / "d", table(masked, edit_log=TYPE), to="axolotl"))
    assert masked_text(found["messages"][-1]) == ["[MASK]"]


@pytest.mark.parametrize("thinking", ["reasoning_content", "thinking"])
def test_a_key_beside_the_content_has_no_places(tmp_path, thinking):
    out = written(tmp_path / "d", table(ran(), plain()), to="axolotl", thinking=thinking)
    assert left(out) == {"p-0/0": "inserted"}


def test_thinking_that_is_not_written_needs_no_mask(tmp_path):
    assert len(read(written(tmp_path / "d", table(ran()), to="trl", thinking="none"))) == 1


def test_a_column_of_that_name_that_is_not_ours_is_ignored(tmp_path):
    found = table(plain()).drop(["inserted"]).append_column("inserted", pa.array(["2024-01-01"]))
    assert len(read(written(tmp_path / "d", found, to="trl"))) == 1


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4))
def test_ranges_cover_the_content_once(length, pairs):
    edges = sorted({min(x, length) for pair in pairs for x in pair})
    masked = list(zip(edges[::2], edges[1::2], strict=False))
    seen = []
    for d in details(length, masked):
        inside = range(d["begin_offset"], d["end_offset"] + 1)
        seen += inside
        assert all(d["train"] != any(a <= i < b for a, b in masked) for i in inside)
    assert seen == list(range(length))
