"""The conversation with one server: a request is sent until there is an answer, or a reason why there will be none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from curator import near
from curator.engines import openai_wire as wire
from curator.engines.http import BrokenOff, Client, NotSent, TimedOut, open_client
from curator.engines.openai_wire import Broken
from curator.engines.pacing import Pacer
from curator.errors import EngineError

DEFAULT_URL = "https://api.openai.com/v1"
_THROTTLED = frozenset({429, 503, 529})
_WORTH_RETRYING = frozenset({408, 409, 425})
_NOT_SENT, _TIMEOUT, _BROKEN = 0, 1, 2  # outcomes without an HTTP status
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared, not bound


def base_url_of(settings: Mapping[str, Any]) -> str:
    """Return the server's address: the setting, else `OPENAI_BASE_URL`, else OpenAI's."""
    return str(settings.get("base_url") or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL).rstrip("/")


def is_local(url: str) -> bool:
    """Say whether a server runs on this machine: it needs no key and costs nothing a token."""
    return urlsplit(url).hostname in _LOCAL


def check_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return what is missing before a first request can be sent: an address, a key for a server elsewhere."""
    url = base_url_of(settings)
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        return [f"base_url {url} is no address; it looks like https://host/v1"]
    name = str(settings.get("api_key_env") or "OPENAI_API_KEY")
    if is_local(url) or os.environ.get(name):
        return []
    return [f"no key: set the environment variable {name}, or name another one with api_key_env"]


class _Outcome(NamedTuple):
    """An attempt without an answer: HTTP status (or one of ours), why, the server's error code, its Retry-After."""

    status: int
    why: str
    code: str = ""
    wait: str | None = None


class _Answer(NamedTuple):
    """An attempt that brought an answer, as read."""

    result: Any


