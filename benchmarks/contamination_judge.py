"""The judge of `decontaminate` with the pocket model, on pocket-made pairs: renamed problems and changed numbers.

    python benchmarks/contamination_judge.py [--items 100]

The pocket model knows only its own world, so real problems are out of its reach. Items are those of
`builtin:pocket-eval`; rows are each item with all names and things renamed (the same problem), with one number changed
and renamed (another), and problems of `builtin:pocket` (strangers, none planted). Told: rows convicted, rows kept for
review (one yes of two), questions asked, and seconds. Neighbours come from rare words, `k` 3, without vectors.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import inspect
import json
import os
import platform
import random
import re
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator.engines.pocket import PocketEngine
from curator.ops.decontaminate import decontaminate
from curator.pocket import world
from curator.pocket.grammar import ITEMS, NAMES

METHODS = {
    "judge": ["judge"],
    "recommended": ["recommended"],
    "recommended and judge": ["ngram", "paraphrase", "judge"],
}


def renamed(text: str, rng: random.Random) -> str:
    """Return the text with all names and things exchanged, as no planted row does."""
    for known in (NAMES, ITEMS):
        there = [word for word in known if re.search(rf"\b{word}\b", text)]
        others = rng.sample([word for word in known if word not in text], len(there))
        for word, other in zip(there, others, strict=True):
            text = re.sub(rf"\b{word}\b", other, text)
    return text


def changed(text: str, rng: random.Random) -> str:
    at = rng.choice(list(re.finditer(r"\d+", text)))
    return text[: at.start()] + str(int(at[0]) + rng.randint(1, 9)) + text[at.end() :]


class Counting:
    """An engine that counts what it is asked."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.asked = inner, 0

    async def generate(self, request: Any) -> Any:
        """Pass a request on."""
        self.asked += 1
        return await self.inner.generate(request)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "contamination_judge.json")
    args = parser.parse_args()
    rng = random.Random(0)
    items = [str(r["problem"]) for r in world.rows("pocket-eval", args.items)]
    strangers = [str(r["problem"]) for r in world.rows("pocket", 2 * args.items) if not r["planted"]][: args.items]
    sets = {
        "renamed": [renamed(t, rng) for t in items],
        "number changed": [changed(t, rng) for t in items],
        "renamed, number changed": [changed(renamed(t, rng), rng) for t in items],
        "strangers": strangers,
    }
    results: dict[str, Any] = {}
    for name, method in METHODS.items():
        engine = Counting(PocketEngine())
        against = {"path": "builtin:pocket-eval", "name": "pocket-eval"}
        function = decontaminate(against=[against], method=method, engine=engine, action="mark")  # type: ignore[arg-type]
        results[name] = {}
        for kind, texts in sets.items():
            table = pa.table({"row_id": [str(i) for i in range(len(texts))], "problem": texts})
            before, start = engine.asked, time.perf_counter()
            made: Any = function(table)
            done = asyncio.run(made) if inspect.isawaitable(made) else made
            results[name][kind] = {
                "rows": len(texts), **{k: int(v) for k, v in done.counts.items()},
                "questions": engine.asked - before, "seconds": round(time.perf_counter() - start, 1),
            }  # fmt: skip
            print(name, "|", kind, results[name][kind], flush=True)
    packages = ("numba", "numpy", "pyarrow")
    versions = {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}
    told = {"machine": platform.machine(), "cores": os.cpu_count(), "versions": versions, "methods": results}
    args.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
