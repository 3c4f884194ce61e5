"""`verify` of programs in the real sandbox: what it reads from a row, and which faults are not wrong answers."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from curator.errors import CheckError
from curator.ops.verify import verify
from curator.sandbox import judge as sandbox

pytestmark = pytest.mark.skipif(sandbox.refusal() is not None, reason="this machine cannot isolate programs")

SQUARE = "```python\ndef f(x):\n    return x * x\n```"
TESTS = json.dumps(["assert f(2) == 4", "assert f(3) == 9"])


def judged(traces, tests=TESTS, **settings):
    columns = {
        n: settings.pop(n) for n in ("finish_reason", "language", "lang", "entry_point", "code_prompt") if n in settings
    }
    given = pa.table(
        {
            "row_id": [str(i) for i in range(len(traces))],
            "trace": pa.array(traces, pa.string()),
            "tests": tests if isinstance(tests, pa.Array) else pa.array([tests] * len(traces)),
            **{n: [v] * len(traces) for n, v in columns.items()},
        }
    )
    out = verify(kind="code", limit_s=1.0, **settings)(given)
    return list(
        zip(*(out[n].to_pylist() for n in ("verdict", "score", "verdict_detail", "test_verdicts")), strict=True)
    )


def test_programs_and_what_becomes_of_them():
    found = judged(
        [
            f"<think>hm</think>\n{SQUARE}",
            SQUARE.replace("x * x", "x + 2"),
            SQUARE.replace("return x * x", "while True: pass"),
            "The square of x.",
            "<think>cut",
            "```cpp\nint main() {}\n```",
            None,
        ]
    )
    assert [f[0] for f in found] == [
        "correct", "incorrect", "timeout", "unparseable", "unparseable", "error", "error",
    ]  # fmt: skip
    assert [f[1] for f in found] == [1.0, 0.0, None, None, None, None, None]
    assert found[0][3] == ["correct", "correct"]
    assert found[1][3] == ["correct", "incorrect"]
    assert [f[2] for f in found[4:]] == ["truncated", "language not supported: cpp; only Python is run", "no trace"]


def test_a_share_of_the_tests_may_do():
    half = SQUARE.replace("x * x", "x + 2")
    assert judged([half], pass_share=0.5)[0][:2] == ("correct", 0.5)
    assert judged([half], pass_share=0.6)[0][:2] == ("incorrect", 0.5)
    assert judged([half], max_tests=1)[0][:2] == ("correct", 1.0)


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [(None, "no_reference"), ("", "no_reference"), ("[]", "no_reference"), ("{broken", "error"), ("3", "error")],
)
def test_faults_of_the_tests(tests, verdict):
    found = judged([SQUARE], pa.array([tests], pa.string()))
    assert (found[0][0], found[0][1]) == (verdict, None)


def test_tests_that_are_bytes_and_no_text():
    found = judged([SQUARE], pa.array([b"\xff\xfe"], pa.binary()))
    assert found[0][0] == "error"
    assert "not UTF-8" in found[0][2]


def test_columns_beside_the_tests():
    check = pa.array(["def check(candidate):\n    assert candidate(3) == 9\n"])
    assert judged([SQUARE], check, entry_point="f")[0][0] == "correct"
    assert judged(["```\nint main() {}\n```"], language="cpp")[0][0] == "error"
    assert judged(["```\nint main() {}\n```"], lang="cpp", code_columns={"language": "lang"})[0][0] == "error"
    body = pa.array(["```python\n    return x * x\n```"])
    assert judged(body, check, entry_point="f", code_prompt="def f(x):\n    '''Square.'''\n")[0][0] == "correct"


def test_auto_takes_the_program_where_there_are_tests():
    given = pa.table(
        {"row_id": ["a", "b"], "trace": [SQUARE, r"\boxed{4}"], "tests": [TESTS, None], "answer": [None, "4"]}
    )
    out = verify(kind="auto")(given)
    assert out["verdict"].to_pylist() == ["correct", "correct"]
    assert out["test_verdicts"].to_pylist() == [["correct", "correct"], None]


def test_where_programs_cannot_be_isolated_code_is_refused_and_auto_says_so(monkeypatch):
    monkeypatch.setattr(sandbox, "refusal", lambda: "no user namespaces here; unsafe: true runs without isolation")
    with pytest.raises(CheckError, match="verify: kind code: no user namespaces here"):
        verify(kind="code")
    given = pa.table({"row_id": ["a"], "trace": [SQUARE], "tests": [TESTS]})
    out = verify(kind="auto")(given)
    assert out["verdict"].to_pylist() == ["error"]
    assert "no user namespaces" in out["verdict_detail"][0].as_py()
