"""A scripted engine for Retro-Search: what it would say after each prefix, in steps; every request is kept."""

from __future__ import annotations

import asyncio

import pyarrow as pa
from scripted import Scripted

from curator.engines.protocol import BAD_WORDS, GENERATE, PREFIX, SEED, Completion
from curator.op import find
from curator.ops.retro_search import retro_search
from curator.run import laws

ABLE = frozenset({GENERATE, PREFIX, SEED, BAD_WORDS})
STEPS = ("A1", "A2", "Wait B1", "B2", "Alternatively C1")


def trace_of(steps, answer="7"):
    return "<think>\n" + "\n\n".join(steps) + f"\n</think>\n\nThe answer is \\boxed{{{answer}}}."


def table(*traces, **more):
    base = {
        "row_id": [f"r{i}" for i in range(len(traces))],
        "problem": [f"What is {i}+7?" for i in range(len(traces))],
        "answer": pa.array(["7"] * len(traces), pa.string()),
        "trace": pa.array(traces, pa.string()),
    }
    return pa.table(base | more)


class Replies(Scripted):
    """Answers a prefix with `say(prefix, sample)`: the whole continuation; stop strings are honoured."""

    def __init__(self, say, capabilities=ABLE, **options):
        self.say = say
        super().__init__(self._answer, capabilities, **options)

    def _answer(self, request, sample):
        said = self.say(request.prefix, sample)
        if isinstance(said, Completion):
            return said
        for stop in request.sampling.stop:
            said = said[: said.find(stop) + len(stop)] if stop in said else said
        return said


def after(plans):
    """Return `say`: steps kept so far (tuple) -> continuation (steps, answer); nothing planned is a wrong answer."""

    def say(prefix, sample):
        think, closed, _ = prefix.removeprefix("<think>\n").partition("\n</think>")
        kept = tuple(s for s in think.split("\n\n") if s)
        if closed:
            answer = next((a for k, (s, a) in plans.items() if (*k, *s) == kept), "0")
            return f"The answer is \\boxed{{{answer}}}."
        for n in range(len(kept), -1, -1):
            if kept[:n] in plans:
                steps, answer = plans[kept[:n]]
                if kept[n:] == tuple(steps[: len(kept) - n]):
                    return trace_of(steps[len(kept) - n :], answer).removeprefix("<think>\n")
        return "nothing\n</think>\n\n\\boxed{0}"

    return say


def search(given, engine, **settings):
    result = asyncio.run(retro_search(engine=engine, **settings)(given))
    op = find("retro_search")
    bound = {s.name: s.default for s in op.settings} | settings
    spec = laws.Spec(
        "retro_search", "retro_search", "model", op.effect, op.factory, {}, op.adds(bound), tuple(op.reasons)
    )
    laws.settle(spec, given, result, "shard 0")
    return result


def rows(given, engine, **settings):
    return search(given, engine, **settings).table.to_pylist()
