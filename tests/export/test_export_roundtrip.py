"""Export, load with `datasets`, render by a real chat template: every thinking text is in the training text."""

import pytest
from export_stand import HOSTILE, row, some, written

from curator.export import Loss, thinking_survives
from curator.export.survive import conversation

datasets = pytest.importorskip("datasets", reason="needs the extra [hub]")
transformers = pytest.importorskip("transformers", reason="needs the extra [local]")

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
)  # fmt: skip
# As Qwen3 does it: thinking from its own field or split off the content, and only in the turns after the last question.
QWEN3 = """{%- set ns = namespace(last=0) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{%- set content = m.content -%}{%- set thinking = '' -%}
{%- if m.role == 'assistant' -%}
{%- if m.reasoning_content is string -%}{%- set thinking = m.reasoning_content -%}
{%- elif '</think>' in content -%}
{%- set thinking = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') -%}
{%- set content = content.split('</think>')[-1].lstrip('\n') -%}
{%- endif -%}
{%- endif -%}
{{- '<|im_start|>' + m.role + '\n' -}}
{%- if thinking and loop.index0 > ns.last -%}{{- '<think>\n' + thinking.strip('\n') + '\n</think>\n\n' -}}{%- endif -%}
{{- content + '<|im_end|>\n' -}}
{%- endfor -%}"""
# As gpt-oss does it: a `thinking` key goes to its own channel.
HARMONY = (
    "{% for m in messages %}{% if m.thinking %}"
    "{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}"
    "{% endif %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endfor %}"
)  # fmt: skip
TEMPLATES = {"chatml": CHATML, "qwen3": QWEN3, "harmony": HARMONY}


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    raw = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def load(folder, config="default", split="train"):
    return datasets.load_dataset(str(folder), config, split=split, cache_dir=str(folder.parent / "cache"))


def found_rows():
    odd = "  Thinking\n\n\n with <b>tags</b>, 素数, \\n and {{ braces }} {% raw %}\t"
    return [
        *some(4),
        row(7, 0, verified=False, problem=HOSTILE, trace=f"<think>\n{odd}\n</think>\n\n{HOSTILE}"),
        row(8, 0, verified=False, problem="same text", trace="<think>\nsame text\n</think>\n\nsame text"),
        row(9, 0, verified=False, trace="No thinking at all."),
    ]


def thinking_of(source):
    if source["verified"]:
        return source["short_cot"]
    head, closed, _ = source["trace"].partition("</think>")
    return head.removeprefix("<think>").strip("\n") if closed else ""


FITTING = [
    *((name, "inline") for name in TEMPLATES),
    ("qwen3", "reasoning_content"),
    ("harmony", "thinking"),
]


@pytest.mark.parametrize(("template", "thinking"), FITTING)
def test_no_thinking_is_lost(tmp_path, tokenizer, template, thinking):
    formats = ["trl", "trl-completion", "axolotl", "verl", "open-instruct"]
    out = written(
        tmp_path / "d",
        found_rows(),
        to=[*formats, *(["llama-factory"] if thinking == "inline" else [])],
        thinking=thinking,
    )
    tokenizer.chat_template = TEMPLATES[template]
    source_thinking = {r["row_id"]: thinking_of(r) for r in found_rows()}
    assert sum(bool(t) for t in source_thinking.values()) == 10
    for config in ["default", *formats[1:], *(["llama-factory"] if thinking == "inline" else [])]:
        rows = list(load(out, config))
        assert len(rows) == 11
        assert thinking_survives(rows, tokenizer) == [], config
        for line in rows:  # and without the check function: each thinking of the input is in the training text
            text = tokenizer.apply_chat_template(conversation(line), tokenize=False)
            assert source_thinking[line["row_id"]] in text, (config, line["row_id"])


@pytest.mark.parametrize(
    ("template", "thinking"),
    [("chatml", "reasoning_content"), ("chatml", "thinking"), ("qwen3", "thinking"), ("harmony", "reasoning_content")],
)
def test_a_template_that_reads_another_field_is_found_out(tmp_path, template, thinking):
    """Rendered by jinja itself: transformers 5 fills one field from the other, earlier versions and trainers do not."""
    import jinja2

    read_by = jinja2.Environment().from_string(TEMPLATES[template])
    rows = list(load(written(tmp_path / "d", found_rows(), thinking=thinking)))
    losses = thinking_survives(rows, lambda messages: read_by.render(messages=messages))
    assert [loss.row for loss in losses] == list(range(10))  # every row that thinks
    assert {loss.part for loss in losses} == {"thinking"}


def test_every_text_is_there_word_for_word(tmp_path, tokenizer):
    """Without the check function: each thinking of the input is in the rendered text of its row."""
    tokenizer.chat_template = QWEN3
    rows = list(load(written(tmp_path / "d", some(5), use="long", thinking="reasoning_content")))
    for line in rows:
        p, s = line["row_id"][2:].split("/")
        text = tokenizer.apply_chat_template(conversation(line), tokenize=False)
        assert f"<think>\nFirst thought about {p}, sample {s}.\n\nWait, check: {p}+1.\n</think>\n\nThe answer" in text


def test_a_loss_names_row_message_and_text(tokenizer):
    tokenizer.chat_template = CHATML
    messages = [{"role": "user", "content": "why"}, {"role": "assistant", "content": "so", "reasoning_content": "why"}]
    assert thinking_survives([{"messages": messages}], tokenizer) == [Loss(0, 1, "thinking", "why")]


def test_earlier_turns_lose_their_thinking_in_qwen3(tokenizer):
    tokenizer.chat_template = QWEN3
    turn = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\nt1\n</think>\n\na"}]
    last = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\nt2\n</think>\n\na"}]
    assert thinking_survives([{"messages": turn + last}], tokenizer) == [Loss(0, 1, "thinking", "t1")]


def test_a_template_that_drops_the_answer_is_told_as_well():
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "thinking": "t"}]
    losses = thinking_survives([{"messages": messages}], lambda found: found[0]["content"] + found[1]["thinking"])
    assert losses == [Loss(0, 1, "answer", "a")]


def test_a_row_without_a_conversation_is_an_error():
    with pytest.raises(KeyError, match="looked for messages"):
        thinking_survives([{"text": "x"}], str)


def test_datasets_reads_all_configs_with_the_features_on_the_card(tmp_path):
    out = written(
        tmp_path / "d", some(40), to=["trl", "llama-factory", "verl-rl", "hf"], split={"train": 0.8, "test": 0.2}
    )
    assert datasets.get_dataset_config_names(str(out)) == ["default", "llama-factory", "verl-rl", "hf", "metadata"]
    for config in ("default", "llama-factory", "verl-rl", "hf", "metadata"):
        found = datasets.load_dataset(str(out), config, cache_dir=str(tmp_path / "cache"))
        assert set(found) == {"train", "test"}
        assert sum(found.num_rows.values()) == (40 if config == "verl-rl" else 80)
        path = next((out / ("data" if config == "default" else config)).rglob("train-*.parquet"))
        plain = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache2"))["train"]
        assert found["train"].features == plain.features
