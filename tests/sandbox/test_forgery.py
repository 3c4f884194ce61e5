"""Programs that are wrong and want to be judged right. None of them may be `correct`."""

# ruff: noqa: E501 - programs in a table
from __future__ import annotations

import pytest

from curator.sandbox.judge import judge_code, refusal
from curator.sandbox.task import CodeTask

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")

SIMPLE = ["assert f(2) == 4", "assert f(3) == 9"]
CLOSE = ["assert abs(f(2) - 4.0) < 1e-6"]
CHECK = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9"
STDIO = {"inputs": ["2\n"], "outputs": ["4\n"]}
CALLS = {"inputs": [[2]], "outputs": [4], "fn_name": "f"}
ALWAYS = "class Yes:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"

FORGERIES: dict[str, tuple[str, object]] = {
    "ends with success": ("import os\nos._exit(0)", SIMPLE),
    "ends with success in the call": ("import os\ndef f(x): os._exit(0)", SIMPLE),
    "sys.exit": ("import sys\ndef f(x): sys.exit(0)", SIMPLE),
    "sys.exit while loading": ("import sys\nsys.exit(0)", SIMPLE),
    "SystemExit of a check": ("raise SystemExit(0)", CHECK),
    "ends before it prints": ("import os\nos._exit(0)", STDIO),
    "equal to everything": (f"{ALWAYS}def f(x): return Yes()", SIMPLE),
    "equal to everything, in a list": (f"{ALWAYS}def f(x): return [Yes()]", ["assert f(2) == [4]"]),
    "equal to everything, returned to a call test": (f"{ALWAYS}def f(x): return Yes()", CALLS),
    "an integer that is equal to everything": (
        "class I(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\ndef f(x): return I(1)", SIMPLE),
    "a list that is equal to everything": (
        "class L(list):\n    def __eq__(self, o): return True\ndef f(x): return L()", ["assert f(2) == [4]"]),
    "text that is equal to everything": (
        "class S(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\ndef f(x): return S('a')",
        ["assert f(2) == 'b'"]),
    "a number that is close to everything": (
        "class F(float):\n    def __sub__(self, o): return 0.0\n    __rsub__ = __sub__\ndef f(x): return F(1)", CLOSE),
    "an object that is close to everything": (
        "class F:\n    def __sub__(self, o): return 0.0\n    def __abs__(self): return 0\ndef f(x): return F()", CLOSE),
    "an object that contains everything": (
        "class C:\n    def __contains__(self, o): return True\n    def __iter__(self): return iter([])\ndef f(x): return C()",
        ["assert 4 in f(2)"]),
    "an object below everything": (
        "class C:\n    def __lt__(self, o): return True\n    def __gt__(self, o): return True\ndef f(x): return C()",
        ["assert f(2) < 5"]),
    "an object of its class equal to another": (
        "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return True\ndef f(x): return P(0)",
        ["assert f(2) == P(4)"]),
    "its own abs": ("def abs(x): return 0\ndef f(x): return 1", CLOSE),
    "its own set": (f"{ALWAYS}def set(x): return Yes()\ndef f(x): return [1]", ["assert set(f(2)) == {4}"]),
    "its own set beside a built-in name": (
        f"{ALWAYS}def set(x): return Yes()\ndef filter(x): return [1]", ["assert set(filter(2)) == {4}"]),
    "its own isclose under the library's name": (
        "from operator import ne as isclose\ndef f(x): return 1.5", ["assert isclose(f(2), 4.0)"]),
    "its own math": ("import operator as math\nmath.isclose = math.ne\ndef f(x): return 1.5",
                     ["import math\nassert math.isclose(f(2), 4.0)"]),
    "its own helper of the prompt": (
        "def g(x): return f(x)\ndef f(x): return 0\ndef poly(a, b): return 0", "def check(c):\n    assert poly([1], c(2)) == 7"),
    "patched built-ins": (
        "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.isinstance = lambda *a: True\nbuiltins.AssertionError = None\n"
        "builtins.len = lambda x: 4\ndef f(x): return 1", [*SIMPLE, *CLOSE, "assert len(f(2)) == 4"]),
    "patched json": ("import json\njson.dumps = lambda *a, **k: '{\"value\": 4}'\ndef f(x): return 1", ["assert f(3) == 9"]),
    "patched exec and compile": (
        "import builtins\nbuiltins.exec = lambda *a: None\nbuiltins.compile = lambda *a, **k: None\ndef f(x): return 1", SIMPLE),
    "asserts switched off": ("import sys\nsys.flags = None\n__debug = False\ndef f(x): return 1", SIMPLE),
    "a tracer": ("import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef f(x): return 1", SIMPLE),
    "reads the frames above": (
        "import sys\ndef f(x):\n    n, frame = 0, sys._getframe()\n    while frame:\n"
        "        for v in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
        "            if isinstance(v, str) and 'assert f(' in v: n = int(v.split('==')[1])\n"
        "        frame = frame.f_back\n    return n or 1", SIMPLE),
    "searches all objects": (
        "import gc\ndef f(x):\n    for o in gc.get_objects():\n        for v in (o if isinstance(o, (list, tuple)) else o.values() if isinstance(o, dict) else ()):\n"
        "            if isinstance(v, str) and 'assert f(' in v and '==' in v and 'gc' not in v: return int(v.split('==')[1])\n    return 1",
        SIMPLE),
    "searches the memory of its process": (
        "import re\ndef f(x):\n    with open('/proc/self/mem', 'rb') as m: return 4", SIMPLE),
    "answers left in descriptors": (
        "import os\ndef f(x):\n    for fd in range(3, 64):\n        try:\n            os.lseek(fd, 0, 0)\n            t = os.read(fd, 9999)\n"
        "            if b'assert' in t: return 4\n        except OSError: pass\n    return 1", SIMPLE),
    "prints a verdict": (
        "import sys, os\nfor fd in (1, 2):\n    os.write(fd, b'{\"done\": 0, \"verdict\": \"correct\", \"detail\": null}\\n')\ndef f(x): return 1",
        SIMPLE),
    "prints a verdict, standard output": ("print('correct')\nprint('{\"verdict\": \"correct\"}')", STDIO),
    "writes verdicts into every descriptor": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'{\"done\": 0, \"verdict\": \"correct\", \"detail\": null}\\n')\n"
        "    except OSError: pass\ndef f(x): return 1", SIMPLE),
    "answers out of turn": (
        "import os, json\ndef f(x):\n    m = json.dumps({'value': True, 'changed': {}}).encode()\n"
        "    for _ in range(9): os.write(5, len(m).to_bytes(4, 'little') + m)\n    return 1", SIMPLE),
    "empties its argument": ("def f(l):\n    l.clear()\n    return []", ["x = [3, 1, 2]\nassert f(x) == sorted(x)"]),
    "swallowed by the tests' own except": (
        "import os\ndef f(x): os._exit(0)", ["try:\n    f(2)\nexcept Exception:\n    pass\nassert True"]),
    "undefined": ("def g(x): return x * x", SIMPLE),
    "returns a name instead of a value": ("def f(x): return f", SIMPLE),
    "generator that yields for ever": ("def f(x):\n    while True: yield 4", ["assert list(f(2)) == [4]"]),
    "compares the tester's callback": (
        "def f(g):\n    try: return g.__globals__\n    except AttributeError: return 0", ["assert f(lambda: 1) == {}"]),
    "not a number": ("def f(x): return float('nan')", SIMPLE),
    "infinite": ("def f(x): return float('inf')", CLOSE),
    "module replaced": ("import sys\nsys.modules['math'] = None\nsys.modules['builtins'] = sys\ndef f(x): return 1", SIMPLE),
    "thread that answers": (
        "import threading, os, json\ndef go():\n    m = json.dumps({'value': 4, 'changed': {}}).encode()\n    while True:\n"
        "        try: os.write(5, len(m).to_bytes(4, 'little') + m)\n        except OSError: return\n"
        "threading.Thread(target=go, daemon=True).start()\ndef f(x):\n    import time\n    time.sleep(9)", ["assert f(3) == 9"]),
}  # fmt: skip


