"""Charts of a comparison as inline SVG: intervals, a field of points, a matrix. Text is escaped, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from curator.report.charts import WIDTH

_LABEL, _ROW = 250, 22


class Point(NamedTuple):
    """One named value with its range; `note` is shown beside it; `marked` draws it in the second colour."""

    name: str
    low: float
    value: float
    high: float
    note: str = ""
    marked: bool = False


def intervals(points: Sequence[Point], title: str, *, low: float | None = None, high: float | None = None) -> str:
    """Return one row a point: its range as a line, its value as a dot, on one axis.

    Args:
        points: from top to bottom.
        title: for readers that cannot see the picture.
        low: left end of the axis; the nearest round number below all values if not given.
        high: right end of the axis.
    """
    if not points:
        return ""
    ends = (min(p.low for p in points), max(p.high for p in points))
    ticks = rounded(ends[0] if low is None else low, ends[1] if high is None else high)
    left, right = _LABEL, WIDTH - 170
    scale = (right - left) / (ticks[-1] - ticks[0])
    bottom = len(points) * _ROW
    lines = []
    for tick in ticks:
        x = left + (tick - ticks[0]) * scale
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}"/>')
        lines.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number(tick)}</text>')
    for i, p in enumerate(points):
        y = i * _ROW + _ROW / 2
        at = [left + (v - ticks[0]) * scale for v in (p.low, p.value, p.high)]
        kind = "b" if p.marked else "a"
        shown = escape(f"{p.name}: {number(p.value)}, {number(p.low)} to {number(p.high)}")
        name = escape(clip(p.name, 30))
        lines.append(f'<text class="label" x="{left - 10}" y="{y + 4}" text-anchor="end">{name}</text>')
        lines.append(f'<line class="range {kind}" x1="{at[0]:.1f}" x2="{at[2]:.1f}" y1="{y}" y2="{y}"/>')
        lines.append(f'<circle class="dot {kind}" cx="{at[1]:.1f}" cy="{y}" r="4.5"><title>{shown}</title></circle>')
        lines.append(f'<text class="value" x="{right + 12}" y="{y + 4}">{escape(p.note)}</text>')
    return svg(bottom + 24, title, lines)


def field(points: Sequence[tuple[str, float, float]], across: str, up: str, title: str) -> str:
    """Return named points over two axes, the horizontal one logarithmic."""
    if len(points) < 2 or min(x for _, x, _ in points) <= 0:
        return ""
    left, right, top, tall = 60, WIDTH - 150, 12, 300
    ends = [math.log10(x) for _, x, _ in points]
    span = max(max(ends) - min(ends), 0.1)
    first, last = min(ends) - 0.06 * span, max(ends) + 0.06 * span
    ticks = rounded(min(y for _, _, y in points), max(y for _, _, y in points))
    lines = []

    def at(x: float, y: float) -> tuple[float, float]:
        across_ = left + (math.log10(x) - first) / (last - first) * (right - left)
        return across_, top + tall - (y - ticks[0]) / (ticks[-1] - ticks[0]) * tall

    for tick in ticks:
        _, y = at(10**first, tick)
        lines.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for x in _round_log(first, last):
        here, _ = at(x, ticks[0])
        lines.append(f'<text class="tick" x="{here:.1f}" y="{top + tall + 18}" text-anchor="middle">{number(x)}</text>')
    places = [at(x, y) for _, x, y in points]
    taken = [(x - 5, x + 5, y) for x, y in places]
    for (name, _, _), (here, there) in zip(points, places, strict=True):
        dot = f'<circle class="dot a" cx="{here:.1f}" cy="{there:.1f}" r="4.5">'
        lines.append(f"{dot}<title>{escape(name)}</title></circle>")
        said = clip(name, 24)
        wide = 7.2 * len(said)
        begin = here + 8 if here + 8 + wide < WIDTH else here - 8 - wide
        if all(begin > b or begin + wide < a or abs(there - y) > 12 for a, b, y in taken):  # it would lie on another
            taken.append((begin, begin + wide, there))
            lines.append(f'<text class="value" x="{begin:.1f}" y="{there + 4:.1f}">{escape(said)}</text>')
    middle = (left + right) / 2
    lines.append(f'<text class="tick" x="{middle}" y="{top + tall + 38}" text-anchor="middle">{escape(across)}</text>')
    lines.append(
        f'<text class="tick" x="14" y="{top + tall / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {top + tall / 2})">{escape(up)}</text>'
    )
    return svg(top + tall + 46, title, lines)


def matrix(names: Sequence[str], values: Sequence[Sequence[float | None]], title: str) -> str:
    """Return a square of cells, darker for larger shares (0 to 1); the number stands in a cell where there is room."""
    n = len(names)
    if n < 2:
        return ""
    top, left = 16, _LABEL
    cell = min(46.0, (WIDTH - left - 20) / n)
    most = max((v for row in values for v in row if v is not None), default=0.0) or 1.0
    lines = []
    for i, name in enumerate(names):
        y, middle = top + i * cell, left + (i + 0.5) * cell
        said = escape(f"{i + 1}  {clip(name, 28)}")
        lines.append(f'<text class="label" x="{left - 8}" y="{y + cell / 2 + 4:.1f}" text-anchor="end">{said}</text>')
        lines.append(f'<text class="tick" x="{middle:.1f}" y="{top - 5}" text-anchor="middle">{i + 1}</text>')
        for j, other in enumerate(names):
            value = values[i][j]
            if value is None:
                continue
            x, shade = left + j * cell, value / most
            said = escape(f"{name}, not {other}: {value:.1%}")
            lines.append(
                f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}" '
                f'fill-opacity="{0.06 + 0.94 * shade:.2f}"><title>{said}</title></rect>'
            )
            if cell >= 30:
                ink = "on" if shade > 0.55 else "value"
                lines.append(
                    f'<text class="{ink}" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle">'
                    f"{value * 100:.0f}</text>"
                )
    return svg(top + n * cell + 4, title, lines)


def number(value: float) -> str:
    """Return a number of an axis: no more digits than it needs."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def clip(name: str, length: int) -> str:
    """Return `name`, its middle cut out where it is too long: the ends of model names tell them apart."""
    head = (length - 1) // 2
    return name if len(name) <= length else f"{name[:head]}\u2026{name[-(length - 1 - head) :]}"


def svg(height: float, title: str, lines: Sequence[str]) -> str:
    """Return the drawing of these elements."""
    body = "\n".join(lines)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'


def rounded(low: float, high: float) -> list[float]:
    """Return four to eight round numbers that enclose `low` and `high`."""
    span = high - low or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * f for f in (1, 2, 2.5, 5, 10) if span / (step * f) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _round_log(first: float, last: float) -> list[float]:
    found = [f * 10.0**e for e in range(math.floor(first), math.ceil(last) + 1) for f in (1, 2, 5)]
    inside = [x for x in found if first <= math.log10(x) <= last]
    return inside or [10 ** ((first + last) / 2)]
