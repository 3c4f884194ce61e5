"""The thin HTTP client against servers that say anything at any pace, and the way round it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import subprocess
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.engines import http_connection
from curator.engines.http import BrokenOff, NotSent, Reply, TimedOut, open_client
from curator.engines.http_aiohttp import AiohttpClient
from curator.engines.http_client import ThinClient

from .raw_server import OK, RawServer, Visit, answers, page


def talk(script, body, *, timeout=5.0, headers=None, tls=None, **options):
    """Run `body(client, server)` against a server that follows `script`."""

    async def main():
        async with RawServer(script, tls) as server:
            client = open_client(server.url, headers or {}, timeout, direct=True, **options)
            try:
                return await asyncio.wait_for(body(client, server), 20)
            finally:
                await client.close()

    return asyncio.run(main())


def replies(data: bytes, count: int = 1, *, pieces: list[int] | None = None, close: bool = True) -> list[Reply]:
    """What the client makes of `data`, sent for each of `count` requests; cut at `pieces`."""
    cuts = sorted({0, len(data), *(pieces or [])})

    async def script(visit: Visit) -> None:
        while True:
            await visit.request()
            for a, b in zip(cuts, cuts[1:], strict=False):
                await visit.send(data[a:b])
                await asyncio.sleep(0)
            if close:
                return

    async def body(client, _server):
        return [await client.post("/", b"{}") for _ in range(count)]

    return talk(script, body)


CHUNKED = (
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4;x=y\r\n": 1\r\n1\r\n}\r\n'
    b"0\r\nTrailer: x\r\n\r\n"
)
WHOLE = {
    "length": page(b'{"a": 1}'),
    "chunked": CHUNKED,
    "until the end": b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"a": 1}',
    "HTTP/1.0": b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}',
    "gzip": page(gzip.compress(b'{"a": 1}', mtime=0), "content-encoding: gzip"),
    "deflate": page(zlib.compress(b'{"a": 1}'), "Content-Encoding: Deflate"),
    "identity": page(b'{"a": 1}', "Content-Encoding: identity"),
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" + page(b'{"a": 1}'),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_way_to_send_a_body(name):
    assert replies(WHOLE[name]) == [Reply(200, b'{"a": 1}')]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.lists(st.integers(1, 150), max_size=12))
def test_the_pieces_it_comes_in_do_not_matter(name, pieces):
    assert replies(WHOLE[name], pieces=[p for p in pieces if p < len(WHOLE[name])]) == [Reply(200, b'{"a": 1}')]


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=120))
def test_bytes_that_are_no_answer_are_told_so(data):
    """Whatever a server sends: an answer or a named failure, never another exception and never a wait."""
    with contextlib.suppress(BrokenOff):
        assert isinstance(replies(data)[0], Reply)


BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "head only": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    "half a chunk": CHUNKED[:-20],
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nabcde",
    "switched": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "unknown encoding": page(b"xx", "Content-Encoding: br"),
    "no gzip": page(b"xx", "Content-Encoding: gzip"),
    "cut gzip": page(gzip.compress(b"x" * 1000, mtime=0)[:-5], "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_is_not_whole_is_no_answer(name):
    with pytest.raises(BrokenOff):
        replies(BROKEN[name])


@pytest.mark.parametrize("body", [b"x" * 5000, gzip.compress(b"x" * 5000, mtime=0)])
def test_an_answer_without_end_is_cut(monkeypatch, body):
    monkeypatch.setattr(http_connection, "LARGEST", 3000)
    with pytest.raises(BrokenOff, match="too large"):
        replies(page(body, *(["Content-Encoding: gzip"] if body[:1] == b"\x1f" else [])))


def test_status_and_retry_after_come_along():
    assert replies(page(b"no", "Retry-After: 7", status="429 Slow")) == [Reply(429, b"no", "7")]
    assert replies(b"HTTP/1.1 204 No Content\r\n\r\n") == [Reply(204, b"")]


def test_what_is_sent():
    async def body(client, server):
        await client.post("/v1/chat completions", b'{"x": 1}')
        return server.visits[0].head

    head = talk(answers, body, headers={"Authorization": "Bearer k"})
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /v1/chat%20completions HTTP/1.1"
    assert {"Authorization: Bearer k", "Content-Length: 8"} < set(lines)
    assert sum(line.startswith("Host: 127.0.0.1:") for line in lines) == 1


def test_one_connection_serves_one_request_after_the_other():
    async def body(client, server):
        for _ in range(5):
            assert await client.post("/", b"{}") == Reply(200, b"ok")
        assert await client.get("/models") == Reply(200, b"ok")
        return len(server.visits)

    assert talk(answers, body) == 1


def test_as_many_connections_as_requests_at_once():
    async def body(client, server):
        await asyncio.gather(*(client.post("/", b"{}") for _ in range(9)))
        await asyncio.gather(*(client.post("/", b"{}") for _ in range(9)))
        return len(server.visits)

    async def slow(visit):
        while True:
            await visit.request()
            await asyncio.sleep(0.02)
            await visit.send(OK)

    assert talk(slow, body) == 9


@pytest.mark.parametrize("data", [page(b"ok", "Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"])
def test_a_connection_that_the_server_wants_closed_is_not_used_again(data):
    async def script(visit):
        await visit.request()
        await visit.send(data)
        assert await visit.gone()

    async def body(client, server):
        await client.post("/", b"{}")
        await client.post("/", b"{}")
        return len(server.visits)

    assert talk(script, body) == 2


@pytest.mark.parametrize("after", [0.0, 0.05])
def test_a_kept_connection_that_the_server_has_closed_costs_nothing(after):
    """Closed while idle, or at the moment the next request arrives: that one has not been seen, and goes out again."""

    async def script(visit):
        await visit.request()
        await visit.send(OK)
        if visit.number == 0 and not after:
            await visit.request()
        elif visit.number > 0:
            await answers(visit)

    async def body(client, server):
        await client.post("/", b"1")
        await asyncio.sleep(after)
        assert await client.post("/", b"2") == Reply(200, b"ok")
        return len(server.visits)

    assert talk(script, body) == 2


def test_a_new_connection_that_closes_at_once_is_a_failure():
    async def script(visit):
        await visit.request()

    async def body(client, server):
        with pytest.raises(BrokenOff, match="broke off"):
            await client.post("/", b"{}")
        return len(server.visits)

    assert talk(script, body) == 1


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_an_answer_nobody_asked_for_is_given_to_nobody(pause):
    """A second answer behind the first, or later on the idle connection: the next request goes elsewhere."""

    sent = asyncio.Semaphore(0)

    async def script(visit):
        while True:
            asked = await visit.request()
            await visit.send(page(asked))
            await asyncio.sleep(pause)
            try:
                await visit.send(page(b"not yours")[:30])
            finally:
                sent.release()

    async def body(client, _server):
        found = []
        for i in range(4):
            found.append((await client.post("/", b"%d" % i)).body)
            await sent.acquire()
            await asyncio.sleep(0.01)  # the loop looks at the connection before it looks at its clock
        return found

    assert talk(script, body) == [b"0", b"1", b"2", b"3"]


def test_a_refusal_before_the_request_was_read_is_heard_and_the_connection_left():
    async def script(visit):
        await visit.reader.readuntil(b"\r\n\r\n")
        await visit.send(page(b"too big", status="413 Too Large"))
        await visit.reader.read()

    async def body(client, server):
        found = [await client.post("/", b"x" * 30_000_000), await client.post("/", b"x" * 30_000_000)]
        return found, len(server.visits)

    found, visits = talk(script, body)
    assert [r.status for r in found] == [413, 413]
    assert visits == 2


def test_a_timeout_closes_its_connection_and_no_other():
    async def script(visit):
        asked = await visit.request()
        if asked == b"slow":
            visit.closed = await visit.gone()
        else:
            await asyncio.sleep(1.2)
            await visit.send(page(asked))

    async def body(client, server):
        slow = asyncio.ensure_future(client.post("/", b"slow"))
        await asyncio.sleep(1.0)
        quick = asyncio.ensure_future(client.post("/", b"quick"))
        with pytest.raises(TimedOut, match=r"no answer within 2 s"):
            await slow
        assert (await quick).body == b"quick"
        await server.visits[0].over.wait()
        return [getattr(v, "closed", None) for v in server.visits]

    assert talk(script, body, timeout=2.0) == [True, None]


def test_every_request_has_its_own_deadline():
    async def script(visit):
        await visit.gone()

    async def body(client, _server):
        loop, began = asyncio.get_running_loop(), []

        async def ask(after):
            await asyncio.sleep(after)
            began.append(loop.time())
            with pytest.raises(TimedOut):
                await client.post("/", b"{}")
            return loop.time()

        for wave in range(2):  # the timer is set again after it has rung for the last one
            ended = await asyncio.gather(*(ask(0.07 * i) for i in range(3)))
            waited = [b - a for a, b in zip(began[3 * wave :], ended, strict=True)]
            assert min(waited) >= 1.0 - 0.001

    talk(script, body, timeout=1.0)


def test_cancelling_closes_the_connection():
    async def script(visit):
        await visit.request()
        visit.closed = await visit.gone()

    async def body(client, server):
        task = asyncio.ensure_future(client.post("/", b"{}"))
        visit = await server.asked(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await visit.over.wait()
        return visit.closed

    assert talk(script, body) is True


def test_a_second_event_loop_starts_afresh():
    """The connections of a loop that has ended are open to the server and dead to us."""

    def serve(sock: socket.socket) -> None:
        while sock.recv(65536):
            sock.sendall(OK)

    def accept(listener: socket.socket) -> None:
        for _ in range(2):
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        client = ThinClient(f"http://127.0.0.1:{listener.getsockname()[1]}", {}, 2.0)
        for _ in range(2):
            assert asyncio.run(client.post("/", b"{}")).body == b"ok"


def test_closing_tells_who_waits():
    async def script(visit):
        await visit.request()
        await visit.gone()

    async def body(client, server):
        task = asyncio.ensure_future(client.post("/", b"{}"))
        await server.asked(0)
        await client.close()
        with pytest.raises(BrokenOff, match="closed"):
            await task

    talk(script, body)


def test_nobody_there_and_no_such_host():
    async def main(url, said):
        client = ThinClient(url, {}, 5.0)
        with pytest.raises(NotSent, match=said):
            await client.post("/", b"{}")
        await client.close()

    asyncio.run(main("http://127.0.0.1:1", "cannot connect to http://127.0.0.1:1 "))
    asyncio.run(main("http://no-such-host.invalid", "cannot connect"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a certificate for 127.0.0.1 that nobody trusts yet."""
    folder = tmp_path_factory.mktemp("tls")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key", "-out", f"{folder}/cert"]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the openssl command to make a certificate")
    return folder


