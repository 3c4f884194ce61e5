"""A scripted engine for operator tests: a function of the request answers; every request is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from curator.engines.protocol import GENERATE, PREFIX, SEED, Completion, Message, Request, TextScore


class Scripted:
    alias, model = "teacher", "scripted@1"
    identity: Mapping[str, str] = {"kind": "scripted"}
    max_context = None

    def __init__(
        self,
        answer: Callable[[Request, int], str | Completion],
        capabilities: frozenset[str] = frozenset({GENERATE, PREFIX, SEED}),
        count: Callable[[str], int] = lambda text: len(text.split()),
    ) -> None:
        self.answer, self.capabilities, self.count_tokens = answer, capabilities, count
        self.requests: list[Request] = []

    async def generate(self, request: Request) -> list[Completion]:
        self.requests.append(request)
        found = [self.answer(request, request.first_sample + i) for i in range(request.n)]
        return [c if isinstance(c, Completion) else Completion(c, "stop", self.count_tokens(c), 7) for c in found]

    async def score(self, messages: tuple[Message, ...], text: str) -> TextScore:
        raise NotImplementedError

    async def close(self) -> None: ...
