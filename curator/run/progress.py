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
        self._use: dict[str, dict[str, float]] = {}
        self._since: dict[str, float] = {}

    def start(self, labels: list[str]) -> None:
        """Open the display."""
        self._display.start()

    def reuse(self, label: str, receipt: Mapping[str, Any]) -> None:
        """Show a full bar."""
        rows = receipt.get("rows_in", 0)
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
        total = self._use.setdefault(alias, {})
        began = self._since.setdefault(alias, time.monotonic())
        if alias not in self._tasks:
            self._tasks[alias] = self._asks.add_task(alias, total=None, said="")
        for k, n in use.items():
            total[k] = total.get(k, 0) + n
        rate = total.get("tokens_out", 0) / max(1e-3, time.monotonic() - began)
        asked, cached = total.get("requests", 0), total.get("cached", 0)
        said = f"{asked:,.0f} requests, {cached:,.0f} from store, {rate:,.0f} tokens/s"
        if "paid" in total:
            said += f", ${total['paid']:,.2f}"
        self._asks.update(self._tasks[alias], said=said)

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