class Talk:
    """Requests to one server, paced and retried. `where` names engine and server in messages."""

    def __init__(
        self, alias: str, base_url: str, model: str, *, key_env: str, timeout: float, retries: int, pacer: Pacer
    ) -> None:
        self.pacer = pacer
        self._base_url, self._path = base_url, urlsplit(base_url).path
        self._alias, self._model, self._key_env = alias, model, key_env
        self._timeout, self._retries = timeout, retries
        self._client: Client | None = None
        self._key = ""

    @property
    def where(self) -> str:
        """Engine and server, for messages."""
        return f"engine '{self._alias}' ({self._base_url})"

    def path(self, name: str) -> str:
        """Return the path of an endpoint under base_url, such as `/chat/completions`."""
        return self._path + name

    async def post(self, path: str, body: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
        """Post `body` as JSON until there is an answer.

        Returns:
            `read(page)`, or a string: why this request failed for good. `read` raises `Broken`, `KeyError`,
            `TypeError` or `ValueError` where the page is no answer.

        Raises:
            EngineError: the server is unusable for every request.
        """
        pacer, data = self.pacer, orjson.dumps(body)
        failures = refusals = 0
        while True:
            started = await pacer.acquire()
            try:
                outcome = await self._attempt(path, data, read)
            except BaseException:
                pacer.abandon()
                raise
            if isinstance(outcome, _Answer):
                pacer.release(started)
                return outcome.result
            if outcome.status in _THROTTLED and outcome.code != "insufficient_quota":
                refusals += 1
                self._refused(started, outcome.wait, outcome.why)
                await asyncio.sleep(pacer.delay(refusals))
                continue
            if 400 <= outcome.status < 500 and outcome.status not in _WORTH_RETRYING:
                pacer.release(started)
                await self._judge(outcome)
                return outcome.why
            self._failed(started, outcome.why, slow=outcome.status == _TIMEOUT)
            # Where nothing was sent it says nothing about this request, and does not use up its retries.
            failures += outcome.status != _NOT_SENT
            if failures > self._retries:
                return f"{outcome.why}, after {failures} attempts"
            await asyncio.sleep(pacer.delay(max(1, failures)))

    async def _attempt(self, path: str, data: bytes, read: Callable[[Any], Any]) -> _Outcome | _Answer:
        """Post once."""
        try:
            reply = await (self._client or self._open()).post(path, data)
        except NotSent as e:
            return _Outcome(_NOT_SENT, str(e))
        except TimedOut as e:
            return _Outcome(_TIMEOUT, str(e))
        except BrokenOff as e:
            return _Outcome(_BROKEN, str(e))
        if reply.status == 200:
            try:
                return _Answer(read(orjson.loads(reply.body)))
            except Broken as e:
                return _Outcome(_BROKEN, self._redact(str(e)))
            except (ValueError, KeyError, TypeError):
                return _Outcome(_BROKEN, "a body that is not a JSON answer" if reply.body else "an empty body")
        page = _page(reply.body)
        why = self._redact(f"{reply.status} {wire.message_of(page)}")
        return _Outcome(reply.status, why, wire.code_of(page), reply.retry_after)

    def _redact(self, text: str) -> str:
        """Return `text` without our key, which some servers repeat."""
        return text.replace(self._key, "***") if self._key else text

    def _failed(self, started: float, why: str, *, slow: bool = False) -> None:
        try:
            self.pacer.failed(started, why, slow=slow)
        except EngineError as e:
            msg = f"{self.where}: {e}; answers are kept, run again when it is back"
            raise EngineError(msg) from None

    def _refused(self, started: float, wait: str | None, why: str) -> None:
        try:
            self.pacer.refused(started, seconds(wait), why)
        except EngineError as e:
            msg = f"{self.where}: {e}; answers are kept, lower max_concurrency or wait"
            raise EngineError(msg) from None

    async def _judge(self, outcome: _Outcome) -> None:
        """Raise where a refusal holds for every request, not for this row alone."""
        status, code, why = outcome.status, outcome.code, outcome.why
        if status in (401, 403):
            state = "is refused" if os.environ.get(self._key_env) else "is not set"
            msg = f"{self.where}: {why}; the key in the environment variable {self._key_env} {state}"
        elif status == 402 or code == "insufficient_quota":
            msg = f"{self.where}: {why}; the account has no credit left, answers are kept"
        elif status in (404, 405) or code in ("model_not_found", "invalid_model"):
            names = await self._models()
            if names is not None and self._model not in names:
                msg = f"{self.where}: the server has no model '{self._model}'{near.hint(self._model, names)}"
            else:
                msg = f"{self.where}: {why}; base_url usually ends in /v1"
        else:
            return
        self.pacer.give_up(EngineError(msg))

    async def _models(self) -> list[str] | None:
        """Return the model names the server lists, or None where it does not say."""
        try:
            reply = await (self._client or self._open()).get(self.path("/models"))
            return sorted(str(m["id"]) for m in orjson.loads(reply.body)["data"])
        except (NotSent, TimedOut, BrokenOff, ValueError, KeyError, TypeError):
            return None

    def _open(self) -> Client:
        local = is_local(self._base_url)
        key = (os.environ.get(self._key_env) or "").strip()
        if not key and not local:
            msg = (
                f"engine '{self._alias}': no key for {self._base_url}; "
                f"put it into the environment variable {self._key_env}, or name another one with api_key_env"
            )
            self.pacer.give_up(EngineError(msg))
        if not (key.isascii() and key.isprintable()):
            msg = f"{self.where}: the environment variable {self._key_env} holds characters that no key has"
            self.pacer.give_up(EngineError(msg))
        self._key = key
        headers = {
            "Authorization": f"Bearer {key or 'none'}", "Content-Type": "application/json",
            "Accept": "application/json", "User-Agent": "trace-curator",
        }  # fmt: skip
        try:
            self._client = open_client(self._base_url, headers, self._timeout, direct=local)
        except ValueError as e:
            self.pacer.give_up(EngineError(f"{self.where}: {e}"))
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None


def _page(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def seconds(text: str | None) -> float | None:
    """Return a Retry-After header in seconds; it is a number or a date. None where it is neither."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
