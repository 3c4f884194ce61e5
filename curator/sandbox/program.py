"""Inside the box of a program: run it, call its functions when the tests ask. Knows no test and no expected answer.

Whatever the program forges here (built-ins, exit, descriptors, this very code) can only change the values that it
returns, and those are its answer.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import json
import operator
import os
import random
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

from curator.sandbox.wire import Codec, Lost, receive, send

JOB, PEER = 4, 5  # descriptors: what to do, and the tests
INPUT = ".input"  # in the private folder; /dev/stdin leads there
_MUTABLE = (list, dict, set, bytearray)


def job() -> dict[str, Any]:
    """Read the work and close its descriptor."""
    with open(JOB, "rb") as file:  # noqa: PTH123 - a descriptor
        work: dict[str, Any] = json.loads(file.read())
    return work


def _fresh(name: str) -> types.ModuleType:
    """Return an empty module under `name`; our own modules leave the table, `random` starts from 0."""
    for other in [m for m in sys.modules if m.split(".")[0] in ("curator", "__main__")]:
        del sys.modules[other]
    module = types.ModuleType(name)
    sys.modules[name] = sys.modules["__main__"] = module
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # `site` is not loaded
    random.seed(0)
    return module


def script() -> int:
    """Run a whole program with its standard input; the exit code is what Python's would be."""
    work = job()
    _feed(work["stdin"])
    for key, value in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        setattr(sys, key, _text(value))
        setattr(sys, f"__{key}__", getattr(sys, key))
    module = _fresh("__main__")
    sys.argv = ["main.py"]
    code = 0
    for step in (lambda: _main(work, module), threading._shutdown, atexit._run_exitfuncs, _flush):  # type: ignore[attr-defined]
        code = _exit_code(step) or code
    return code & 255


def _main(work: dict[str, Any], module: types.ModuleType) -> None:
    exec(compile(work["setup"] + work["program"], "main.py", "exec", dont_inherit=True), module.__dict__)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _exit_code(step: Callable[[], object]) -> int:
    """Run one step of the life of a program; what it raises goes to its standard error."""
    try:
        step()
    except SystemExit as e:
        if e.code is None or isinstance(e.code, int):
            return e.code or 0
        _complain(str(e.code))
        return 1
    except BaseException as e:
        _complain(_say(e))
        return 1
    return 0


def _complain(text: str) -> None:
    with contextlib.suppress(BaseException):
        os.write(2, f"{text}\n".encode("utf-8", "replace"))


def _feed(text: str) -> None:
    """Make `text` the standard input: a file, so that its size is known and it can be opened by name too."""
    descriptor = os.open(INPUT, os.O_CREAT | os.O_RDWR, 0o600)
    view = memoryview(text.encode("utf-8", "surrogatepass"))
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)


