"""Small drawings for reports: curves and bars as inline SVG, without scripts, that follow the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 44
_LABELS = 190
"""Width of the labels beside bars."""
_ROW = 22
_MOST_TICKS = 8
_COLOURS = 4
"""How many colours the page's style names; further curves begin again."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a drawing.

    Attributes:
        label: what is drawn along it, with its unit.
        low: value at its beginning.
        high: value at its end.
        decades: whether powers of ten are equally far apart; `low` is then above 0.
    """

    label: str
    low: float
    high: float
    decades: bool = False

    def share(self, value: float) -> float:
        """How far along the axis a value lies; values beyond an end lie on it."""
        value = min(max(value, self.low), self.high)
        if self.decades:
            return math.log10(value / self.low) / (math.log10(self.high / self.low) or 1.0)
        return (value - self.low) / ((self.high - self.low) or 1.0)

    def ticks(self) -> list[float]:
        """Round values within the axis, at most eight or so."""
        if self.decades:
            exponents = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**exponent for exponent in exponents]
        rough = ((self.high - self.low) or 1.0) / _MOST_TICKS
        power = 10 ** math.floor(math.log10(rough))
        step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough - 1e-12)
        first = math.ceil(self.low / step - 1e-9)
        return [round(number * step, 10) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name and its points, along and up."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        label: what it is.
        value: how long it is.
        said: the value as words.
        interval: ends of a whisker; None for none.
        before: where a mark says what it was before; None for none.
    """

    label: str
    value: float
    said: str
    interval: tuple[float, float] | None = None
    before: float | None = None


def curves(title: str, along: Axis, up: Axis, lines: Sequence[Line]) -> str:
    """Draw curves over a grid, each with its name in a legend."""

    def x(value: float) -> float:
        return _LEFT + along.share(value) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - up.share(value) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in up.ticks():
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    parts += _bottom(along, x, _HEIGHT - _BOTTOM, _TOP)
    parts.append(
        f'<text x="14" y="{(_HEIGHT - _BOTTOM + _TOP) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {(_HEIGHT - _BOTTOM + _TOP) / 2})">{escape(up.label)}</text>'
    )
    for place, line in enumerate(lines):
        colour = f"colour{place % _COLOURS}"
        at = [(x(one), y(other)) for one, other in line.points]
        path = " ".join(f"{one:.1f},{other:.1f}" for one, other in at)
        parts.append(f'<polyline class="line {colour}" points="{path}"/>')
        parts += [f'<circle class="dot {colour}" cx="{one:.1f}" cy="{other:.1f}" r="2.5"/>' for one, other in at]
    legend = "".join(
        f'<li><span class="key colour{place % _COLOURS}"></span>{escape(line.name)}</li>'
        for place, line in enumerate(lines)
    )
    return _figure(title, _HEIGHT, parts, f'<ul class="legend">{legend}</ul>')


def bars(title: str, along: Axis, rows: Sequence[Bar]) -> str:
    """Draw bars from zero, or from the beginning of the axis, one beneath the other."""
    bottom = _TOP + _ROW * len(rows)

    def x(value: float) -> float:
        return _LABELS + along.share(value) * (_WIDTH - _LABELS - _LEFT)

    zero = x(0.0)
    parts = _bottom(along, x, bottom, _TOP)
    for place, bar in enumerate(rows):
        middle = _TOP + _ROW * place + _ROW / 2
        begin, end = sorted((zero, x(bar.value)))
        against = " against" if bar.value < 0 else ""
        parts.append(f'<text x="{_LABELS - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>')
        parts.append(
            f'<rect class="bars{against}" x="{begin:.1f}" y="{middle - 6}" width="{end - begin:.1f}" height="12"/>'
        )
        if bar.interval:
            low, high = map(x, bar.interval)
            parts.append(f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8')
            parts[-1] += f'M{high:.1f} {middle - 4}v8"/>'
        if bar.before is not None:
            parts.append(f'<path class="whisker" d="M{x(bar.before):.1f} {middle - 8}v16"/>')
        parts.append(f'<text x="{_WIDTH - _LEFT + 8}" y="{middle + 4}">{escape(bar.said)}</text>')
    return _figure(title, bottom + _BOTTOM, parts, "")


def _bottom(along: Axis, x: Callable[[float], float], bottom: float, top: float) -> list[str]:
    """The axis along with its grid."""
    parts = []
    for tick in along.ticks():
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{_number(tick)}</text>')
    middle = (x(along.low) + x(along.high)) / 2
    parts.append(f'<text x="{middle:.1f}" y="{bottom + 36}" text-anchor="middle">{escape(along.label)}</text>')
    return parts


def _figure(title: str, height: float, parts: Sequence[str], below: str) -> str:
    drawn = "\n".join(parts)
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {height}" role="img"><title>{escape(title)}</title>\n{drawn}\n</svg>'
        f"<figcaption>{escape(title)}{below}</figcaption></figure>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
