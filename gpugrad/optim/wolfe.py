"""A line search for the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..tensor import Tensor

DECREASE, CURVATURE = 1e-4, 0.9
"""c1 and c2 of the conditions."""


class Point(NamedTuple):
    """Of the line: step t, loss, gradient of the parameters, and its slope along the line."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


@dataclass
class Line:
    """The loss along a direction from `start`.

    evaluate: t -> (loss, gradient). largest: |direction|, its largest element.
    """

    start: Point
    direction: Tensor
    largest: float
    evaluate: Callable[[float], tuple[float, Tensor]]
    evaluations: int = 0

    def at(self, t: float) -> Point:
        """Calls the closure."""
        self.evaluations += 1
        loss, gradient = self.evaluate(t)
        return Point(t, loss, gradient, gradient.dot(self.direction).item())

    def too_high(self, point: Point) -> bool:
        """Does the loss not fall enough?"""
        start = self.start
        return point.loss > start.loss + DECREASE * point.t * start.slope

    def flat(self, point: Point) -> bool:
        """Is the slope small enough?"""
        return abs(point.slope) <= -CURVATURE * self.start.slope


def strong_wolfe(line: Line, t: float, tolerance: float, most: int) -> Point:
    """A point that meets both conditions, or the best one of `most` evaluations."""
    bracket, used = _bracket(line, t, most)
    if len(bracket) == 1:
        return bracket[0]
    return _zoom(line, bracket, used, tolerance, most)


def _bracket(line: Line, t: float, most: int) -> tuple[list[Point], int]:
    """Goes out until two points enclose a good one (or one is good); and how often it went."""
    before, here = line.start, line.at(t)
    for used in range(most):
        if line.too_high(here) or (used > 1 and here.loss >= before.loss):
            return [before, here], used
        if line.flat(here):
            return [here], used
        if here.slope >= 0:
            return [before, here], used
        nearest, farthest = here.t + 0.01 * (here.t - before.t), here.t * 10
        t = interpolated(before, here, (nearest, farthest))
        before, here = here, line.at(t)
    return [line.start, here], most


def _zoom(line: Line, ends: list[Point], used: int, tolerance: float, most: int) -> Point:
    """Narrows a bracket down. Its low end has the smallest loss that falls enough."""
    first, last = ends
    low, high = (first, last) if first.loss <= last.loss else (last, first)
    stalled = False
    while used < most and abs(high.t - low.t) * line.largest >= tolerance:
        t, stalled = _inside(interpolated(first, last), first.t, last.t, stalled)
        point = line.at(t)
        used += 1
        replaced = high
        if line.too_high(point) or point.loss >= low.loss:
            first, last = (point, last) if first is high else (first, point)
            low, high = (first, last) if first.loss <= last.loss else (last, first)
            continue
        if line.flat(point):
            return point
        if point.slope * (high.t - low.t) >= 0:
            replaced = low
        first, last = _pair(first is low, point, replaced)
        low, high = point, replaced
    return low


def _pair(low_first: bool, low: Point, high: Point) -> tuple[Point, Point]:
    return (low, high) if low_first else (high, low)


def _inside(t: float, a: float, b: float, stalled: bool) -> tuple[float, bool]:
    """t away from the ends of the bracket, and whether it came too near to one now.

    The first t that comes too near is let pass, unless it lies at an end.
    """
    left, right = min(a, b), max(a, b)
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not stalled and left < t < right:
        return t, True
    return (right - margin if abs(t - right) < abs(t - left) else left + margin), False


def interpolated(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """The minimum of the cubic through both points, within the bounds (else between the points).

    Their middle where the cubic has none.
    """
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * _quotient(a.loss - b.loss, a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    t = b.t - (b.t - a.t) * _quotient(b.slope + d2 - d1, b.slope - a.slope + 2 * d2)
    return min(max(t, low), high)


def _quotient(a: float, b: float) -> float:
    """a / b as IEEE 754 has it, where Python raises."""
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)
