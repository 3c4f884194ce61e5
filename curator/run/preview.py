"""`curator preview`: the first rows of the input through everything, with the prompts as they are sent.

Models are asked, and their answers stored: a run after it does not pay for them again. Sinks are left out, so nothing
is written or pushed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curator import table
from curator.engines.protocol import Completion, Request
from curator.pipeline import Pipeline, Step
from curator.run.local import execute, open_store
from curator.run.meter import Engines, Meter
from curator.run.progress import Progress
from curator.run.session import Session
from curator.run.trial import resized, without_waiting
from curator.shards import SHARD_ROWS

SHOWN = 400  # characters of a cell; prompts are shown whole


@dataclass(frozen=True)
class Asked:
    """One request and its answers: which engine and row, the prompt as sent, the texts that came back."""

    engine: str
    row: str
    prompt: str
    answers: list[str]


@dataclass(frozen=True)
class Shown:
    """One step of a preview: its rows with the columns that are new or changed, and the rows it dropped."""

    step: str
    rows: list[dict[str, Any]]
    dropped: list[dict[str, Any]]


@dataclass(frozen=True)
class Preview:
    """A few rows after every step, and all prompts."""

    steps: list[Shown]
    asked: list[Asked]

    def __str__(self) -> str:
        """The preview as text."""
        lines: list[str] = []
        for ask in self.asked:
            lines += [f"--- prompt to {ask.engine} for {ask.row} ---", ask.prompt, ""]
        for shown in self.steps:
            lines.append(f"=== after {shown.step}: {len(shown.rows)} rows ===")
            for row in shown.rows:
                lines += [f"  {name}: {_cell(value)}" for name, value in row.items()] + [""]
            lines += [f"  dropped {r['row_id']}: {r['reason']} {_cell(r['evidence'])}" for r in shown.dropped]
        return "\n".join(lines)


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()) if value is not None else "null"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


class _Listening(Engines):
    """Engines that write down what they are asked."""

    asked: list[Asked]

    def get(self, alias: str) -> Meter:
        """Return engine `alias`, listened to."""
        if alias not in self._open:
            meter = super().get(alias)
            self._open[alias] = _Ear(meter.inner, self._watch, self.asked)
        return self._open[alias]


class _Ear(Meter):
    def __init__(self, inner: Any, watch: Any, asked: list[Asked]) -> None:
        super().__init__(inner, watch)
        self._asked = asked

    async def generate(self, request: Request) -> list[Completion]:
        prompt = "\n\n".join(f"[{m.role}]\n{m.content}" for m in request.messages)
        if request.prefix:
            prompt += f"\n\n[assistant begins]\n{request.prefix}"
        answers: list[str] = []
        self._asked.append(Asked(self.alias, request.key, prompt, answers))  # now: in the order of steps and rows
        found = await super().generate(request)
        answers += [c.text for c in found]
        return found


def preview(pipeline: Pipeline, *, rows: int = 3, store: Any = None, folder: str | Path | None = None) -> Preview:
    """Run the first `rows` rows through all steps but sinks, and one round of loops, in a folder that is removed after.

    Args:
        pipeline: as for `run`.
        rows: of the input.
        store: as for `run`.
        folder: where the pipeline would run; its store is used.

    Raises:
        CuratorError: as `run`.
    """
    root = Path(folder) if folder is not None else Path("runs") / pipeline.name
    kept = replace(pipeline, steps=tuple(_small(s, rows) for s in pipeline.steps if s.kind != "sink"))
    with tempfile.TemporaryDirectory(prefix="preview-") as scratch:
        engines = _Listening(kept, open_store(store, root, kept), lambda _alias, _use: None)
        engines.asked = []
        session = Session(kept, Path(scratch), engines, Progress(), 0, SHARD_ROWS, table.MEMORY, rows)
        done = execute(session)
        shown: list[Shown] = []
        before: dict[str, dict[str, Any]] = {}
        for step in done.walk():
            found = _rows(done.shards(step))
            gone = _rows(done.shards(step, dropped=True)) if step["kind"] != "loop" else []
            shown.append(Shown(step["label"], [_news(r, before) for r in found[: 4 * rows]], gone))
            before = {r["row_id"]: r for r in found}
    return Preview(shown, engines.asked)


def _small(step: Step, rows: int) -> Step:
    """Return a step as a preview runs it: one round of a loop, no more rows made than were read."""
    step = resized(without_waiting(step), lambda n: min(n, rows))
    return replace(step, settings={**step.settings, "rounds": min(1, step.bound["rounds"])}) if step.body else step


def _rows(files: list[Path]) -> list[dict[str, Any]]:
    return [row for file in files for row in table.read_table(file).to_pylist()]


def _news(row: dict[str, Any], before: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the row's id and what is new in it."""
    old = before.get(row["row_id"]) or before.get(row.get("parent_id") or "") or {}
    return {"row_id": row["row_id"]} | {k: v for k, v in row.items() if v is not None and old.get(k) != v}
