"""Inside the box of the tests: run them, with the program's functions reached by messages.

The tests are ordinary Python and come from the data set. A name they use and do not define is looked up in the program;
its functions and objects appear as `Remote`. What a program returns is compared here, as plain values, so nothing the
program does to its own process can change the outcome. Where a comparison would let the program judge itself (an
object of its class against a value of the test), the outcome is `error`, not a guess.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import json
import os
import random
from collections.abc import Collection
from typing import Any

from curator.sandbox.compare import same_value
from curator.sandbox.program import job
from curator.sandbox.remote import Link, Opaque, ProgramError, Remote, about, same_object
from curator.sandbox.wire import Lost, from_stdlib, is_stdlib

REPORT = 3
_MISSING = object()


def report(**message: object) -> None:
    """Tell the judge, one JSON object a line."""
    line = (json.dumps(message) + "\n").encode()
    while line:
        line = line[os.write(REPORT, line) :]


class _Guarded(ast.NodeTransformer):
    """Puts `hold` before and `release` after each assert; `is` becomes a call."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        self.generic_visit(node)
        before, after = ast.parse("__hold__()\n__release__()").body
        return [ast.copy_location(before, node), node, ast.copy_location(after, node)]

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Is | ast.IsNot):
            return node
        same: ast.expr = ast.Call(ast.Name("__is__", ast.Load()), [node.left, node.comparators[0]], [])
        if isinstance(node.ops[0], ast.IsNot):
            same = ast.UnaryOp(ast.Not(), same)
        return ast.copy_location(same, node)


def run_code(code: str, space: dict[str, Any]) -> None:
    """Run test code with its asserts guarded."""
    tree = ast.fix_missing_locations(_Guarded().visit(ast.parse(code)))
    exec(compile(tree, "tests.py", "exec", dont_inherit=True), space)


def main() -> int:
    """Run the tests in order from number `first`, reporting each. Ends early when the program is lost."""
    work = job()
    random.seed(0)
    link = Link()
    space: dict[str, Any] = {"__name__": "tests", "__hold__": link.hold, "__release__": link.release,
                             "__is__": same_object}  # fmt: skip
    report(start=-1)
    try:
        failed = _prepare(work, link, space)
    except Lost:
        failed = {"lost": True}
    if link.lost:
        failed = {"lost": True}
    if failed:
        report(done=-1, **failed)
        return 0
    for number, case in enumerate(work["cases"]):
        if number < work["first"]:
            _one(case["before"], {**case, "code": ""}, link, space)
            continue
        report(start=number)
        outcome = _one(case["before"], case, link, space)
        report(done=number, **outcome)
        if "lost" in outcome or (work["stop"] and outcome["verdict"] != "correct"):
            break
    return 0


def _prepare(work: dict[str, Any], link: Link, space: dict[str, Any]) -> dict[str, Any] | None:
    """Run what the task itself brings, then meet the program. Returns the outcome of all tests where that fails."""
    for text in (work["prompt"], work["setup"]):
        with contextlib.suppress(SyntaxError):  # a prompt may end in the middle
            exec(compile(text, "task.py", "exec", dont_inherit=True), space)
            for name in _stubs(text):
                space.pop(name, None)
    try:
        _meet(work, link, space)
        run_code(work["preamble"], space)
    except Lost:
        raise
    except BaseException as e:
        return _outcome(e)
    return None


def _stubs(code: str) -> list[str]:
    """Functions that a prompt only announces: the program has to fill them in."""
    functions = [n for n in ast.parse(code).body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f.name for f in functions if all(_says_nothing(statement) for statement in f.body)]


def _says_nothing(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, ast.Pass | ast.Raise)


def _meet(work: dict[str, Any], link: Link, space: dict[str, Any]) -> None:
    """Bind the names that the tests use to the program's."""
    entries = set(work["entries"])
    wanted = []
    for name in work["names"]:
        mine = space.get(name, _MISSING)
        ours = mine is not _MISSING and not isinstance(mine, type)
        if name in entries or (not ours and not hasattr(builtins, name)):
            wanted.append(name)
    for name in entries:
        space.pop(name, None)
    reply = link.request(op="names", names=wanted)
    found = reply.get("value")
    for name in wanted:
        if isinstance(found, dict) and name in found:
            space[name] = _bound(link, name, found[name])
        elif is_stdlib(name) and "." not in name:
            space[name] = importlib.import_module(name)  # the tests forgot it
    space["__asked__"] = wanted
    absent = [n for n in entries if n not in space and not hasattr(builtins, n)]
    if absent:
        text = f"the program does not define {absent[0]}"
        raise ProgramError("NameError", text)


def _bound(link: Link, name: str, data: Any) -> Any:
    """The value of a name. A name of the standard library must be the library's own: no `isclose` that is `ne`."""
    if isinstance(data, dict) and data.get("t") == "module" and is_stdlib(name):
        return importlib.import_module(name)
    if isinstance(data, dict) and data.get("t") == "stdlib" and isinstance(data.get("v"), list):
        if data["v"][1:] != [name]:
            msg = f"the program calls {data['v']} {name}"
            raise Opaque(msg)
        return from_stdlib(*data["v"])
    value = link.codec.decode(data)
    if isinstance(data, dict) and data.get("t") == "remote" and (mro := about(value).get("raises")):
        return type(name, (_exception_base(mro),), {})
    return value


def _exception_base(names: list[str]) -> type[BaseException]:
    for name in names:
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
    return Exception


def _one(before: str, case: dict[str, Any], link: Link, space: dict[str, Any]) -> dict[str, Any]:
    """Run one test: its code, or a call whose value is compared with the expected one."""
    outcome: dict[str, Any] = {"verdict": "correct", "detail": None}
    try:
        run_code(before, space)
        if case.get("call"):
            outcome = _call(case, link)
        else:
            run_code(case["code"], space)
    except BaseException as e:
        outcome = _outcome(e, case["code"], space.get("__asked__", ()))
    link.held = None
    return {"lost": True} if link.lost else outcome


def _call(case: dict[str, Any], link: Link) -> dict[str, Any]:
    args = [link.codec.encode(a) for a in case["args"]]
    value = link.codec.decode(link.request(op="method", name=case["call"], args=args, keywords={})["value"])
    if isinstance(value, Remote):
        value = list(value)  # an iterator
    if same_value(value, case["expected"], wrapped=case["wrapped"]):
        return {"verdict": "correct", "detail": None}
    return {"verdict": "incorrect", "detail": f"returned {repr(value)[:120]}, expected {repr(case['expected'])[:120]}"}


def _outcome(e: BaseException, code: str = "", asked: Collection[str] = ()) -> dict[str, Any]:
    """Name what an exception in a test means. `asked`: names that the program was asked for."""
    verdict, text = "incorrect", f"{type(e).__name__}: {e}"
    if isinstance(e, ProgramError):
        text = e.text
        if e.name == "MemoryError":
            verdict, text = "error", "memory limit"
        elif e.missing and not is_stdlib(e.missing):
            verdict, text = "error", f"needs the module {e.missing!r}, which the sandbox does not have"
    elif isinstance(e, AssertionError):
        text = f"assertion failed: {' '.join((str(e) or code).split())}"
    elif isinstance(e, NameError) and e.name in asked:
        text = f"the program does not define {e.name}"
    elif isinstance(e, Opaque | ModuleNotFoundError | SyntaxError | NameError):
        verdict = "error"
    elif isinstance(e, MemoryError):
        verdict, text = "error", "memory limit"
    return {"verdict": verdict, "detail": text[:300]}
