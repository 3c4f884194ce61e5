"""One trace between model and interpreter: its text, the code in it, and what is told of each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from curator.engines.protocol import Completion
from curator.spans.edits import Edit
from curator.text import THINK_CLOSE, THINK_OPEN

if TYPE_CHECKING:
    from curator.sandbox.extract import Fence
    from curator.sandbox.interpret import Printed

TAGS = ("python", "python3", "py")


class Box(NamedTuple):
    """How code is run, and what is told of it."""

    limit_s: float
    memory_mb: int
    output_chars: int
    note: str
    unsafe: bool

    def run(self, blocks: Sequence[str]) -> Printed:
        """Run blocks in one name space; what the last one printed. Blocks the thread."""
        from curator.sandbox.interpret import interpret

        most = 4 * self.output_chars + 4096
        return interpret(blocks, limit_s=self.limit_s, memory_mb=self.memory_mb, most=most, unsafe=self.unsafe)

    def told(self, printed: Printed) -> str:
        """Return the output block of a run. Its fence is longer than any inside, so it ends where it should."""
        text = printed.text.rstrip("\n").replace(THINK_CLOSE, "</ think>").replace(THINK_OPEN, "< think>")
        if len(text) > self.output_chars:
            half = self.output_chars // 2
            text = f"{text[:half]}\n... ({len(text) - 2 * half:,} characters left out) ...\n{text[-half:]}"
        why = {
            "timeout": f"Stopped: over {self.limit_s:g} s.", "cut": "Stopped: printed too much.",
            "ended": "The process ended.",
        }.get(printed.status)  # fmt: skip
        text = "\n".join(part for part in (text, why) if part)
        mark = "```"
        while mark in text:
            mark += "`"
        return f"{mark}output\n{text}\n{mark}\n" if text else f"{mark}output\n{mark}\n"


@dataclass
class Trace:
    """One trace on its way. `clean`: from where fences are looked for, outside of any block."""

    text: str
    parts: list[Edit]
    budget: int
    clean: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    requests: int = 0
    blocks: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish: str = ""
    exit: str = ""
    error: str | None = None

    def put(self, text: str, kind: str) -> None:
        """Append a text that no model wrote."""
        self.parts.append(Edit(len(self.text), len(self.text) + len(text), kind, text))
        self.text += text

    def fences(self) -> list[Fence]:
        """Return the blocks since the last output."""
        from curator.sandbox.extract import fences

        return fences(self.text, self.clean)

    def runnable(self, fence: Fence, since: int) -> bool:
        """Whether a block is code of the thinking that ended after `since` characters."""
        ended = fence.after is None or fence.after > since
        return fence.tag in TAGS and ended and THINK_CLOSE not in self.text[self.clean : fence.start]

    def writing(self) -> bool:
        """Whether the text ends inside an open block of code."""
        last = self.fences()[-1:]
        return bool(last) and last[0].after is None and last[0].tag in TAGS

    def end(self, reason: str, finish: str, error: str | None = None) -> None:
        """The loop is over."""
        self.exit, self.finish, self.error = reason, finish, error

    def ended(self, answer: Completion, since: int) -> None:
        """The model wrote to its end, or to a limit."""
        fences = self.fences()
        if answer.finish_reason == "length":
            self.end("length", "length")
        elif fences and fences[-1].after is None:
            self.end("open_block", "stop")
        elif len(self.calls) >= self.budget and any(self.runnable(f, since) for f in fences):
            self.end("budget", "stop")
        else:
            self.end("done", "stop")
