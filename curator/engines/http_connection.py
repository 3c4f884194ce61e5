"""One kept HTTP/1.1 connection: bytes out, one answer back, then the next. Parsed by httptools (llhttp)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import cast

import httptools

from curator.engines.http import LARGEST, BrokenOff, Reply

_WANTED = frozenset({b"content-encoding", b"content-length", b"retry-after", b"transfer-encoding"})
_SIZES = frozenset(map(len, _WANTED))


class Stale(Exception):
    """The server closed a kept connection as we wrote to it: not a byte of an answer came."""


class Connection(asyncio.Protocol):
    """A connection with at most one request under way.

    `idle` is called with it when an answer is whole and the server lets it live; `free_at` is for the caller's use.
    """

    def __init__(self, idle: Callable[[Connection], None]) -> None:
        self._idle = idle
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Reply] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._used = False
        self._size = 0
        self.free_at = 0.0

    @property
    def alive(self) -> bool:
        """Whether another request can be written to it."""
        return not self._transport.is_closing()

    def ask(self, data: bytes, answer: asyncio.Future[Reply]) -> asyncio.Future[Reply]:
        """Write a request; the answer, or why there is none, comes with the future.

        It fails with `BrokenOff`, or with `Stale` where the request can be sent again elsewhere.
        """
        self._answer, self._size = answer, 0
        self._transport.write(data)
        return answer

    def fail(self, error: Exception) -> None:
        """Close at once; who waits for an answer gets `error`."""
        answer, self._answer = self._answer, None
        self._transport.abort()
        if answer is not None and not answer.done():
            answer.set_exception(error)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what it cannot read, or nobody asked for, ends the connection."""
        self._size += len(data)
        if self._size > LARGEST:
            self.fail(BrokenOff("the answer is too large"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as e:
            why = e.__context__ if isinstance(e.__context__, BrokenOff) else BrokenOff("the answer is not HTTP")
            self.fail(why)

    def eof_received(self) -> None:
        """End an answer that has no length: it ends with the connection."""
        if self._body and not {b"content-length", b"transfer-encoding"} & self._headers.keys():
            self._finish(self._parser.get_status_code(), keep=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if self._used and self._size == 0:
            self.fail(Stale())
        else:
            self.fail(BrokenOff(f"the answer broke off ({type(exc).__name__ if exc else 'connection closed'})"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Forget the answer before; refuse one that nobody asked for."""
        if self._answer is None:
            raise BrokenOff("two answers to one request")
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that count."""
        if len(name) in _SIZES and (name := name.lower()) in _WANTED:
            self._headers[name] = value

    def on_body(self, body: bytes) -> None:
        """Collect."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it was an interim one (100, 103)."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._finish(status, keep=self._parser.should_keep_alive())

    def _finish(self, status: int, *, keep: bool) -> None:
        answer, self._answer = self._answer, None
        headers, body = self._headers, self._body
        whole = body[0] if len(body) == 1 else b"".join(body)
        self._body, self._used = [], True
        if answer is not None and not answer.done():
            retry, encoding = headers.get(b"retry-after"), headers.get(b"content-encoding")
            try:
                whole = _decoded(whole, encoding) if encoding else whole
                answer.set_result(Reply(status, whole, retry.decode("latin-1") if retry else None))
            except BrokenOff as e:
                answer.set_exception(e)
        # Where part of a request is still unsent (an early refusal) the next one would end up inside it.
        if keep and not self._transport.get_write_buffer_size():
            self._idle(self)
        else:
            self._transport.close()


def _decoded(body: bytes, encoding: bytes) -> bytes:
    """Return a body without its compression, which we did not ask for but understand: gzip and deflate."""
    name = encoding.strip().lower()
    if name == b"identity":
        return body
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        msg = f"the answer is encoded as {name.decode('latin-1')[:40]!r}, which nobody asked for"
        raise BrokenOff(msg)
    machine = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        out = machine.decompress(body, LARGEST)
    except zlib.error as e:
        msg = f"the answer is not {name.decode('latin-1')}"
        raise BrokenOff(msg) from e
    if not machine.eof:
        raise BrokenOff("the compressed answer is cut off or too large")
    return out