def _text(descriptor: int) -> Any:
    mode = "r" if descriptor == 0 else "w"
    return open(descriptor, mode, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: PTH123, SIM115


def _say(e: BaseException) -> str:
    text = ""
    with contextlib.suppress(BaseException):
        text = str(e)[:300]
    return f"{type(e).__name__}: {text}" if text else type(e).__name__


def serve() -> int:
    """Load the program, then answer the tests until they leave."""
    work = job()
    host = _Host()
    host.load(work["setup"], work["program"])
    with contextlib.suppress(Lost):
        while True:
            host.handle(receive(PEER))
    return 0


class _Host:
    """The program's side: its names, and the objects of it that the tests hold handles of."""

    def __init__(self) -> None:
        self.module = _fresh("solution")
        self.failure: dict[str, Any] | None = None
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.codec = Codec(self.keep, self.meet)

    def load(self, setup: str, program: str) -> None:
        for text, name in ((setup, "setup.py"), (program, "program.py")):
            try:
                exec(compile(text, name, "exec", dont_inherit=True), self.module.__dict__)
            except BaseException as e:
                self.failure = self.error(e)
                return

    def error(self, e: BaseException) -> dict[str, Any]:
        mro = [c.__name__ for c in type(e).__mro__]
        return {"error": mro, "text": _say(e), "missing": e.name if isinstance(e, ModuleNotFoundError) else None}

    def keep(self, value: object) -> dict[str, Any]:
        """Describe an object that stays here."""
        known = self.numbers.get(id(value))
        if known is not None:
            return {"t": "remote", "v": {"id": known}}
        number = len(self.objects)
        self.objects.append(value)
        self.numbers[id(value)] = number
        kind = type(value)
        about = {
            "id": number,
            "class": kind.__qualname__,
            "calls": callable(value),
            "raises": _exception_names(value),
            "identity": kind.__eq__ is object.__eq__,
        }
        return {"t": "remote", "v": about}

    def meet(self, tag: str, inner: Any) -> object:
        if tag == "remote":
            return self.objects[inner["id"]]
        if tag == "callback":
            return lambda *a: self.ask({"callback": inner, "args": self.codec.encode(list(a))})
        text = f"unknown tag {tag}"
        raise Lost(text)

    def ask(self, message: dict[str, Any]) -> Any:
        """Ask the tests (a function they passed), answering what they ask meanwhile."""
        send(PEER, message)
        while True:
            reply = receive(PEER)
            if "op" not in reply:
                if "error" in reply:
                    raise RuntimeError(str(reply["error"]))
                return self.codec.decode(reply["value"])
            self.handle(reply)

    def handle(self, request: dict[str, Any]) -> None:
        try:
            reply = _OPERATIONS[request["op"]](self, request)
        except Lost:
            raise
        except BaseException as e:
            reply = self.error(e)
        try:
            send(PEER, reply)
        except ValueError as e:
            send(PEER, self.error(e))

    def names(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.failure:
            return self.failure
        space = self.module.__dict__
        return {"value": {n: self.describe(space[n]) for n in request["names"] if n in space}}

    def describe(self, value: Any) -> Any:
        """A module by its name; everything else as a value."""
        if isinstance(value, types.ModuleType):
            return {"t": "module", "v": value.__name__}
        return self.codec.encode(value)

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        function = self.codec.decode(request["on"])
        args = [self.codec.decode(a) for a in request["args"]]
        keywords = {k: self.codec.decode(v) for k, v in request["keywords"].items()}
        result = function(*args, **keywords)
        changed = {}
        for i, (before, now) in enumerate(zip(request["args"], args, strict=True)):
            if isinstance(now, _MUTABLE) and (after := self.codec.encode(now)) != before:
                changed[str(i)] = after
        return {"value": self.codec.encode(result), "changed": changed}

    def method(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call `name` of the program, or of an instance of its class `Solution`."""
        if self.failure:
            return self.failure
        args = [self.codec.decode(a) for a in request["args"]]
        keywords = {k: self.codec.decode(v) for k, v in request["keywords"].items()}
        return {"value": self.codec.encode(self.find(request["name"])(*args, **keywords))}

    def has(self, request: dict[str, Any]) -> dict[str, Any]:
        """Is there a function `name`?"""
        try:
            return self.failure or {"value": callable(self.find(request["name"]))}
        except (AttributeError, KeyError):
            return {"value": False}

    def find(self, name: str) -> Any:
        space = self.module.__dict__
        if name not in space and "Solution" in space:
            return getattr(space["Solution"](), name)
        return space[name]

    def apply(self, request: dict[str, Any]) -> dict[str, Any]:
        action = _ACTIONS[request["action"]]
        target = self.codec.decode(request["on"])
        return {"value": self.codec.encode(action(target, *[self.codec.decode(a) for a in request["args"]]))}


def _exception_names(value: object) -> list[str] | None:
    is_exception = isinstance(value, type) and issubclass(value, BaseException)
    return [c.__name__ for c in value.__mro__] if isinstance(value, type) and is_exception else None


def _next(iterator: Iterator[Any]) -> list[Any]:
    """[item], or [] at the end."""
    for item in iterator:
        return [item]
    return []


_OPERATIONS: dict[str, Callable[[_Host, dict[str, Any]], dict[str, Any]]] = {
    "names": _Host.names, "has": _Host.has, "call": _Host.call, "method": _Host.method, "apply": _Host.apply,
}  # fmt: skip
_ACTIONS: dict[str, Callable[..., Any]] = {
    "getattr": getattr, "setattr": setattr, "getitem": operator.getitem, "setitem": operator.setitem,
    "len": len, "bool": bool, "iter": iter, "next": _next, "str": str, "repr": repr,
}  # fmt: skip
