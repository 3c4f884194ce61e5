"""Two charts as inline SVG: rows from step to step, and token counts before and after compression."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from curator.report.gather import BINS_PER_OCTAVE, Histogram

WIDTH = 900
_LABEL, _VALUE, _BAR = 170, 210, 18


def funnel(receipts: Sequence[Mapping[str, Any]]) -> str:
    """Return one bar a step: rows that go on, then rows dropped, on one scale."""
    steps = [r for r in receipts if r.get("kind") != "sink"]
    most = max((int(r.get("out") or 0) + int(r.get("dropped") or 0) for r in steps), default=0)
    if not most:
        return ""
    room, pitch = WIDTH - _LABEL - _VALUE, _BAR + 10
    lines = []
    for i, r in enumerate(steps):
        out, dropped, made = (int(r.get(k) or 0) for k in ("out", "dropped", "made"))
        y = i * pitch
        kept, gone = out / most * room, dropped / most * room
        name = _clip(str(r.get("step")), 24)
        note = f"{out:,}" + (f"  +{made:,} made" if made else "") + (f"  \u2212{dropped:,}" if dropped else "")
        middle = y + _BAR / 2 + 4
        lines.append(f'<text class="label" x="{_LABEL - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>')
        lines.append(
            f'<rect class="kept" x="{_LABEL}" y="{y}" width="{max(kept, 1 if out else 0):.1f}" height="{_BAR}"/>'
        )
        if dropped:
            x = _LABEL + kept + (2 if out else 0)
            lines.append(f'<rect class="gone" x="{x:.1f}" y="{y}" width="{max(gone - 2, 1.5):.1f}" height="{_BAR}"/>')
        lines.append(f'<text class="value" x="{_LABEL + kept + gone + 8:.1f}" y="{middle}">{escape(note)}</text>')
    legend = (
        '<p class="legend"><i class="kept"></i> rows that go on <i class="gone"></i> rows dropped, with their reasons '
        "in the table</p>"
    )
    return legend + _svg(len(steps) * pitch, "Rows from step to step", lines)


def histogram(found: Sequence[Histogram]) -> str:
    """Return the token counts as bars over a logarithmic axis, one colour a histogram."""
    low = min(min(h.bins) for h in found)
    high = max(max(h.bins) for h in found)
    low, high = low - low % BINS_PER_OCTAVE, high + 1 + (-(high + 1)) % BINS_PER_OCTAVE
    most = _round_up(max(max(h.bins.values()) for h in found))
    left, right, bottom, tall = 60, 30, 34, 200
    step = (WIDTH - left - right) / (high - low)
    bar = (step - 3) / len(found)
    lines = []
    for part in (0.0, 0.5, 1.0):
        y = 12 + tall * (1 - part)
        lines.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{most * part:,.0f}</text>')
    for edge in range(low, high + 1, BINS_PER_OCTAVE * max(1, math.ceil((high - low) / BINS_PER_OCTAVE / 14))):
        x = left + (edge - low) * step
        shown = f"{2 ** (edge / BINS_PER_OCTAVE):,.0f}"
        lines.append(f'<text class="tick" x="{x:.1f}" y="{12 + tall + 18}" text-anchor="middle">{shown}</text>')
    for i, h in enumerate(found):
        for b, n in sorted(h.bins.items()):
            height = max(n / most * tall, 1)
            x = left + (b - low) * step + 1.5 + i * bar
            first, last = 2 ** (b / BINS_PER_OCTAVE), 2 ** ((b + 1) / BINS_PER_OCTAVE)
            title = f"{escape(h.name)}, {first:,.0f} to {last:,.0f} tokens: {n:,} rows"
            lines.append(
                f'<rect class="s{i}" x="{x:.1f}" y="{12 + tall - height:.1f}" width="{max(bar, 1):.1f}" '
                f'height="{height:.1f}"><title>{title}</title></rect>'
            )
    names = " ".join(f'<i class="s{i}"></i> {escape(h.name)}' for i, h in enumerate(found))
    legend = f'<p class="legend">{names} &nbsp; rows by number of tokens (logarithmic axis)</p>'
    return legend + _svg(12 + tall + bottom, "Rows by number of tokens", lines)


def _round_up(n: int) -> int:
    """Return the next even number of two digits and zeros, so that the axis has whole numbers at its middle and top."""
    unit = int("1" + "0" * max(0, len(str(n)) - 2))
    return -(-n // (2 * unit)) * 2 * unit


def _clip(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "\u2026"


def _svg(height: float, title: str, lines: Sequence[str]) -> str:
    body = "\n".join(lines)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'
