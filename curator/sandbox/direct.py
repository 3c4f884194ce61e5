"""Tests that need no box of their own: calls with written-out arguments and values, most of MBPP and HumanEval.

`assert f(2) == 4` runs no code but the program's: the arguments go into its box, the value comes out and is compared
here. Anything else (a value that is long or no plain one, a test that computes) is left to the tester.
"""

from __future__ import annotations

import ast
import builtins
import json
import math
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from curator.sandbox.clock import DISK, JOB, PEER, Rules, Watch, ended, job
from curator.sandbox.compare import same_value
from curator.sandbox.keeper import Keeper
from curator.sandbox.suite import Suite
from curator.sandbox.syntax import tree_of
from curator.sandbox.task import CodeTask, TestVerdict
from curator.sandbox.wire import Codec, Lost, is_stdlib

# Bytes of a value: built here, so that no crafted set or dictionary (equal hashes) can cost this process a second.
MAX_VALUE = 16 << 10


class Undecided(Exception):
    """The tester has to look at this."""


class Ended(Exception):
    """The program ended, or its clock ran out: then `why` says which."""

    def __init__(self, why: str | None = None) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Call:
    """Call `name` with plain values and compare; `code` is the test's text."""

    name: str
    args: list[Any]
    keywords: dict[str, Any]
    same: Callable[[Any], bool]
    said: str


def calls(task: CodeTask, suite: Suite) -> list[Call] | None:
    """Return the tests as calls; None where one of them is more than that, or where a name might be the task's own."""
    if suite.kind == "call" and suite.entry_point:
        return [_json_call(suite.entry_point, c.args, c.expected, wrapped=c.wrapped) for c in suite.cases]
    own = bool(task.prompt or task.setup or suite.preamble)
    names: dict[str, str] = {}
    found = []
    for case in suite.cases:
        if not _aliases(case.before, names):
            return None
        call = _literal(case.code, names)
        if call is None or (call.name not in suite.entries and (own or hasattr(builtins, call.name))):
            return None
        found.append(call)
    return found


def _json_call(name: str, args: list[Any], expected: Any, *, wrapped: bool) -> Call:
    return Call(name, args, {}, lambda v: same_value(v, expected, wrapped=wrapped), f"expected {repr(expected)[:120]}")


def _aliases(before: str, names: dict[str, str]) -> bool:
    """Take in statements like `candidate = f`; False where there are others than assignments of plain values."""
    for node in tree_of(before).body if before else ():
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            return False
        if isinstance(node.value, ast.Name):
            names[node.targets[0].id] = node.value.id
        elif _value(node.value) is _NONE:
            return False
        else:
            names.pop(node.targets[0].id, None)
    return True


_NONE = object()


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NONE


def _literal(code: str, names: dict[str, str]) -> Call | None:
    """Read `assert name(plain, ...) == plain`."""
    body = tree_of(code).body
    test = body[0].test if len(body) == 1 and isinstance(body[0], ast.Assert) else None
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return None
    call, expected = test.left, _value(test.comparators[0])
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or expected is _NONE:
        return None
    args = [_value(a) for a in call.args]
    keywords = {k.arg: _value(k.value) for k in call.keywords if k.arg}
    if any(v is _NONE for v in (*args, *keywords.values())) or len(keywords) < len(call.keywords):
        return None
    said = f"assertion failed: {' '.join(code.split())}"[:300]
    return Call(names.get(call.func.id, call.func.id), args, keywords, lambda v: bool(v == expected), said)


