"""The other HTTP client: aiohttp, where a proxy stands between or a server redirects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from curator.engines.http import CONNECT, KEPT, BrokenOff, NotSent, Reply, TimedOut


class AiohttpClient:
    """See `curator.engines.http.Client`. `proxy`: address of an HTTP proxy, with its user and password if it wants."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float, proxy: str | None) -> None:
        parts = urlsplit(url)
        self._root = f"{parts.scheme}://{parts.netloc}"
        self._url, self._headers, self._timeout, self._proxy = url, headers, timeout, proxy
        self._session: Any = None

    async def post(self, path: str, data: bytes) -> Reply:
        """Send `data` to `path`; see `Client.post`."""
        return await self._send("POST", path, data)

    async def get(self, path: str) -> Reply:
        """Ask for `path`; see `Client.get`."""
        return await self._send("GET", path, None)

    async def _send(self, method: str, path: str, data: bytes | None) -> Reply:
        import aiohttp

        session = self._session or self._open()
        try:
            async with session.request(method, self._root + path, data=data) as response:
                return Reply(response.status, await response.read(), response.headers.get("Retry-After"))
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as e:
            said = getattr(e, "os_error", None)
            msg = f"cannot connect to {self._url} ({(said.strerror or said) if said else e})"
            raise NotSent(msg) from e
        except TimeoutError as e:
            msg = f"no answer within {self._timeout:g} s"
            raise TimedOut(msg) from e
        except (aiohttp.ClientError, ConnectionError) as e:
            msg = f"the answer broke off ({type(e).__name__})"
            raise BrokenOff(msg) from e

    def _open(self) -> Any:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(CONNECT, self._timeout)),
            headers=dict(self._headers),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
        )
        return self._session

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None
