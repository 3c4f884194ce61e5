"""The program in a trace."""

from __future__ import annotations

import pytest

from curator.sandbox.extract import assemble, extract_code

FENCED = "Here:\n```python\ndef f(): return 1\n```\nDone."


@pytest.mark.parametrize(
    ("trace", "text", "language", "how"),
    [
        (FENCED, "def f(): return 1\n", "python", "fenced"),
        ("<think>```python\nno\n```</think>" + FENCED, "def f(): return 1\n", "python", "fenced"),
        ("```python\nno\n```</think>" + FENCED, "def f(): return 1\n", "python", "fenced"),
        ("<think>\n```python\ndef f(): return 1\n```", None, "python", "truncated"),
        ("```py\na = 1\n```\n```python\nb = 2\n```", "b = 2\n", "python", "fenced"),
        ("```python\na = 1\n```\nIt prints\n```\n1\n```", "a = 1\n", "python", "fenced"),
        ("```\na = 1\n```", "a = 1\n", "python", "fenced"),
        ("```cpp\nint main() {}\n```", "int main() {}\n", "cpp", "fenced"),
        ("```cpp\nint main() {}\n```\n```Python3\na = 1\n```", "a = 1\n", "python3", "fenced"),
        ("```python\na = 1\n", "a = 1\n", "python", "unclosed"),
        ("~~~python\na = 1\n~~~", "a = 1\n", "python", "fenced"),
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n", "python", "fenced"),
        ("```python title=x\na = 1\n```", "a = 1\n", "python", "fenced"),
        ("def f():\n    return 1", "def f():\n    return 1", "python", "bare"),
        ("print(1)", "print(1)", "python", "bare"),
        ("I do not know.", None, "python", "none"),
        ("yes", None, "python", "none"),
        ("", None, "python", "none"),
        ("```python\n\n```", None, "python", "none"),
    ],
)
def test_the_last_block_of_the_response(trace, text, language, how):
    assert extract_code(trace) == (text, language, how)


def test_a_prompt_that_opened_the_thinking():
    assert extract_code(FENCED, opened=True).how == "truncated"
    assert extract_code("hm</think>" + FENCED, opened=True).text == "def f(): return 1\n"


def test_another_language_may_be_asked_for():
    both = "```python\na = 1\n```\n```cpp\nint x;\n```"
    assert extract_code(both, "cpp").text == "int x;\n"
    assert extract_code(both, "py").text == "a = 1\n"


def test_a_long_trace_is_read_in_linear_time():
    assert extract_code("```" * 1_000_000).text is None
    assert extract_code("```python\n" * 300_000).how == "unclosed"
    assert extract_code("`" * 3_000_000 + "\n" + FENCED).how == "unclosed"


def test_assembled_programs():
    prompt = "import math\n\n\ndef f(x):\n    '''square'''\n"
    assert assemble(prompt, "    return x * x\n", "f") == prompt + "    return x * x\n"
    whole = assemble(prompt, "def f(x):\n    return x * x\n", "f")
    space: dict = {}
    exec(whole, space)
    assert space["f"](3) == 9
    assert "math" in space
    assert assemble("", "x = 1", "f") == "x = 1"
