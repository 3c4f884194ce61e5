"""How the HTTP engine reaches a server: what a client is, what it answers, and which of the two is used.

Two clients with one face. `http_client`: ours, HTTP/1.1 straight on asyncio with httptools as parser, for what a run
does a million times (one host, kept connections, short JSON bodies). `http_aiohttp`: aiohttp, for what is unusual:
proxies from the environment and redirects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

LARGEST = 1 << 28  # bytes of one answer, headers included; more is not an answer to us (unpublished, ours: 256 MiB)
CONNECT = 30.0  # seconds until an attempt to connect counts as failed
KEPT = 30.0  # seconds until a connection that nobody uses is closed by us


class NotSent(Exception):
    """No connection: the server has seen nothing of the request."""


class TimedOut(Exception):
    """The server took the request and did not answer in time."""


class BrokenOff(Exception):
    """The connection ended, or what came over it is not HTTP, before the answer was whole."""


class Reply(NamedTuple):
    """A whole answer: status, body (decompressed), and the header Retry-After where there is one."""

    status: int
    body: bytes
    retry_after: str | None = None


class Client(Protocol):
    """One server. All methods are called from one event loop."""

    async def post(self, path: str, data: bytes) -> Reply:
        """Send JSON to `path` (which begins with `/`) and return the answer, whatever its status.

        Cancelling closes the connection, so that the server can see that nobody waits.

        Raises:
            NotSent, TimedOut, BrokenOff: there is no answer.
        """
        ...

    async def get(self, path: str) -> Reply:
        """Ask for `path`; like `post`."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def open_client(url: str, headers: Mapping[str, str], timeout: float, *, direct: bool = False) -> Client:
    """Return a client for the server at `url` (scheme, host and port count); nothing is sent yet.

    Args:
        url: address of the server, http or https.
        headers: sent with every request.
        timeout: seconds from writing a request to the end of its answer; connecting has a limit of its own (`CONNECT`).
        direct: proxies of the environment do not count.

    Raises:
        ValueError: the environment wants a proxy that is no HTTP proxy.
    """
    proxy = None if direct else _proxy(url)
    if proxy is not None:
        from curator.engines.http_aiohttp import AiohttpClient

        return AiohttpClient(url, headers, timeout, proxy)
    from curator.engines.http_client import ThinClient

    return ThinClient(url, headers, timeout)


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) wants for `url`."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    known = getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    kind, found, _ = proxy.partition("://")
    if found and kind.lower() not in ("http", "https"):
        msg = f"the environment asks for a {kind} proxy, which is not supported; give an HTTP proxy, or set NO_PROXY"
        raise ValueError(msg)
    return proxy if found else f"http://{proxy}"
