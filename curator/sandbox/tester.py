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
from collections.abc import Collection, Iterator
from typing import Any

from curator.sandbox.compare import same_value
from curator.sandbox.program import PEER, job
from curator.sandbox.wire import Codec, Lost, from_stdlib, is_stdlib, receive, send

REPORT = 3
_MISSING = object()


class Opaque(BaseException):
    """A comparison that only the program could decide. No test's `except Exception` may swallow it."""


class ProgramError(Exception):
    """The program raised; `name` is its exception's, `missing` a module that was not found."""

    def __init__(self, name: str, text: str, missing: str | None = None) -> None:
        super().__init__(text)
        self.name = name
        self.text = text
        self.missing = missing


def report(**message: object) -> None:
    """Tell the judge, one JSON object a line."""
    line = (json.dumps(message) + "\n").encode()
    while line:
        line = line[os.write(REPORT, line) :]


class Link:
    """The tests' side of the messages."""

    def __init__(self) -> None:
        self.codec = Codec(self.keep, self.meet, (Remote,))
        self.callbacks: list[Any] = []
        self.remotes: dict[int, Remote] = {}
        self.held: list[tuple[Any, Any]] | None = None  # changes of arguments that wait for the end of an assert
        self.lost = False

    def keep(self, value: object) -> dict[str, Any]:
        if isinstance(value, Remote):
            return {"t": "remote", "v": {"id": _about(value)["id"]}}
        if callable(value) and not isinstance(value, type):
            self.callbacks.append(value)
            return {"t": "callback", "v": len(self.callbacks) - 1}
        msg = f"a {type(value).__name__} of the tests cannot be passed to the program"
        raise Opaque(msg)

    def meet(self, tag: str, inner: Any) -> object:
        if tag == "module":
            if not is_stdlib(inner):
                return ForeignModule(str(inner))
            return importlib.import_module(inner)
        if tag != "remote" or not isinstance(inner, dict) or not isinstance(inner.get("id"), int):
            text = f"unknown tag {tag}"
            raise Lost(text)
        number = inner["id"]
        if number not in self.remotes:
            self.remotes[number] = _remote(self, inner)
        return self.remotes[number]

    def request(self, **message: Any) -> Any:
        """Ask the program and return its raw reply; calls of our functions are answered meanwhile."""
        try:
            send(PEER, message)
            while "callback" in (reply := receive(PEER)):
                send(PEER, self._called(reply))
        except (Lost, TypeError):
            self.lost = True
            raise Lost from None
        if not isinstance(reply, dict):
            self.lost = True
            raise Lost
        if "error" in reply:
            raise _exception(reply)
        return reply

    def _called(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            function = self.callbacks[request["callback"]]
            return {"value": self.codec.encode(function(*self.codec.decode(request["args"])))}
        except Lost:
            raise
        except BaseException as e:
            return {"error": type(e).__name__}

    def call(self, target: Remote, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        reply = self.request(
            op="call",
            on=self.codec.encode(target),
            args=[self.codec.encode(a) for a in args],
            keywords={k: self.codec.encode(v) for k, v in keywords.items()},
        )
        for i, changed in (reply.get("changed") or {}).items():
            change = (args[int(i)], self.codec.decode(changed))
            if self.held is None:
                _replace(*change)
            else:
                self.held.append(change)
        return self.codec.decode(reply["value"])

    def apply(self, action: str, target: Remote, *args: Any) -> Any:
        encoded = [self.codec.encode(a) for a in args]
        return self.codec.decode(
            self.request(op="apply", action=action, on=self.codec.encode(target), args=encoded)["value"]
        )

    def hold(self) -> None:
        """An assert begins: a program that empties its argument must not change what it is compared with."""
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for change in held:
            _replace(*change)


def _replace(old: Any, new: Any) -> None:
    """Give a mutable argument its new content."""
    if type(old) is not type(new):
        return
    if isinstance(old, list | bytearray):
        old[:] = new
    else:
        old.clear()
        old.update(new)


def _exception(reply: dict[str, Any]) -> BaseException:
    """The same built-in exception where there is one, so that tests of exceptions work."""
    names = [n for n in reply["error"] if isinstance(n, str)] or ["Exception"]
    text = str(reply.get("text"))
    missing = reply["missing"] if isinstance(reply.get("missing"), str) else None
    for name in names:
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception:
            made = type(names[0], (ProgramError, kind), {})
            with contextlib.suppress(TypeError):  # UnicodeDecodeError and its like want more
                error: BaseException = made(names[0], text, missing)
                return error
    return ProgramError(names[0], text, missing)


def _about(remote: Remote) -> dict[str, Any]:
    about: dict[str, Any] = object.__getattribute__(remote, "_about")
    return about


def _remote(link: Link, about: dict[str, Any]) -> Remote:
    if isinstance(about.get("raises"), list):
        return _RemoteClass(link, about)
    return Remote(link, about)


class Remote:
    """An object that lives with the program. Its attributes, items and methods are the program's."""

    def __init__(self, link: Link, about: dict[str, Any]) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_about", about)

    def _ask(self, action: str, *args: Any) -> Any:
        link: Link = object.__getattribute__(self, "_link")
        return link.apply(action, self, *args)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        link: Link = object.__getattribute__(self, "_link")
        return link.call(self, args, keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__", "__dict__"):
            raise AttributeError(name)
        return self._ask("getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("setattr", name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._ask("getitem", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("setitem", key, value)

    def __len__(self) -> int:
        return int(self._ask("len"))

    def __bool__(self) -> bool:
        return bool(self._ask("bool"))

    def __iter__(self) -> Iterator[Any]:
        iterator = self._ask("iter")
        if not isinstance(iterator, Remote):
            msg = "not an iterator"
            raise TypeError(msg)
        while item := iterator._ask("next"):
            yield item[0]

    def __next__(self) -> Any:
        item = self._ask("next")
        if not item:
            raise StopIteration
        return item[0]

    def __str__(self) -> str:
        return str(self._ask("str"))

    def __repr__(self) -> str:
        return str(self._ask("repr"))

    def __hash__(self) -> int:
        return hash(_about(self)["id"])

    def __eq__(self, other: object) -> bool:
        mine = _about(self)
        if isinstance(other, Remote):
            theirs = _about(other)
            if mine["id"] == theirs["id"]:
                return True
            if mine.get("identity") and theirs.get("identity"):
                return False
            same = mine.get("class") == theirs.get("class") and mine.get("state") is not None
            if same and mine["state"] == theirs.get("state"):
                return True
        elif mine.get("identity") is True:
            return False
        msg = f"only the program could compare its {mine.get('class')} with {type(other).__name__}"
        raise Opaque(msg)

    def __ne__(self, other: object) -> bool:
        return not self == other


def _between(action: str) -> Any:
    """An operator that works between two objects of the program only: a test's value never meets its operators."""

    def operation(self: Remote, other: Any) -> Any:
        if not isinstance(other, Remote):
            msg = f"only the program could compute {action} of its {_about(self).get('class')} and a value"
            raise Opaque(msg)
        return self._ask(action, other)

    return operation


for _action in ("add", "sub", "mul", "lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_action}__", _between(_action))
for _action in ("radd", "rsub", "rmul", "truediv", "rtruediv", "mod", "pow"):
    setattr(Remote, f"__{_action}__", _between(_action))


class _RemoteClass(Remote):
    """An exception class of the program."""


class ForeignModule:
    """A module that the program imported and the sandbox of the tests does not have."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        msg = f"the tests use {self._name}.{name} of the program"
        raise Opaque(msg)


class _Holding(ast.NodeTransformer):
    """Puts `hold` before and `release` after each assert."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        before, after = ast.parse("__hold__()\n__release__()").body
        return [ast.copy_location(before, node), node, ast.copy_location(after, node)]


def run_code(code: str, space: dict[str, Any]) -> None:
    """Run test code with its asserts guarded."""
    tree = ast.fix_missing_locations(_Holding().visit(ast.parse(code)))
    exec(compile(tree, "tests.py", "exec", dont_inherit=True), space)


def main() -> int:
    """Run the tests in order from number `first`, reporting each. Ends early when the program is lost."""
    work = job()
    random.seed(0)
    link = Link()
    space: dict[str, Any] = {"__name__": "tests", "__hold__": link.hold, "__release__": link.release}
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
    absent = [n for n in entries if n not in space]
    if absent:
        text = f"the program does not define {absent[0]}"
        raise ProgramError("NameError", text)


def _bound(link: Link, name: str, data: Any) -> Any:
    """The value of a name. A name of the standard library must be the library's own: no `isclose` that is `ne`."""
    if isinstance(data, dict) and data.get("t") == "stdlib" and isinstance(data.get("v"), list):
        if data["v"][1:] != [name]:
            msg = f"the program calls {data['v']} {name}"
            raise Opaque(msg)
        return from_stdlib(*data["v"])
    value = link.codec.decode(data)
    if isinstance(data, dict) and data.get("t") == "remote" and (mro := _about(value).get("raises")):
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
        exec(compile(before, "tests.py", "exec", dont_inherit=True), space)
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
    value = link.codec.decode(link.request(op="method", name=case["call"], args=args)["value"])
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
