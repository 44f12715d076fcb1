"""Captured steps: `capture` records a step's kernels once and repeats them by one launch."""

from .captured import Captured, StepDone, capture

__all__ = ["Captured", "StepDone", "capture"]
