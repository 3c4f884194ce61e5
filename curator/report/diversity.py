"""Diversity of a run's rows in three pictures: the spectrum, a map with sparse clusters marked, the score per round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from curator.report import plots
from curator.report.charts import WIDTH
from curator.report.features import DRAWS, Picture
from curator.report.parts import section as titled
from curator.report.parts import table, text


def section(found: Picture | None, pool: Picture | None) -> str:
    """Return the section of the page; `pool`: of the step that marked clusters, whose map is shown."""
    if found is None:
        return ""
    if found.refused:
        return titled("Diversity", f'<p class="note">{text(found.refused)}</p>')
    name = "G-Vendi" if found.on == "grad" or found.on.endswith("_grad") else f"Vendi score of {found.on}"
    among = "a sample of " if found.sampled else ""
    head = (
        f"{name} {found.vendi:,.1f} of at most {min(found.n, found.d):,}, over {among}{found.n:,} rows with "
        f"{found.d:,} features. It grows with the number of rows: compare it at equal numbers only."
    )
    parts = [f"<p>{text(head)}</p>", "<h3>Spectrum</h3>" + _spectrum(found)]
    shown = pool if pool is not None and pool.points else found
    if shown.points:
        parts.append("<h3>Map</h3>" + _dots(shown))
    if found.rounds:
        rows = [(r, n, v, e) for r, n, v, e in found.rounds]
        head_ = ("round", "rows so far", name, f"at {found.equal:,} rows")
        parts.append(f"<h3>{text(name)} per round</h3>" + _lines(found, name) + table(head_, rows))
    return titled("Diversity", "\n".join(parts))


def _axes(
    across: tuple[float, float], up: tuple[float, float], names: tuple[str, str], shown: tuple[Any, Any]
) -> tuple[list[str], Callable[[float, float], tuple[float, float]], float]:
    """Return grid, labels and the places of points of a plot over two axes; `shown`: (value, text) of their ticks."""
    left, right, top, tall = 64, WIDTH - 30, 12, 250

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - across[0]) / (across[1] - across[0]) * (right - left),
            top + tall - (y - up[0]) / (up[1] - up[0]) * tall,
        )

    lines = []
    for value, said in shown[1]:
        _, y = at(across[0], value)
        lines.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{said}</text>')
    for value, said in shown[0]:
        x, _ = at(value, up[0])
        lines.append(f'<text class="tick" x="{x:.1f}" y="{top + tall + 18}" text-anchor="middle">{said}</text>')
    middle = (left + right) / 2
    lines.append(f'<text class="tick" x="{middle}" y="{top + tall + 36}" text-anchor="middle">{text(names[0])}</text>')
    lines.append(
        f'<text class="tick" x="14" y="{top + tall / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {top + tall / 2})">{text(names[1])}</text>'
    )
    return lines, at, top + tall + 44


def _path(places: Sequence[tuple[float, float]], kind: str) -> str:
    return f'<path class="{kind}" d="M' + "L".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>'


def _spectrum(found: Picture) -> str:
    """Eigenvalues by rank, both axes logarithmic."""
    values = [(math.log10(k), math.log10(v)) for k, v in enumerate(found.spectrum, 1)]
    last, low = max(values[-1][0], 0.3), math.floor(min(y for _, y in values))
    high = max(0, low + 1)
    rounds = (k * 10**e for e in range(4) for k in (1, 2, 5))
    ranks = [(math.log10(k), f"{k:,}") for k in rounds if math.log10(k) <= last]
    shares = [(e, f"{10.0**e:g}") for e in range(low, high + 1, max(1, (high - low) // 5))]
    lines, at, height = _axes((0, last), (low, high), ("rank", "eigenvalue"), (ranks, shares))
    kept = values[:60] + values[60 :: max(1, len(values) // 200)]
    lines.append(_path([at(x, y) for x, y in kept], "curve a"))
    return plots.svg(height, "Eigenvalues by rank", lines)


def _dots(found: Picture) -> str:
    """The map: one path of dots a colour, which is a tenth of the weight of as many circles."""
    x, y = [p[0] for p in found.points], [p[1] for p in found.points]
    across, up = _wide(x), _wide(y)
    names = tuple(f"{k} component ({v:.0%} of variance)"
                  for k, v in zip(("first", "second"), found.variance, strict=True))  # fmt: skip
    lines, at, height = _axes(across, up, (names[0], names[1]), ([], []))
    for marked, kind in ((False, "dots a"), (True, "dots b")):
        places = [at(a, b) for a, b, m in found.points if m == marked]
        if places:
            lines.append(f'<path class="{kind}" d="' + "".join(f"M{a:.0f},{b:.0f}h0" for a, b in places) + '"/>')
    legend = ""
    if found.clustered:
        many = sum(m for *_, m in found.points)
        legend = (f'<p class="legend"><i class="kept"></i> rows in large clusters <i class="gone"></i> rows in sparse '
                  f"clusters ({many:,} of {len(found.points):,} shown)</p>")  # fmt: skip
    return legend + plots.svg(height, "Map of the rows by their features", lines)


def _wide(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _lines(found: Picture, name: str) -> str:
    """The score per round: of all rows so far, and at equal n."""
    series = [[(r, v) for r, _, v, _ in found.rounds], [(r, e) for r, _, _, e in found.rounds]]
    ticks = plots.rounded(min(y for s in series for _, y in s), max(y for s in series for _, y in s))
    first, last = found.rounds[0][0], found.rounds[-1][0]
    step = max(1, (last - first) // 12)
    rounds = [(r, f"{r:,}") for r, *_ in found.rounds if (r - first) % step == 0]
    shown = (rounds, [(t, plots.number(t)) for t in ticks])
    lines, at, height = _axes((first, last), (ticks[0], ticks[-1]), ("round", name), shown)
    for kind, points in zip("ab", series, strict=True):
        places = [at(x, y) for x, y in points]
        lines.append(_path(places, f"curve {kind}"))
        for (r, v), (x, y) in zip(points, places, strict=True):
            said = f"round {r}: {plots.number(v)}"
            lines.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{said}</title></circle>')
    legend = (f'<p class="legend"><i class="kept"></i> all rows so far <i class="gone"></i> {found.equal:,} rows of '
              f"them, mean of {DRAWS} draws</p>")  # fmt: skip
    return legend + plots.svg(height, f"{name} per round", lines)
