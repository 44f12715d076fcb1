"""A tensor of more than 2^31 elements, where there is memory for it.

What the kernels do with such indices is sim/test_index.py's to show, on the host.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import gpugrad as gg

SIZE = 2_200_000_000  # bytes of the tensor: its last 52 million elements lie beyond 2^31
BEYOND = 1 << 31


def available() -> int:
    """Bytes of memory that a program may still take; 0 where Linux does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
    return found[0] if found else 0


@pytest.mark.skipif(available() < 3 * SIZE, reason=f"needs {3 * SIZE / 1e9:.1f} GB of free memory")
def test_elements_beyond_2_to_31() -> None:
    x = gg.zeros(SIZE, dtype=gg.int8)
    x[BEYOND + 5] = 7
    x[-1] = 3
    assert x.numel() == SIZE and x.sum().item() == 10
    assert x.argmax().item() == BEYOND + 5
    tail = x[BEYOND:]  # a view with an offset beyond 2^31 bytes
    assert tail.shape == (SIZE - BEYOND,) and tail[5].item() == 7 and tail.sum().item() == 10
    tail += 1
    assert x[BEYOND - 1 : BEYOND + 7].tolist() == [0, 1, 1, 1, 1, 1, 8, 1]
    rows = x[: 2 * (SIZE // 2)].reshape(2, -1)[:, ::100_000_000]  # strides of 1e8, start 1.1e9
    copy = rows.clone()
    assert copy.shape == (2, 11) and copy.is_contiguous()
    assert copy[1, 10].item() == 0 and x[SIZE - 1].item() == 4
    index = gg.tensor([0, BEYOND + 5, SIZE - 1])
    assert x[index].tolist() == [0, 8, 4]
    x[index] = 2
    assert x[BEYOND + 5].item() == 2 and tail.sum().item() == SIZE - BEYOND - 2 + 2 * 2
