"""How varied a teacher writes: the share of word 4-grams that are distinct, at the same number of words for all."""

from __future__ import annotations

from typing import Any

from curator import table

N = 4
WORDS = 20_000  # of each teacher: distinct shares fall with length, so all are cut to the shortest, and to this
TEXTS = ("trace", "output", "response")


def distinct(view: Any, teachers: list[dict[str, Any]], notes: list[str]) -> None:
    """Add `distinct_4` to every teacher: over its verified traces in the order of a hash of the problem."""
    text = next((n for n in TEXTS if n in view.schema.names), None)
    for row in teachers:
        row["distinct_4"] = None
    if text is None:
        notes.append("no texts: diversity is not measured")
        return
    held = {row["teacher"]: _words(view, row["teacher"]) for row in teachers}
    size = min((len(words) for words in held.values() if len(words) >= N), default=0)
    for row in teachers:
        words = held[row["teacher"]][:size]
        if len(words) >= N:
            grams = {tuple(words[i : i + N]) for i in range(len(words) - N + 1)}
            row["distinct_4"] = len(grams) / (len(words) - N + 1)
    notes.append(f"distinct_4: distinct {N}-grams over {size:,} words of verified traces of each teacher")


def _words(view: Any, teacher: str) -> list[str]:
    """The first `WORDS` words of a teacher's verified traces; problems in the order of their hash, one trace each."""
    query = """
        select first(text order by idx nulls last) as text from text_rows where teacher = ? and ok and text is not null
        group by problem order by md5(problem), problem limit 2000"""
    words: list[str] = []
    cursor = view.con.execute(query, [teacher])
    while len(words) < WORDS and (rows := cursor.fetchmany(64)):
        for (found,) in rows:
            words += found.split()
    table.settle(view.con)
    return words[:WORDS]
