"""Tests as data sets keep them, read into one of three forms."""

from __future__ import annotations

import ast
import builtins
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from keyword import iskeyword
from typing import Any, Literal

from curator.sandbox.syntax import tree_of

Kind = Literal["assert", "call", "stdio"]


class NotTests(Exception):
    """The value holds no tests that can be read: a fault of the data, named."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `assert`: `code`, and `before` it statements that are no test. `call`: `args` and `expected`, which a
    file may have `wrapped` into a list of one (APPS). `stdio`: `args` is the input text, `expected` the output.
    """

    code: str = ""
    before: str = ""
    args: Any = None
    expected: Any = None
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of one kind, in order.

    `preamble` is test code that runs once, before the tests; `entry_point` the function that `call` tests call, or
    that `check` is called with. `names`: what the tests use and do not define; `entries`: the functions under test.
    """

    kind: Kind
    cases: tuple[Case, ...]
    preamble: str = ""
    entry_point: str | None = None
    names: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()


def parse_tests(value: object, entry_point: str | None = None) -> Suite | None:
    r"""Read tests. Returns None where there are none (null, empty text, empty list).

    Forms, as JSON text or as its value:

    - list of assert statements (MBPP `test_list`): one test each
    - Python text with asserts, or with `def check(candidate)` (HumanEval `test`): one test for each statement that
      holds an assert; statements between them run in order
    - `{"test": ..., "entry_point": ...}`: the same, with the name that `check` is called with
    - `{"inputs": [...], "outputs": [...], "fn_name": ...}` (APPS, TACO, LiveCodeBench): calls where there is a
      `fn_name`, else standard input and output
    - `[{"input": ..., "output": ..., "type" or "testtype": "stdin" | "functional", "fn_name": ...}]`: the same

    Args:
        value: the column's value.
        entry_point: used where the value names none.

    Raises:
        NotTests: broken JSON, unknown form, inputs and outputs of different length, asserts that are no Python.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            value = bytes(value).decode("utf-8")
        except UnicodeDecodeError as e:
            msg = f"bytes that are not UTF-8 text (at byte {e.start})"
            raise NotTests(msg) from None
    if isinstance(value, str):
        if not value.strip():
            return None
        value = _loads(value)
    if hasattr(value, "tolist"):  # numpy arrays from pandas
        value = value.tolist()
    if value is None or (isinstance(value, Sequence | Mapping) and len(value) == 0):
        return None
    if isinstance(value, Mapping):
        return _mapping(value, entry_point)
    if isinstance(value, str):
        return _python(value, entry_point)
    if isinstance(value, Sequence):
        return _sequence(value, entry_point)
    msg = f"tests are a {type(value).__name__}; expected a list, an object or text"
    raise NotTests(msg)


def _loads(text: str) -> object:
    """Return JSON where it is JSON, the text itself where it is Python code."""
    if text.lstrip()[:1] in "[{":
        try:
            return json.loads(text)
        except (json.JSONDecodeError, RecursionError) as e:
            msg = f"tests are not JSON: {_short(e)}"
            raise NotTests(msg) from None
    return text


def _short(e: Exception) -> str:
    return " ".join(str(e).split())[:120] or type(e).__name__


def _named(name: object) -> str | None:
    """Return the name of a function, such as `solve` or `Solution.solve`; None where there is none."""
    if not name:
        return None
    if isinstance(name, str) and all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
        return name
    raise NotTests(f"`fn_name` is no name of a function: {name!r}"[:200])


def _mapping(value: Mapping[str, Any], entry_point: str | None) -> Suite | None:
    entry = _named(value.get("fn_name") or value.get("entry_point") or entry_point)
    if "inputs" in value or "outputs" in value:
        inputs, outputs = value.get("inputs"), value.get("outputs")
        if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
            raise NotTests("`inputs` and `outputs` must be lists of the same length")
        if not inputs:
            return None
        name = _named(value.get("fn_name"))
        pairs = zip(inputs, outputs, strict=True)
        if name:
            cases = tuple(Case(args=_arguments(i), expected=_value(o), wrapped=True) for i, o in pairs)
            return Suite("call", cases, entry_point=name)
        return Suite("stdio", tuple(Case(args=_lines(i), expected=_lines(o)) for i, o in pairs))
    for key in ("test", "tests", "test_code", "test_list", "test_cases"):
        if key in value:
            inner = value[key]
            preamble = value.get("test_setup_code") or ""
            suite = parse_tests(inner, entry)
            if suite and preamble:
                return replace(suite, preamble=f"{preamble}\n{suite.preamble}")
            return suite
    raise NotTests(f"unknown form of tests: an object with the keys {', '.join(map(str, value))}"[:200])


