"""What a run tells while it goes: a live table on a terminal, nothing elsewhere unless lines are asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Literal


class Progress:
    """The silent one, and the interface: subclass it to watch a run."""

    def start(self, labels: list[str]) -> None:
        """The run begins with these steps."""

    def reuse(self, label: str, receipt: Mapping[str, Any]) -> None:
        """A step is taken from its receipt."""

    def step(self, label: str, rows: int | None, shards: int | None) -> None:
        """A step begins; `rows` and `shards` that will come in, None where unknown."""

    def shard(self, label: str, numbers: Mapping[str, Any]) -> None:
        """A shard of a step is written; numbers as in a receipt."""

    def asked(self, alias: str, use: Mapping[str, float]) -> None:
        """An engine answered a request; numbers as in a receipt."""

    def done(self, label: str, receipt: Mapping[str, Any]) -> None:
        """A step has its receipt."""

    def note(self, text: str) -> None:
        """One line worth knowing."""

    def stop(self) -> None:
        """The run ends, well or not."""


def choose(progress: Progress | None | Literal[False, "lines"]) -> Progress:
    """Return the progress to use: the one given; for None the live one on a terminal; for False the silent one."""
    if isinstance(progress, Progress):
        return progress
    if progress == "lines":
        return Lines()
    if progress is None and not sys.stderr.isatty():
        return Progress()
    return Progress() if progress is not None else Live()


class Inside(Progress):
    """The steps of a loop, told to the progress of the run under the labels `loop.generate`; the same every round."""

    def __init__(self, outer: Progress, label: str) -> None:
        self._outer, self._label = outer, label

    def reuse(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Pass it on."""
        self._outer.reuse(f"{self._label}.{label}", receipt)

    def step(self, label: str, rows: int | None, shards: int | None) -> None:
        """Pass it on."""
        self._outer.step(f"{self._label}.{label}", rows, shards)

    def shard(self, label: str, numbers: Mapping[str, Any]) -> None:
        """Pass it on."""
        self._outer.shard(f"{self._label}.{label}", numbers)

    def done(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Pass it on."""
        self._outer.done(f"{self._label}.{label}", receipt)

    def note(self, text: str) -> None:
        """Pass it on."""
        self._outer.note(f"{self._label}: {text}")


class Use:
    """What the engines did in this run so far, in words."""

    def __init__(self) -> None:
        self._total: dict[str, dict[str, float]] = {}
        self._since: dict[str, float] = {}

    def add(self, alias: str, use: Mapping[str, float]) -> str:
        """Count one answer and return the engine's line."""
        total = self._total.setdefault(alias, {})
        began = self._since.setdefault(alias, time.monotonic())
        for k, n in use.items():
            total[k] = total.get(k, 0) + n
        rate = total.get("tokens_out", 0) / max(1e-3, time.monotonic() - began)
        said = f"{total.get('requests', 0):,.0f} requests, {total.get('cached', 0):,.0f} from store, "
        return said + f"{rate:,.0f} tokens/s" + (f", ${total['paid']:,.2f}" if "paid" in total else "")


class Lines(Progress):
    """Plain lines on stderr for the log of a batch job: when a step begins and ends, and one a minute between."""

    EVERY_S = 60.0

    def __init__(self) -> None:
        self._total: dict[str, int | None] = {}
        self._done: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._ended: set[str] = set()
        self._use, self._said = Use(), ""
        self._last = time.monotonic()

    def reuse(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Say that nothing is computed."""
        self._say(f"{label}: reused, {receipt.get('out', 0):,} rows")

    def step(self, label: str, rows: int | None, shards: int | None) -> None:
        """Say that it begins; a step that gets more rows later says so by its counts."""
        if label not in self._began:
            self._say(f"{label}: begins" + (f", {rows:,} rows" if rows is not None else ""))
        self._began.setdefault(label, time.monotonic())
        self._total[label], self._done[label] = rows, 0

    def shard(self, label: str, numbers: Mapping[str, Any]) -> None:
        """Count its rows."""
        self._done[label] = self._done.get(label, 0) + numbers.get("rows_in", 0)
        self._now_and_then(label)

    def asked(self, alias: str, use: Mapping[str, float]) -> None:
        """Count an answer."""
        self._said = f"{alias} {self._use.add(alias, use)}"
        self._now_and_then(next((label for label in self._began if label not in self._ended), ""))

    def done(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Say what came of it."""
        self._ended.add(label)
        took = receipt.get("seconds", 0)
        lost = f", {receipt['dropped']:,} dropped" if receipt.get("dropped") else ""
        said = f"{label}: done, {receipt.get('rows_in', 0):,} rows in, {receipt.get('out', 0):,} out{lost}"
        self._say(f"{said}, {took:,.1f} s")

    def note(self, text: str) -> None:
        """Say it."""
        self._say(text)

    def _now_and_then(self, label: str) -> None:
        if time.monotonic() - self._last < self.EVERY_S:
            return
        done, total = self._done.get(label, 0), self._total.get(label)
        rows = f"{done:,} rows" if total is None else f"{done:,} of {total:,} rows"
        if total and 0 < done < total:
            rows += f", about {_duration((time.monotonic() - self._began[label]) * (total - done) / done)} left"
        self._say(f"{label}: {rows}" + (f"; {self._said}" if self._said else ""))

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        clean = "".join(c if c.isprintable() else "?" for c in text)
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {clean}\n")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Live(Progress):
    """One bar a step with rich; below, one line an engine: requests, tokens per second and cost of this run."""

    def __init__(self) -> None:
        from rich.console import Console, Group
        from rich.live import Live as Display
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        name = TextColumn("{task.description:<14}")
        self._bars = Bars(
            name,
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._asks = Bars(name, TextColumn("{task.fields[said]}"))
        self._display = Display(Group(self._bars, self._asks), console=Console(stderr=True), refresh_per_second=5)
        self._tasks: dict[str, Any] = {}
        self._use = Use()

    def start(self, labels: list[str]) -> None:
        """Open the display."""
        self._display.start()

    def reuse(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Show a full bar."""
        rows = receipt.get("rows_in", 0)
        if label in self._tasks:  # a step of a loop has one bar, whatever the round
            self._bars.update(self._tasks[label], total=rows, completed=rows, said="reused")
        else:
            self._tasks[label] = self._bars.add_task(label, total=rows, completed=rows, said="reused")

    def step(self, label: str, rows: int | None, shards: int | None) -> None:
        """Add a bar, or begin it anew."""
        if label in self._tasks:
            self._bars.reset(self._tasks[label], total=rows)
        else:
            self._tasks[label] = self._bars.add_task(label, total=rows, said="")

    def shard(self, label: str, numbers: Mapping[str, Any]) -> None:
        """Move the bar by the rows of the shard; a fused step learns its total from the steps before it."""
        if label in self._tasks:
            self._bars.advance(self._tasks[label], numbers.get("rows_in", 0))

    def asked(self, alias: str, use: Mapping[str, float]) -> None:
        """Add an answer to the engine's line."""
        if alias not in self._tasks:
            self._tasks[alias] = self._asks.add_task(alias, total=None, said="")
        self._asks.update(self._tasks[alias], said=self._use.add(alias, use))

    def done(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Fill the bar."""
        if label in self._tasks:
            rows = receipt.get("rows_in", 0)
            self._bars.update(self._tasks[label], total=rows, completed=rows)

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._display.console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        """Close the display."""
        self._display.stop()
