"""Values of the command line: numbers in a range, settings."""

from __future__ import annotations

import argparse
import ast
import math
from collections.abc import Callable

OPTIMIZER_NAMES = "adam, adamw, sgd, rmsprop, adagrad, adadelta, adamax, nadam, radam, lion or lamb"
"""Of gpugrad.train.recipe.OPTIMIZERS, which is imported by the commands alone: it takes a while."""

PRECISIONS = ("exact", "high", "tf32", "bf16", "fp16")
PRECISION = "of float32 products on a GPU; or the half type of autocast"
PROFILE = "print where 20 steps spend their time; FILE (.json) also gets a trace"
NO_CAPTURE = "on a GPU, launch the kernels of a step one by one, not as a CUDA graph"


def setting(text: str) -> tuple[str, object]:
    """ "name=value" as (name, value): a Python number, list, ... where it is one, else a string."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _number(kind: Callable[[str], float], accept: Callable[[float], bool], wanted: str) -> Callable:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and accept(value)):
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return value

    return parse


positive_int = _number(int, lambda value: value > 0, "a positive integer")
positive = _number(float, lambda value: value > 0, "a positive number")
not_negative = _number(float, lambda value: value >= 0, "a number of at least 0")
seed = _number(int, lambda value: 0 <= value < 2**63, "an integer from 0 to 2^63 - 1")
count = _number(int, lambda value: value >= 0, "an integer of at least 0")
share = _number(float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")