def _sequence(value: Sequence[Any], entry_point: str | None) -> Suite:
    if all(isinstance(v, str) for v in value):
        for number, code in enumerate(value):
            _parse(code, f"test {number}")
        return _asserted([Case(code=v) for v in value], entry_point)
    if all(isinstance(v, Mapping) and "input" in v and "output" in v for v in value):
        kinds = {str(v.get("type") or v.get("testtype") or "stdin").lower() for v in value}
        name = _named(next((v["fn_name"] for v in value if v.get("fn_name")), None))
        if name or kinds & {"functional", "function_call", "call"}:
            if not (name or entry_point):
                raise NotTests("function tests without `fn_name` or `entry_point`")
            cases = tuple(Case(args=_arguments(v["input"]), expected=_value(v["output"])) for v in value)
            return Suite("call", cases, entry_point=str(name or entry_point))
        return Suite("stdio", tuple(Case(args=_lines(v["input"]), expected=_lines(v["output"])) for v in value))
    raise NotTests("a list of tests must hold assert statements, or objects with `input` and `output`")


def _arguments(value: object) -> list[Any]:
    """APPS keeps a list of arguments; LiveCodeBench keeps one JSON value a line."""
    if isinstance(value, str):
        return [_value(line) for line in value.splitlines() if line.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _value(value: object) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            return value
    return value


def _lines(value: object) -> str:
    """Input and output are text; TACO keeps some as lists of lines."""
    if isinstance(value, list):
        return "\n".join(map(_lines, value))
    return value if isinstance(value, str) else str(value)


def _parse(code: str, what: str) -> ast.Module:
    try:
        return tree_of(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        msg = f"{what} is no Python: {_short(e)}"
        raise NotTests(msg) from None


def _python(code: str, entry_point: str | None) -> Suite:
    """Split test code at its top level, or in the body of `check`, into a preamble and tests."""
    tree = _parse(code, "test code")
    check = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check"), None)
    if check is not None:
        if not entry_point:
            raise NotTests("`check` needs the name of the function it checks: `entry_point` is missing")
        if len(check.args.args) != 1 or any(isinstance(n, ast.Return) for n in ast.walk(check)):
            return _asserted([Case(before=code, code=f"check({entry_point})")], entry_point)
        before = [n for n in tree.body if n is not check and not _calls_check(n)]
        before.append(tree_of(f"{check.args.args[0].arg} = {entry_point}").body[0])
        return _split([*before, *check.body], entry_point)
    return _split(tree.body, entry_point)


def _calls_check(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _split(body: list[ast.stmt], entry_point: str | None) -> Suite:
    """One test for each statement that asserts, with the statements since the last one in front of it."""
    cases: list[Case] = []
    waiting: list[str] = []
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and not node.args.args:
            waiting.append(ast.unparse(node))
            code = f"{node.name}()"  # as pytest would
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or not _asserts(node):
            waiting.append(ast.unparse(node))
            continue
        else:
            code = ast.unparse(node)
        cases.append(Case(code=code, before="\n".join(waiting)))
        waiting = []
    if not cases:
        raise NotTests("test code without an assert at its top level, in `check` or in a test function")
    return _asserted(cases, entry_point)


def _asserted(cases: list[Case], entry_point: str | None) -> Suite:
    """A suite of asserts, with the names that must come from the program."""
    trees = [tree_of(text) for c in cases for text in (c.before, c.code)]
    nodes = [n for t in trees for n in ast.walk(t)]
    used = [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    made = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    made |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    made |= {
        (a.asname or a.name).split(".")[0] for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }
    made |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    names = tuple(dict.fromkeys(n for n in used if n not in made or n == entry_point))
    return Suite("assert", tuple(cases), "", entry_point, names, _entries(cases, names, entry_point))


def _entries(cases: list[Case], names: tuple[str, ...], entry_point: str | None) -> tuple[str, ...]:
    """The function under test where it is named; else a built-in name, if the tests call nothing but built-in names.

    Then the innermost call counts: `sum` in `assert sum(10, 15) == 6`, `filter` and not `set` in
    `assert set(filter(x)) == {4}`. Other names are no question: they come from the program or from nowhere.
    """
    if entry_point:
        return (entry_point,)
    found: list[str] = []
    for case in cases:
        calls = [n for n in ast.walk(tree_of(case.code)) if isinstance(n, ast.Call) and _called(n) in names]
        if any(not hasattr(builtins, _called(c)) for c in calls):
            return ()
        found += [_called(c) for c in calls if not any(d is not c and d in calls for d in ast.walk(c))][:1]
    return tuple(dict.fromkeys(found))


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _asserts(node: ast.stmt) -> bool:
    return any(isinstance(n, ast.Assert) for n in ast.walk(node))