class Caller:
    """Our end of the messages with a program."""

    def __init__(self, end: socket.socket, watch: Watch) -> None:
        end.setblocking(False)
        self.end, self.watch = end, watch
        self.codec = Codec(_undecided, _undecided, imports=False)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a request, return the reply. Raises Ended, and Undecided for a reply that is long or none."""
        data = json.dumps(message).encode()
        out = memoryview(len(data).to_bytes(4, "little") + data)
        buffer = b""
        while True:
            ready, writable = self.watch.wait([self.end], [self.end] if out else [])
            try:
                if writable:
                    out = out[self.end.send(out) :]
                if ready:
                    chunk = self.end.recv(65536)
                    if not chunk:
                        raise Ended
                    buffer += chunk
            except BlockingIOError:
                continue
            except OSError:
                raise Ended from None
            size = int.from_bytes(buffer[:4], "little")
            if len(buffer) >= 4 and (size > MAX_VALUE or len(buffer) >= 4 + size):
                return _reply(buffer[4:], size)
            if not ready and not writable and (why := self.watch.expired()):
                raise Ended(why)

    def loads(self, name: str) -> TestVerdict | None:
        """None where the program loads and has `name`."""
        reply = self.ask({"op": "has", "name": name})
        if "error" in reply:
            return _failed(reply)
        return None if reply.get("value") is True else TestVerdict("incorrect", f"the program does not define {name}")

    def judge(self, call: Call) -> TestVerdict:
        """Call and compare."""
        encode = self.codec.encode
        args, keywords = [encode(a) for a in call.args], {k: encode(v) for k, v in call.keywords.items()}
        reply = self.ask({"op": "method", "name": call.name, "args": args, "keywords": keywords})
        if "error" in reply:
            return _failed(reply)
        try:
            value = self.codec.decode(reply["value"])
        except (Lost, KeyError, RecursionError):
            raise Undecided from None
        try:
            if call.same(value):
                return TestVerdict("correct")
            said = call.said if call.said.startswith("assertion") else f"returned {repr(value)[:120]}, {call.said}"
        except RecursionError:
            raise Undecided from None
        return TestVerdict("incorrect", said)


def _undecided(*_: object) -> Any:
    raise Undecided


def _reply(data: bytes, size: int) -> dict[str, Any]:
    """One message, whole and short; the program may not speak out of turn."""
    if size > MAX_VALUE or len(data) != size:
        raise Undecided
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        raise Undecided from None
    if not isinstance(reply, dict) or "callback" in reply:
        raise Undecided
    return reply


def _failed(reply: dict[str, Any]) -> TestVerdict:
    """Name what the program's exception means (as the tester does)."""
    names, text, missing = reply["error"], str(reply.get("text"))[:300], reply.get("missing")
    if isinstance(names, Sequence) and "MemoryError" in names:
        return TestVerdict("error", "memory limit")
    if isinstance(missing, str) and not is_stdlib(missing):
        return TestVerdict("error", f"needs the module {missing!r}, which the sandbox does not have")
    return TestVerdict("incorrect", text)


class Calls:
    """One program whose tests are calls, from call `first` on: no box for the tests."""

    def __init__(self, keeper: Keeper, task: CodeTask, calls: list[Call], rules: Rules, first: int) -> None:
        self.keeper, self.task, self.calls, self.rules, self.first = keeper, task, calls, rules, first
        self.cpu_s = math.ceil(rules.limit_s * (len(calls) - first + 1)) + 1
        self.loaded = False

    def run(self) -> list[TestVerdict]:
        """At least one verdict; none where the tester has to look."""
        ours, theirs = socket.socketpair()
        limits = {"memory": self.rules.memory, "cpu_s": self.cpu_s, "disk": DISK}
        try:
            with job({"setup": self.task.setup, "program": self.task.program}) as work:
                box = self.keeper.start("functions", {JOB: work, PEER: theirs.fileno()}, **limits)
            theirs.close()
            done: list[TestVerdict] = []
            try:
                watch = Watch([box], self.rules.limit_s)
                self._judge(Caller(ours, watch), watch, done)
            except Ended as e:
                code, cpu = box.end()
                verdict = ended(e.why, code, self.rules.limit_s, spent=cpu >= self.cpu_s - 0.5)
                done += [verdict] * (1 if self.loaded else len(self.calls) - self.first)
            except Undecided:
                pass
            finally:
                box.leave()
            return done
        finally:
            ours.close()
            theirs.close()

    def _judge(self, caller: Caller, watch: Watch, done: list[TestVerdict]) -> None:
        for call in self.calls[self.first :]:
            if not self.loaded and (failed := caller.loads(call.name)):
                done += [failed] * (len(self.calls) - self.first)
                return
            self.loaded = True
            watch.again()
            done.append(caller.judge(call))
            if self.rules.stop and done[-1].verdict != "correct":
                return