def test_tls(certificate, monkeypatch):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert", certificate / "key")

    async def body(client, server):
        return [(await client.post("/", b"{}")).body for _ in range(3)], len(server.visits)

    with pytest.raises(NotSent, match="(?i)certificate"):
        talk(answers, body, tls=context)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    assert talk(answers, body, tls=context) == ([b"ok"] * 3, 1)


def test_a_server_that_redirects_is_left_to_aiohttp():
    async def script(visit):
        while True:
            body = await visit.request()
            if visit.head.startswith(b"POST /old"):
                await visit.send(page(b"", "Location: /new", status="307 Elsewhere"))
            else:
                await visit.send(page(b"found " + body))

    async def body(client, _server):
        first = (await client.post("/old", b"1")).body
        assert isinstance(client._other, AiohttpClient)
        return first, (await client.post("/old", b"2")).body

    assert talk(script, body) == (b"found 1", b"found 2")


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def main():
        async with RawServer(answers) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.removeprefix("http://"))
            client = open_client("http://models.invalid", {}, 5.0)
            assert (await client.post("/v1/x", b"{}")).body == b"ok"
            await client.close()
            assert proxy.visits[0].head.startswith(b"POST http://models.invalid/v1/x HTTP/1.1")
            monkeypatch.setenv("no_proxy", "models.invalid")
            assert isinstance(open_client("http://models.invalid", {}, 5.0), ThinClient)
            monkeypatch.delenv("no_proxy")
            assert isinstance(open_client("http://127.0.0.1", {}, 5.0, direct=True), ThinClient)

    asyncio.run(main())


@pytest.mark.parametrize("script", ["nothing", "slow", "gone"])
def test_the_other_client_fails_with_the_same_names(script):
    async def behave(visit):
        await visit.request()
        if script == "slow":
            await asyncio.sleep(1)
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")

    async def main():
        async with RawServer(behave) as server:
            url = "http://127.0.0.1:1" if script == "nothing" else server.url
            client = AiohttpClient(url, {}, 0.3 if script == "slow" else 5.0, None)
            with pytest.raises({"nothing": NotSent, "slow": TimedOut, "gone": BrokenOff}[script]):
                await client.post("/", b"{}")
            await client.close()

    asyncio.run(main())
