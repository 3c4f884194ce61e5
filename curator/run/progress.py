"""What a run tells while it goes: a live table on a terminal, nothing elsewhere."""

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


def choose(progress: Progress | None | Literal[False]) -> Progress:
    """Return the progress to use: the one given; for None the live one on a terminal; for False the silent one."""
    if isinstance(progress, Progress):
        return progress
    if progress is None and not sys.stderr.isatty():
        return Progress()
    return Progress() if progress is not None else Live()


class Live(Progress):
    """One line a step with rich: rows, and for engines requests, tokens per second, cost and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(), TextColumn("{task.description:<18}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("rows"), TimeRemainingColumn(), TextColumn("{task.fields[asked]}"),
            console=Console(stderr=True),
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._use: dict[str, float] = {}
        self._since = 0.0

    def start(self, labels: list[str]) -> None:
        """Open the display."""
        self._bars.start()

    def reuse(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Show a full bar."""
        rows = receipt.get("rows_in", 0)
        self._tasks[label] = self._bars.add_task(label, total=rows, completed=rows, asked="[dim]reused")

    def step(self, label: str, rows: int | None, shards: int | None) -> None:
        """Add a bar."""
        self._use, self._since = {}, time.monotonic()
        self._tasks[label] = self._bars.add_task(label, total=rows, asked="")

    def shard(self, label: str, numbers: Mapping[str, Any]) -> None:
        """Move the bar by the rows of the shard."""
        if label in self._tasks:
            self._bars.advance(self._tasks[label], numbers.get("rows_in", 0))

    def asked(self, alias: str, use: Mapping[str, float]) -> None:
        """Add the answer to the engine's own line."""
        name = f"  {alias}"
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, asked="")
        for k, n in use.items():
            self._use[k] = self._use.get(k, 0) + n
        seconds = max(1e-3, time.monotonic() - self._since)
        rate = self._use.get("tokens_out", 0) / seconds
        asked, cached = self._use.get("requests", 0), self._use.get("cached", 0)
        text = f"{asked:.0f} requests, {cached:.0f} from store, {rate:.0f} tokens/s"
        if "cost" in self._use:
            text += f", ${self._use['cost']:.2f}"
        self._bars.update(self._tasks[name], asked=text)

    def done(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Fill the bar."""
        if label in self._tasks:
            rows = receipt.get("rows_in", 0)
            self._bars.update(self._tasks[label], total=rows, completed=rows)

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._bars.console.print(text, highlight=False)

    def stop(self) -> None:
        """Close the display."""
        self._bars.stop()
