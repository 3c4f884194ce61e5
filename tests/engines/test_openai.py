"""The HTTP engine against a server that misbehaves. Every case of the issue's list that concerns servers is here."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.engines import open_engine
from curator.engines.chat import offsets
from curator.engines.openai import OpenAIEngine
from curator.engines.openai_talk import seconds
from curator.engines.openai_wire import Broken, fold, parse
from curator.engines.pacing import Patience
from curator.engines.protocol import Completion, Message, Request, Sampling
from curator.errors import CheckError, EngineError
from curator.text import split_think

from .fake_server import FakeServer, Reply
from .raw_server import RawServer, Visit, page

QUICK = Patience(first_delay=0.01, longest_delay=0.02, breaker_after=6, probes=3, throttled=5.0)


def ask(text: str = "2+2?", **settings: Any) -> Request:
    fields = {k: settings.pop(k) for k in ("n", "prefix", "logprobs", "first_sample", "key") if k in settings}
    return Request((Message("user", text),), Sampling(**settings), **fields)


def engine(server: FakeServer, **settings: Any) -> OpenAIEngine:
    made = OpenAIEngine(**{"alias": "teacher", "model": "tiny", "base_url": server.url, **settings})
    made.pacer.patience = QUICK
    return made


def run(plan: Any, body: Any, **settings: Any) -> Any:
    """Run `body(engine, server)` against a server that follows `plan`."""

    async def main() -> Any:
        async with FakeServer(plan) as server:
            made = engine(server, **settings)
            try:
                return await asyncio.wait_for(body(made, server), 20)
            finally:
                await made.close()

    return asyncio.run(main())


def one(plan: Any, request: Request | None = None, **settings: Any) -> Completion:
    async def body(e: OpenAIEngine, _s: FakeServer) -> Completion:
        (found,) = await e.generate(request or ask())
        return found

    return run(plan, body, **settings)


def test_an_answer_with_its_counts():
    found = one(lambda b, n: "the answer is 4")
    assert (found.text, found.finish_reason, found.n_tokens, found.n_prompt_tokens) == ("the answer is 4", "stop", 4, 7)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_separate_thinking_becomes_inline(field):
    found = one(lambda b, n: Reply("4", reasoning="two and two", reasoning_field=field))
    assert split_think(found.text) == ("two and two", "4", True)


def test_thinking_cut_off_is_not_closed():
    found = one(lambda b, n: Reply(None, reasoning="two and", finish="length", usage=False))
    assert found.finish_reason == "length"
    assert split_think(found.text) == ("two and", "", False)


def test_a_prefix_that_opened_the_thinking_is_not_opened_again():
    assert fold("so 4", "4", "<think>\nwell, ", cut=False) == "so 4\n</think>\n\n4"


def test_a_dropped_stop_string_comes_back():
    found = one(lambda b, n: Reply("4", stop_reason="</end>"), ask(stop=("</end>",)))
    assert found.text == "4</end>"


def test_a_kept_stop_string_is_not_doubled():
    assert one(lambda b, n: Reply("4</end>", stop_reason="</end>"), ask(stop=("</end>",))).text == "4</end>"


@pytest.mark.parametrize(
    ("flavour", "expected"),
    [
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}),
        ("sglang", {"continue_final_message": True, "add_generation_prompt": False}),
        ("deepseek", {}),
    ],
)
def test_prefix_continuation_on_the_wire(flavour, expected):
    async def body(e: OpenAIEngine, s: FakeServer) -> dict[str, Any]:
        await e.generate(ask(prefix="It is "))
        return s.requests[0]

    sent = run(None, body, flavour=flavour)
    last = {"role": "assistant", "content": "It is "} | ({"prefix": True} if flavour == "deepseek" else {})
    assert sent["messages"][-1] == last
    assert expected.items() <= sent.items()


def test_a_server_that_cannot_continue_a_prefix_is_not_asked_to():
    with pytest.raises(EngineError, match="flavour openai cannot continue a prefix"):
        one(None, ask(prefix="It"))


def test_sampling_on_the_wire():
    async def body(e: OpenAIEngine, s: FakeServer) -> dict[str, Any]:
        await e.generate(ask(n=3, seed=5, first_sample=2, stop=("x",), bad_words=("But",), top_k=7, max_tokens=9))
        return s.requests[0]

    sent = run(None, body, flavour="vllm", extra_body={"min_p": 0.1})
    expected = {"n": 3, "seed": 7, "stop": ["x"], "bad_words": ["But"], "top_k": 7, "max_tokens": 9, "min_p": 0.1}
    assert expected.items() <= sent.items()
    assert sent["include_stop_str_in_output"] is True


def test_logprobs():
    found = one(lambda b, n: Reply("4!", logprobs=[("4", -0.5), ("!", -1.0)]), ask(logprobs=True))
    assert found.logprobs == (-0.5, -1.0)
    assert found.logprob_tokens == ("4", "!")


def test_n_samples_share_the_counted_tokens():
    async def body(e: OpenAIEngine, s: FakeServer) -> list[Completion]:
        return await e.generate(ask(n=4))

    found = run(lambda b, n: "a b c", body)
    assert sum(c.n_tokens for c in found) == 12
    assert len(found) == 4


def test_a_server_that_ignores_n_is_asked_once_a_sample():
    async def body(e: OpenAIEngine, s: FakeServer) -> tuple[int, list[int]]:
        found = await e.generate(ask(n=4, seed=1))
        await e.generate(ask(n=2, seed=1))
        return len(found), [b["seed"] for b in s.requests]

    count, seeds = run(lambda b, n: Reply("a", n=1), body)
    assert count == 4
    assert sorted(seeds[:4]) == [1, 2, 3, 4]
    assert len(seeds) == 6


def test_400_fails_that_row_only():
    def plan(body: dict[str, Any], _n: int) -> Reply:
        bad = body["messages"][0]["content"] == "bad"
        return Reply(status=400, error="maximum context length is 10 tokens") if bad else Reply()

    async def body(e: OpenAIEngine, s: FakeServer) -> tuple[Any, int]:
        found = await asyncio.gather(*(e.generate(ask(t)) for t in ("good", "bad", "good")))
        return [c[0] for c in found], len(s.requests)

    found, requests = run(plan, body)
    assert [c.finish_reason for c in found] == ["stop", "error", "stop"]
    assert "maximum context length" in found[1].error
    assert found[1].text == ""
    assert requests == 3  # a 400 is not asked twice


@pytest.mark.parametrize(
    ("message", "is_rows_fault"),
    [
        ("This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.", True),
        ("This model's maximum context length is 2048 tokens. However, your request has 2048 input tokens.", True),
        ("'max_tokens' is too large: 4096. This model's maximum context length is 2048 tokens and your request has 90 "
         "input tokens (4096 > 2048 - 90).", False),
        ("This model's maximum context length is 2048 tokens. However, you requested 4096 output tokens and your "
         "prompt contains at least 90 input tokens, for a total of at least 4186 tokens.", False),
        ("The input (5000 tokens) is longer than the model's context length (2048 tokens).", True),
        ("This model's maximum context length is 128000 tokens. However, you requested 200000 tokens.", False),
        ("temperature must be positive", False),
    ],
)  # fmt: skip
def test_a_prompt_that_no_context_holds_is_told_from_a_limit_set_too_high(message, is_rows_fault):
    found = one(lambda b, n: Reply(status=400, error=message))
    assert (found.finish_reason, found.too_long) == ("error", is_rows_fault)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_engine_and_names_the_variable(status, monkeypatch):
    monkeypatch.setenv("MY_KEY", "key-do-not-show")

    async def body(e: OpenAIEngine, s: FakeServer) -> None:
        for _ in range(2):
            with pytest.raises(EngineError, match="MY_KEY is refused") as caught:
                await e.generate(ask())
            assert "do-not-show" not in str(caught.value)
        assert len(s.requests) == 1  # afterwards it does not even try
        assert s.keys == ["Bearer key-do-not-show"]

    run(lambda b, n: Reply(status=status, error="wrong key key-do-not-show"), body, api_key_env="MY_KEY")


def test_a_wrong_model_name_has_a_near_miss():
    with pytest.raises(EngineError, match="no model 'tinny'; did you mean 'tiny'"):
        one(None, model="tinny")


def test_a_wrong_path_says_so():
    async def main() -> None:
        async with FakeServer() as server:
            e = OpenAIEngine(alias="t", model="tiny", base_url=server.url.removesuffix("/v1"))
            try:
                with pytest.raises(EngineError, match="base_url usually ends in /v1"):
                    await e.generate(ask())
            finally:
                await e.close()

    asyncio.run(main())


def test_429_for_a_while_then_answers_and_retry_after_is_kept():
    async def body(e: OpenAIEngine, s: FakeServer) -> tuple[Any, float, float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        found = await asyncio.gather(*(e.generate(ask(str(i))) for i in range(40)))
        return [c[0].finish_reason for c in found], loop.time() - start, e.pacer.limit

    def plan(_body: Any, number: int) -> Reply:
        return Reply(status=429, error="slow down", headers={"Retry-After": "0.3"}) if number < 25 else Reply()

    reasons, took, limit = run(plan, body, retries=0)
    assert reasons == ["stop"] * 40  # refusals use up no retries
    assert took >= 0.3
    assert limit < 40


def test_nothing_but_429_ends_in_one_line():
    async def body(e: OpenAIEngine, s: FakeServer) -> None:
        e.pacer.patience = Patience(first_delay=0.01, longest_delay=0.02, throttled=0.2)
        with pytest.raises(EngineError, match="nothing but refusals") as caught:
            await e.generate(ask())
        assert "\n" not in str(caught.value)

    run(lambda b, n: Reply(status=429, error="slow\ndown"), body)


def test_an_empty_account_is_not_waited_for():
    with pytest.raises(EngineError, match="no credit left"):
        one(lambda b, n: Reply(status=429, error="quota", code="insufficient_quota"))


BAD = {
    "500": Reply(status=500, error="oops"),
    "empty body": Reply(raw=b""),
    "broken JSON": Reply(raw=b'{"choices": [{"mess'),
    "not JSON": Reply(raw=b"<html>hello</html>"),
    "no choices": Reply(raw=b'{"choices": []}'),
    "choice without message": Reply(raw=b'{"choices": [{"index": 0}]}'),
    "error in a 200": Reply(raw=b'{"error": {"message": "overloaded"}}'),
    "half a body": Reply(cut=12),
    "no body at all": Reply(cut=0),
    "timeout": Reply(delay=1.0),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_asked_again(name):
    found = one(lambda b, n: BAD[name] if n == 0 else Reply("fine"), timeout=0.4)
    assert (found.text, found.finish_reason) == ("fine", "stop")


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_always_fails_is_an_error_completion(name):
    async def body(e: OpenAIEngine, s: FakeServer) -> tuple[Completion, int]:
        (found,) = await e.generate(ask())
        return found, len(s.requests)

    found, requests = run(lambda b, n: BAD[name], body, retries=1, timeout=0.2)
    assert (found.text, found.finish_reason, requests) == ("", "error", 2)
    assert "after 2 attempts" in found.error
    assert "\n" not in found.error


def test_a_dead_server_opens_the_breaker_and_is_named():
    async def main() -> None:
        async with FakeServer() as server:
            url = server.url
        e = OpenAIEngine(alias="teacher", model="tiny", base_url=url)
        e.pacer.patience = QUICK
        try:
            results = await asyncio.gather(*(e.generate(ask(str(i))) for i in range(30)), return_exceptions=True)
        finally:
            await e.close()
        assert all(isinstance(r, EngineError) for r in results)
        assert "cannot connect" in str(results[0])
        assert url in str(results[0])

    asyncio.run(asyncio.wait_for(main(), 20))


def test_the_breaker_closes_when_the_server_comes_back():
    async def body(e: OpenAIEngine, s: FakeServer) -> list[str]:
        found = await asyncio.gather(*(e.generate(ask(str(i))) for i in range(12)))
        return [c[0].finish_reason for c in found]

    # 16 go out at once; six failures open the breaker; the second probe is answered.
    reasons = run(lambda b, n: Reply(status=500) if n < 13 else Reply(), body, max_concurrency=12, retries=4)
    assert reasons == ["stop"] * 12


def test_concurrency_grows_and_keeps_its_limit():
    async def body(e: OpenAIEngine, s: FakeServer) -> int:
        await asyncio.gather(*(e.generate(ask(str(i))) for i in range(300)))
        return s.most

    assert 17 <= run(lambda b, n: Reply(delay=0.02), body, max_concurrency=40) <= 40


def test_a_cancelled_request_frees_its_place():
    async def body(e: OpenAIEngine, s: FakeServer) -> int:
        slow = [asyncio.create_task(e.generate(ask(f"slow {i}"))) for i in range(3)]
        await asyncio.sleep(0.05)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await e.generate(ask("quick"))
        return e.pacer.in_flight

    def plan(body: Any, _n: int) -> Reply:
        return Reply(delay=2.0 if body["messages"][0]["content"].startswith("slow") else 0.0)

    assert run(plan, body, max_concurrency=2) == 0


def test_a_missing_key_is_found_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(CheckError, match="OPENAI_API_KEY"):
        open_engine("t", "openai", {"model": "m"})


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "https:///v1"])
def test_an_address_that_is_none_is_found_before_anything_is_sent(url):
    with pytest.raises(CheckError, match="it looks like https://host/v1"):
        open_engine("t", "openai", {"model": "m", "base_url": url})


def test_a_key_with_a_line_break_at_its_end_works_and_one_inside_is_told(monkeypatch):
    async def body(e: OpenAIEngine, s: FakeServer) -> list[str | None]:
        await e.generate(ask())
        return s.keys

    monkeypatch.setenv("OPENAI_API_KEY", "abc\n")
    assert run(None, body) == ["Bearer abc"]
    monkeypatch.setenv("OPENAI_API_KEY", "abc\r\nX-Evil: 1")
    with pytest.raises(EngineError, match="OPENAI_API_KEY holds characters that no key has") as caught:
        one(None)
    assert "Evil" not in str(caught.value)


def test_a_proxy_we_cannot_use_is_told(monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    monkeypatch.setenv("OPENAI_API_KEY", "abc")
    e = OpenAIEngine(alias="t", model="m", base_url="https://models.invalid/v1", retries=0)

    async def main() -> None:
        try:
            await e.generate(ask())
        finally:
            await e.close()

    with pytest.raises(EngineError, match="socks5 proxy, which is not supported"):
        asyncio.run(asyncio.wait_for(main(), 5))


def test_a_kept_connection_closed_by_the_server_uses_up_no_retry():
    async def main() -> list[str]:
        async def script(visit: Visit) -> None:
            await visit.request()
            await visit.send(page(b'{"choices": [{"message": {"content": "ok"}}]}'))
            if visit.number % 2:
                await visit.request()  # and no answer to the second

        async with RawServer(script) as server:
            e = OpenAIEngine(alias="t", model="m", base_url=server.url + "/v1", retries=0)
            try:
                return [(await e.generate(ask(str(i))))[0].text for i in range(6)]
            finally:
                await e.close()

    assert asyncio.run(asyncio.wait_for(main(), 20)) == ["ok"] * 6


def test_the_key_is_no_part_of_the_identity(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key-secret")
    e = OpenAIEngine(model="m", base_url="https://example.com/v1")
    assert "key-secret" not in repr(e.identity)
    assert e.identity == {"kind": "openai", "model": "m", "endpoint": "example.com/v1"}


def test_base_url_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert OpenAIEngine(model="m").base_url == "http://localhost:1/v1"
    assert os.environ["OPENAI_BASE_URL"]


def test_retry_after_as_a_date():
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert seconds("7") == 7.0
    assert seconds("soon") is None


def test_offsets_of_tokens_that_cut_a_character():
    assert offsets(("a", "\ufffd", "\ufffd", "b"), "aéb")[:2] == (0, 1)


def test_token_ids_count_the_samples():
    page = {
        "choices": [
            {"index": 1, "message": {"content": "b"}, "finish_reason": "length", "token_ids": [1, 2, 3]},
            {"index": 0, "message": {"content": "a"}, "finish_reason": "stop", "token_ids": [1]},
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 4},
    }
    found = parse(page, ask(n=2))
    assert [(c.text, c.n_tokens, c.finish_reason) for c in found] == [("a", 1, "stop"), ("b", 3, "length")]


NAMES = st.sampled_from(["message", "content", "reasoning", "index", "finish_reason", "logprobs", "token", "refusal",
                         "logprob", "prompt_tokens", "completion_tokens", "token_ids", "stop_reason"])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.sampled_from(["a", "stop", "length", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    choices=st.lists(JSON | st.fixed_dictionaries({"message": JSON}, optional={"index": JSON}), max_size=3), usage=JSON
)
def test_any_page_is_completions_or_broken(choices, usage):
    for request in (ask(), ask(n=2, logprobs=True, stop=("a",))):
        try:
            found = parse({"choices": choices, "usage": usage}, request)
        except Broken:
            continue
        assert 1 <= len(found) <= request.n or request.n == 1
        assert all(isinstance(c.text, str) and isinstance(c.n_tokens, int) for c in found)
