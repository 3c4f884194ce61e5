"""The program as its tests see it: handles that send messages, and plain values that come back.

A value of the test goes to the program only as an argument. Comparing, adding or ordering happens here, on plain
values. Where one side is an object of the program's own class, only the program could do it, and it must not judge
itself: `Opaque`.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from curator.sandbox.program import PEER
from curator.sandbox.wire import Codec, Lost, is_stdlib, receive, send


class Opaque(BaseException):
    """A comparison that only the program could decide. No test's `except Exception` may swallow it."""


class ProgramError(Exception):
    """The program raised; `name` is its exception's, `missing` a module that was not found."""

    def __init__(self, name: str, text: str, missing: str | None = None) -> None:
        super().__init__(text)
        self.name = name
        self.text = text
        self.missing = missing


class Link:
    """The tests' side of the messages."""

    def __init__(self) -> None:
        self.codec = Codec(self.keep, self.meet, (Remote,))
        self.callbacks: list[Any] = []
        self.remotes: dict[int, Remote] = {}
        self.held: list[tuple[Any, Any]] | None = None  # changes of arguments that wait for the end of an assert
        self.lost = False

    def keep(self, value: object) -> dict[str, Any]:
        """Describe an argument that is no plain value: a handle of the program's, or a function of ours to call."""
        if isinstance(value, Remote):
            return {"t": "remote", "v": {"id": about(value)["id"]}}
        if callable(value) and not isinstance(value, type):
            self.callbacks.append(value)
            return {"t": "callback", "v": len(self.callbacks) - 1}
        msg = f"a {type(value).__name__} of the tests cannot be passed to the program"
        raise Opaque(msg)

    def meet(self, tag: str, inner: Any) -> object:
        """Return what stands here for an object that stayed with the program."""
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
        """Call a function of the program; what it changed in its arguments is changed here too."""
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
        """Ask for an attribute, an item, a length, ... of an object of the program."""
        encoded = [self.codec.encode(a) for a in args]
        return self.codec.decode(
            self.request(op="apply", action=action, on=self.codec.encode(target), args=encoded)["value"]
        )

    def hold(self) -> None:
        """An assert begins: a program that empties its argument must not change what it is compared with."""
        self.held = []

    def release(self) -> None:
        """The assert is over: what the program changed meanwhile is changed here."""
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


def about(remote: Remote) -> dict[str, Any]:
    """What the program said of an object: id, class, whether `==` is identity, what an exception class derives from."""
    found: dict[str, Any] = object.__getattribute__(remote, "_about")
    return found


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

    def __call__(self, *args: Any, **keywords: Any) -> Any:  # noqa: D102
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
        return hash(about(self)["id"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote) and about(self).get("identity") is True:
            return False
        raise Opaque(_only(self, "compare", other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __instancecheck__(self, other: object) -> bool:
        raise Opaque(_only(self, "recognise", other))


def _only(remote: Remote, verb: str, other: object) -> str:
    theirs = about(other).get("class") if isinstance(other, Remote) else type(other).__name__
    return f"only the program could {verb} its {about(remote).get('class')} and {theirs}"


def same_object(one: Any, other: Any) -> bool:
    """`is`, for tests. Two handles of the program prove nothing: it may hand out the same one twice."""
    if isinstance(one, Remote) and isinstance(other, Remote):
        raise Opaque(_only(one, "tell apart", other))
    return one is other


def _operator(action: str) -> Any:
    def operation(self: Remote, other: Any) -> Any:
        raise Opaque(_only(self, action, other))

    return operation


for _action in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "radd", "rsub", "rmul", "rtruediv", "rmod",
                "lt", "le", "gt", "ge", "and", "or", "xor"):  # fmt: skip
    setattr(Remote, f"__{_action}__", _operator(_action))


class _RemoteClass(Remote):
    """An exception class of the program."""


class ForeignModule:
    """A module that the program imported and the sandbox of the tests does not have."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        msg = f"the tests use {self._name}.{name} of the program"
        raise Opaque(msg)
