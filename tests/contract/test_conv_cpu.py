"""Convolution on CPU threads: the same bits for any number of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np

from gpugrad import backends

#: (x, w, window): rows read in place; windows gathered; depthwise; few tiles, shared by threads.
PROBLEMS = (
    ((9, 3, 32, 32), (32, 3, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((40, 64, 7, 7), (96, 64, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((5, 48, 20, 20), (48, 1, 3, 3), ((2, 1), (1, 1), (1, 1), 48)),
    ((1, 128, 14, 14), (128, 128, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
)


def digest() -> str:
    """Of all results."""
    kernels, rng = backends.get("cpu").kernels, np.random.default_rng(0)
    bits = hashlib.sha256()
    for x_shape, w_shape, window in PROBLEMS:
        stride, padding, _, _ = window
        sizes = zip(x_shape[2:], w_shape[2:], stride, padding, strict=True)
        out = ((n + 2 * p - t) // s + 1 for n, t, s, p in sizes)
        shape = (x_shape[0], w_shape[0], *out)
        x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape, shape))
        bits.update(kernels.conv_fprop(x, w, window, shape).tobytes())
        bits.update(kernels.conv_dgrad(dy, w, window, x_shape).tobytes())
        bits.update(kernels.conv_wgrad(x, dy, window, w_shape).tobytes())
    return bits.hexdigest()


def test_conv_does_not_depend_on_threads() -> None:
    found = set()
    for threads in ("1", "2", "5"):
        environment = {**os.environ, "GPUGRAD_NUM_THREADS": threads}
        run = [sys.executable, __file__]
        found.add(subprocess.run(run, env=environment, capture_output=True, check=True).stdout)
    assert len(found) == 1


if __name__ == "__main__":
    print(digest())
