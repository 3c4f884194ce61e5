"""A chat completions server on loopback that misbehaves on demand. For tests; runs in the test's event loop.

    async with FakeServer(plan) as server:      # server.url ends in /v1
        ...

`plan(body, number)` gets the request's JSON and its number from 0 and returns a `Reply`, or a reply's shorthand: text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Reply:
    """What one request gets. `raw` replaces the JSON body; `cut` closes the connection after so many bytes."""

    text: str = "ok"
    status: int = 200
    finish: str = "stop"
    reasoning: str | None = None
    reasoning_field: str = "reasoning_content"
    stop_reason: str | None = None
    error: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    raw: bytes | None = None
    cut: int | None = None
    n: int | None = None
    logprobs: list[tuple[str, float]] | None = None
    usage: bool = True


Plan = Callable[[dict[str, Any], int], "Reply | str"]


class FakeServer:
    """See the module. `requests`: bodies in order of arrival; `most`: most requests that were under way at once."""

    def __init__(self, plan: Plan | None = None, *, models: tuple[str, ...] = ("tiny", "large")) -> None:
        self.plan = plan or (lambda _body, _number: Reply())
        self.models = models
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.now = self.most = 0

    async def __aenter__(self) -> FakeServer:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._runner.cleanup()

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": m} for m in self.models]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.requests)
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization"))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if body["model"] not in self.models:
                reply = Reply(status=404, error=f"The model `{body['model']}` does not exist.", code="model_not_found")
            else:
                made = self.plan(body, number)
                reply = Reply(made) if isinstance(made, str) else made
            await asyncio.sleep(reply.delay)
            return await self._answer(request, body, reply)
        finally:
            self.now -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any], reply: Reply) -> web.StreamResponse:
        data = reply.raw if reply.raw is not None else json.dumps(_page(body, reply)).encode()
        if reply.cut is None:
            headers = {"Content-Type": "application/json", **reply.headers}
            return web.Response(body=data, status=reply.status, headers=headers)
        response = web.StreamResponse(status=reply.status, headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: reply.cut])
        request.transport.close()
        return response


def _page(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": {"message": reply.error or "no", "code": reply.code}}
    choices = []
    for i in range(body.get("n", 1) if reply.n is None else reply.n):
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.reasoning is not None:
            message[reply.reasoning_field] = reply.reasoning
        choice: dict[str, Any] = {"index": i, "message": message, "finish_reason": reply.finish}
        if reply.stop_reason:
            choice["stop_reason"] = reply.stop_reason
        if reply.logprobs is not None:
            choice["logprobs"] = {"content": [{"token": t, "logprob": p} for t, p in reply.logprobs]}
        choices.append(choice)
    page: dict[str, Any] = {"choices": choices}
    if reply.usage:
        words = len(reply.text.split()) * len(choices)
        page["usage"] = {"prompt_tokens": 7, "completion_tokens": words}
    return page
