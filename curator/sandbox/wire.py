"""Values as messages between the process of the program and the process of its tests.

What arrives is rebuilt from JSON as exact built-in values: a list whose `__eq__` always says yes arrives as a plain
list. Objects of the program's own classes stay with the program; a handle and a snapshot of their state travel.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
import types
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_MESSAGE = 32 << 20  # bytes
_BIG = 1 << 62
_STDLIB = sys.stdlib_module_names


class Lost(BaseException):
    """The other process is gone, or what it sent is no message. No test's `except Exception` may swallow it."""


def send(descriptor: int, message: object) -> None:
    """Write one message: four bytes of length, then JSON. Raises Lost where nobody reads, ValueError where too long."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE:
        text = f"a value of {len(data)} bytes; the limit is {MAX_MESSAGE}"
        raise ValueError(text)
    view = memoryview(len(data).to_bytes(4, "little") + data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as e:
        raise Lost(str(e)) from None


def receive(descriptor: int) -> Any:
    """Read one message. Raises Lost."""
    size = int.from_bytes(_exactly(descriptor, 4), "little")
    if size > MAX_MESSAGE:
        text = "not a message"
        raise Lost(text)
    try:
        return json.loads(_exactly(descriptor, size))
    except (ValueError, RecursionError):
        text = "not a message"
        raise Lost(text) from None


def _exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        try:
            part = os.read(descriptor, min(size, 1 << 20))
        except OSError as e:
            raise Lost(str(e)) from None
        if not part:
            text = "closed"
            raise Lost(text)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _tag(name: str, value: object) -> dict[str, object]:
    return {"t": name, "v": value}


def _hex(text: str) -> int:
    return int(text, 16)


_SCALARS: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    complex: ("complex", lambda v: [v.real, v.imag], lambda d: complex(*d)),
    bytes: ("bytes", bytes.hex, bytes.fromhex),
    bytearray: ("bytearray", bytearray.hex, bytearray.fromhex),
    range: ("range", lambda v: [str(v.start), str(v.stop), str(v.step)], lambda d: range(*map(int, d))),
    Decimal: ("Decimal", str, Decimal),
    Fraction: ("Fraction", lambda v: [hex(v.numerator), hex(v.denominator)], lambda d: Fraction(*map(_hex, d))),
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", time.isoformat, time.fromisoformat),
    timedelta: ("timedelta", lambda v: [v.days, v.seconds, v.microseconds], lambda d: timedelta(*d)),
    type(...): ("...", lambda _: None, lambda _: ...),
    type(NotImplemented): ("NotImplemented", lambda _: None, lambda _: NotImplemented),
}  # fmt: skip
_READ = {name: read for name, _, read in _SCALARS.values()}
_MANY: dict[type, str] = {tuple: "tuple", set: "set", frozenset: "frozenset", deque: "deque"}
_MAKE: dict[str, Callable[[Any], Any]] = {n: t for t, n in _MANY.items()}


class Codec:
    """Turns values into JSON and back. `keep` describes a value that stays here; `meet` makes one that stayed there.

    `handles`: types that always stay. `imports` False: no name from a message is looked up, `meet` gets it instead.
    """

    def __init__(
        self,
        keep: Callable[[object], dict[str, object]],
        meet: Callable[[str, Any], object],
        handles: tuple[type, ...] = (),
        *,
        imports: bool = True,
    ) -> None:
        self.keep = keep
        self.meet = meet
        self.handles = handles
        self.imports = imports

    def encode(self, value: Any) -> Any:
        """Return JSON for a value. Raises RecursionError for cycles."""
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is float:
            return value
        if kind is int:
            return value if -_BIG < value < _BIG else _tag("int", hex(value))
        if kind is list:
            return [self.encode(v) for v in value]
        if kind is dict:
            return _tag("dict", [[self.encode(k), self.encode(v)] for k, v in value.items()])
        if kind in _MANY:
            return _tag(_MANY[kind], [self.encode(v) for v in value])
        if kind in _SCALARS:
            name, write, _ = _SCALARS[kind]
            return _tag(name, write(value))
        return self._other(value)

    def _other(self, value: Any) -> Any:
        """Values of derived classes as their base, functions of the standard library by name, the rest stays."""
        if issubclass(type(value), self.handles):
            return self.keep(value)
        bases: tuple[tuple[type, Callable[[Any], Any]], ...] = (
            (str, str.__str__), (int, int.__int__), (float, float.__float__), (list, list), (tuple, tuple),
            (dict, dict), (set, set), (frozenset, frozenset), (deque, deque),
        )  # fmt: skip
        for base, plain in bases:
            if isinstance(value, base):
                return self.encode(plain(value))
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and callable(value):
            if getattr(builtins, name, None) is value:
                return _tag("builtin", name)
            module = getattr(value, "__module__", None)
            if is_stdlib(module) and getattr(sys.modules.get(str(module)), name, None) is value:
                return _tag("stdlib", [module, name])
        return self.keep(value)

    def decode(self, data: Any) -> Any:
        """Return the value. Raises Lost where the data is none of ours."""
        if isinstance(data, list):
            return [self.decode(v) for v in data]
        if not isinstance(data, dict):
            return data
        try:
            return self._tagged(data["t"], data["v"])
        except Lost:
            raise
        except (KeyError, TypeError, ValueError, ArithmeticError) as e:
            text = f"not a value: {type(e).__name__}"
            raise Lost(text) from None

    def _tagged(self, tag: str, inner: Any) -> Any:
        if tag == "dict":
            return {self.decode(k): self.decode(v) for k, v in inner}
        if tag in _MAKE:
            return _MAKE[tag]([self.decode(v) for v in inner])
        if tag == "int":
            return int(inner, 16)
        if tag in _READ:
            return _READ[tag](inner)
        if not self.imports:
            return self.meet(tag, inner)
        if tag == "builtin":
            return _harmless(getattr(builtins, inner))
        if tag == "stdlib":
            return from_stdlib(*inner)
        return self.meet(tag, inner)


def is_stdlib(module: object) -> bool:
    """Is it the name of a module of the standard library?"""
    return isinstance(module, str) and module.split(".")[0] in _STDLIB


def from_stdlib(module: str, name: str) -> Any:
    """Import a name of the standard library. Raises Lost for anything else."""
    import importlib

    if not is_stdlib(module):
        text = "not of the standard library"
        raise Lost(text)
    return _harmless(getattr(importlib.import_module(module), name))


def _harmless(value: Any) -> Any:
    """Functions and types only: the library has objects that equal everything (`unittest.mock.ANY`)."""
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return value
    text = "not a function or type"
    raise Lost(text)
