"""Where the parts of a drawing lie: numbers for SVG, computed here so that templates hold none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mpi.domain.dashboard import BandCount
from mpi.domain.task_detail import Graph as Links

GRAPH_WIDTH = 400
_GRAPH_HEIGHTS = ((1, 92), (2, 148), (5, 210), (60, 270))
"""Height of a graph by the records of its larger identity, the first that is enough."""
BAR_WIDTH = 180.0
_FALL_WIDTH, _FALL_HEIGHT, _FALL_TOP, _FALL_BOTTOM = 640, 220, 22, 34
_CHART_WIDTH, _CHART_HEIGHT, _CHART_LEFT, _CHART_BOTTOM, _CHART_TOP = 640, 190, 38, 26, 12


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from a middle line to the right (for) or to the left (against)."""

    x: float
    width: float
    side: str
    zero: float


@dataclass(frozen=True, slots=True)
class Step:
    """One column of a waterfall: what a term adds to the sum of those before it.

    Attributes:
        name: of the term; "" for the sum.
        weight: what it adds, or the sum.
        side: "for", "against" or "total".
        x: left edge.
        y: upper edge.
        width: of the column.
        height: of the column.
        label: where the weight is written.
        end: height of the running sum after it.
    """

    name: str
    weight: float
    side: str
    x: float
    y: float
    width: float
    height: float
    label: float
    end: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A match weight as the sum of its terms."""

    steps: Sequence[Step]
    zero: float
    width: int = _FALL_WIDTH
    height: int = _FALL_HEIGHT


@dataclass(frozen=True, slots=True)
class Node:
    """A record in the drawing of a graph: its side, "left" or "right", its place, and the height of its name."""

    record: int
    facility: str
    side: str
    x: float
    y: float
    label: float


@dataclass(frozen=True, slots=True)
class Edge:
    """What two records say of each other, as a line; `bond` as people decided, "" for nothing."""

    record: int
    other: int
    weight: float
    carries: bool
    bond: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawing of records and what joins them."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    truncated: bool
    height: int
    width: int = GRAPH_WIDTH


@dataclass(frozen=True, slots=True)
class Chart:
    """Tasks opened and decided by day, as two lines.

    Attributes:
        opened: points of the one line, as SVG writes them.
        decided: points of the other.
        ticks: heights of the grid with their numbers.
        first: the first day.
        last: the last day.
    """

    opened: str
    decided: str
    ticks: Sequence[tuple[float, int]]
    first: date
    last: date
    width: int = _CHART_WIDTH
    height: int = _CHART_HEIGHT
    left: int = _CHART_LEFT
    bottom: int = _CHART_HEIGHT - _CHART_BOTTOM


@dataclass(frozen=True, slots=True)
class Band:
    """What stewards decided about a band of weights, beside what the model expected: shares as lengths of bars."""

    least: float
    count: int
    share: float
    expected: float
    width: float
    mark: float


def bar(weight: float, extent: float) -> Bar:
    """Draw one weight beside others of which the greatest is `extent`."""
    return _bar(weight, -extent if weight < 0 else 0.0, extent)


def bars(weights: Sequence[float]) -> list[Bar]:
    """Draw weights beside each other on one scale, from a common line of nothing."""
    least, most = min([0.0, *weights]), max([0.0, *weights])
    return [_bar(weight, least, most) for weight in weights]


def waterfall(terms: Sequence[tuple[str, float]]) -> Waterfall:
    """Draw a weight as its terms, one after the other, and their sum."""
    ends = [0.0]
    for _, weight in terms:
        ends.append(ends[-1] + weight)
    top, bottom = max(ends), min(ends)
    scale = (_FALL_HEIGHT - _FALL_TOP - _FALL_BOTTOM) / ((top - bottom) or 1.0)

    def height(value: float) -> float:
        return round(_FALL_TOP + (top - value) * scale, 1)

    room = _FALL_WIDTH / (len(terms) + 1)
    width = round(min(room * 0.62, 64.0), 1)
    columns = [(name, weight, ends[turn], ends[turn + 1]) for turn, (name, weight) in enumerate(terms)]
    steps = []
    for turn, (name, weight, start, end) in enumerate([*columns, ("", ends[-1], 0.0, ends[-1])]):
        upper, lower = height(max(start, end)), height(min(start, end))
        side = "total" if turn == len(terms) else "for" if weight >= 0 else "against"
        steps.append(
            Step(
                name,
                weight,
                side,
                round(room * turn + (room - width) / 2, 1),
                upper,
                width,
                max(round(lower - upper, 1), 1.5),
                round(upper - 7, 1),
                height(end),
            )
        )
    return Waterfall(steps, height(0.0))


def graph(links: Links, left: str) -> Graph:
    """Draw records of one or two identities, each identity a ring of its own.

    Args:
        links: the records and what joins them.
        left: the identity on the left.
    """
    sides = {"left": [node for node in links.nodes if node[1] == left]}
    others = [node for node in links.nodes if node[1] != left]
    if others:
        sides["right"] = others
    middles = {"left": GRAPH_WIDTH / 2} if not others else {"left": GRAPH_WIDTH * 0.27, "right": GRAPH_WIDTH * 0.73}
    most = max((len(members) for members in sides.values()), default=1)
    height = next((each for count, each in _GRAPH_HEIGHTS if most <= count), _GRAPH_HEIGHTS[-1][1])
    nodes = {}
    for side, members in sides.items():
        level = height / 2 - 4
        ring = _ring(len(members), middles[side], level, height / 2 - 34)
        for (record, _, facility), (x, y) in zip(members, ring, strict=True):
            nodes[record] = Node(record, facility, side, x, y, y - 13 if y < level else y + 21)
    edges = [
        Edge(
            each.record,
            each.other,
            each.weight,
            each.carries,
            each.bond.value,
            nodes[each.record].x,
            nodes[each.record].y,
            nodes[each.other].x,
            nodes[each.other].y,
        )
        for each in links.edges
        if each.record in nodes and each.other in nodes
    ]
    return Graph(list(nodes.values()), edges, links.truncated, height)


def days(counts: Sequence[tuple[date, int, int]]) -> Chart | None:
    """Draw what was opened and decided by day; None where nothing happened on two days or more."""
    if len(counts) < 2:
        return None
    first, last = counts[0][0], counts[-1][0]
    span = (last - first).days
    most = max(1, *(max(opened, decided) for _, opened, decided in counts))
    step = max(1, 10 ** (len(str(most)) - 1) // 2 if most >= 10 else 1)
    top = math.ceil(most / step) * step
    scale = (_CHART_HEIGHT - _CHART_TOP - _CHART_BOTTOM) / top
    known = {day: (opened, decided) for day, opened, decided in counts}

    def line(which: int) -> str:
        points = []
        for offset in range(span + 1):
            value = known.get(date.fromordinal(first.toordinal() + offset), (0, 0))[which]
            x = _CHART_LEFT + (_CHART_WIDTH - _CHART_LEFT - 10) * offset / span
            points.append(f"{x:.1f},{_CHART_HEIGHT - _CHART_BOTTOM - value * scale:.1f}")
        return " ".join(points)

    ticks = [(round(_CHART_HEIGHT - _CHART_BOTTOM - top * part * scale, 1), round(top * part)) for part in (0, 0.5, 1)]
    return Chart(line(0), line(1), ticks, first, last)


def bands(counts: Sequence[BandCount]) -> list[Band]:
    """Draw what share of each band of weights was decided as one person, and what share was expected."""
    found = []
    for band in counts:
        count = band.same + band.different
        share, expected = band.same / count, min(1.0, band.expected / count)
        found.append(
            Band(band.least, count, share, expected, round(share * BAR_WIDTH, 1), round(expected * BAR_WIDTH, 1))
        )
    return found


def _bar(weight: float, least: float, most: float) -> Bar:
    scale = BAR_WIDTH / ((most - least) or 1.0)
    zero = round(-least * scale, 1)
    length = max(round(abs(weight) * scale, 1), 1.0)
    return Bar(zero if weight >= 0 else zero - length, length, "for" if weight >= 0 else "against", zero)


def _ring(count: int, middle: float, level: float, radius: float) -> list[tuple[float, float]]:
    """Places on a ring, the first at its top; the middle itself for one."""
    turns = [2 * math.pi * turn / count - math.pi / 2 for turn in range(count)]
    across = radius if count > 1 else 0.0
    return [(round(middle + across * math.cos(turn), 1), round(level + across * math.sin(turn), 1)) for turn in turns]
