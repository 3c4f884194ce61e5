"""`segment`: where the thoughts, steps, sentences or other pieces of a text lie, without touching the text."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import pyarrow as pa

from curator import prompts, rows
from curator.bounds import Ge
from curator.engines.protocol import GENERATE, TOKENIZE, Engine, Message, Request, Sampling
from curator.errors import CheckError
from curator.op import Kind, Result, operator
from curator.spans import cuts, jsonpath, quotes, thoughts
from curator.spans.column import column
from curator.spans.cuts import Cut, Frame

ADDS = ("spans", "n_spans", "seg_ok")
Hows = Literal[
    "thoughts", "keywords", "regex", "paragraphs", "sentences", "steps", "tokens", "equal", "jsonpath", "quoted"
]
REPORTS = {
    "spans": "SELECT count(*) AS rows, count(*) FILTER (NOT seg_ok) AS not_found, avg(n_spans) AS mean_spans, "
    "median(n_spans) AS median_spans, max(n_spans) AS most_spans FROM rows WHERE spans IS NOT NULL",
    "kinds": 'SELECT s.kind AS kind, count(*) AS spans, avg(s."end" - s.start) AS mean_characters '
    "FROM (SELECT unnest(spans) AS s FROM rows) GROUP BY ALL ORDER BY spans DESC, kind LIMIT 20",
}


def _step_kind(settings: Mapping[str, Any]) -> Kind:
    return "model" if settings.get("engine") is not None else "row"


def _wants(settings: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({TOKENIZE if settings["how"] == "tokens" else GENERATE})


@operator(
    _step_kind,
    effect="marks",
    version=1,
    needs=lambda s: ("row_id", s["on"]),
    adds=ADDS,
    wants=_wants,
    reports=REPORTS,
)
def segment(
    *,
    on: str = "trace",
    how: Hows = "thoughts",
    within: Literal["think", "all"] = "think",
    words: tuple[str, ...] = thoughts.PAPER,
    window: Annotated[int, Ge(0)] = 0,
    keep: Literal["right", "left", "alone"] = "right",
    pattern: str | None = None,
    step: str = "Step",
    parts: Annotated[int, Ge(1)] = 2,
    unit: Literal["characters", "sentences", "paragraphs"] = "characters",
    size: Annotated[int, Ge(1)] = 512,
    path: str | None = None,
    engine: Engine | None = None,
    prompt: str = prompts.QUOTE_UNITS,
    max_tokens: int = 2048,
    temperature: float = 0.0,
) -> Callable[[pa.Table], pa.Table | Awaitable[Result]]:
    """Mark where the pieces of a text lie: a list of spans that cover it from its first to its last character.

    `spans` holds (start, end, kind) in characters (Unicode code points, as Python and DuckDB's `substring` count): in
    order, disjoint, and together the text, byte for byte. White space between two pieces belongs to the first of them.
    `n_spans` counts them. `seg_ok` is false where what should have been found was not, and the text is one span. A null
    text has null spans, an empty one has none.

    | how | a piece is | kind |
    |---|---|---|
    | thoughts | steps up to the next one that opens with a switch word (Retro-Search) | the word, or `start` |
    | keywords | cut at `words`, whole and as written, anywhere (START, STILL-3) | the word, `start`, or `text` |
    | regex | cut at `pattern`; with keep alone each match is a piece | `match` or `text` |
    | paragraphs | text up to an empty line | `paragraph` |
    | sentences | text up to . ! ? and white space, or an empty line | `sentence` |
    | steps | lines from one `Step 3:` to the next | `step`, before the first `text` |
    | tokens | `size` tokens; without an engine 4 characters count as one | `tokens` |
    | equal | one of `parts` of like size, in `unit` (Skip-Thinking's average chunking) | `part` |
    | jsonpath | a value that `path` names, of a column that holds JSON | `value`, between them `text` |
    | quoted | what an engine says is a unit, by quoting where each begins (MinD, Long x Short) | `unit` or `start` |

    The thought segmenter is that of Retro-Search (arXiv 2504.04383): steps between empty lines; `words` from a
    re-implementation; where they must stand is unpublished: ours is `window` 0, the first words of a step after white
    space and Markdown, capitalised as listed, whole, the longest first.

    Args:
        on: column with the text.
        how: what a piece is.
        within: `think` cuts the thinking only where the text has think tags, the rest is spans of kind `outside`; text
            without tags, and all text with `all`, is cut from end to end.
        words: switch words of thoughts, or the keywords.
        window: thoughts: 0, or the characters at the start of a step in which a word may stand, in either case (20 is
            the re-implementation's rule).
        keep: keywords and regex: the match begins the next piece (right), ends the last (left), or stands alone.
        pattern: regular expression of regex.
        step: steps: the word before the number.
        parts: equal: how many.
        unit: equal: what is counted.
        size: tokens: how many.
        path: jsonpath: names, numbers and `[*]`, e.g. `$.steps[*].text`.
        engine: quoted: who is asked; tokens: whose tokenizer counts.
        prompt: quoted: `{text}` is the text; the reply holds the first words of each unit, one a line.
        max_tokens: quoted: longest reply.
        temperature: quoted.

    Raises:
        CheckError: settings that do not fit together.
    """
    cut = _cutter(locals())

    def run(table: pa.Table) -> pa.Table:
        texts = table[on].to_pylist()
        return _marked(table, [None if t is None else _around(t, _frame(t, within), cut) for t in texts], texts)

    async def count(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        return Result(await asyncio.to_thread(run, table))

    if engine is None:
        return run
    sampling = Sampling(temperature=temperature, top_p=1.0, max_tokens=max_tokens)
    return (
        partial(_quoted, on=on, within=within, engine=engine, prompt=prompt, sampling=sampling)
        if how == "quoted"
        else count
    )


def _frame(text: str, within: str) -> Frame | None:
    return cuts.frame(text) if within == "think" else None


def _around(text: str, at: Frame | None, cut: Callable[[str], Cut]) -> Cut:
    return cut(text) if at is None else cuts.inside(text, at, cut)


def _marked(table: pa.Table, found: list[Cut | None], texts: list[str | None]) -> pa.Table:
    values = {
        "spans": column(texts, found),
        "n_spans": pa.array([None if c is None else len(c.starts) for c in found], pa.int32()),
        "seg_ok": pa.array([None if c is None else c.ok for c in found], pa.bool_()),
    }
    return rows.put(table, values)


async def _quoted(table: pa.Table, *, on: str, within: str, engine: Engine, prompt: str, sampling: Sampling) -> Result:
    """Ask where the units of each text begin; a reply that fails, is cut off or cannot be found leaves one span."""
    import asyncio  # 0.03 s that `check` need not pay

    async def one(key: str, text: str | None) -> tuple[Cut | None, bool]:
        if not text:
            return (None if text is None else Cut([], [])), False
        at = _frame(text, within)
        body = text if at is None else text[at.start : at.end]
        if not body.strip():
            return _around(text, at, lambda t: cuts.whole(t, "unit")), False
        message = Message("user", prompts.fill(prompt, text=body))
        (reply,) = await engine.generate(Request((message,), sampling, key=key))
        told = quotes.quoted(reply.text) if reply.finish_reason == "stop" else []
        return _around(text, at, lambda t: quotes.align(t, told)), reply.finish_reason == "error"

    texts, ids = table[on].to_pylist(), table["row_id"].to_pylist()
    done = await asyncio.gather(*(one(i, t) for i, t in zip(ids, texts, strict=True)))
    failed = sum(error for _, error in done)
    return Result(_marked(table, [c for c, _ in done], texts), None, {"replies_failed": failed})


def _cutter(s: Mapping[str, Any]) -> Callable[[str], Cut]:
    """Return what cuts a text, by the settings. Raises CheckError where they do not fit together."""
    how, engine = s["how"], s["engine"]
    if how == "quoted" and engine is None:
        raise CheckError("segment: how quoted asks an engine and none is named; add engine: ALIAS")
    if engine is not None and how not in ("quoted", "tokens"):
        msg = f"segment: engine is set, but how {how} asks none; leave engine out, or use how: quoted"
        raise CheckError(msg)
    if how in ("thoughts", "keywords") and (not s["words"] or not all(w.strip() for w in s["words"])):
        raise CheckError("segment: words has no word, or an empty one; thoughts and keywords are cut at words")
    if how == "quoted" and "{text}" not in s["prompt"]:
        raise CheckError("segment: prompt quotes nothing; it wants the field {text}")
    made: Mapping[str, Callable[[], Callable[[str], Cut]]] = {
        "thoughts": lambda: partial(thoughts.thoughts, words=thoughts.compiled(s["words"], s["window"])),
        "keywords": lambda: partial(cuts.by_words, words=s["words"], keep=s["keep"]),
        "regex": lambda: partial(cuts.by_regex, pattern=_pattern(s["pattern"]), keep=s["keep"]),
        "paragraphs": lambda: cuts.paragraphs,
        "sentences": lambda: cuts.sentences,
        "steps": lambda: partial(cuts.numbered, word=s["step"]),
        "tokens": lambda: partial(cuts.by_tokens, size=s["size"], count=engine.count_tokens if engine else None),
        "equal": lambda: partial(cuts.equal, parts=s["parts"], unit=s["unit"]),
        "jsonpath": lambda: partial(jsonpath.by_path, path=_path(s["path"])),
        "quoted": lambda: partial(cuts.whole, kind="unit"),
    }
    return made[how]()


def _pattern(pattern: str | None) -> re.Pattern[str]:
    if not pattern:
        raise CheckError("segment: how regex wants a pattern")
    try:
        return re.compile(pattern)
    except re.error as e:
        msg = f"segment: pattern does not compile: {e}"
        raise CheckError(msg) from e


def _path(path: str | None) -> jsonpath.Path:
    if path is None:
        raise CheckError("segment: how jsonpath wants a path, such as $.steps[*].text")
    try:
        return jsonpath.parse(path)
    except ValueError as e:
        msg = f"segment: path: {e}"
        raise CheckError(msg) from e
