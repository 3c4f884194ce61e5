"""Any server that speaks the chat completions protocol: OpenAI, vLLM, SGLang, DeepSeek and the many like them.

Directly on aiohttp and orjson: the official client's transport costs 3 to 30 times the CPU of a request, which is
what limits a run against a fast server.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from annotated_types import Ge, Gt

from curator import near
from curator.engines import openai_wire as wire
from curator.engines.chat import offsets
from curator.engines.openai_wire import Broken, Flavour
from curator.engines.pacing import Pacer, Patience
from curator.engines.protocol import PREFIX, Completion, Message, Request, TextScore
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


class _Outcome(NamedTuple):
    """One attempt: HTTP status (or one of ours), why it is no answer, the server's error code, its Retry-After."""

    status: int
    why: str | None = None
    code: str = ""
    wait: str | None = None
    result: Any = None


class OpenAIEngine:
    """A chat completions server."""

    def __init__(
        self,
        *,
        alias: str = "engine",
        model: str,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        flavour: Flavour = "openai",
        revision: str | None = None,
        max_concurrency: Annotated[int, Ge(1)] = 256,
        timeout: Annotated[float, Gt(0)] = 900.0,
        retries: Annotated[int, Ge(0)] = 5,
        patience: Annotated[float, Gt(0)] = 900.0,
        max_context: int | None = None,
        limit_name: str = "max_tokens",
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        """Name a server; nothing is sent yet.

        Args:
            alias: the pipeline's name for it.
            model: name the server knows.
            base_url: address up to and with `/v1`. Default: the environment variable OPENAI_BASE_URL, else OpenAI.
            api_key_env: name of the environment variable that holds the key; a server on localhost needs none.
            flavour: what the server is: openai (plain), vllm, sglang or deepseek. Decides prefix continuation, banned
                words, log-probabilities of a given text and whether a matched stop string is kept.
            revision: recorded beside the model, and part of every response key; set it when a server changes weights.
            max_concurrency: most requests under way; the engine finds the right number below it.
            timeout: seconds until one request counts as lost.
            retries: further attempts for one request that was answered by an error or a damaged body.
            patience: seconds of nothing but refusals (429, 503) before the engine is given up.
            max_context: longest prompt plus completion the server takes, in tokens, where you know it.
            limit_name: field that carries max_tokens; newer OpenAI models want max_completion_tokens.
            extra_body: further fields of the request body; part of every response key.
        """
        self._alias, self._model, self._flavour = alias, model, flavour
        self.base_url = base_url_of({"base_url": base_url})
        self._key_env, self._revision = api_key_env, revision
        self._timeout, self._retries, self._max_context = timeout, retries, max_context
        self._limit_name, self._extra = limit_name, dict(extra_body or {})
        self.pacer = Pacer(max_concurrency, Patience(throttled=patience))
        self._max_concurrency = max_concurrency
        self._session: Any = None
        self._key = ""
        self._knows_n = flavour != "deepseek"
        self._prompts: OrderedDict[tuple[Message, ...], list[int]] = OrderedDict()

    @property
    def alias(self) -> str:
        """The name the pipeline gives it."""
        return self._alias

    @property
    def model(self) -> str:
        """Model name, with the revision where one is set."""
        return f"{self._model}@{self._revision}" if self._revision else self._model

    @property
    def identity(self) -> Mapping[str, str]:
        """Kind, model, revision, server and extra body; never the key."""
        import orjson

        url = urlsplit(self.base_url)
        # A server on this machine is the same server on another port.
        endpoint = "local" if url.hostname in _LOCAL else f"{url.hostname or ''}{url.path}"
        out = {"kind": "openai", "model": self._model, "endpoint": endpoint}
        if self._revision:
            out["revision"] = self._revision
        if self._extra:
            out["extra_body"] = orjson.dumps(self._extra, option=orjson.OPT_SORT_KEYS).decode()
        return out

    @property
    def capabilities(self) -> frozenset[str]:
        """What servers of this flavour can do."""
        return wire.CAPABILITIES[self._flavour]

    @property
    def max_context(self) -> int | None:
        """As set."""
        return self._max_context

    def count_tokens(self, text: str) -> int:
        """Four characters a token: an estimate."""
        return (len(text) + 3) // 4

    async def generate(self, request: Request) -> list[Completion]:
        """Ask for `request.n` samples; see `Engine.generate`."""
        if request.prefix and PREFIX not in self.capabilities:
            msg = (
                f"engine '{self._alias}': a server of flavour {self._flavour} cannot continue a prefix; "
                "set flavour to vllm, sglang or deepseek if it is one"
            )
            raise EngineError(msg)
        if request.n > 1 and not self._knows_n:
            return await self._one_by_one(request)
        found = await self._once(request)
        if len(found) < request.n and found[0].finish_reason != "error":
            self._knows_n = False  # a server that ignores n
            rest = replace(request, n=request.n - len(found), first_sample=request.first_sample + len(found))
            found += await self._one_by_one(rest)
        return found

    async def _one_by_one(self, request: Request) -> list[Completion]:
        first = request.first_sample
        asked = [self._once(replace(request, n=1, first_sample=i)) for i in range(first, first + request.n)]
        return [c for found in await asyncio.gather(*asked) for c in found]

    async def _once(self, request: Request) -> list[Completion]:
        import orjson

        body = wire.payload(request, self._model, self._flavour, self._extra, limit_name=self._limit_name)
        url = self.base_url + "/chat/completions"
        answer = await self._send(url, orjson.dumps(body), lambda page: wire.parse(page, request))
        if isinstance(answer, str):
            return [Completion("", "error", error=answer)] * request.n
        found: list[Completion] = answer
        return found

    async def _send(self, url: str, data: bytes, read: Callable[[Any], Any]) -> Any:
        """Post until there is an answer. Returns `read(page)`, or a string: why this request failed for good.

        Raises:
            EngineError: the server is unusable for every request.
        """
        failures = refusals = 0
        while True:
            started = await self.pacer.acquire()
            try:
                outcome = await self._attempt(url, data, read)
            except BaseException:
                self.pacer.abandon()
                raise
            if outcome.why is None:
                self.pacer.release(started)
                return outcome.result
            if outcome.status in _THROTTLED and outcome.code != "insufficient_quota":
                refusals += 1
                self._refused(started, outcome.wait, outcome.why)
                await asyncio.sleep(self.pacer.delay(refusals))
                continue
            if 400 <= outcome.status < 500 and outcome.status not in _WORTH_RETRYING:
                self.pacer.release(started)
                await self._judge(outcome)
                return outcome.why
            self._failed(started, outcome.why, slow=outcome.status == _TIMEOUT)
            # Where nothing was sent it says nothing about this request, and does not use up its retries.
            failures += outcome.status != _NOT_SENT
            if failures > self._retries:
                return f"{outcome.why}, after {failures} attempts"
            await asyncio.sleep(self.pacer.delay(max(1, failures)))

    async def _attempt(self, url: str, data: bytes, read: Callable[[Any], Any]) -> _Outcome:
        """Post once. `why` of the outcome is None where there is a usable answer."""
        import aiohttp
        import orjson

        session = self._session or self._open()
        raw = b""
        try:
            async with session.post(url, data=data) as response:
                status, raw = response.status, await response.read()
                if status == 200:
                    return _Outcome(200, result=read(orjson.loads(raw)))
                wait = response.headers.get("Retry-After")
        except aiohttp.ClientConnectorError as e:
            return _Outcome(_NOT_SENT, f"cannot connect to {self.base_url} ({e.os_error.strerror or e.os_error})")
        except TimeoutError:
            return _Outcome(_TIMEOUT, f"no answer within {self._timeout:g} s")
        except (aiohttp.ClientError, ConnectionError) as e:
            return _Outcome(_BROKEN, f"the answer broke off ({type(e).__name__})")
        except (Broken, ValueError, KeyError, TypeError) as e:
            said = str(e) if isinstance(e, Broken) else "a body that is not a JSON answer" if raw else "an empty body"
            return _Outcome(_BROKEN, self._redact(said))
        page = _page(raw)
        why = self._redact(f"{status} {wire.message_of(page)}")
        return _Outcome(status, why, wire.code_of(page), wait)

    def _redact(self, text: str) -> str:
        """Return `text` without our key, which some servers repeat."""
        return text.replace(self._key, "***") if self._key else text

    def _failed(self, started: float, why: str, *, slow: bool = False) -> None:
        try:
            self.pacer.failed(started, why, slow=slow)
        except EngineError as e:
            msg = f"engine '{self._alias}' ({self.base_url}): {e}; answers are kept, run again when it is back"
            raise EngineError(msg) from None

    def _refused(self, started: float, wait: str | None, why: str) -> None:
        try:
            self.pacer.refused(started, _seconds(wait), why)
        except EngineError as e:
            msg = f"engine '{self._alias}' ({self.base_url}): {e}; answers are kept, lower max_concurrency or wait"
            raise EngineError(msg) from None

    async def _judge(self, outcome: _Outcome) -> None:
        """Raise where a refusal holds for every request, not for this row alone."""
        status, code, why = outcome.status, outcome.code, outcome.why
        where = f"engine '{self._alias}' ({self.base_url})"
        if status in (401, 403):
            state = "is refused" if os.environ.get(self._key_env) else "is not set"
            msg = f"{where}: {why}; the key in the environment variable {self._key_env} {state}"
        elif status == 402 or code == "insufficient_quota":
            msg = f"{where}: {why}; the account has no credit left, answers are kept"
        elif status in (404, 405) or code in ("model_not_found", "invalid_model"):
            names = await self._models()
            if names is not None and self._model not in names:
                msg = f"{where}: the server has no model '{self._model}'{near.hint(self._model, names)}"
            else:
                msg = f"{where}: {why}; base_url usually ends in /v1"
        else:
            return
        self.pacer.give_up(EngineError(msg))

    async def _models(self) -> list[str] | None:
        """Return the model names the server lists, or None where it does not say."""
        import aiohttp
        import orjson

        try:
            async with self._session.get(self.base_url + "/models") as response:
                page = orjson.loads(await response.read())
            return sorted(str(m["id"]) for m in page["data"])
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
            return None

    def _open(self) -> Any:
        import aiohttp

        key = os.environ.get(self._key_env) or ("none" if is_local(self.base_url) else "")
        if not key:
            msg = (
                f"engine '{self._alias}': no key for {self.base_url}; "
                f"put it into the environment variable {self._key_env}, or name another one with api_key_env"
            )
            self.pacer.give_up(EngineError(msg))
        self._key = key if key != "none" else ""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(30.0, self._timeout)),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            trust_env=False,
        )
        return self._session

    async def score(self, messages: tuple[Message, ...], text: str) -> TextScore:
        """Score `text` token by token (flavour vllm): prompt and text are tokenised apart, as they were generated.

        Raises:
            EngineError: another flavour, or the server refuses.
        """
        import orjson

        if self._flavour != "vllm":
            msg = f"engine '{self._alias}': a server of flavour {self._flavour} cannot score a given text; vllm can"
            raise EngineError(msg)
        prompt = self._prompts.get(messages)
        if prompt is None:
            chat = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
            prompt = (await self._tokens({**chat, "add_generation_prompt": True}))[0]
            self._prompts[messages] = prompt
            while len(self._prompts) > 256:
                self._prompts.popitem(last=False)
        ids, limit = await self._tokens({"prompt": text, "add_special_tokens": False})
        room = max(0, (limit or len(prompt) + len(ids) + 1) - len(prompt) - 1)
        kept = ids[:room]
        if not kept:
            return TextScore((), (), (), bool(ids))
        body = {
            "model": self._model, "prompt": prompt + kept, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0,
        }  # fmt: skip
        url = self.base_url + "/completions"
        rows = await self._send(url, orjson.dumps(body), lambda p: _prompt_logprobs(p, len(prompt)))
        if isinstance(rows, str):
            msg = f"engine '{self._alias}': scoring failed: {rows}"
            raise EngineError(msg)
        tokens, logprobs = rows
        return TextScore(tokens, logprobs, offsets(tokens, text), len(kept) < len(ids))

    async def _tokens(self, body: dict[str, Any]) -> tuple[list[int], int | None]:
        import orjson

        # vLLM's own endpoint lies beside /v1, not under it.
        url = self.base_url.removesuffix("/v1") + "/tokenize"
        answer = await self._send(
            url, orjson.dumps({"model": self._model, **body}), lambda p: (list(p["tokens"]), p.get("max_model_len"))
        )
        if isinstance(answer, str):
            msg = f"engine '{self._alias}': cannot tokenise: {answer}"
            raise EngineError(msg)
        return answer[0], answer[1]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _prompt_logprobs(page: Any, skip: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    try:
        entries = page["choices"][0]["prompt_logprobs"][skip:]
        first = [next(iter(e.values())) for e in entries]
        return tuple(str(e["decoded_token"]) for e in first), tuple(float(e["logprob"]) for e in first)
    except (KeyError, TypeError, IndexError, AttributeError) as e:
        msg = f"an answer without prompt_logprobs ({e!r})"
        raise Broken(msg) from e


def _page(raw: bytes) -> Any:
    import orjson

    try:
        return orjson.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After header in seconds; it is a number or a date."""
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


def check_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return what is missing before a first request can be sent: a key, for a server that is not on this machine."""
    name = str(settings.get("api_key_env") or "OPENAI_API_KEY")
    if is_local(base_url_of(settings)) or os.environ.get(name):
        return []
    return [f"no key: set the environment variable {name}, or name another one with api_key_env"]
