"""Where the parts of a drawing lie: numbers for SVG, computed here so that templates hold none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

GRAPH_WIDTH, GRAPH_HEIGHT = 380, 260


@dataclass(frozen=True, slots=True)
class Node:
    """A record in the drawing of a graph, with the side that it is on: "left" or "right"."""

    record: int
    facility: str
    side: str
    x: float
    y: float


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
    width: int = GRAPH_WIDTH
    height: int = GRAPH_HEIGHT


def circle(count: int, middle: float, radius: float) -> list[tuple[float, float]]:
    """Places on a circle, the first at its top; the middle itself for one."""
    if count == 1:
        return [(middle, GRAPH_HEIGHT / 2 - 6)]
    turns = [2 * math.pi * turn / count - math.pi / 2 for turn in range(count)]
    return [
        (round(middle + radius * math.cos(turn), 1), round(GRAPH_HEIGHT / 2 - 6 + radius * math.sin(turn), 1))
        for turn in turns
    ]