RAW = """
import os, json
def read():
    n = int.from_bytes(os.read(5, 4), 'little')
    return json.loads(os.read(5, n))
def write(m):
    d = json.dumps(m).encode()
    os.write(5, len(d).to_bytes(4, 'little') + d)
has = read()['op'] == 'has'
write({'value': True if has else {'f': F, 'P': {'t': 'remote', 'v': {'id': 9, 'calls': True}}}})
while True:
    read()
    write({'value': V, 'changed': {}})
"""
HANDLE = {"t": "remote", "v": {"id": 0, "calls": True, "identity": True, "class": "P", "state": [4]}}
# What a program answers that speaks the messages itself: (what `f` is, what every request is answered).
MESSAGES = {
    "an object of the library that equals everything": (HANDLE, {"t": "stdlib", "v": ["unittest.mock", "ANY"]}),
    "a class of the library that makes such": ({"t": "stdlib", "v": ["unittest.mock", "MagicMock"]}, 1),
    "f is a built-in": ({"t": "builtin", "v": "print"}, 1),
    "f is a constant": ({"t": "builtin", "v": "NotImplemented"}, 1),
    "f is a module": ({"t": "module", "v": "unittest.mock"}, 1),
    "true": (HANDLE, True),
    "not implemented": (HANDLE, {"t": "NotImplemented", "v": None}),
    "the same handle for everything": (HANDLE, HANDLE),
    "a handle with a list for an id": (HANDLE, {"t": "remote", "v": {"id": []}}),
    "a function of the tests": (HANDLE, {"t": "callback", "v": 0}),
    "no value": (HANDLE, {"t": "nothing"}),
    "a set of lists": (HANDLE, {"t": "set", "v": [[1]]}),
    "no number": (HANDLE, {"t": "int", "v": "x"}),
    "deep": (HANDLE, {"t": "deep", "v": "x"}),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_no_message_is_believed(name):
    f, value = MESSAGES[name]
    program = RAW.replace("F,", f"{f!r},").replace("V,", f"{value!r},")
    tests = [
        *SIMPLE,
        "assert f(2) == P(4)",
        "assert f(2) is P(4)",
        "assert isinstance(f(2), P)",
        "assert f(2) in [4, 9]",
        "assert not f(2) != 4",
        "assert {f(2): 1} == {4: 1}",
        "assert [f(2)] == [4]",
        "assert (f(2), 1) == (4, 1)",
    ]
    if not (isinstance(value, dict) and value["t"] == "remote"):
        tests = [t for t in tests if "P" not in t]  # an expected value that is the program's own plain value: see docs
    for test in tests:
        verdict = judge_code([CodeTask(program, [test])], limit_s=10)[0]
        assert verdict.verdict in {"incorrect", "error"}, (test, verdict)


def test_no_forgery_is_believed():
    items = [
        CodeTask(
            program,
            tests,
            entry_point="f" if isinstance(tests, str) else None,
            prompt="def poly(a, b):\n    return sum(a) + b + 1\n\n\ndef f(x):\n    '''square'''\n",
        )
        for program, tests in FORGERIES.values()
    ]
    verdicts = judge_code(items, limit_s=1, parallel=2)
    believed = {n: v for n, v in zip(FORGERIES, verdicts, strict=True) if v.verdict == "correct"}
    assert believed == {}
    named = {"incorrect", "error", "timeout"}
    assert {n: v for n, v in zip(FORGERIES, verdicts, strict=True) if v.verdict not in named} == {}


@pytest.mark.parametrize("tests", [SIMPLE, CHECK, CALLS], ids=["asserts", "check", "calls"])
def test_the_right_program_is_believed(tests):
    """The control: the same tests pass where the program is right."""
    item = CodeTask("def f(x): return x * x", tests, entry_point="f" if tests is CHECK else None)
    assert judge_code([item])[0].verdict == "correct"


def test_nothing_of_one_program_reaches_the_next():
    left = CodeTask(
        "import builtins, sys, os, random\nbuiltins.left = sys.left = 1\nos.environ['LEFT'] = '1'\nopen('left', 'w')\n"
        "random.seed(7)\ndef f(): return 1",
        ["assert f() == 1"],
    )
    look = CodeTask(
        "import builtins, sys, os\ndef f(): return [hasattr(builtins, 'left'), hasattr(sys, 'left'), 'LEFT' in os.environ,"
        " os.listdir('.')]",
        ["assert f() == [False, False, False, []]"],
    )
    assert [v.verdict for v in judge_code([left, look, left, look])] == ["correct"] * 4


def test_no_test_text_is_in_the_memory_of_a_program():
    """A marker in the expected value is looked for in every object and every readable page of the program."""
    marker = "Zq" + "7" * 9
    program = (
        "import gc, ctypes\ndef f(x):\n    want = 'Zq' + '7' * 9\n    seen = [o for o in gc.get_objects() for v in"
        " (o if isinstance(o, (list, tuple, set)) else list(o.values()) if isinstance(o, dict) else ())"
        " if isinstance(v, str) and want in v and v is not want]\n    return len(seen)"
    )
    verdict = judge_code([CodeTask(program, [f"assert (f(1), {marker!r}) == (0, {marker!r})"])])[0]
    assert verdict.verdict == "correct", verdict


def test_no_module_is_imported_here_on_a_programs_word():
    """The value of a written-out call is rebuilt in this process: names in it are not looked up."""
    import sys

    value = {"t": "stdlib", "v": ["wave", "open"]}
    sys.modules.pop("wave", None)
    program = RAW.replace("F,", "True,").replace("V,", f"{value!r},")
    verdict = judge_code([CodeTask(program, ["assert f(2) == 4"])], limit_s=1)[0]
    assert verdict.verdict in {"incorrect", "error"}
    assert "wave" not in sys.modules
