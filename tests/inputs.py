"""Generators of test inputs. They keep away from kinks and poles, so that derivatives exist.

A generator takes shapes and returns samples; a sample is a tuple of arrays, one for each tensor
argument. A shape is one argument; a list of shapes is several:

    normal((4, 7), (2, 0, 5))       two samples of one array each
    normal([(3, 4), (4,)])          one sample of two arrays
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Shape = tuple[int, ...]
Sample = tuple[np.ndarray, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]


def _samples(draw: Draw, shapes: Sequence[Shape | list[Shape]]) -> list[Sample]:
    rng = np.random.default_rng(20261122)
    arguments = [shape if isinstance(shape, list) else [shape] for shape in shapes]
    return [tuple(draw(rng, shape) for shape in each) for each in arguments]


def normal(*shapes: Shape | list[Shape]) -> list[Sample]:
    """Standard normal."""
    return _samples(lambda rng, shape: rng.standard_normal(shape), shapes)


def between(low: float, high: float) -> Callable[..., list[Sample]]:
    """Uniform in [low, high)."""
    return lambda *shapes: _samples(lambda rng, shape: rng.uniform(low, high, shape), shapes)


positive = between(0.3, 2.5)
unit = between(-0.9, 0.9)


def away(*points: float, scale: float = 2.0) -> Callable[..., list[Sample]]:
    """Normal, pushed at least 0.1 away from each point (a kink or a pole)."""

    def draw(rng: np.random.Generator, shape: Shape) -> np.ndarray:
        x = scale * rng.standard_normal(shape)
        for point in points:
            near = np.abs(x - point) < 0.1
            x = np.where(near, point + np.where(x < point, -0.1, 0.1) + (x - point), x)
        return x

    return lambda *shapes: _samples(draw, shapes)


def distinct(*shapes: Shape | list[Shape]) -> list[Sample]:
    """All values at least 0.25 apart, shuffled: maxima and orders are unique."""

    def draw(rng: np.random.Generator, shape: Shape) -> np.ndarray:
        size = int(np.prod(shape))
        return (0.25 * rng.permutation(size) - 0.125 * size + 0.03).reshape(shape)

    return _samples(draw, shapes)


def integers(low: int, high: int) -> Callable[..., list[Sample]]:
    """Integers in [low, high), int64: not differentiated, not cast."""
    return lambda *shapes: _samples(lambda rng, shape: rng.integers(low, high, shape), shapes)


def booleans(*shapes: Shape | list[Shape]) -> list[Sample]:
    """True or false, evenly."""
    return _samples(lambda rng, shape: rng.random(shape) < 0.5, shapes)


def together(*generated: list[Sample]) -> list[Sample]:
    """Samples side by side: together(normal((3, 4)), integers(0, 4)((3,))) -> (x, t)."""
    return [sum(samples, ()) for samples in zip(*generated, strict=True)]
